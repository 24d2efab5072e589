"""studies.csv -> a line for each region: what the quality lead looks at first."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class RegionLine:
    """Study rows of one region. share: of the scored ones that are abnormal; median: of their scores; both None where
    none was scored. trained: the model's card names the region; a score of another is extrapolation."""

    region: str
    rows: int
    scored: int
    abnormal: int
    share: float | None
    median: float | None
    trained: bool


def by_region(studies_csv: Path, trained: tuple[str, ...]) -> tuple[RegionLine, ...]:
    """Regions with the most rows first. Only the three columns that it needs are held in memory."""
    import pandas as pd  # half a second to import: not for --help

    columns = {"region": "category", "score": "float32", "abnormal": "float32"}
    table = pd.read_csv(studies_csv, usecols=list(columns), dtype=columns)
    grouped = table.groupby("region", observed=True).agg(
        rows=("region", "size"), scored=("score", "count"), abnormal=("abnormal", "sum"), median=("score", "median")
    )
    grouped = grouped.reset_index().sort_values(["rows", "region"], ascending=[False, True])
    return tuple(_line(values, trained) for values in grouped.to_dict("records"))


def _line(values: dict[Hashable, Any], trained: tuple[str, ...]) -> RegionLine:
    scored, abnormal = int(values["scored"]), int(values["abnormal"])
    return RegionLine(
        region=values["region"],
        rows=int(values["rows"]),
        scored=scored,
        abnormal=abnormal,
        share=abnormal / scored if scored else None,
        median=float(values["median"]) if scored else None,
        trained=values["region"] in trained,
    )
