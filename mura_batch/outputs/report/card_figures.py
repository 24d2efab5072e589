"""Figures of a model card -> tables of the page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mura_batch.outputs.report.numbers import number, with_interval

_NAMES = {
    "auroc": "AUROC",
    "kappa": "Cohen’s kappa",
    "abnormal": "abnormal studies",
    "table": "counts",
    "auprc": "AUPRC",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the model card. value: text, with its interval."""

    name: str
    value: str
    n: str
    split: str
    method: str


@dataclass(frozen=True, slots=True)
class CardFigures:
    """rows: of the whole split. regions: for each its name and a cell for each of columns."""

    rows: tuple[Figure, ...]
    columns: tuple[str, ...]
    regions: tuple[tuple[str, tuple[str, ...]], ...]


def card_figures(figures: dict[str, Any]) -> CardFigures:
    """figures: of a model card, with those of each region under `by_region`, if it has any."""
    by_region = figures.get("by_region")
    regions = by_region if isinstance(by_region, dict) else {}
    cells = {name: {f.name: f.value for f in _figures(of)} for name, of in regions.items() if isinstance(of, dict)}
    columns = tuple(dict.fromkeys(name for of in cells.values() for name in of))
    rows = _figures({name: value for name, value in figures.items() if name != "by_region"})
    return CardFigures(rows, columns, tuple((n, tuple(of.get(c, "–") for c in columns)) for n, of in cells.items()))


def training_counts(training: dict[str, Any]) -> dict[str, str]:
    """training: of a model card. Split -> its counts in words, of each split whose counts the card has."""
    counts = training.get("counts")
    splits = counts.items() if isinstance(counts, dict) else ()
    return {str(name): words for name, of in splits if (words := _counts(of))}


def _counts(counts: object) -> str:
    """{'pictures': 2807, 'studies': 2807, 'abnormal_studies': 498} -> '2,807 images of 2,807 studies, 498 abnormal'"""
    match counts:
        case {"pictures": int(images), "studies": int(studies), "abnormal_studies": int(abnormal)}:
            return f"{images:,} images of {studies:,} studies, {abnormal:,} abnormal"
    return ""


def _figures(figures: dict[str, Any], prefix: str = "") -> tuple[Figure, ...]:
    """Flattens nested figures; names are joined key paths. Plain numbers and words stand as they are."""
    flat: list[Figure] = []
    for key, value in figures.items():
        name = prefix + _NAMES.get(key, str(key).replace("_", " "))
        if not isinstance(value, dict):
            flat.append(Figure(name, _plain(value), "", "", ""))
        elif "value" in value:
            words = (str(value.get(field) or "") for field in ("n", "split", "method"))
            numbers = (_float(value.get(field)) for field in ("value", "low", "high"))
            flat.append(Figure(name, with_interval(*numbers), *words))
        else:
            flat.extend(_figures(value, f"{name}: "))
    return tuple(flat)


def _plain(value: object) -> str:
    match value:
        case float():
            return number(value)
        case [[tn, fp], [fn, tp]]:
            return f"{tn} TN, {fp} FP, {fn} FN, {tp} TP"
        case [dict(), *_]:
            return f"{len(value)} points, in model.json"
    return str(value)


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
