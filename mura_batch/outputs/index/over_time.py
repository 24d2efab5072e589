"""Figures over time, as SVG that follows the page's colours and widths. Only numbers and dates go into a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_TOP, _FOOT, _HEIGHT = 16, 76, 94  # pixels: the bars, and the dates below them
_EMPTY = 1.5  # height of the mark of a period whose figure is 0
_WIDEST = 8.0  # per cent of the width: the first nights are no posters


def over_time(bars: Sequence[tuple[str, float | None, str]]) -> str:
    """A bar for each period: its name, its value and the value as a person reads it; None is a gap, and what is below 0
    has no height. The highest stands in words above."""
    highest = max((bar for bar in bars if bar[1] is not None), key=lambda bar: bar[1] or 0.0, default=None)
    top = max(0.0, highest[1] or 0.0) if highest is not None else 0.0
    rects = (_bar(n, len(bars), bar, top) for n, bar in enumerate(bars) if bar[1] is not None)
    peak = f"up to {highest[2]}" if highest is not None else "no value yet"
    parts = [
        f'<line class="grid" x1="0" x2="100%" y1="{_FOOT}" y2="{_FOOT}"/>',
        *rects,
        _text("0", 10, peak),
        *_dates(bars),
    ]
    span = f"{bars[0][0][:10]} to {bars[-1][0][:10]}: " if bars else ""
    label = f'role="img" aria-label="{escape(span + peak)}"'
    return f'<svg class="over-time" {label} width="100%" height="{_HEIGHT}">{"".join(parts)}</svg>'


def _bar(n: int, count: int, bar: tuple[str, float | None, str], top: float) -> str:
    name, value, words = bar
    height = max(_EMPTY, (_FOOT - _TOP) * max(0.0, value or 0.0) / top) if top else _EMPTY
    width = min(100 / count, _WIDEST)
    place = f'x="{n * width:.2f}%" width="{width * 0.8:.2f}%" y="{_FOOT - height:.1f}" height="{height:.1f}"'
    return f'<rect class="night" {place}><title>{escape(name)}: {escape(words)}</title></rect>'


def _dates(bars: Sequence[tuple[str, float | None, str]]) -> tuple[str, ...]:
    """Below the first and the last bar; in one line where the bars do not reach the right end."""
    first, last = bars[0][0][:10], bars[-1][0][:10]
    if len(bars) * _WIDEST < 100:
        return (_text("0", _HEIGHT - 4, first if first == last else f"{first} to {last}"),)
    return _text("0", _HEIGHT - 4, first), _text("100%", _HEIGHT - 4, last, ' text-anchor="end"')


def _text(x: str, y: int, words: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}"{more}>{escape(words)}</text>'
