"""Nights on which nothing has changed: their tables are those of the night before, unless what these depend on is
another."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bench.many import make_model, make_tree
from mura_batch.cli.score import score
from mura_batch.model_card import CARD_NAME
from mura_batch.scoring import unchanged

REFERENCE = Path(__file__).parents[2] / "engines" / "reference"
Change = Callable[[Path], list[object]]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """studies/, model/ and out/: five files, a duplicate, a link and a text among them; after two nights."""
    folder = tmp_path_factory.mktemp("unchanged")
    make_model(REFERENCE, folder / "model")
    make_tree(folder / "studies", 5)
    first = folder / "studies" / "0000" / "IM000000"
    shutil.copyfile(first, first.with_name("copy"))
    first.with_name("link").symlink_to(first)
    first.with_name("notes.txt").write_text("no radiograph")
    for _ in range(2):
        night(folder)
    return folder


@pytest.fixture
def own(archive: Path, tmp_path: Path) -> Path:
    """A copy that the test may change, after a night that has seen its change times."""
    subprocess.run(["cp", "-a", f"{archive}/.", tmp_path], check=True)
    night(tmp_path)
    return tmp_path


def night(folder: Path, *words: object) -> dict[str, Any]:
    """run.json of one more run. Studies are named as seen from the folder: so a copy has the same options."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        options = ("--out", "out", "--model", "model", "--settle", "0", "--device", "cpu", *words)
        assert score.main(["studies", *map(str, options)], standalone_mode=False) in {0, 3}
    finally:
        os.chdir(before)
    values: dict[str, Any] = json.loads((folder / "out" / "latest" / "run.json").read_text())
    return values


def is_repeated(folder: Path) -> bool:
    """Whether the newest run linked the tables instead of writing them: it never took an open file for one."""
    return bool(repeats) and repeats[-1] == (folder / "out" / "latest").resolve().name


repeats: list[str] = []


@pytest.fixture(autouse=True)
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes which runs take the tables of the one before."""
    take = unchanged.take_tables

    def noted(info: Any, formats: Any, before: Any) -> Any:
        repeats.append(info.name)
        return take(info, formats, before)

    monkeypatch.setattr("mura_batch.scoring.pipeline.take_tables", noted)


def test_an_unchanged_night_says_what_a_computed_one_says(own: Path) -> None:
    repeated = night(own)
    assert is_repeated(own)
    folder = (own / "out" / "latest").resolve()
    forget(own)
    computed = night(own)
    assert not is_repeated(own)
    other = (own / "out" / "latest").resolve()
    for path in sorted(folder.iterdir()):
        if path.name not in {"run.json", "report.html"}:
            assert path.read_bytes() == (other / path.name).read_bytes(), path.name
    for values in (repeated, computed):
        for name in ("run", "started", "finished", "seconds"):
            del values[name]
        del values["files"]["report.html"]  # it names its own time
    assert repeated == computed
    assert repeated["counts"] == {"found": 8, "scored": 0, "unchanged": 5, "skipped": 3}


def forget(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "out" / "ledger.sqlite", isolation_level=None)) as db:
        db.execute("UPDATE settled SET basis = ''")


def test_unchanged_nights_follow_one_another(own: Path) -> None:
    for _ in range(3):
        night(own)
        assert is_repeated(own)
    tables = [(run / "images.csv").stat().st_ino for run in (own / "out" / "runs").iterdir()]
    assert len(set(tables)) == 2, "the first night says scored, the others unchanged"


def new_file(folder: Path) -> list[object]:
    here = folder / "studies" / "0000"
    (here / "new").write_bytes((here / "IM000001").read_bytes().replace(b"3000000001", b"3000000099"))
    return []


def removed_file(folder: Path) -> list[object]:
    (folder / "studies" / "0000" / "IM000002").unlink()
    return []


def moved_file(folder: Path) -> list[object]:
    (folder / "studies" / "0000" / "IM000002").rename(folder / "studies" / "moved")
    return []


def touched_file(folder: Path) -> list[object]:
    (folder / "studies" / "0000" / "IM000002").chmod(0o640)
    return []


def removed_text(folder: Path) -> list[object]:
    (folder / "studies" / "0000" / "notes.txt").unlink()
    return []


def threshold(folder: Path) -> list[object]:
    card = json.loads((folder / "model" / CARD_NAME).read_text())
    (folder / "model" / CARD_NAME).write_text(json.dumps({**card, "threshold": 0.123}))
    return []


def table_by_hand(folder: Path) -> list[object]:
    path = (folder / "out" / "latest").resolve() / "studies.csv"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content + b"\r\n")
    return []


def missing_table(folder: Path) -> list[object]:
    ((folder / "out" / "latest").resolve() / "images.csv").unlink()
    return []


def removed_run(folder: Path) -> list[object]:
    shutil.rmtree((folder / "out" / "latest").resolve())
    return []


def truth(folder: Path) -> list[object]:
    (folder / "truth.csv").write_text("study_uid,label\n1.2.3.4.5.1000000001,1\n")
    return ["--truth", "truth.csv"]


CHANGES: list[Change] = [
    new_file, removed_file, moved_file, touched_file, removed_text, threshold, table_by_hand, missing_table,
    removed_run, truth,
    lambda _: ["--format", "csv,jsonl"],
    lambda _: ["--identifiers", "key"],
    lambda _: ["--regions", "hand"],
    lambda _: ["--voi", "percentiles"],
    lambda _: ["--viewer-url", "https://viewer.example/{study_uid}"],
    lambda _: ["--strict"],
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_what_tables_depend_on_computes_them(own: Path, change: Change) -> None:
    words = change(own)
    night(own, *words)
    assert not is_repeated(own)


def test_another_version_of_the_program_computes_the_tables(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unchanged, "__version__", "99")
    night(own)
    assert not is_repeated(own)


def test_a_night_after_news_computes_its_tables(own: Path) -> None:
    """The night with news says scored where the next one says unchanged."""
    new_file(own)
    assert night(own)["counts"]["scored"] == 1
    assert night(own)["counts"] == {"found": 9, "scored": 0, "unchanged": 6, "skipped": 3}
    assert not is_repeated(own)
    night(own)
    assert is_repeated(own)


def test_a_copied_folder_is_taken_at_its_own_word(own: Path) -> None:
    """Other inode numbers and change times: files are hashed, and nothing is scored again."""
    shutil.copytree(own / "studies", own / "copy", symlinks=True)
    shutil.rmtree(own / "studies")
    (own / "copy").rename(own / "studies")
    assert night(own)["counts"]["unchanged"] == 5
    assert not is_repeated(own)


HEAVY = {"numpy", "PIL", "pandas", "openvino", "pydicom", "rich", "multiprocessing.connection"}


def test_a_night_without_news_imports_nothing_heavy(own: Path) -> None:
    options = ["studies", "--out", "out", "--model", "model", "--settle", "0", "--device", "cpu"]
    script = f"""
import sys
from mura_batch.cli.score import score
score.main({options!r}, standalone_mode=False)
print(sorted({HEAVY!r} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=own, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
