"""ReportData -> HTML."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup

from mura_batch.agreement.cohorts import BASELINE_MONTHS
from mura_batch.agreement.comparison import Comparison
from mura_batch.agreement.group import FEWEST_CASES
from mura_batch.agreement.published import ARTICLE, PAPER, PAPER_STUDIES
from mura_batch.agreement.truth import NAMED
from mura_batch.errors import InputError
from mura_batch.model_card import ModelCard
from mura_batch.outputs.html import UndefinedError, content_policy, html_environment
from mura_batch.outputs.manifest import MANIFEST_NAME, RunManifest
from mura_batch.outputs.report.agreement_view import LINE_WORDS, AgreementView
from mura_batch.outputs.report.attention import SERIOUS, TITLES, Group, Listed
from mura_batch.outputs.report.card_figures import card_figures, training_counts
from mura_batch.outputs.report.collect import WORST, Picture
from mura_batch.outputs.report.drift_view import DriftView
from mura_batch.outputs.report.file_flow import Step
from mura_batch.outputs.report.numbers import estimate, limits, number
from mura_batch.outputs.report.outliers import Outliers
from mura_batch.outputs.report.region_overview import RegionLine
from mura_batch.outputs.report.thumbnails import draw_map
from mura_batch.outputs.report.viewer_link import check_viewer_url, viewer_link
from mura_batch.records import StudyScore
from mura_batch.resources import templates_folder
from mura_batch.store.pictures import ReadPicture

PICTURE_BYTES = 12_500_000  # with the tables and what stands around 800 studies the page has 15 MB at most
LONGEST_OPEN = 40  # rows of a list that is not folded at first
SIDES = {"L": "left", "R": "right", "B": "both sides", "U": "", "": ""}


@dataclass(frozen=True, slots=True)
class StudyCard:
    """A scored study row with pictures. bar: SVG."""

    listed: Listed
    pictures: tuple[Picture, ...]
    hidden_pictures: int
    bar: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Of all study rows, shown or not."""

    rows: int
    scored: int
    abnormal: int


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything the page shows. cards: rows with pictures, in the order in which a person should look at them;
    groups: the listed study rows by group; skips: skipped files by their key. hidden_*: how many more are in the CSV
    files."""

    manifest: RunManifest
    card: ModelCard
    totals: Totals
    regions: tuple[RegionLine, ...]
    steps: tuple[Step, ...]
    cards: tuple[StudyCard, ...]
    groups: tuple[tuple[Group, tuple[Listed, ...]], ...]
    hidden_rows: int
    skips: tuple[dict[str, str], ...]
    hidden_skips: int
    histogram: str  # SVG, '' where no study was scored
    viewer_url: str  # a template, see viewer_link; '' for none
    comparison: Comparison | None
    agreement: AgreementView | None
    drift: DriftView | None  # None where the run has no drift.json
    outliers: Outliers | None = None

    @property
    def worst(self) -> tuple[StudyCard, ...]:
        """The mistakes that the page begins with."""
        return tuple(card for card in self.cards[:WORST] if card.listed.is_discordant)

    @property
    def unreadable(self) -> int:
        """Skipped files that should have been readable."""
        return sum(step.files for step in self.steps if step.serious)


def render(data: ReportData, read: ReadPicture) -> Iterator[str]:
    """The page in pieces: pictures are read as they are needed, so memory does not hold them all. Raises InputError
    where the manifest lacks a field that the page shows."""
    environment = html_environment(templates_folder())
    environment.filters.update(
        count=_count, date=_date, estimate=estimate, limits=limits, number=number, side=SIDES.__getitem__, svg=Markup,
        time=_time, number_of=_number_of,
    )  # fmt: skip
    style = (templates_folder() / "report.css").read_text(encoding="utf-8")
    style += f":root {{ --full: {data.card.input.size}px; }}\n"  # what a picture is enlarged to
    try:
        yield from environment.get_template("report.html.j2").generate(
            d=data,
            pictures=Pictures(read),
            titles=TITLES,
            serious_groups=SERIOUS,
            longest_open=LONGEST_OPEN,
            fewest_cases=FEWEST_CASES,
            baseline_months=BASELINE_MONTHS,
            viewer=partial(viewer_link, check_viewer_url(data.viewer_url)) if data.viewer_url else None,
            m=data.manifest,
            card=data.card,
            figures=card_figures(data.card.figures),
            training=training_counts(data.card.training),
            style=Markup(style),  # noqa: S704 - our own file, and a style element knows no escapes
            policy=Markup(content_policy(style)),  # noqa: S704 - fixed words and a hash
            article=ARTICLE,
            paper=PAPER,
            paper_studies=PAPER_STUDIES,
            line_fates=LINE_WORDS.items(),
            named=NAMED,
        )
    except UndefinedError as error:
        raise InputError(f"{MANIFEST_NAME} of the run is not as it was written ({error}); score again") from error


def _count(value: int) -> str:
    return f"{value:,}"


def _number_of(value: int, one: str, many: str) -> str:
    return f"{value:,} {one if value == 1 else many}"


def _date(text: str) -> str:
    """DICOM DA -> 2026-01-31; anything else as it stands."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdecimal() else text


def _time(text: str) -> str:
    """2026-01-31T12:00:00+00:00 -> 2026-01-31 12:00:00 UTC"""
    return text.replace("T", " ").replace("+00:00", " UTC")


@dataclass(frozen=True, slots=True)
class Drawn:
    """Data URIs of a picture as the model saw it, and of the map to lay over it."""

    seen: str
    map: str


class Pictures:
    """Reads pictures until the page has as many bytes of them as are allowed. anchors: row_key -> identifier of its
    place on the page, of the study rows so far."""

    def __init__(self, read: ReadPicture, allowed: int | None = None) -> None:
        """allowed: PICTURE_BYTES where it is None."""
        self._read = read
        self._left = PICTURE_BYTES if allowed is None else allowed
        self.anchors: dict[str, str] = {}

    @property
    def end_here(self) -> bool:
        return self._left <= 0

    def anchor(self, row: StudyScore) -> str:
        """The identifier of the place where the row is shown: the next one."""
        return self.anchors.setdefault(row.row_key, f"study-{len(self.anchors) + 1}")

    def draw(self, picture: Picture) -> Drawn | None:
        """None where the file is missing or damaged."""
        try:
            seen = self._read(picture.content_hash)
            if seen is None:
                return None
            drawn = Drawn(_data_uri(seen, "jpeg"), _data_uri(draw_map(seen, picture.probability), "png"))
        except (OSError, ValueError):
            return None
        self._left -= len(drawn.seen) + len(drawn.map)
        return drawn


def _data_uri(picture: bytes, kind: str) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(picture).decode()
