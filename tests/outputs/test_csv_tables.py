"""studies.csv, images.csv and skipped.csv: what stands in them, for people, for spreadsheets and for reading again.

The golden files are tests/report/golden/*.csv; a change of theirs is a change of the format (SCHEMA_VERSION).
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from record_builders import NAMES

from mura_batch.errors import InputError, OutputError
from mura_batch.outputs import csv_tables
from mura_batch.outputs.csv_tables import CsvTables
from mura_batch.outputs.read_tables import read_rows, read_studies
from mura_batch.outputs.sink import RunInfo
from mura_batch.outputs.tables import LONGEST_TEXT, TABLES
from mura_batch.reasons import ADVICE
from mura_batch.records import (
    InstanceScore,
    Laterality,
    MissingStudy,
    Reason,
    Region,
    RegionFinding,
    Sex,
    Skipped,
    Stage,
    StudyScore,
    StudyStatus,
)

GOLDEN = Path(__file__).parent / "golden"
ScoreMaker = Callable[..., InstanceScore]
SkipMaker = Callable[..., Skipped]
StudyMaker = Callable[..., StudyScore]
RunInfoMaker = Callable[..., RunInfo]


def cells(path: Path) -> list[dict[str, str]]:
    """As a program without knowledge of ours reads it."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("table", TABLES)
def test_tables_equal_the_golden_files(
    tmp_path: Path, run_info: RunInfoMaker, study: StudyMaker, image: ScoreMaker, skip: SkipMaker, table: str
) -> None:
    with CsvTables(replace(run_info(tmp_path), outlier_limit=1800.0)) as tables:
        other = image("ä, b/3.dcm", 1 / 3, reused=True, laterality=Laterality.UNKNOWN, flags=("odd spacing",))
        device = {"manufacturer": "Agfa", "manufacturer_model": "DX-D 300", "station_name": "ROOM2"}
        near = replace(image(sex=Sex.FEMALE, age=53, **device), distance=1900.5)
        tables.study(study(), [near, other])
        tables.study(study(study_uid="1.2.4", score=None, abnormal=None, scored=0, status=StudyStatus.FAILED), [])
        tables.study(study(study_uid="1.2.5", accession="=1+1", score=2 / 3, abnormal=True, reason=""), [])
        tables.skip(skip(study_uid="1.2.3", sop_instance_uid="1.2.9", accession="00042", region=Region.WRIST))
        tables.skip(skip("notes.txt", Reason.NOT_DICOM, detail='no "DICM" prefix'))
        tables.missing(MissingStudy("1.2.6", "00043", "20240130", 2))
    name = f"{table}.csv"
    assert (tmp_path / name).read_bytes().decode() == (GOLDEN / name).read_bytes().decode()


def test_an_empty_run_has_files_with_their_headers(tmp_path: Path, run_info: RunInfoMaker) -> None:
    with CsvTables(run_info(tmp_path)):
        pass
    for table, columns in TABLES.items():
        assert (tmp_path / f"{table}.csv").read_text() == ",".join(columns) + "\n"
        assert list(read_rows(tmp_path, table)) == []


def test_a_run_that_fails_half_way_leaves_no_table(tmp_path: Path, run_info: RunInfoMaker, study: StudyMaker) -> None:
    def fail_half_way() -> None:
        with CsvTables(run_info(tmp_path)) as tables:
            tables.study(study(), [])
            raise ValueError("the ledger is gone")

    with pytest.raises(ValueError, match="ledger"):
        fail_half_way()
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_an_error(tmp_path: Path, run_info: RunInfoMaker) -> None:
    with pytest.raises(OutputError, match="cannot be written"), CsvTables(run_info(tmp_path / "nowhere")):
        pass


@pytest.mark.parametrize(
    "attack",
    [  # OWASP, "CSV Injection": characters that start a formula, the full-width ones included
        '=HYPERLINK("http://x.example","see")', "+1+1", "-2+3+cmd|' /C calc'!A0", "@SUM(1+1)", "\t=1+1", "\r=1+1",
        "\n=1+1", "＝1+1", "＋1", "－1", "＠1", "x;=1+1", "x\t=1+1", "x\n@1",
    ],
)  # fmt: skip
def test_no_cell_starts_a_formula_in_any_locale(
    tmp_path: Path, run_info: RunInfoMaker, study: StudyMaker, image: ScoreMaker, skip: SkipMaker, attack: str
) -> None:
    with CsvTables(run_info(tmp_path, attack)) as tables:
        finding = RegionFinding(Region.HAND, "protocol", attack, "low")
        row = study(study_uid=attack, accession=attack, reason=attack)
        tables.study(row, [image(attack, accession=attack, region=finding)])
        tables.skip(skip(attack, detail=attack, accession=attack))
        tables.missing(MissingStudy(attack, attack, attack, 1))
    for table in TABLES:
        text = (tmp_path / f"{table}.csv").read_text(encoding="utf-8")
        for row in csv.reader(text.splitlines(keepends=True)):
            for cell in row:
                for part in cell.replace("\t", ";").replace("\n", ";").replace("\r", ";").split(";"):
                    assert not part.startswith(("=", "+", "@", "＝", "＋", "－", "＠")), (table, cell)
                    assert not part.startswith("-") or float(part), (table, cell)
        read = next(iter(read_rows(tmp_path, table)))
        assert read["accession"] == attack


def test_numbers_stay_numbers(tmp_path: Path, run_info: RunInfoMaker, study: StudyMaker, image: ScoreMaker) -> None:
    with CsvTables(run_info(tmp_path)) as tables:
        tables.study(study(), [image()])
    (row,) = cells(tmp_path / "images.csv")
    assert (row["window_center"], row["window_width"], row["probability"]) == ("-500", "2000.5", "0.25")


def test_float32_probabilities_survive_the_csv(
    tmp_path: Path, run_info: RunInfoMaker, study: StudyMaker, image: ScoreMaker
) -> None:
    import numpy as np

    values = np.random.default_rng(0).random(500, dtype=np.float32)
    with CsvTables(run_info(tmp_path)) as tables:
        tables.study(study(), [image(f"{n}.dcm", float(value)) for n, value in enumerate(values)])
    assert [np.float32(row["probability"]) for row in cells(tmp_path / "images.csv")] == list(values)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(text, text, st.sampled_from(["", "'", "=", "-", "\n", ";'", ",="]))
def test_any_header_text_survives_the_csv(
    tmp_path: Path, run_info: RunInfoMaker, study: StudyMaker, before: str, after: str, middle: str
) -> None:
    row = study(accession=f"{middle}{before}{middle}{after}", reason=after, study_uid="1.2.3")
    with CsvTables(run_info(tmp_path)) as tables:
        tables.study(row, [])
    assert list(read_studies(tmp_path)) == [row]


def test_a_path_that_is_not_utf_8_is_escaped(
    tmp_path: Path, run_info: RunInfoMaker, study: StudyMaker, image: ScoreMaker, skip: SkipMaker
) -> None:
    with CsvTables(run_info(tmp_path)) as tables:
        tables.study(study(), [image("a/\udcff.dcm")])
        tables.skip(skip("b/\udcff.dcm"))
    assert cells(tmp_path / "images.csv")[0]["file"] == "a/\\udcff.dcm"
    assert cells(tmp_path / "skipped.csv")[0]["file"] == "b/\\udcff.dcm"


def test_a_long_text_is_cut_to_a_spreadsheet_cell(tmp_path: Path, run_info: RunInfoMaker, skip: SkipMaker) -> None:
    with CsvTables(run_info(tmp_path)) as tables:
        tables.skip(skip(detail="x" * 1_000_000))
    (row,) = cells(tmp_path / "skipped.csv")
    assert len(row["detail"]) == LONGEST_TEXT + len(" ...")


def test_file_keys_equal_those_in_logs(
    tmp_path: Path, run_info: RunInfoMaker, study: StudyMaker, image: ScoreMaker, skip: SkipMaker
) -> None:
    good, bad = image(), skip()
    with CsvTables(run_info(tmp_path)) as tables:
        tables.study(study(), [good])
        tables.skip(bad)
    assert cells(tmp_path / "images.csv")[0]["file_key"] == NAMES.file(good.instance.source.path)
    assert cells(tmp_path / "skipped.csv")[0]["file_key"] == NAMES.file(bad.source.path)


def test_pandas_reads_the_scores_as_numbers(tmp_path: Path, run_info: RunInfoMaker, study: StudyMaker) -> None:
    import pandas as pd

    with CsvTables(run_info(tmp_path)) as tables:
        tables.study(study(), [])
        tables.study(study(score=None, abnormal=None), [])
    table = pd.read_csv(tmp_path / "studies.csv", dtype={"accession": str})
    assert table["score"].tolist()[0] == 0.25
    assert table["score"].isna().tolist() == [False, True]
    assert table["accession"].tolist() == ["00042", "00042"]


def test_a_table_saved_by_a_spreadsheet_can_be_read(tmp_path: Path, run_info: RunInfoMaker, study: StudyMaker) -> None:
    with CsvTables(run_info(tmp_path)) as tables:
        tables.study(study(), [])
    path = tmp_path / "studies.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\r\n", b"\n"))
    assert [row.accession for row in read_studies(tmp_path)] == ["00042"]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [("wrist", "knee", "row 1"), ("0.25", "high", "row 1"), ("accession", "number", "no column accession")],
)
def test_a_table_changed_by_hand_is_an_error(
    tmp_path: Path, run_info: RunInfoMaker, study: StudyMaker, before: str, after: str, message: str
) -> None:
    with CsvTables(run_info(tmp_path)) as tables:
        tables.study(study(), [])
    path = tmp_path / "studies.csv"
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(InputError, match=message):
        list(read_studies(tmp_path))


def test_a_table_from_before_patient_and_device_is_read(tmp_path: Path) -> None:
    later = {"manufacturer", "manufacturer_model", "station_name", "patient_sex", "patient_age", "distance", "outlier"}
    old = [{name: value for name, value in row.items() if name not in later} for row in cells(GOLDEN / "images.csv")]
    with (tmp_path / "images.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, old[0])
        writer.writeheader()
        writer.writerows(old)
    rows = list(read_rows(tmp_path, "images"))
    assert [set(row) == set(TABLES["images"]) for row in rows] == [True, True]
    assert [{row[name] for name in later} for row in rows] == [{""}, {""}]
    assert rows[0]["probability"] == "0.25"


def test_a_missing_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"studies\.csv cannot be read"):
        list(read_studies(tmp_path))


def test_every_reason_has_advice_of_one_sentence() -> None:
    assert set(ADVICE) == set(Reason)
    for reason, sentence in ADVICE.items():
        assert sentence.endswith("."), reason
        assert 20 < len(sentence) < 130, reason


def test_every_stage_and_reason_can_be_written(tmp_path: Path, run_info: RunInfoMaker, skip: SkipMaker) -> None:
    with CsvTables(run_info(tmp_path)) as tables:
        for stage in Stage:
            for reason in Reason:
                tables.skip(skip(reason=reason, stage=stage))
    rows = cells(tmp_path / "skipped.csv")
    assert {(row["stage"], row["reason"]) for row in rows} == {(s, r) for s in Stage for r in Reason}
    assert all(row["advice"] == ADVICE[Reason(row["reason"])] for row in rows)


CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(Region), st.text(),
    st.text("ab=+-@;,|'\t\r\n\x1f \uff1d", max_size=4), st.just("x" * (LONGEST_TEXT + 1)),
)  # fmt: skip


@given(st.lists(CELLS, min_size=1, max_size=6))
def test_cells_of_a_row_are_those_of_its_values(values: list[Any]) -> None:
    assert csv_tables._texts(values) == [csv_tables._cell(value) for value in values]
