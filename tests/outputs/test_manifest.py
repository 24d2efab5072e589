"""run.json: what it holds, and that its counts add up."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from mura_batch import DISCLAIMER
from mura_batch.errors import InputError, MuraBatchError
from mura_batch.outputs.manifest import RunManifest, check_identity, read_manifest, write_manifest
from mura_batch.outputs.sink import RunEnd
from mura_batch.records import SCHEMA_VERSION


@pytest.fixture
def manifest() -> RunManifest:
    return RunManifest(
        schema_version=SCHEMA_VERSION,
        tool_version="0.1.0",
        run="2024-01-31T020000.000000Z",
        started="2024-01-31T02:00:00+00:00",
        finished="2024-01-31T02:10:00+00:00",
        studies_folder="/export/Ünïcode \udcff",
        options={"device": "cpu"},
        settings_hash="0123456789abcdef",
        model={"name": "reference", "version": "1", "hash": "ab" * 32, "input_size": 320, "threshold": 0.5},
        runner={"name": "openvino", "parity_max_abs_error": None},
        counts={"found": 10, "scored": 5, "unchanged": 2, "skipped": 3},
        skipped_by_reason={"header/truncated": 1, "study/duplicate": 2},
        studies_by_status={"scored": 4},
        missing=2,
        seconds={"decode": {"busy": 1.25, "waiting": 0.5}},
        exit_code=3,
        disclaimer=DISCLAIMER,
    )


def test_a_manifest_survives_writing_and_reading(tmp_path: Path, manifest: RunManifest) -> None:
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest


def test_a_manifest_has_the_hashes_of_the_files(tmp_path: Path, manifest: RunManifest) -> None:
    (tmp_path / "studies.csv").write_bytes(b"rows")
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path).files == {"studies.csv": hashlib.sha256(b"rows").hexdigest()}


def test_the_manifest_is_plain_json(tmp_path: Path, manifest: RunManifest) -> None:
    write_manifest(tmp_path, manifest)
    values = json.loads((tmp_path / "run.json").read_bytes().decode("utf-8"))
    assert values["counts"] == {"found": 10, "scored": 5, "unchanged": 2, "skipped": 3}
    assert "Not a medical device" in values["disclaimer"]


def end_of_run(counts: dict[str, int]) -> RunEnd:
    reasons = {"header/truncated": 1, "study/duplicate": 2}
    return RunEnd("2024-01-31T02:10:00+00:00", counts, reasons, {"scored": 4}, {}, 3)


def test_counts_that_add_up_pass() -> None:
    check_identity(end_of_run({"found": 10, "scored": 5, "unchanged": 2, "skipped": 3}))


@pytest.mark.parametrize(
    "counts",
    [
        {"found": 11, "scored": 5, "unchanged": 2, "skipped": 3},  # a file vanished
        {"found": 10, "scored": 6, "unchanged": 2, "skipped": 3},  # one was counted twice
        {"found": 11, "scored": 5, "unchanged": 2, "skipped": 4},  # a skip without a reason
    ],
)
def test_counts_that_do_not_add_up_are_an_error(counts: dict[str, int]) -> None:
    with pytest.raises(MuraBatchError, match="do not add up"):
        check_identity(end_of_run(counts))


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"run": "x"}', '"run"'])
def test_a_folder_that_is_no_run_is_an_error(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match="is not the folder of a run"):
        read_manifest(tmp_path)


def test_an_unknown_field_is_ignored(tmp_path: Path, manifest: RunManifest) -> None:
    write_manifest(tmp_path, manifest)
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "weather": "fine"}))
    assert read_manifest(tmp_path) == manifest
