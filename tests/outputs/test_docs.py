"""docs/outputs.md describes the files as they are written."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from record_builders import build_truth

from mura_batch.agreement.comparison import Comparison
from mura_batch.agreement.truth import match
from mura_batch.outputs.agreement_files import COLUMNS, agreement_values
from mura_batch.outputs.manifest import RunManifest
from mura_batch.outputs.report.collect import LISTED_ROWS
from mura_batch.outputs.report.page import PICTURE_BYTES
from mura_batch.outputs.tables import LONGEST_TEXT, TABLES
from mura_batch.reasons import ADVICE
from mura_batch.records import UNREADABLE, Reason, Region, Stage, StudyStatus
from mura_batch.runtime.runner import RunnerInfo

PAGE = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text(encoding="utf-8")


def rows_under(heading: str, head: str) -> list[list[str]]:
    """Cells of the table whose head begins with `head`, in the section that begins with `heading`."""
    section = re.split(r"^#+ ", PAGE.split(heading, 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    table = section.split(f"| {head} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def names_under(heading: str, head: str) -> list[str]:
    return [row[0].strip("`") for row in rows_under(heading, head)]


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_described_in_its_order(table: str) -> None:
    assert names_under(f"### `{table}.csv`", "column") == list(TABLES[table])


def test_every_field_of_the_manifest_is_described() -> None:
    assert names_under("## `run.json`", "field") == [field.name for field in fields(RunManifest)]


def test_the_fields_of_its_objects_are_described() -> None:
    described = names_under("## `run.json`", "field of an object")
    runner = [f"runner.{field.name}" for field in fields(RunnerInfo)]
    model = [f"model.{name}" for name in ("name", "version", "hash", "input_size", "threshold")]
    counts = [f"counts.{name}" for name in ("found", "scored", "unchanged", "skipped")]
    assert described == model + runner + counts


def test_every_count_of_agreement_is_described() -> None:
    described = [name.strip("` ") for row in rows_under("## `agreement.json`", "count") for name in row[0].split(",")]
    assert described == list(_comparison().counts)


def test_every_field_of_agreement_is_described() -> None:
    described = names_under("## `agreement.json`", "field of `agreement.json`")
    assert described == list(agreement_values(_comparison()))
    assert ", ".join(f"`{name}`" for name in COLUMNS[-6:]) in PAGE


def _comparison() -> Comparison:
    return Comparison(match(build_truth({"1": 1}), []), None)


def test_every_status_of_a_study_is_described() -> None:
    assert names_under("### `studies.csv`", "status") == list(StudyStatus)


def test_every_reason_is_described_with_its_weight_and_advice() -> None:
    described = {row[0].strip("`"): row[1:] for row in rows_under("### `skipped.csv`", "reason")}
    assert described == {r.value: ["yes" if r in UNREADABLE else "no", ADVICE[r]] for r in Reason}


def test_regions_stages_and_the_longest_cell_are_named() -> None:
    assert all(f"`{region}`" in PAGE for region in Region)
    assert all(f"`{stage}`" in PAGE for stage in Stage)
    assert f"{LONGEST_TEXT:,}" in PAGE


def test_the_limits_of_the_report_are_described() -> None:
    section = PAGE.split("## `report.html`", 1)[1]
    assert "until the page has 15 MB" in section
    assert PICTURE_BYTES < 15e6
    assert f"up to {LISTED_ROWS:,} are listed" in section
