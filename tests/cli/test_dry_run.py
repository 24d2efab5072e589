"""`score --dry-run` against the run that follows it, with the real command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mura_batch.phantom import PhantomOptions, make_phantoms


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies, and a night over them."""
    folder = tmp_path_factory.mktemp("dry")
    make_phantoms(folder / "studies", PhantomOptions(studies=3, small=True))
    before = forecast(folder)
    assert not (folder / "out").exists()
    done = score(folder)
    assert done.returncode == 3
    counts = manifest(folder)["counts"]
    assert before["counts"] == {
        "found": counts["found"], "score": counts["scored"], "unchanged": 0, "skip": counts["skipped"],
    }  # fmt: skip
    assert before["skipped_by_reason"] == manifest(folder)["skipped_by_reason"]
    assert before["seconds"] is None
    return folder


def score(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mura_batch", "score", "studies", "--out", "out", "--settle", "0", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def forecast(folder: Path, *words: str) -> dict[str, dict[str, int]]:
    done = score(folder, "--dry-run", "--json", *words)
    assert done.returncode == 0, done.stderr
    values: dict[str, dict[str, int]] = json.loads(done.stdout)
    return values


def manifest(folder: Path) -> dict[str, dict[str, int]]:
    values: dict[str, dict[str, int]] = json.loads((folder / "out" / "latest" / "run.json").read_text())
    return values


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of OUT but the ledger's shared memory, which any reader writes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "out").rglob("*"))
        if path.is_file() and path.suffix != ".sqlite-shm"
    }


def test_after_a_night_only_unchanged_files_are_foretold_and_nothing_is_written(folder: Path) -> None:
    before = tree(folder)
    counts = forecast(folder)["counts"]
    assert (counts["score"], counts["unchanged"]) == (0, manifest(folder)["counts"]["scored"])
    assert {path: content for path, content in tree(folder).items() if "sqlite-" not in path} == {
        path: content for path, content in before.items() if "sqlite-" not in path
    }


def test_as_text_each_file_is_a_line_and_the_sums_follow(folder: Path) -> None:
    done = score(folder, "--dry-run")
    lines = done.stdout.splitlines()
    sums = lines[lines.index("") + 1 :]
    assert f"{manifest(folder)['counts']['scored']:>7}  unchanged" in sums
    assert sum(line.startswith("skip ") for line in lines) == manifest(folder)["counts"]["skipped"]


def test_a_change_of_settings_is_foretold_with_its_cost(folder: Path) -> None:
    kept = forecast(folder, "--voi", "percentiles")["counts"]
    assert (kept["score"], kept["unchanged"]) == (0, manifest(folder)["counts"]["scored"])
    done = score(folder, "--dry-run", "--json", "--voi", "percentiles", "--rescore", "all")
    again = json.loads(done.stdout)
    assert again["counts"]["score"] == manifest(folder)["counts"]["scored"]
    assert again["studies_to_score"] == 3
    assert again["seconds"] > 0
    assert "3 studies (" in done.stderr
