"""OUT that others can write to, and what stands in the place of its files: with real modes, users, links and pipes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mura_batch.agreement.truth_csv import read_truth
from mura_batch.errors import InputError, LedgerError, ModelError, MuraBatchError, OutputError, TruthError
from mura_batch.model_card import load_model
from mura_batch.store.ledger import Ledger
from mura_batch.store.lock import locked

NOBODY = 65534
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An OUT with a ledger and a lock."""
    folder = tmp_path / "out"
    use(folder)
    (folder / "runs").mkdir()
    return folder


def use(out: Path, *, allow_shared: bool = False) -> None:
    with locked(out, allow_shared=allow_shared), Ledger(out / "ledger.sqlite"):
        pass


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_out_that_others_may_write_to_is_refused(out: Path, mode: int) -> None:
    out.chmod(mode)
    with pytest.raises(OutputError, match=f"mode {mode:04o}.*chmod go-w.*--allow-shared-out"):
        use(out)
    use(out, allow_shared=True)


def test_out_that_others_may_read_is_used(out: Path) -> None:
    out.chmod(0o755)
    use(out)


@ROOT
def test_out_of_another_user_is_refused(out: Path) -> None:
    os.chown(out, NOBODY, NOBODY)
    with pytest.raises(OutputError, match=f"belongs to user {NOBODY}.*--allow-shared-out"):
        use(out)
    use(out, allow_shared=True)


@ROOT
def test_another_user_cannot_use_our_out(tmp_path: Path) -> None:
    with subprocess.Popen(["id", "-u"], user=NOBODY, stdout=subprocess.DEVNULL) as process:
        assert process.wait() == 0
    out = Path("/tmp") / f"mura-batch-test-{os.getpid()}"
    out.mkdir(0o755)
    code = (
        "import os, sys; from pathlib import Path; from mura_batch.store.lock import locked\n"
        f"os.setuid({NOBODY})\nwith locked(Path(sys.argv[1])): pass"
    )
    try:
        done = subprocess.run([sys.executable, "-c", code, out], capture_output=True, text=True, check=False)
    finally:
        out.rmdir()
    assert done.returncode == 1
    assert "belongs to user 0, and this job runs as user 65534" in done.stderr


@pytest.mark.parametrize("name", ["ledger.sqlite", "secret.key", ".lock"])
def test_modes_of_private_files_are_corrected(out: Path, name: str) -> None:
    (out / name).chmod(0o666)
    use(out)
    assert stat.S_IMODE((out / name).stat().st_mode) == 0o600


NAMES = ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-journal", "secret.key", ".lock", "runs", "pictures")


@pytest.mark.parametrize("name", NAMES)
def test_a_link_in_place_of_a_file_is_refused(out: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "elsewhere"
    if (out / name).exists():
        (out / name).rename(target)
    (out / name).symlink_to(target)
    before = target.stat().st_mtime_ns if target.exists() else None
    with pytest.raises(OutputError, match="is a symbolic link"):
        use(out)
    with pytest.raises(OutputError, match="is a symbolic link"):
        use(out, allow_shared=True)
    assert (target.stat().st_mtime_ns if target.exists() else None) == before


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.timeout(20)
def test_a_pipe_in_place_of_a_file_never_blocks(out: Path, tmp_path: Path, name: str) -> None:
    if (out / name).exists():
        (out / name).rename(tmp_path / "elsewhere")
    os.mkfifo(out / name)
    with pytest.raises(MuraBatchError, match=r"something else|no regular file"):
        use(out)


@pytest.mark.timeout(20)
def test_a_ledger_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ledger.sqlite")
    with pytest.raises(LedgerError, match="no regular file"), Ledger(tmp_path / "ledger.sqlite"):
        pass


@pytest.mark.timeout(20)
def test_input_files_that_are_pipes_or_devices_are_refused(tmp_path: Path) -> None:
    from mura_batch.dicom.policy import load_site_terms

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TruthError, match="cannot be read"):
        read_truth(tmp_path / "pipe")
    with pytest.raises(TruthError, match="cannot be read"):
        read_truth(Path("/dev/zero"))
    with pytest.raises(InputError, match="no regular file"):
        load_site_terms(tmp_path / "pipe")


@pytest.mark.parametrize("depth", [40, 900, 200_000])
def test_a_model_card_of_absurd_depth_is_refused(tmp_path: Path, depth: int) -> None:
    (tmp_path / "model.json").write_text('{"training": ' * depth + "1" + "}" * depth)
    with pytest.raises(ModelError, match="nested"):
        load_model(tmp_path)


@pytest.mark.timeout(20)
def test_a_model_card_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.json")
    with pytest.raises(ModelError, match="not a model folder"):
        load_model(tmp_path)
