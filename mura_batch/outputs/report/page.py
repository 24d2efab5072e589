"""ReportData -> HTML."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mura_batch.agreement.estimate import Estimate
from mura_batch.agreement.published import ARTICLE, PAPER, PAPER_STUDIES
from mura_batch.errors import InputError
from mura_batch.model_card import ModelCard
from mura_batch.outputs.html import UndefinedError, content_policy, html_environment
from mura_batch.outputs.manifest import MANIFEST_NAME, RunManifest
from mura_batch.outputs.report.agreement_view import AgreementView
from mura_batch.outputs.report.region_overview import RegionLine
from mura_batch.outputs.report.thumbnails import draw_map
from mura_batch.records import StudyScore
from mura_batch.resources import templates_folder

_NAMES = {
    "auroc": "AUROC",
    "kappa": "Cohen’s kappa",
    "abnormal": "abnormal studies",
    "table": "counts",
    "auprc": "AUPRC",
}
SIDES = {"L": "left", "R": "right", "B": "both sides", "U": "", "": ""}


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a study: the file of its thumbnail, which may be gone, and what was decided about it."""

    thumbnail: Path
    probability: float
    view: str
    decisions: str
    flags: str


@dataclass(frozen=True, slots=True)
class StudyCard:
    """A scored study row with pictures. bar: SVG. label: the truth, None where it has none."""

    row: StudyScore
    pictures: tuple[Picture, ...]
    hidden_pictures: int
    bar: str
    label: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the way of the files: those found, those lost for one reason, those that came through. bar: SVG.
    serious: the input should have been readable."""

    kind: str  # 'found', 'lost', 'unchanged' or 'scored'
    name: str
    reason: str
    files: int
    advice: str
    serious: bool
    bar: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Of all study rows, shown or not."""

    rows: int
    scored: int
    abnormal: int


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the model card. value: with its interval, in words."""

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


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything the page shows. cards: the highest scores, with pictures; rows: study rows, most abnormal first, then
    those without a score; skips: skipped files by their key. hidden_*: how many more stand in the CSV files."""

    manifest: RunManifest
    card: ModelCard
    totals: Totals
    regions: tuple[RegionLine, ...]
    steps: tuple[Step, ...]
    cards: tuple[StudyCard, ...]
    rows: tuple[StudyScore, ...]
    hidden_rows: int
    skips: tuple[dict[str, str], ...]
    hidden_skips: int
    histogram: str  # SVG, '' where no study was scored
    agreement: AgreementView | None
    truth_given: bool

    @property
    def unreadable(self) -> int:
        """Skipped files that should have been readable."""
        return sum(step.files for step in self.steps if step.serious)


def render(data: ReportData) -> Iterator[str]:
    """The page in pieces: pictures are read as they are needed, so memory does not hold them all. Raises InputError
    where the manifest lacks what the page tells of."""
    environment = html_environment(templates_folder())
    environment.filters.update(
        count=_count, date=_date, estimate=_estimate, number=_number, side=SIDES.__getitem__, svg=Markup, time=_time,
        twins=_twins,
    )  # fmt: skip
    style = (templates_folder() / "report.css").read_text(encoding="utf-8")
    try:
        yield from environment.get_template("report.html.j2").generate(
            d=data,
            m=data.manifest,
            card=data.card,
            figures=card_figures(data.card.figures),
            style=Markup(style),  # noqa: S704 - our own file, and a style element knows no escapes
            policy=Markup(content_policy(style)),  # noqa: S704 - fixed words and a hash
            article=ARTICLE,
            paper=PAPER,
            paper_studies=PAPER_STUDIES,
        )
    except UndefinedError as error:
        raise InputError(f"{MANIFEST_NAME} of the run is not as it was written ({error}); score again") from error


def card_figures(figures: dict[str, Any]) -> CardFigures:
    """figures: of a model card, with those of each region under `by_region`, if it has any."""
    by_region = figures.get("by_region")
    regions = by_region if isinstance(by_region, dict) else {}
    cells = {name: {f.name: f.value for f in _figures(of)} for name, of in regions.items() if isinstance(of, dict)}
    columns = tuple(dict.fromkeys(name for of in cells.values() for name in of))
    rows = _figures({name: value for name, value in figures.items() if name != "by_region"})
    return CardFigures(rows, columns, tuple((n, tuple(of.get(c, "–") for c in columns)) for n, of in cells.items()))


def _figures(figures: dict[str, Any], prefix: str = "") -> tuple[Figure, ...]:
    """At any depth, named by their way; plain numbers and words stand as they are."""
    found: list[Figure] = []
    for key, value in figures.items():
        name = prefix + _NAMES.get(key, str(key).replace("_", " "))
        if not isinstance(value, dict):
            found.append(Figure(name, _plain(value), "", "", ""))
        elif "value" in value:
            words = (str(value.get(field) or "") for field in ("n", "split", "method"))
            numbers = (_float(value.get(field)) for field in ("value", "low", "high"))
            found.append(Figure(name, _with_interval(*numbers), *words))
        else:
            found.extend(_figures(value, f"{name}: "))
    return tuple(found)


def _plain(value: object) -> str:
    match value:
        case float():
            return _number(value)
        case [[tn, fp], [fn, tp]]:
            return f"{tn} TN, {fp} FP, {fn} FN, {tp} TP"
    return str(value)


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _count(value: int) -> str:
    return f"{value:,}"


def _number(value: float) -> str:
    """Three decimals with a true minus sign; a small sample deserves no more."""
    return "undefined" if math.isnan(value) else f"{value:.3f}".replace("-", "−")


def _estimate(value: Estimate) -> str:
    return _with_interval(value.value, value.low, value.high)


def _with_interval(value: float, low: float, high: float) -> str:
    if math.isnan(value) or math.isnan(low) or math.isnan(high):
        return _number(value)
    return f"{_number(value)} [{_number(low)}, {_number(high)}]"


def _date(text: str) -> str:
    """DICOM DA -> 2026-01-31; anything else as it stands."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdecimal() else text


def _time(text: str) -> str:
    """2026-01-31T12:00:00+00:00 -> 2026-01-31 12:00:00 UTC"""
    return text.replace("T", " ").replace("+00:00", " UTC")


def _twins(picture: Picture) -> tuple[str, str] | None:
    """Data URIs of the picture as the model saw it and of the same under its map; None where they are not there any
    more."""
    try:
        seen = picture.thumbnail.read_bytes()
        return _data_uri(seen), _data_uri(draw_map(seen, picture.probability))
    except (OSError, ValueError):
        return None


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
