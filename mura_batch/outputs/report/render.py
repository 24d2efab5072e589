"""A run's folder -> report.html: at the end of a run, and again when the truth comes later.

The CSV files are read in a stream: memory holds what the page shows, however many studies the run had.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Self

from mura_batch.agreement.summary import summarise
from mura_batch.agreement.truth import Matched, Truth, match
from mura_batch.atomic_files import atomic_writer
from mura_batch.errors import InputError, OutputError
from mura_batch.model_card import CARD_NAME, ModelCard, parse_card
from mura_batch.outputs.csv_tables import Row, read_rows, read_studies
from mura_batch.outputs.manifest import RunManifest, read_manifest
from mura_batch.outputs.report import charts
from mura_batch.outputs.report.agreement_view import AgreementView, bin_of, view_of
from mura_batch.outputs.report.page import Picture, ReportData, Step, StudyCard, Totals, render
from mura_batch.outputs.report.region_overview import by_region
from mura_batch.outputs.report.thumbnails import thumbnail_path
from mura_batch.outputs.sink import RunEnd, RunInfo
from mura_batch.reasons import ADVICE
from mura_batch.records import UNREADABLE, InstanceScore, Reason, Skipped, StudyScore

REPORT_NAME = "report.html"
SHOWN_STUDIES = 100  # with pictures: about 4 MB of page; the rest stand in the table and in studies.csv
SHOWN_PICTURES = 6  # of one study row: a study has 1 to 4, a trauma series a few more
LISTED_ROWS = 1000  # study rows and skipped files listed by name: what a browser scrolls without effort


class ReportFile:
    """report.html, rendered from the tables when the run is finished."""

    def __init__(self, run: RunInfo) -> None:
        self._run = run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def study(self, row: StudyScore, images: Sequence[InstanceScore]) -> None:
        pass

    def skip(self, skip: Skipped) -> None:
        pass

    def finish(self, end: RunEnd) -> None:
        render_report_file(self._run.folder, self._run.truth)


def render_report_file(run_folder: Path, truth: Truth | None) -> Path:
    """Reads run.json, the CSV files and the thumbnails of the run; writes report.html beside them, whole or not at all.

    Raises InputError where the folder is no whole run, TruthError where the truth names none of its studies,
    OutputError where the page cannot be written.
    """
    try:
        data = _gather(run_folder, truth)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{run_folder}: a file of the run is not as it was written ({error!r}); score again"
        ) from error
    path = run_folder / REPORT_NAME
    with atomic_writer(path) as file:
        for piece in render(data):
            file.write(piece)
    return path


def _gather(folder: Path, truth: Truth | None) -> ReportData:
    manifest = read_manifest(folder)
    matched = match(truth, read_studies(folder / "studies.csv")) if truth else None
    threshold = float(manifest.model["threshold"])
    studies = _Studies.read(read_studies(folder / "studies.csv"))
    skips = tuple(islice(read_rows(folder / "skipped.csv"), LISTED_ROWS))
    card = _card(folder)
    return ReportData(
        manifest=manifest,
        card=card,
        regions=by_region(folder / "studies.csv", card.regions),
        totals=Totals(studies.count, studies.scored, studies.abnormal),
        steps=_steps(manifest),
        cards=_cards(folder, studies.listed[:SHOWN_STUDIES], _labels(matched)),
        rows=tuple(studies.listed),
        hidden_rows=studies.count - len(studies.listed),
        skips=skips,
        hidden_skips=manifest.counts["skipped"] - len(skips),
        histogram=charts.histogram(studies.normal_bins, studies.abnormal_bins, threshold) if studies.scored else "",
        agreement=_agreement(matched, threshold),
        truth_given=truth is not None,
    )


@dataclass(slots=True)
class _Studies:
    """What one pass over studies.csv leaves: counts, and the rows to list, most abnormal first."""

    count: int = 0
    scored: int = 0
    abnormal: int = 0
    listed: list[StudyScore] = field(default_factory=list)
    normal_bins: list[int] = field(default_factory=lambda: [0] * charts.BINS)
    abnormal_bins: list[int] = field(default_factory=lambda: [0] * charts.BINS)

    @classmethod
    def read(cls, rows: Iterable[StudyScore]) -> _Studies:
        studies = cls()
        studies.listed = heapq.nsmallest(LISTED_ROWS, studies._counted(rows), key=abnormal_first)
        return studies

    def _counted(self, rows: Iterable[StudyScore]) -> Iterator[StudyScore]:
        for row in rows:
            self.count += 1
            if row.score is not None:
                self.scored += 1
                self.abnormal += bool(row.abnormal)
                (self.abnormal_bins if row.abnormal else self.normal_bins)[bin_of(row.score)] += 1
            yield row


def abnormal_first(row: StudyScore) -> tuple[float, str, str, str]:
    """The order in which studies are shown."""
    return (1.0 if row.score is None else -row.score, row.study_uid, row.region, row.laterality)


def _agreement(matched: Matched | None, threshold: float) -> AgreementView | None:
    agreement = summarise(matched) if matched is not None else None
    return view_of(agreement, threshold) if agreement is not None else None


def _labels(matched: Matched | None) -> dict[str, int]:
    """row_key -> label"""
    return {case.row_key: case.label for case in matched.cases} if matched is not None else {}


def _card(folder: Path) -> ModelCard:
    path = folder / CARD_NAME
    try:
        return parse_card(json.loads(path.read_text(encoding="utf-8")), path)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} is not the folder of a whole run: {CARD_NAME} cannot be read ({error})") from error


def _steps(manifest: RunManifest) -> tuple[Step, ...]:
    """Found, each loss where it happened, unchanged, scored: every bar begins where the one before ended."""
    found = manifest.counts["found"]
    total, left = max(1, found), found
    steps = [Step("found", "files found", "", found, "", serious=False, bar=charts.bar(0, found / total, "found"))]
    for name, files in sorted(manifest.skipped_by_reason.items(), key=_in_order):
        stage, _, reason = name.partition("/")
        left -= files
        serious = Reason(reason) in UNREADABLE
        drawing = charts.bar(left / total, files / total, "serious" if serious else "lost")
        steps.append(Step("lost", stage, reason, files, ADVICE[Reason(reason)], serious=serious, bar=drawing))
    for kind, name in (("unchanged", "unchanged since an earlier run"), ("scored", "scored in this run")):
        files = manifest.counts[kind]
        left -= files
        steps.append(Step(kind, name, "", files, "", serious=False, bar=charts.bar(left / total, files / total, kind)))
    if left:
        raise OutputError(f"the files of the run do not add up: {left} of {found} are not told of")
    return tuple(steps)


_STAGES = ("discover", "header", "study", "pixels", "score")


def _in_order(item: tuple[str, int]) -> tuple[int, int, str]:
    """By stage, then the greatest loss first."""
    stage, _, reason = item[0].partition("/")
    return (_STAGES.index(stage), -item[1], reason)


def _cards(folder: Path, rows: list[StudyScore], labels: dict[str, int]) -> tuple[StudyCard, ...]:
    """The rows with a score and their pictures, found in one pass over images.csv."""
    shown = [row for row in rows if row.score is not None]
    pictures: dict[str, list[Picture]] = {row.row_key: [] for row in shown}
    for image in read_rows(folder / "images.csv", "row_key", pictures):
        pictures[image["row_key"]].append(_picture(folder, image))
    return tuple(_study_card(row, pictures[row.row_key], labels.get(row.row_key)) for row in shown)


def _study_card(row: StudyScore, pictures: list[Picture], label: int | None) -> StudyCard:
    shown = heapq.nlargest(SHOWN_PICTURES, pictures, key=lambda picture: picture.probability)
    drawing = charts.score_bar(row.score or 0.0, row.threshold)
    return StudyCard(row, tuple(shown), len(pictures) - len(shown), drawing, label)


def _picture(folder: Path, image: Row) -> Picture:
    thumbnail = thumbnail_path(folder / "thumbnails", image["sop_instance_uid"])
    decisions = ", ".join(filter(None, (image["voi"], image["polarity"] if image["polarity"] != "as stored" else "")))
    return Picture(thumbnail, float(image["probability"]), image["view"], decisions, image["flags"])
