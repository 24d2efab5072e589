"""Nights of a site and their control charts, as drift.json holds them. Imported by a night with news, and by a page."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mura_batch.agreement.cohorts import KappaChart
from mura_batch.agreement.comparison import Comparison
from mura_batch.agreement.drift import BASELINE_NIGHTS, Count, Drift, Figure, Mean, Mix, Night, drift_of
from mura_batch.atomic_files import write_atomic
from mura_batch.errors import InputError
from mura_batch.outputs.disclosure import Disclosure
from mura_batch.outputs.file_names import DRIFT_NAME
from mura_batch.outputs.new_tonight import NewTonight
from mura_batch.outputs.sink import RunEnd, RunInfo
from mura_batch.records import UNREADABLE
from mura_batch.store.run_folder import newest_run

_VERSION = 1
LAST_NIGHTS = 300  # that a file holds beside the baselines: it stays below 1.5 MB, and a chart fits its drawing
_UNREADABLE = {str(reason) for reason in UNREADABLE}


def add_night(run: RunInfo, end: RunEnd, new: NewTonight, newest: Path | None) -> None:
    """Writes drift.json of a run: the nights of the newest run before it, and this one if it has news. Raises
    OutputError, and InputError where the file of that run is damaged."""
    nights, missing_before = _earlier(newest)
    nights = [_disclosed(night, run.disclosure) for night in nights]
    missing = Count(max(0, end.missing - missing_before), end.missing + sum(end.studies_by_status.values()))
    if new.counts["images"] or end.new_skipped or missing.hits:
        nights.append(_night(run, _figures(new, end, missing)))
    write_drift(run.folder, nights, end.missing, kappa_of(end.comparison))


def abnormal_alarm(run: RunInfo, abnormal: Count) -> str:
    """The sentence of the control chart on the share of abnormal studies with tonight's in it; '' for no alarm. For a
    run whose drift.json is not written yet."""
    nights, _ = _earlier(newest_run(run.folder.parents[1]))
    return " ".join(drift_of([*nights, _night(run, {"abnormal": abnormal})]).alarms)


def _night(run: RunInfo, figures: Mapping[str, Figure]) -> Night:
    return Night(run.name, run.started.date().isoformat(), f"{run.model.hash} {run.settings_hash}", figures)


def _figures(new: NewTonight, end: RunEnd, missing: Count) -> dict[str, Figure]:
    skipped = sum(end.new_skipped.values())
    of, files = new.counts, new.counts["images"] + skipped
    unreadable = sum(n for name, n in end.new_skipped.items() if name.partition("/")[2] in _UNREADABLE)
    return {
        "abnormal": Count(of["abnormal"], of["studies"]),
        "score": Mean(new.total, new.squares, of["studies"]),
        "unreadable": Count(unreadable, files),
        "skipped": Count(skipped, files),
        "missing": missing,
        "flagged": Count(of["flagged"], of["images"]),
        "inverted": Count(of["inverted"], of["images"]),
        "outliers": Count(of["outliers"], of["measured"]),
        **{name: Mix(tuple(sorted(mix.items()))) for name, mix in new.mixes.items()},
    }


def kappa_of(comparison: Comparison | None) -> KappaChart | None:
    return comparison.agreement.kappa_chart if comparison is not None and comparison.agreement is not None else None


def renew_kappa(folder: Path, kappa: KappaChart | None) -> None:
    """The same file of a run with kappa by the truth as it is now, if the run has the file. Raises InputError where it
    is damaged, OutputError."""
    if (folder / DRIFT_NAME).exists():
        write_drift(folder, *_read(folder / DRIFT_NAME), kappa)


def _disclosed(night: Night, disclosure: Disclosure) -> Night:
    """A night that an earlier run wrote, which may have disclosed more."""
    figures = {
        name: Mix(tuple(disclosure.kinds(name, dict(figure.counts)).items())) if isinstance(figure, Mix) else figure
        for name, figure in night.figures.items()
    }
    return Night(night.run, night.date, night.model, figures)


def _needed(nights: Sequence[Night]) -> list[Night]:
    """The last nights, and the baseline of each series of their models: a file does not grow without end."""
    recent = range(max(0, len(nights) - LAST_NIGHTS), len(nights))
    models, needed = {nights[n].model for n in recent}, set(recent)
    counts: Counter[tuple[str, str]] = Counter()
    for n, night in enumerate(nights):
        series = [(night.model, name) for name in night.figures if counts[night.model, name] < BASELINE_NIGHTS]
        if series and night.model in models:
            counts.update(series)
            needed.add(n)
    return [nights[n] for n in sorted(needed)]


def write_drift(folder: Path, nights: Sequence[Night], missing: int, kappa: KappaChart | None = None) -> None:
    """missing: known studies of which the last run saw no file; the next run counts those that are missing since.
    kappa: None where there is no truth."""
    nights = _needed(nights)
    drift = drift_of(nights)
    values = {
        "version": _VERSION,
        "why_no_charts": drift.why,
        "alarms": [*drift.alarms, *([kappa.alarm] if kappa is not None and kappa.alarm else [])],
        "baseline": {"first": drift.baseline[0], "last": drift.baseline[1]},
        "limits": asdict(drift.limits) if drift.limits is not None else None,
        "series": [_without_nan(asdict(series)) for series in drift.series],
        "kappa": _without_nan(asdict(kappa)) if kappa is not None else None,
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
        case float():
            return float(f"{value:.7g}")  # what follows is below the noise, and a third of the file
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


def _earlier(newest: Path | None) -> tuple[list[Night], int]:
    """Nights of the newest run's file, and the studies that it missed."""
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
