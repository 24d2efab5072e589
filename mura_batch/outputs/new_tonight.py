"""What is counted of the new rows of one night, for the charts of drift."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class NewTonight:
    """counts: 'studies', 'abnormal', 'images', 'flagged', 'inverted'. mixes: of regions, formats and windows. total,
    squares: sums over the scores of the studies."""

    counts: Counter[str] = field(default_factory=Counter)
    mixes: dict[str, Counter[str]] = field(
        default_factory=lambda: {"regions": Counter(), "formats": Counter(), "windows": Counter()}
    )
    total: float = 0.0
    squares: float = 0.0
