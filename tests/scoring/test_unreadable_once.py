"""A file that cannot be read is news to one run, and to no later one.

`python tests/scoring/test_unreadable_once.py STUDIES` runs a night without scoring, and prints whether it has news:
as another process, which root may run without the right to read everything."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mura_batch.dicom.policy import IntakePolicy
from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.progress import Silent
from mura_batch.records import UNREADABLE
from mura_batch.scoring.intake import JUDGED_BY, scan
from mura_batch.scoring.storage import Folder
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger

KEY = Key("model", "settings")
POLICY = IntakePolicy(settle_seconds=0)

# Root reads what it likes: without these two capabilities it is refused as any user is.
REFUSED = ["setpriv", "--inh-caps=-dac_override,-dac_read_search", "--bounding-set=-dac_override,-dac_read_search"]


@pytest.fixture(scope="module")
def radiograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_phantoms(tmp_path_factory.mktemp("phantom") / "studies", PhantomOptions(studies=1, small=True)).folder
    return next(p for p in sorted(folder.rglob("IM000001")) if p.stat().st_size > 10_000)


@pytest.fixture
def studies(tmp_path: Path, radiograph: Path) -> Path:
    folder = tmp_path / "studies"
    (folder / "sub").mkdir(parents=True)
    shutil.copyfile(radiograph, folder / "good")
    (folder / "bad").write_bytes(radiograph.read_bytes()[:700])
    return folder


def night(studies: Path, policy: IntakePolicy = POLICY) -> bool:
    """Whether a run over the folder has news of unreadable files."""
    with Ledger(studies.parent / "ledger") as ledger:
        ledger.runs.reconcile(lambda _: False)
        ledger.runs.begin("night", studies)
        scan(Folder(studies), policy, ledger.files, Silent())
        has_news = [ledger.outcomes.is_new(s) for s in ledger.files.skipped_before_decoding() if s.reason in UNREADABLE]
        ledger.claim(KEY)
        ledger.runs.finish("2026-01-01T00:00:00+00:00")
    return any(has_news)


def refused_night(studies: Path) -> bool:
    prefix = REFUSED if os.geteuid() == 0 else []
    if prefix and shutil.which("setpriv") is None:
        pytest.skip("setpriv is not there: root cannot be refused a file")
    command = [*prefix, sys.executable, __file__, str(studies)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout == "True\n"


def test_other_settle_times_and_options_do_not_report_it_again(studies: Path) -> None:
    assert night(studies)
    assert not night(studies, replace(POLICY, settle_seconds=3600))
    assert not night(studies)
    assert not night(studies, replace(POLICY, score_unknown_region=True))


def test_another_settle_time_opens_no_file(studies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    night(studies)
    monkeypatch.setattr("mura_batch.dicom.header.reader.read_header", None)
    night(studies, replace(POLICY, settle_seconds=3600, decode_timeout=1))


def test_the_judging_code_reads_only_the_named_part_of_the_policy() -> None:
    folder = Path(__file__).resolve().parents[2] / "mura_batch" / "dicom" / "header"
    used = {name for path in folder.glob("*.py") for name in re.findall(r"policy\.(\w+)", path.read_text())}
    assert used == set(JUDGED_BY)


def test_a_change_of_permissions_alone_is_no_news(studies: Path) -> None:
    assert night(studies)
    (studies / "bad").chmod(0o640)
    assert not night(studies, replace(POLICY, settle_seconds=3600))  # too young by its change time
    assert not night(studies)


def test_a_file_that_may_not_be_opened_is_reported_once(studies: Path) -> None:
    (studies / "bad").chmod(0)
    assert refused_night(studies)
    assert not refused_night(studies)
    (studies / "bad").chmod(0o644)
    assert refused_night(studies)  # another problem: it is truncated


def test_a_folder_is_reported_again_when_it_was_readable_in_between(studies: Path) -> None:
    (studies / "bad").unlink()
    (studies / "sub").chmod(0)
    assert refused_night(studies)
    assert not refused_night(studies)
    (studies / "sub").chmod(0o755)
    assert not refused_night(studies)
    (studies / "sub").chmod(0)
    assert refused_night(studies)


def test_new_content_that_cannot_be_read_is_reported_again(studies: Path) -> None:
    assert night(studies)
    (studies / "bad").write_bytes((studies / "bad").read_bytes()[:600])
    assert night(studies)
    assert not night(studies)


if __name__ == "__main__":
    sys.stdout.write(f"{night(Path(sys.argv[1]))}\n")
