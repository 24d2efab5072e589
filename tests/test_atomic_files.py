"""Results appear whole or not at all."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mura_batch.atomic_files import (
    SHARED,
    STALE_SECONDS,
    atomic_file,
    atomic_folder,
    atomic_writer,
    edited_folder,
    replace_folder,
    sync_folder,
    write_atomic,
)
from mura_batch.errors import OutputError


def test_a_whole_file_is_written_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, b"old")
    write_atomic(path, b"new\0\xff")
    assert path.read_bytes() == b"new\0\xff"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_atomic(path, b"old")

    def write_half() -> None:
        with atomic_writer(path) as file:
            file.write("half of the new")
            raise ValueError("the table ends here")

    with pytest.raises(ValueError, match="ends here"):
        write_half()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_what_a_kill_left_of_the_same_file_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    killed = (
        "import os, pathlib, sys; from mura_batch.atomic_files import atomic_file\n"
        "with atomic_file(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", killed, path], check=False).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    write_atomic(path, b"whole")
    assert left.exists()  # it may be of a process that is still writing
    long_ago = time.time() - 2 * STALE_SECONDS
    os.utime(left, (long_ago, long_ago))
    (other := tmp_path / ".b.csv.1.00.tmp").touch()
    os.utime(other, (long_ago, long_ago))
    write_atomic(path, b"whole")
    assert {p.name for p in tmp_path.iterdir()} == {"a.csv", other.name}


def test_the_file_is_invisible_before_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with atomic_writer(path) as file:
        file.write("x" * 100_000)
        assert not path.exists()
    assert path.stat().st_size == 100_000


def test_text_is_utf_8_with_undecodable_names_escaped(tmp_path: Path) -> None:
    with atomic_writer(tmp_path / "a.csv") as file:
        file.write("é\r\n\udcff\n")
    assert (tmp_path / "a.csv").read_bytes() == "é\r\n\\udcff\n".encode()


@pytest.mark.parametrize("place", ["nowhere/a.csv", "file/a.csv"])
def test_an_unwritable_folder_is_an_error_with_advice(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="correct the permissions"):
        write_atomic(tmp_path / place, b"x")
    with pytest.raises(OutputError, match="correct the permissions"), atomic_writer(tmp_path / place):
        pass


FILL_THE_DISK = """
import resource, signal, sys
from pathlib import Path
from mura_batch.errors import OutputError
from mura_batch.atomic_files import atomic_writer, write_atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit is then an OSError, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
path = Path(sys.argv[1])
for write in (lambda: write_atomic(path, b"x" * 100_000), lambda: fill(path)):
    try:
        write()
    except OutputError as error:
        print(error)
"""


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out" / "a.csv"
    path.parent.mkdir()
    code = "def fill(path):\n    with atomic_writer(path) as file:\n        file.write('x' * 100_000)\n" + FILL_THE_DISK
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("cannot be written") == 2, done.stdout
    assert not list(path.parent.iterdir())
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 4096  # the limit was the child's


def test_a_shared_file_has_the_permissions_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_atomic(tmp_path / "model.json", b"{}", mode=SHARED)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model.json").stat().st_mode) == 0o644


KILLED_AT_A_RENAME = """
import os, signal, sys
from pathlib import Path
from mura_batch.atomic_files import replace_folder

renames = []

def watch(event, arguments):
    if event == "os.rename":
        renames.append(arguments)
        if len(renames) == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)  # called before each rename
replace_folder(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def a_folder(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "model.json").write_text(text)
    return path


def names(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir())


def test_a_write_that_fails_halfway_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    path.write_bytes(b"old")

    def write_half() -> None:
        with atomic_file(path) as file:
            file.write(b"half of the new")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OutputError, match=r"steps\.csv cannot be written \(No space left on device\): free space"):
        write_half()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["steps.csv"]


def test_a_new_folder_replaces_the_old_one(tmp_path: Path) -> None:
    out = a_folder(tmp_path / "out", "old")
    replace_folder(a_folder(tmp_path / "new", "new"), out)
    assert (out / "model.json").read_text() == "new"
    assert names(tmp_path) == ["out"]


def test_the_old_folder_comes_back_when_the_new_one_fails(tmp_path: Path) -> None:
    out = a_folder(tmp_path / "out", "old")
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "missing", out)
    assert (out / "model.json").read_text() == "old"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("rename", [1, 2])
def test_a_kill_while_a_folder_is_replaced_loses_neither(tmp_path: Path, rename: int) -> None:
    out, new = a_folder(tmp_path / "out", "old"), a_folder(tmp_path / "new", "new")
    command = [sys.executable, "-c", KILLED_AT_A_RENAME, str(new), str(out), str(rename)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    left = {p.name: (p / "model.json").read_text() for p in tmp_path.iterdir()}
    assert left == {"new": "new", {1: "out", 2: ".out.old"}[rename]: "old"}

    replace_folder(new, out)
    assert (out / "model.json").read_text() == "new"
    assert names(tmp_path) == ["out"]


def test_a_file_in_the_place_of_a_folder_remains(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("somebody's notes")
    with pytest.raises(NotADirectoryError, match="is not a folder"):
        replace_folder(a_folder(tmp_path / "new", "new"), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "somebody's notes"


def test_an_edited_folder_leaves_the_original_files_alone(tmp_path: Path) -> None:
    out = a_folder(tmp_path / "out", "old")
    (out / "model.onnx").write_bytes(b"network")
    reader = (out / "model.json").open()
    with edited_folder(out, without=("model.json",)) as new:
        assert names(new) == ["model.onnx"]
        (new / "model.json").write_text("new")
    assert reader.read() == "old"
    reader.close()
    assert (out / "model.json").read_text() == "new"
    assert names(tmp_path) == ["out"]


def test_a_block_that_fails_leaves_the_old_folder(tmp_path: Path) -> None:
    out = a_folder(tmp_path / "out", "old")

    def write_half() -> None:
        with atomic_folder(out) as new:
            (new / "model.json").write_text("half")
            raise ValueError("the export ends here")

    with pytest.raises(ValueError, match="ends here"):
        write_half()
    assert (out / "model.json").read_text() == "old"
    assert names(tmp_path) == ["out"]


def test_a_file_system_without_folder_sync_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))  # what CIFS and some FUSE mounts give for a folder

    monkeypatch.setattr(os, "fsync", refuse)
    sync_folder(tmp_path)
