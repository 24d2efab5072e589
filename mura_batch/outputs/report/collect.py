"""What the report keeps of a run's rows, gathered in one pass: memory holds what the page shows, however many rows the
run has. The rows come from the run itself, or from its tables when the report is rendered again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

from mura_batch.agreement.truth import Matching
from mura_batch.outputs.read_tables import read_rows, read_studies
from mura_batch.outputs.report.charts import BINS, bin_of
from mura_batch.outputs.report.region_overview import RegionCounts, RegionLine
from mura_batch.outputs.tables import TABLES, Row, as_text, flags_of, skip_values
from mura_batch.records import InstanceScore, Skipped, StudyScore

SHOWN_STUDIES = 100  # with pictures: about 4 MB of page; the rest stand in the table and in studies.csv
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

    def __init__(self) -> None:
        self._regions = RegionCounts()
        self._top: list[tuple[StudyScore, list[Picture]]] = []
        self.count = self.scored = self.abnormal = 0
        self.bins = {False: [0] * BINS, True: [0] * BINS}
        self.skips: list[Row] = []

    @classmethod
    def read(cls, folder: Path, matching: Matching | None) -> Self:
        """From the tables of a published run, whose study rows matching is given too. Raises InputError where a table
        is missing or was changed by hand."""
        rows = cls()
        for row in read_studies(folder):
            rows._add(row, [])
            if matching is not None:
                matching.add(row)
        pictures = {row.row_key: of for row, of in rows.shown()}
        for image in read_rows(folder, "images", "row_key", pictures):
            pictures[image["row_key"]].append(rows._picture_of_row(image))
        rows.skips.extend(islice(read_rows(folder, "skipped"), LISTED_ROWS))
        return rows

    def study(self, row: StudyScore, images: Sequence[InstanceScore]) -> None:
        self._add(row, [self._picture(image) for image in images])

    def skip(self, skip: Skipped) -> None:
        if len(self.skips) < LISTED_ROWS:
            self.skips.append(dict(zip(TABLES["skipped"], map(as_text, skip_values(skip)), strict=True)))

    def listed(self) -> list[StudyScore]:
        """Most abnormal first, then those without a score."""
        self._forget_hidden()
        return [row for row, _ in self._top]

    def shown(self) -> list[tuple[StudyScore, list[Picture]]]:
        """The rows of highest score with their pictures."""
        self._forget_hidden()
        return [(row, pictures) for row, pictures in self._top[:SHOWN_STUDIES] if row.score is not None]

    def regions(self, trained: tuple[str, ...]) -> tuple[RegionLine, ...]:
        return self._regions.lines(trained)

    def _add(self, row: StudyScore, pictures: list[Picture]) -> None:
        self.count += 1
        self._regions.add(row)
        if row.score is not None:
            self.scored += 1
            self.abnormal += bool(row.abnormal)
            self.bins[bool(row.abnormal)][bin_of(row.score)] += 1
        self._top.append((row, pictures))
        if len(self._top) >= 2 * LISTED_ROWS:
            self._forget_hidden()

    def _forget_hidden(self) -> None:
        self._top.sort(key=lambda shown: abnormal_first(shown[0]))
        del self._top[LISTED_ROWS:]

    def _picture(self, image: InstanceScore) -> Picture:
        instance, decisions = image.instance, image.decoded.decisions
        return Picture(
            image.decoded.content_hash,
            image.probability,
            instance.view_position,
            _decisions(decisions.voi, decisions.polarity),
            flags_of(image),
        )

    def _picture_of_row(self, image: Row) -> Picture:
        return Picture(
            image["content_hash"],
            float(image["probability"]),
            image["view"],
            _decisions(image["voi"], image["polarity"]),
            image["flags"],
        )


def _decisions(voi: str, polarity: str) -> str:
    return ", ".join(filter(None, (voi, polarity if polarity != "as stored" else "")))


def abnormal_first(row: StudyScore) -> tuple[float, str, str, str]:
    """The order in which studies are shown."""
    return (1.0 if row.score is None else -row.score, row.study_uid, row.region, row.laterality)
