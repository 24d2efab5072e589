"""mura_batch.load_run, the public Python interface, and every example of docs/python.md."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import mura_batch
from mura_batch.errors import InputError
from mura_batch.outputs.csv_tables import CsvTables
from mura_batch.outputs.manifest import manifest_of, write_manifest
from mura_batch.outputs.sink import RunEnd, RunInfo
from mura_batch.outputs.tables import TABLES, Kind
from mura_batch.records import InstanceScore, Laterality, Reason, Region, Skipped, StudyScore, StudyStatus

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
DTYPES = {
    Kind.TEXT: "string", Kind.CATEGORY: "category", Kind.INTEGER: "Int64", Kind.NUMBER: "float64",
    Kind.YES_NO: "boolean", Kind.DATE: "datetime64[s]",
}  # fmt: skip


@pytest.fixture
def folder(
    tmp_path: Path,
    run_info: Callable[..., RunInfo],
    study: Callable[..., StudyScore],
    image: Callable[..., InstanceScore],
    skip: Callable[..., Skipped],
) -> Path:
    """Of a published run with odd values in every table."""
    run = run_info(tmp_path)
    odd = study(
        study_uid="1.2.4", accession="=1+1", study_date="someday", region=Region.UNKNOWN, score=None, abnormal=None,
        laterality=Laterality.UNKNOWN, scored=0, status=StudyStatus.FAILED,
    )  # fmt: skip
    with CsvTables(run) as tables:
        tables.study(study(study_date="10660101"), [image(), image("'b.dcm", reused=True)])
        tables.study(odd, [])
        tables.skip(skip(reason=Reason.NOT_DICOM))
    counts = {"found": 3, "scored": 1, "unchanged": 1, "skipped": 1}
    write_manifest(tmp_path, manifest_of(run, RunEnd("", counts, {"header/not_dicom": 1}, {}, {}, 0)))
    return tmp_path


@pytest.mark.parametrize("table", TABLES)
def test_every_column_has_its_type(folder: Path, table: str) -> None:
    loaded = getattr(mura_batch.load_run(folder), table)
    assert {name: str(dtype) for name, dtype in loaded.dtypes.items()} == {
        name: DTYPES[kind] for name, kind in TABLES[table].items()
    }


def test_values_are_those_of_the_records(folder: Path) -> None:
    studies = mura_batch.load_run(str(folder)).studies
    assert studies["accession"].tolist() == ["00042", "=1+1"]
    assert studies["abnormal"].tolist() == [False, pd.NA]
    assert studies["instances"].tolist() == [2, 2]
    assert studies["score"].isna().tolist() == [False, True]
    assert studies["study_date"].iloc[0] == pd.Timestamp("1066-01-01")
    assert pd.isna(studies["study_date"].iloc[1])
    assert studies["laterality"].isna().tolist() == [False, True]
    assert list(studies["region"].cat.categories) == list(Region)
    images = mura_batch.load_run(folder).images
    assert images["file"].tolist() == ["a/1.dcm", "'b.dcm"]
    assert images["reused"].tolist() == [False, True]
    assert images["row_key"].tolist() == [studies["row_key"][0]] * 2


def test_the_manifest_is_that_of_run_json(folder: Path) -> None:
    run = mura_batch.load_run(folder)
    assert run.manifest["counts"]["found"] == 3
    assert run.manifest["run"] in repr(run)


def test_a_run_without_rows_has_typed_columns(tmp_path: Path, run_info: Callable[..., RunInfo]) -> None:
    run = run_info(tmp_path)
    with CsvTables(run):
        pass
    write_manifest(tmp_path, manifest_of(run, RunEnd("", {}, {}, {}, {}, 0)))
    studies = mura_batch.load_run(tmp_path).studies
    assert len(studies) == 0
    assert str(studies["abnormal"].dtype) == "boolean"


def test_a_folder_that_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not the folder of a run"):
        mura_batch.load_run(tmp_path)


@pytest.mark.parametrize(("old", "new"), [(b",2,1,", b",two,1,"), (b",0.25,", b",high,"), (b",0.25,0,", b",0.25,no,")])
def test_an_error_names_the_column_of_a_hand_edited_value(folder: Path, old: bytes, new: bytes) -> None:
    path = folder / "studies.csv"
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(InputError, match=r"column \w+ of studies was changed by hand"):
        _ = mura_batch.load_run(folder).studies


def test_importing_the_package_imports_no_pandas() -> None:
    script = "import sys, mura_batch; print({'pandas', 'numpy', 'click'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_examples_of_the_page_run(scored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(scored.parent)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["run"].manifest["counts"]["scored"] == len(names["run"].images)
    assert names["spread"]["mean"].between(0, 1).all()
    assert len(names["both"]) == len(names["run"].images)
    assert len(names["history"]) == len(names["run"].studies)
    assert str(names["history"]["region"].dtype) == "category"


def test_the_page_names_the_type_of_every_kind() -> None:
    assert set(re.findall(r"\| `(\S+)` \| `[a-z_]+`", PAGE.read_text(encoding="utf-8"))) == set(DTYPES.values())
