"""docs/dicom-conformance.md against the program."""

from __future__ import annotations

from pathlib import Path

from mura_batch.dicom.write.result_codes import SITE, WHY_NOT_SCORED
from mura_batch.outputs.dicom.objects_table import COLUMNS
from mura_batch.records import MURA_REGIONS
from mura_batch.store.sends import SendStatus

PAGE = (Path(__file__).parents[3] / "docs" / "dicom-conformance.md").read_text(encoding="utf-8")


def test_the_reasons_have_the_codes_that_the_page_shows() -> None:
    for reason, code in WHY_NOT_SCORED.items():
        assert f"| `{reason.value}` | ({code.value}, DCM, {code.meaning}) |" in PAGE


def test_columns_and_statuses_are_on_the_page() -> None:
    for name in (*COLUMNS, *(status.value for status in SendStatus)):
        assert f"`{name}`" in PAGE


def test_every_region_has_a_site() -> None:
    assert set(SITE) == set(MURA_REGIONS)
