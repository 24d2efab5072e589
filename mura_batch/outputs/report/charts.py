"""Charts as SVG, drawn by hand of a few shapes: the report needs no script and no network.

Shapes are placed in per cent of the width and sized in pixels, so that a chart stretches from a phone to a page and its
words stay readable. Colours come from the page's style sheet by class: they follow light, dark and print. Nothing but
numbers and the fixed words of this module goes into a drawing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

BINS = 20  # of the histograms: 0.05 of a score each
FOREST_LOW, FOREST_HIGH = -0.2, 1.0  # axis of kappa; an interval that goes on is drawn with an arrow
_FOREST_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # also the bounds of Landis and Koch's words, which are not used
_SCORE_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_BAR_TOP, _BAR_FOOT = 38, 150  # pixels: the bars of the histogram; the threshold's words stand above them
_WIDEST_COUNT = 1000  # three digits stand above a bar on a phone, four would run into each other
_SQUARE_LEFT, _SQUARE_TOP, _SQUARE_SIZE = 44, 12, 260  # units of its own, the whole is scaled


def bin_of(score: float) -> int:
    """0 to BINS - 1; a score of 1 belongs to the last."""
    return min(int(score * BINS), BINS - 1)


def bar(start: float, share: float, kind: str) -> str:
    """A bar over [start, start + share] of the whole, both 0 to 1: one step of the flow of files."""
    return _svg("bar", 14, f'<rect class="track" width="100%" height="14"/>{_span(start, share, kind, 14)}', label="")


def score_bar(score: float, threshold: float) -> str:
    """A score from 0 to 1, with the threshold as a tick."""
    kind = "abnormal" if score > threshold else "normal"
    tick = f'<line class="mark" x1="{_at(threshold)}" x2="{_at(threshold)}" y1="0" y2="12"/>'
    return _svg(
        "score-bar", 12, f'<rect class="track" width="100%" y="3" height="6"/>{_span(0, score, kind, 6, 3)}{tick}'
    )


def histogram(normal: Sequence[int], abnormal: Sequence[int], threshold: float) -> str:
    """normal, abnormal: study rows in each of BINS bins of their score, by what the threshold calls them."""
    totals = [n + a for n, a in zip(normal, abnormal, strict=True)]
    top, parts = max(1, *totals), []
    for n, (below, above) in enumerate(zip(normal, abnormal, strict=True)):
        unit = (_BAR_FOOT - _BAR_TOP) / top
        parts.append(_column(n, _BAR_FOOT - unit * below, unit * below, "normal", below))
        parts.append(_column(n, _BAR_FOOT - unit * (below + above), unit * above, "abnormal", above))
        if totals[n] and top < _WIDEST_COUNT:
            parts.append(_text(_at(_place(n + 0.5)), int(_BAR_FOOT - unit * totals[n]) - 5, str(totals[n]), "middle"))
    words = f"{sum(totals)} study rows by score: {sum(normal)} normal, {sum(abnormal)} abnormal"
    return _svg("histogram", 174, _threshold(threshold, _BAR_FOOT) + "".join(parts) + _axis(_BAR_FOOT, 168), words)


def mirrored_histogram(normal: Sequence[int], abnormal: Sequence[int], threshold: float) -> str:
    """normal, abnormal: labelled studies in each of BINS bins of their score, by their label: abnormal above the line,
    normal below it."""
    top, middle, half = max(1, *normal, *abnormal), 96, 66
    parts = [_threshold(threshold, 172)]
    for n, (below, above) in enumerate(zip(normal, abnormal, strict=True)):
        parts.append(_column(n, middle - half * above / top, half * above / top, "abnormal", above))
        parts.append(_column(n, middle + 1, half * below / top, "normal", below))
    words = f"Scores of {sum(abnormal)} studies labelled abnormal (above) and {sum(normal)} labelled normal (below)"
    return _svg("histogram tall", 190, "".join(parts) + _axis(middle, 186), words)


def forest(value: float, low: float, high: float, paper: float | None, readers: Iterable[float]) -> str:
    """One row of a forest plot of kappa. value, low and high may be NaN; paper, readers: published values beside it."""
    parts = [f'<line class="grid" x1="{_kappa(x)}" x2="{_kappa(x)}" y1="0" y2="30"/>' for x in _FOREST_TICKS]
    parts += [f'<circle class="reader" cx="{_kappa(reader)}" cy="15" r="3.5"/>' for reader in readers]
    if paper is not None:
        parts.append(f'<svg class="over" x="{_kappa(paper)}" y="15"><path class="paper" d="M-6 0 0-6 6 0 0 6Z"/></svg>')
    if not math.isnan(low):
        parts.append(f'<line class="interval" x1="{_kappa(low)}" x2="{_kappa(high)}" y1="15" y2="15"/>')
        parts += [_end(low, "-"), _end(high, "+")]
    if value < FOREST_LOW:
        parts.append(f'<svg class="over" x="{_kappa(value)}" y="15"><path class="value" d="M-4 0l9-6v12Z"/></svg>')
    elif not math.isnan(value):
        parts.append(f'<circle class="value" cx="{_kappa(value)}" cy="15" r="5"/>')
    return _svg("forest", 30, "".join(parts))


def forest_axis() -> str:
    ticks = "".join(_text(_kappa(x), 13, f"{x:.1f}", "middle") for x in _FOREST_TICKS)
    return _svg("forest ticks", 18, ticks)


def roc(fpr: NDArray[np.float64], tpr: NDArray[np.float64], threshold: tuple[float, float], words: str) -> str:
    """threshold: (1 - specificity, sensitivity) at the threshold. words: alternative text."""
    points = " ".join("{},{}".format(*_in_square(x, y)) for x, y in zip(fpr, tpr, strict=True))
    x, y = _in_square(*threshold)
    inside = f'<polyline class="curve" points="{points}"/><circle class="value" cx="{x}" cy="{y}" r="5"/>'
    return _square(inside, ("1 − specificity", "sensitivity"), words)


def reliability(bins: Sequence[tuple[float, float, float, float]], words: str) -> str:
    """bins: (mean score, observed share, its low and high limit) of similar scores. words: alternative text."""
    points = [_in_square(predicted, observed) for predicted, observed, _, _ in bins]
    parts = [f'<polyline class="curve" points="{" ".join(f"{x},{y}" for x, y in points)}"/>']
    for (x, y), (_, _, low, high) in zip(points, bins, strict=True):
        bottom, top = _in_square(0, low)[1], _in_square(0, high)[1]
        parts.append(f'<path class="interval" d="M{x} {bottom}V{top}"/><circle class="value" cx="{x}" cy="{y}" r="4"/>')
    return _square("".join(parts), ("mean score", "share that is truly abnormal"), words)


def _in_square(x: float, y: float) -> tuple[float, float]:
    """Place of a point whose coordinates are 0 to 1."""
    return round(_SQUARE_LEFT + _SQUARE_SIZE * x, 1), round(_SQUARE_TOP + _SQUARE_SIZE * (1 - y), 1)


def _square(inside: str, axes: tuple[str, str], words: str) -> str:
    """A chart of two shares with its diagonal. axes: words of x and y."""
    left, top, size = _SQUARE_LEFT, _SQUARE_TOP, _SQUARE_SIZE
    foot = top + size
    out = [
        f'<path class="grid" d="M{_in_square(q, 0)[0]} {foot}V{top}M{left} {_in_square(0, q)[1]}h{size}"/>'
        for q in (0.25, 0.5, 0.75)
    ]
    out += [
        f'<rect class="frame" x="{left}" y="{top}" width="{size}" height="{size}"/>',
        f'<path class="chance" d="M{left} {foot}l{size}-{size}"/>',
        inside,
        _text(str(left + size / 2), foot + 36, axes[0], "middle"),
        f'<text transform="translate(12 {top + size / 2}) rotate(-90)" text-anchor="middle">{axes[1]}</text>',
    ]
    for tick in (0.0, 0.5, 1.0):
        out.append(_text(str(_in_square(tick, 0)[0]), foot + 17, f"{tick:g}", "middle"))
        out.append(_text(str(left - 7), int(_in_square(0, tick)[1]) + 4, f"{tick:g}", "end"))
    box = f"0 0 {left + size + 10} {foot + 44}"
    return f'<svg class="chart square" viewBox="{box}" role="img" aria-label="{words}">{"".join(out)}</svg>'


def control_chart(values: Sequence[float], alarms: Sequence[bool], limit: float, words: str) -> str:
    """values: [nights] around 0, drawn to twice the limits; alarms: nights that are marked."""

    def place(n: int, value: float) -> tuple[float, float]:
        shown = max(-2 * limit, min(2 * limit, value))
        return round(2 + 96 * (n + 0.5) / max(1, len(values)), 2), round(30 - 14 * shown / limit, 1)

    lines = [
        f'<line class="{kind}" x1="2%" x2="98%" y1="{y}" y2="{y}"/>'
        for kind, y in (("axis", 30), ("mark", 16), ("mark", 44))
    ]
    points = [place(n, value) for n, value in enumerate(values)]
    for (x, y), alarm in zip(points, alarms, strict=True):
        kind, radius = ("abnormal", 3) if alarm else ("reader", 1.5)
        lines.append(f'<circle class="{kind}" cx="{x}%" cy="{y}" r="{radius}"/>')
    return _svg("control", 60, "".join(lines), words)


def _at(share: float) -> str:
    return f"{100 * min(max(share, 0.0), 1.0):.2f}%"


def _kappa(value: float) -> str:
    """Place of a kappa on the forest's axis; both ends are a little off the edge."""
    inside = (min(max(value, FOREST_LOW), FOREST_HIGH) - FOREST_LOW) / (FOREST_HIGH - FOREST_LOW)
    return _at(0.03 + 0.93 * inside)


def _end(value: float, side: str) -> str:
    """The end of an interval: a stop, or an arrow where it goes on beyond the axis."""
    beyond = value < FOREST_LOW or value > FOREST_HIGH
    shape = f"M0 0l{'5' if side == '-' else '-5'}-4v8Z" if beyond else "M0-4v8"
    return f'<svg class="over" x="{_kappa(value)}" y="15"><path class="interval end" d="{shape}"/></svg>'


def _span(start: float, share: float, kind: str, height: int, y: int = 0) -> str:
    return f'<rect class="{kind}" x="{_at(start)}" y="{y}" width="{_at(share)}" height="{height}"/>'


def _column(n: int, y: float, height: float, kind: str, count: int) -> str:
    if not count:
        return ""
    title = f"{count} with a score of {n / BINS:.2f} to {(n + 1) / BINS:.2f}"
    place = f'x="{_at(_place(n + 0.06))}" width="{_at(_place(n + 0.94) - _place(n + 0.06))}"'
    return f'<rect class="{kind}" {place} y="{y:.1f}" height="{max(height, 1.5):.1f}"><title>{title}</title></rect>'


def _place(bins: float) -> float:
    """Share of the width at which so many bins end; half a word of the axis stands out on each side."""
    return 0.02 + 0.96 * bins / BINS


def _threshold(threshold: float, foot: int) -> str:
    place = _at(_place(BINS * threshold))
    anchor = "end" if threshold > 0.6 else "start"
    line = f'<line class="mark" x1="{place}" x2="{place}" y1="4" y2="{foot}"/>'
    shift = "-6" if anchor == "end" else "6"
    return f'{line}<svg class="over" x="{place}">{_text(shift, 14, f"threshold {threshold:.3f}", anchor)}</svg>'


def _axis(line_y: int, words_y: int) -> str:
    line = f'<line class="axis" x1="2%" x2="98%" y1="{line_y + 0.5}" y2="{line_y + 0.5}"/>'
    return line + "".join(_text(_at(_place(BINS * x)), words_y, f"{x:.1f}", "middle") for x in _SCORE_TICKS)


def _text(x: str, y: int, words: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{words}</text>'


def _svg(kind: str, height: int, inside: str, label: str = "") -> str:
    """label: what the picture says; without one the words beside it must say it, and screen readers pass it by."""
    role = f'role="img" aria-label="{label}"' if label else 'aria-hidden="true"'
    return f'<svg class="chart {kind}" width="100%" height="{height}" {role}>{inside}</svg>'
