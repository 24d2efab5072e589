"""Nights -> OUT/index.html, bounded in size: the last nights one by one, then months, then years."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from mura_batch.atomic_files import write_atomic
from mura_batch.errors import MuraBatchError
from mura_batch.outputs.html import content_policy, html_environment
from mura_batch.outputs.index.nights import Night, Period, all_nights, periods, single
from mura_batch.outputs.index.over_time import over_time
from mura_batch.resources import templates_folder
from mura_batch.store.runs import KnownRuns
from mura_batch.version import DISCLAIMER, __version__

INDEX_NAME = "index.html"
NIGHTS = 62  # runs that have a row of their own: two months of nights
MONTHS = 36
YEARS = 30


def duration(seconds: float) -> str:
    """In the largest two units: 3 s, 2 min 5 s, 1 h 12 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@dataclass(frozen=True, slots=True)
class _Figure:
    """A chart. value: None where a period has none."""

    name: str
    value: Callable[[Period], float | None]
    words: Callable[[float], str]


_FIGURES = (
    _Figure("Images scored", lambda p: p.scored, "{:,.0f}".format),
    _Figure("Abnormal share", lambda p: p.share, "{:.0%}".format),
    _Figure("Files skipped", lambda p: p.skipped, "{:,.0f}".format),
    _Figure("Unreadable", lambda p: p.unreadable, "{:,.0f}".format),
    _Figure("Studies missing", lambda p: p.missing, "{:,.0f}".format),
    _Figure("Kappa", lambda p: p.kappa, "{:.2f}".format),
    _Figure("Duration", lambda p: p.seconds, duration),
    _Figure("Exit code 3", lambda p: p.warned, "{:,.0f}".format),
)


@dataclass(frozen=True, slots=True)
class _Chart:
    """by_night, by_month: SVG; '' where there is nothing to draw."""

    name: str
    by_night: str
    by_month: str


def refresh_index(out: Path, known: KnownRuns) -> tuple[str, ...]:
    """As write_index, where a failure must not undo what was done before: returns a warning, none where all is well."""
    try:
        write_index(out, known)
    except MuraBatchError as error:
        return (index_warning(error),)
    return ()


def index_warning(error: MuraBatchError) -> str:
    return f"mura-batch: {INDEX_NAME} is as it was: {error}"


def write_index(out: Path, known: KnownRuns) -> None:
    """Replaces OUT/index.html, whole or not at all. known: as the ledger has the runs. Raises OutputError."""
    write_atomic(out / INDEX_NAME, render_index(all_nights(out, known)).encode("utf-8", "backslashreplace"))


def render_index(nights: Sequence[Night]) -> str:
    """nights: oldest first."""
    shown, months = nights[-NIGHTS:], periods(nights, 7)[-MONTHS:]
    years = periods(nights, 4)[-YEARS:]
    environment = html_environment(templates_folder())
    environment.filters.update(count="{:,}".format, duration=duration)
    style = "".join((templates_folder() / name).read_text(encoding="utf-8") for name in ("report.css", "index.css"))
    return environment.get_template("index.html.j2").render(
        last=nights[-1] if nights else None,
        runs=len(nights),
        nights=[(night, single(night)) for night in reversed(shown)],
        months=months[::-1],
        years=years[::-1] if len(years) > 1 else (),
        charts=[_chart(figure, [single(night) for night in shown], months) for figure in _FIGURES],
        version=__version__,
        disclaimer=DISCLAIMER,
        style=Markup(style),  # noqa: S704 - our own files, and a style element knows no escapes
        policy=Markup(content_policy(style)),  # noqa: S704 - fixed words and a hash
    )


def _chart(figure: _Figure, nights: Sequence[Period], months: Sequence[Period]) -> _Chart:
    return _Chart(figure.name, _draw(figure, nights), _draw(figure, months if len(months) > 1 else ()))


def _draw(figure: _Figure, drawn: Sequence[Period]) -> Markup:
    values = [figure.value(period) for period in drawn]
    bars = [(p.name, v, figure.words(v) if v is not None else "") for p, v in zip(drawn, values, strict=True)]
    return Markup(over_time(bars) if bars else "")  # noqa: S704 - numbers and dates, escaped
