"""What is counted of the new rows of one night, for the charts of drift."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

NOT_STATED = "not stated"  # the device of an image whose header names none, or whose name is not disclosed
MIXES = ("regions", "devices", "formats", "windows")


@dataclass(slots=True)
class NewTonight:
    """counts: 'studies', 'abnormal', 'images', 'flagged', 'inverted', 'outliers' and, of images with a known distance,
    'measured'. mixes: of MIXES. total, squares: sums over the scores of the studies."""

    counts: Counter[str] = field(default_factory=Counter)
    mixes: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in MIXES})
    total: float = 0.0
    squares: float = 0.0
