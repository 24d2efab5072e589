"""Study rows -> a line for each region: what the quality lead looks at first."""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from mura_batch.records import StudyScore


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


@dataclass(slots=True)
class _Counts:
    """scores: float32, four bytes a study row: the median needs them all."""

    rows: int = 0
    abnormal: int = 0
    scores: array[float] = field(default_factory=lambda: array("f"))


class RegionCounts:
    """Counts row after row."""

    def __init__(self) -> None:
        self._regions: dict[str, _Counts] = defaultdict(_Counts)

    def add(self, row: StudyScore) -> None:
        counts = self._regions[row.region]
        counts.rows += 1
        if row.score is not None:
            counts.abnormal += bool(row.abnormal)
            counts.scores.append(row.score)

    def lines(self, trained: tuple[str, ...]) -> tuple[RegionLine, ...]:
        """Regions with the most rows first."""
        ordered = sorted(self._regions.items(), key=lambda item: (-item[1].rows, item[0]))
        return tuple(_line(region, counts, region in trained) for region, counts in ordered)


def _line(region: str, counts: _Counts, trained: bool) -> RegionLine:
    scored = len(counts.scores)
    return RegionLine(
        region=region,
        rows=counts.rows,
        scored=scored,
        abnormal=counts.abnormal,
        share=counts.abnormal / scored if scored else None,
        median=float(np.median(counts.scores)) if scored else None,
        trained=trained,
    )
