"""drift.json: what each run adds, and what a person reads of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mura_batch.agreement.drift import BASELINE_NIGHTS, Count, Mean, Mix, Night
from mura_batch.errors import InputError
from mura_batch.outputs.disclosure import Disclosure
from mura_batch.outputs.drift_file import DriftFile
from mura_batch.outputs.drift_history import LAST_NIGHTS, abnormal_alarm, read_drift, write_drift
from mura_batch.outputs.file_names import DRIFT_NAME
from mura_batch.outputs.report.drift_view import drift_view
from mura_batch.outputs.sink import RunEnd, RunInfo
from mura_batch.pseudonyms import Identifiers
from mura_batch.records import InstanceScore, StudyScore

RunInfoMaker = Callable[..., RunInfo]


@pytest.fixture
def night(
    tmp_path: Path, run_info: RunInfoMaker, image: Callable[..., InstanceScore], study: Callable[..., StudyScore]
) -> Callable[..., dict[str, Any]]:
    """Runs the output over one night of OUT and returns its drift.json."""

    def run(
        number: int,
        scores: list[float],
        skipped: dict[str, int] | None = None,
        *,
        reused: bool = False,
        missing: int = 0,
    ) -> Any:
        name = f"2026-{number:04}"
        folder = tmp_path / "runs" / f".{name}.partial"
        folder.mkdir(parents=True)
        info = replace(run_info(folder), name=name)
        with DriftFile(info) as sink:
            for n, score in enumerate(scores):
                picture = image(f"{number}/{n}.dcm", score, reused=reused)
                sink.study(study(study_uid=f"1.{number}.{n}", score=score, abnormal=score > 0.5), [picture])
            sink.finish(RunEnd("", {}, {}, {"scored": len(scores)}, {}, 0, missing=missing, new_skipped=skipped or {}))
        return json.loads((folder.rename(tmp_path / "runs" / name) / DRIFT_NAME).read_text())

    return run


def test_a_night_holds_what_is_new_in_it(night: Callable[..., dict[str, Any]]) -> None:
    first = night(1, [0.2, 0.9], {"header/truncated": 1, "header/not_an_image": 1})
    (only,) = first["nights"]
    assert only["figures"]["abnormal"] == {"hits": 1, "n": 2}
    assert only["figures"]["score"] == pytest.approx({"total": 1.1, "squares": 0.85, "n": 2})
    assert only["figures"]["unreadable"] == {"hits": 1, "n": 4}
    assert only["figures"]["skipped"] == {"hits": 2, "n": 4}
    assert only["figures"]["regions"] == {"counts": {"wrist": 2}}
    assert only["figures"]["flagged"] == {"hits": 2, "n": 2}
    assert only["model"].endswith(" 0123456789abcdef"), "other settings give other scores: a baseline of their own"
    assert "so far there are 1" in first["why_no_charts"]


def test_a_night_without_news_is_none(night: Callable[..., dict[str, Any]]) -> None:
    night(1, [0.2])
    assert [one["run"] for one in night(2, [0.2], reused=True)["nights"]] == ["2026-0001"]
    assert [one["run"] for one in night(3, [0.3])["nights"]] == ["2026-0001", "2026-0003"]


def test_the_chart_of_the_abnormal_share_alarms_before_the_file_is_written(
    tmp_path: Path, run_info: RunInfoMaker
) -> None:
    info = replace(run_info(tmp_path / "runs" / ".tonight.partial"), name="tonight")
    model = f"{info.model.hash} {info.settings_hash}"
    nights = [
        Night(f"night {n}", f"2026-01-{n % 28 + 1:02}", model, {"abnormal": Count(20 + n % 3, 100)})
        for n in range(BASELINE_NIGHTS)
    ]
    (tmp_path / "runs" / "before").mkdir(parents=True)
    write_drift(tmp_path / "runs" / "before", nights, 0)
    assert abnormal_alarm(info, Count(21, 100)) == ""
    assert abnormal_alarm(info, Count(80, 100)).startswith("The share of abnormal studies has been higher")


def test_a_study_is_missing_in_one_night_only(night: Callable[..., dict[str, Any]]) -> None:
    night(1, [0.2, 0.3, 0.4])
    night(2, [0.2], reused=True, missing=2)
    last = night(3, [0.5], missing=3)
    assert [one["figures"]["missing"] for one in last["nights"]] == [
        {"hits": 0, "n": 3}, {"hits": 2, "n": 3}, {"hits": 1, "n": 4},
    ]  # fmt: skip


def test_a_drift_of_the_last_nights_is_one_sentence(night: Callable[..., dict[str, Any]]) -> None:
    rng = np.random.default_rng(3)
    for number in range(BASELINE_NIGHTS + 12):
        share = 0.2 if number < BASELINE_NIGHTS + 4 else 0.6
        last = night(number, np.where(rng.random(25) < share, 0.8, 0.3).tolist())
    assert last["baseline"]["first"] == "2026-02-01"
    assert [
        alarm for alarm in last["alarms"] if alarm.startswith("The share of abnormal studies has been higher since")
    ]
    assert {series["name"] for series in last["series"]} >= {"abnormal", "score", "unreadable", "skipped", "regions"}


def _nights(n: int) -> list[Night]:
    figures = {
        "abnormal": Count(10, 40), "score": Mean(12.0, 5.0, 40), "regions": Mix((("hand", 20), ("wrist", 20))),
    }  # fmt: skip
    return [Night(f"run {k}", "2026-02-01", "m", figures) for k in range(n)]


def test_the_file_holds_the_last_nights_and_every_baseline(tmp_path: Path) -> None:
    """Nights 0 to 59 are the baseline of the first series, 100 to 159 that of the one that came later."""
    figures = {"abnormal": Count(10, 40)}
    nights = [
        Night(str(n), "2026-02-01", "m", figures if n < 100 else {**figures, "outliers": Count(n % 2, 40)})
        for n in range(900)
    ]
    write_drift(tmp_path, nights, 0)
    values = json.loads((tmp_path / DRIFT_NAME).read_text())
    expected = [*range(BASELINE_NIGHTS), *range(100, 100 + BASELINE_NIGHTS), *range(900 - LAST_NIGHTS, 900)]
    assert [int(night["run"]) for night in values["nights"]] == expected
    assert [len(series["nights"]) for series in values["series"]] == [len(expected), len(expected) - BASELINE_NIGHTS]


def test_ten_years_of_nights_stay_below_two_megabytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    kinds = [f"Manufacturer {n} Model {n}" for n in range(12)]
    nights = [
        Night(
            f"2026-{n:04}", "2026-02-01", "m" * 80,
            {
                **{f"share {k}": Count(int(rng.integers(100)), 100) for k in range(7)},
                "score": Mean(float(rng.random()), float(rng.random()), 100),
                **{f"mix {k}": Mix(tuple((kind, int(rng.integers(9))) for kind in kinds)) for k in range(4)},
            },
        )
        for n in range(3650)
    ]  # fmt: skip
    write_drift(tmp_path, nights, 0)
    assert (tmp_path / DRIFT_NAME).stat().st_size < 2_000_000


def test_text_of_earlier_nights_is_not_handed_on_by_key(
    tmp_path: Path, run_info: RunInfoMaker, image: Callable[..., InstanceScore], study: Callable[..., StudyScore]
) -> None:
    odd = {
        "devices": Mix((("DOE^JOHN X1", 3), ("Maker Model", 2))),
        "formats": Mix((("DOE JOHN 1.2.840 MONOCHROME2", 1), ("DX 1.2.840 DOE^JANE", 1), ("DX 1.2 MONOCHROME1", 4))),
        "regions": Mix((("hand", 5),)),
    }
    (tmp_path / "runs" / "before").mkdir(parents=True)
    write_drift(tmp_path / "runs" / "before", [Night("before", "2026-02-01", "m", odd)], 0)
    folder = tmp_path / "runs" / ".tonight.partial"
    folder.mkdir()
    info = run_info(folder)
    info = replace(info, name="tonight", disclosure=Disclosure(Identifiers.KEY, info.disclosure.names))
    with DriftFile(info) as sink:
        sink.study(study(), [image("a.dcm", 0.2)])
        sink.finish(RunEnd("", {}, {}, {"scored": 1}, {}, 0))
    text = (folder / DRIFT_NAME).read_text()
    assert "DOE" not in text
    assert "Maker" not in text
    figures = json.loads(text)["nights"][0]["figures"]
    assert figures["devices"] == {"counts": {"not stated": 5}}
    assert figures["formats"] == {"counts": {" 1.2.840 MONOCHROME2": 1, "DX 1.2.840 ": 1, "DX 1.2 MONOCHROME1": 4}}
    assert figures["regions"] == {"counts": {"hand": 5}}


def test_nights_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    write_drift(tmp_path, _nights(BASELINE_NIGHTS + 3), 0)
    drift = read_drift(tmp_path)
    assert drift is not None
    assert [series.name for series in drift.series] == ["abnormal", "score", "regions"]
    assert read_drift(tmp_path / "nothing") is None


def test_the_page_gets_a_drawing_for_each_series(tmp_path: Path) -> None:
    write_drift(tmp_path, _nights(BASELINE_NIGHTS + 3), 0)
    drift = read_drift(tmp_path)
    assert drift is not None
    view = drift_view(drift)
    assert [(row.last, row.baseline) for row in view.rows] == [("25.0%", "25.0%"), ("0.300", "0.300"), ("", "")]
    assert all(row.drawing.count("<circle") == 3 for row in view.rows)
    assert view.alarms == ()


def test_too_few_nights_are_one_sentence_without_charts(tmp_path: Path) -> None:
    write_drift(tmp_path, _nights(3), 0)
    drift = read_drift(tmp_path)
    assert drift is not None
    assert drift_view(drift).rows == ()
    assert "so far there are 3" in drift_view(drift).why


@pytest.mark.parametrize("text", ["{", "[]", '{"nights": [{}]}', '{"nights": [{"run": "a"}]}'])
def test_a_damaged_file_says_how_to_fix_it(tmp_path: Path, text: str) -> None:
    (tmp_path / DRIFT_NAME).write_text(text)
    with pytest.raises(InputError, match="remove it") as error:
        read_drift(tmp_path)
    assert "\n" not in str(error.value)
