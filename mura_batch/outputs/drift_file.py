"""drift.json: what was new in each night so far, and the control charts of it.

Each run's file holds all nights: it takes those of the newest run and adds its own. Only counts are kept, so that old
runs may be removed.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from mura_batch.agreement.drift import Count, Drift, Figure, Mean, Mix, Night, drift_of
from mura_batch.atomic_files import write_atomic
from mura_batch.errors import InputError
from mura_batch.outputs.sink import RunEnd, RunInfo
from mura_batch.outputs.tables import flags_of
from mura_batch.records import UNREADABLE, InstanceScore, MissingStudy, Skipped, StudyScore
from mura_batch.store.run_folder import newest_run

DRIFT_NAME = "drift.json"
_VERSION = 1
_UNREADABLE = {str(reason) for reason in UNREADABLE}


class DriftFile:
    """Counts what is new in the run: study rows with a new image, new images, files skipped for the first time, and
    studies that are missing for the first time."""

    def __init__(self, run: RunInfo) -> None:
        self._run = run
        self._counts: Counter[str] = Counter()
        self._mixes: dict[str, Counter[str]] = {"regions": Counter(), "formats": Counter(), "windows": Counter()}
        self._total = self._squares = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def study(self, row: StudyScore, images: Sequence[InstanceScore]) -> None:
        new = [image for image in images if not image.reused]
        if not new or row.score is None:
            return
        self._counts["studies"] += 1
        self._counts["abnormal"] += bool(row.abnormal)
        self._total += row.score
        self._squares += row.score**2
        self._mixes["regions"][row.region] += 1
        for image in new:
            self._image(image)

    def _image(self, image: InstanceScore) -> None:
        instance, decisions = image.instance, image.decoded.decisions
        self._counts["images"] += 1
        self._counts["flagged"] += bool(flags_of(image))
        self._counts["inverted"] += decisions.polarity == "inverted"
        self._mixes["windows"][decisions.voi] += 1
        self._mixes["formats"][" ".join((instance.modality, instance.transfer_syntax, instance.photometric))] += 1

    def skip(self, skip: Skipped) -> None:
        pass

    def missing(self, study: MissingStudy) -> None:
        pass

    def finish(self, end: RunEnd) -> None:
        nights, missing_before = _earlier(self._run.folder.parents[1])
        missing = Count(max(0, end.missing - missing_before), end.missing + sum(end.studies_by_status.values()))
        if self._counts["images"] or end.new_skipped or missing.hits:
            nights.append(self._night(end.new_skipped, missing))
        write_drift(self._run.folder, nights, end.missing)

    def _night(self, skipped_by_reason: Mapping[str, int], missing: Count) -> Night:
        skipped = sum(skipped_by_reason.values())
        of, files = self._counts, self._counts["images"] + skipped
        unreadable = sum(n for name, n in skipped_by_reason.items() if name.partition("/")[2] in _UNREADABLE)
        figures: dict[str, Figure] = {
            "abnormal": Count(of["abnormal"], of["studies"]),
            "score": Mean(self._total, self._squares, of["studies"]),
            "unreadable": Count(unreadable, files),
            "skipped": Count(skipped, files),
            "missing": missing,
            "flagged": Count(of["flagged"], of["images"]),
            "inverted": Count(of["inverted"], of["images"]),
            **{name: Mix(tuple(sorted(mix.items()))) for name, mix in self._mixes.items()},
        }
        return _night(self._run, figures)


def abnormal_alarm(run: RunInfo, abnormal: Count) -> str:
    """The sentence of the control chart on the share of abnormal studies with tonight's in it; '' for no alarm. For a
    run whose drift.json is not written yet."""
    nights, _ = _earlier(run.folder.parents[1])
    return " ".join(drift_of([*nights, _night(run, {"abnormal": abnormal})]).alarms)


def _night(run: RunInfo, figures: Mapping[str, Figure]) -> Night:
    return Night(run.name, run.started.date().isoformat(), f"{run.model.hash} {run.settings_hash}", figures)


def write_drift(folder: Path, nights: Sequence[Night], missing: int) -> None:
    """missing: known studies of which the last run saw no file; the next run counts those that are missing since."""
    drift = drift_of(nights)
    values = {
        "version": _VERSION,
        "why_no_charts": drift.why,
        "alarms": list(drift.alarms),
        "baseline": {"first": drift.baseline[0], "last": drift.baseline[1]},
        "limits": asdict(drift.limits) if drift.limits is not None else None,
        "series": [_without_nan(asdict(series)) for series in drift.series],
        "missing_studies": missing,
        "nights": [_plain(night) for night in nights],
    }
    write_atomic(folder / DRIFT_NAME, (json.dumps(values, allow_nan=False) + "\n").encode())


def _plain(night: Night) -> dict[str, Any]:
    figures = {name: _plain_figure(figure) for name, figure in night.figures.items()}
    return {"run": night.run, "date": night.date, "model": night.model, "figures": figures}


def _plain_figure(figure: Figure) -> dict[str, Any]:
    return {"counts": dict(figure.counts)} if isinstance(figure, Mix) else asdict(figure)


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: null stands for it."""
    match value:
        case float() if math.isnan(value):
            return None
        case dict():
            return {key: _without_nan(item) for key, item in value.items()}
        case list() | tuple():
            return [_without_nan(item) for item in value]
    return value


def read_drift(folder: Path) -> Drift | None:
    """Charts of the nights up to a run; None where the run has no drift.json. Raises InputError where it is damaged."""
    if not (folder / DRIFT_NAME).exists():
        return None
    return drift_of(_read(folder / DRIFT_NAME)[0])


def read_alarms(folder: Path) -> tuple[str, ...]:
    """The sentences that drift.json of a run ends with, without computing them again."""
    values = json.loads((folder / DRIFT_NAME).read_text(encoding="utf-8"))
    return tuple(values["alarms"])


def _earlier(out: Path) -> tuple[list[Night], int]:
    """Nights of the newest run's file, and the studies that it missed."""
    newest = newest_run(out)
    return _read(newest / DRIFT_NAME) if newest is not None and (newest / DRIFT_NAME).exists() else ([], 0)


def _read(path: Path) -> tuple[list[Night], int]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        nights = [
            Night(
                night["run"],
                night["date"],
                night["model"],
                {name: _figure(parts) for name, parts in night["figures"].items()},
            )
            for night in values["nights"]
        ]
        return nights, int(values["missing_studies"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read ({error!r}): remove it, and drift is charted from a new baseline"
        ) from error


def _figure(parts: dict[str, Any]) -> Figure:
    if "counts" in parts:
        return Mix(tuple(parts["counts"].items()))
    return Mean(**parts) if "total" in parts else Count(**parts)
