"""What the report keeps of a run's rows, gathered in one pass: memory holds what the page shows, however many rows the
run has. The rows come from the run itself, or from its tables when the report is rendered again."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mura_batch.agreement.comparison import Comparison, compare
from mura_batch.agreement.traits import LONGEST_NAME, ImageTraits, TraitBook, device_name
from mura_batch.agreement.truth import Matching
from mura_batch.agreement.truth_file import Truth
from mura_batch.outputs.disclosure import Disclosure
from mura_batch.outputs.read_tables import read_rows, read_studies
from mura_batch.outputs.report.attention import Listed, by_mistake, in_pictures, in_table, without_truth
from mura_batch.outputs.report.charts import BINS, bin_of
from mura_batch.outputs.report.region_overview import RegionCounts, RegionLine
from mura_batch.outputs.tables import TABLES, Row, as_text, flags_of, skip_values
from mura_batch.records import InstanceScore, Skipped, StudyScore

SHOWN_STUDIES = 1000  # that may have pictures; the page ends them at PICTURE_BYTES, after 500 to 900
QUIET_STUDIES = 100  # of them neither new nor discordant: a night without news draws no more
WORST = 9  # mistakes that the page begins with
LISTED_ROWS = 1000  # study rows and skipped files listed by name: what a browser scrolls without effort


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a study and what was decided about it. content_hash: by which its thumbnail is found, if it is still
    there."""

    content_hash: str
    probability: float
    view: str
    decisions: str
    flags: str


class ReportRows:
    """count, scored, abnormal: study rows. bins: of the scored ones, by call. skips: the first skipped files."""

    def __init__(self, truth: Truth | None) -> None:
        """truth: every row that it names is kept; of the others those that the page lists."""
        self._truth = truth
        self._named: list[tuple[StudyScore, list[Picture]]] = []
        self._others: list[tuple[StudyScore, list[Picture]]] = []
        self._regions = RegionCounts()
        self.count = self.scored = self.abnormal = 0
        self.bins = {False: [0] * BINS, True: [0] * BINS}
        self.skips: list[Row] = []

    def study(self, row: StudyScore, images: Sequence[InstanceScore]) -> None:
        self.count += 1
        self._regions.add(row)
        if row.score is not None:
            self.scored += 1
            self.abnormal += bool(row.abnormal)
            self.bins[bool(row.abnormal)][bin_of(row.score)] += 1
        kept = (row, [picture_of(image) for image in images])
        if self._truth is not None and self._truth.names(row.study_uid, row.accession):
            self._named.append(kept)
            return
        self._others.append(kept)
        if len(self._others) >= 2 * LISTED_ROWS:
            self._forget_hidden()

    def skip(self, skip: Skipped, keys: Disclosure) -> None:
        if len(self.skips) < LISTED_ROWS:
            self.skips.append(dict(zip(TABLES["skipped"], map(as_text, skip_values(skip, keys)), strict=True)))

    def listed(self, labels: Mapping[str, int]) -> list[Listed]:
        """labels: row_key -> truth. The rows of the table, in its order."""
        self._forget_hidden()
        rows = (Listed(row, labels.get(row.row_key)) for row, _ in (*self._named, *self._others))
        return heapq.nsmallest(LISTED_ROWS, rows, key=in_table)

    def shown(self, labels: Mapping[str, int]) -> list[tuple[Listed, list[Picture]]]:
        """The rows with a score that may be shown with pictures, in their order: the WORST mistakes, then as
        `in_pictures`. The quiet ones, which are neither discordant nor new, come last and are QUIET_STUDIES at most."""
        self._forget_hidden()
        rows = [
            (Listed(row, labels.get(row.row_key)), pictures)
            for row, pictures in (*self._named, *self._others)
            if row.score is not None
        ]
        mistakes = (listed for listed, _ in rows if listed.is_discordant)
        worst = {one: n for n, one in enumerate(heapq.nsmallest(WORST, mistakes, key=by_mistake))}
        shown = heapq.nsmallest(SHOWN_STUDIES, rows, key=lambda row: (worst.get(row[0], WORST), in_pictures(row[0])))
        loud = sum(listed.is_discordant or listed.is_new for listed, _ in shown)
        return shown[: loud + QUIET_STUDIES]

    @property
    def named(self) -> list[tuple[StudyScore, list[Picture]]]:
        """The rows that the truth names, with their pictures."""
        return self._named

    def regions(self, trained: tuple[str, ...]) -> tuple[RegionLine, ...]:
        return self._regions.lines(trained)

    def _forget_hidden(self) -> None:
        self._others.sort(key=lambda kept: without_truth(kept[0]))
        del self._others[LISTED_ROWS:]


def read_report_rows(folder: Path, truth: Truth | None) -> tuple[ReportRows, Comparison | None]:
    """The rows of a published run from its tables, compared with the truth. Raises InputError where a table is missing
    or was changed by hand."""
    rows = ReportRows(truth)
    matching = Matching(truth) if truth is not None else None
    for row in read_studies(folder):
        rows.study(row, [])
        if matching is not None:
            matching.add(row)
    comparison = compare(matching, _traits(folder, rows)) if matching is not None else None
    labels = comparison.labels if comparison is not None else {}
    pictures = {listed.row.row_key: of for listed, of in rows.shown(labels) if not of}
    for image in read_rows(folder, "images", "row_key", pictures):
        pictures[image["row_key"]].append(picture_of_row(image))
    rows.skips.extend(islice(read_rows(folder, "skipped"), LISTED_ROWS))
    return rows, comparison


def _traits(folder: Path, rows: ReportRows) -> TraitBook:
    """Of the rows that the truth names, from the table of images, whose pictures they get in the same pass."""
    images: dict[str, list[ImageTraits]] = {row.row_key: [] for row, _ in rows.named}
    pictures = {row.row_key: of for row, of in rows.named}
    for image in read_rows(folder, "images", "row_key", images):
        images[image["row_key"]].append(_image_traits(image))
        pictures[image["row_key"]].append(picture_of_row(image))
    book = TraitBook()
    for row, _ in rows.named:
        book.add(row, images[row.row_key])
    return book


def _image_traits(image: Row) -> ImageTraits:
    return ImageTraits(
        sex=image["patient_sex"],
        age=int(image["patient_age"]) if image["patient_age"] else None,
        device=device_name(image["manufacturer"], image["manufacturer_model"]),
        view=image["view"][:LONGEST_NAME],
        probability=float(image["probability"]),
    )


def picture_of(image: InstanceScore) -> Picture:
    instance, decisions = image.instance, image.decoded.decisions
    return Picture(
        image.decoded.content_hash,
        image.probability,
        instance.view_position,
        _decisions(decisions.voi, decisions.polarity),
        flags_of(image),
    )


def picture_of_row(image: Row) -> Picture:
    return Picture(
        image["content_hash"],
        float(image["probability"]),
        image["view"],
        _decisions(image["voi"], image["polarity"]),
        image["flags"],
    )


def _decisions(voi: str, polarity: str) -> str:
    return ", ".join(filter(None, (voi, polarity if polarity != "as stored" else "")))
