"""Results of a benchmark: figures and their table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. ours, peer: in `unit`. value: what is compared with the target, usually a ratio.

    target: '>= 6' or '< 0.5'; empty: no limit. peer None: no comparison.
    """

    section: str
    name: str
    value: float
    target: str = ""
    ours: float | None = None
    peer: float | None = None
    unit: str = ""

    @property
    def met(self) -> bool | None:
        if not self.target:
            return None
        sign, bound = self.target.split()
        return self.value >= float(bound) if sign == ">=" else self.value < float(bound)


def ratio(section: str, name: str, pair: tuple[float, float], unit: str, target: str = "") -> Figure:
    """The speed-up over the peer. pair: (ours, peer), times or rates by `unit`; a unit ending in '/s' is a rate."""
    ours, peer = pair
    value = ours / peer if unit.endswith("/s") else peer / ours
    return Figure(section, name, value, target, ours, peer, unit)


def table(figures: Sequence[Figure]) -> str:
    """Plain text, one line a figure."""
    rows = [("", "ours", "peer", "unit", "figure", "target", "")]
    for f in figures:
        met = {True: "met", False: "MISSED", None: ""}[f.met]
        rows.append((f.name, _short(f.ours), _short(f.peer), f.unit, _short(f.value), f.target, met))
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = [_line(rows[0], widths)]
    for n, figure in enumerate(figures):
        if n == 0 or figures[n - 1].section != figure.section:
            lines.append(f"-- {figure.section}")
        lines.append(_line(rows[n + 1], widths))
    return "\n".join(lines)


def _line(row: tuple[str, ...], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
    return "  ".join(cells).rstrip()


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
