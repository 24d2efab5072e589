"""The labelled rows of a run: the cases that agreement is computed from, and what became of every other label."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mura_batch.agreement.settle import Contradiction, Settled, settle
from mura_batch.agreement.truth_file import Sampled, Truth
from mura_batch.records import StudyScore, rounded, row_key

NAMED = 100  # lines of studies that the run has not, by name: the wrong file has nothing else


@dataclass(frozen=True, slots=True)
class Case:
    """One labelled study (or one region or side of it) with its score. readers: the label of each reader, None for
    none. sampled: how it came to be read, None where no truth file says. whole_study: the label is of a study with
    several regions, and the case is its row of highest score: no region's figure may use it. several_sides: the same of
    sides."""

    study_uid: str
    patient: str
    region: str
    laterality: str
    label: int
    score: float
    abnormal: bool
    readers: tuple[int | None, ...] = ()
    sampled: Sampled | None = None
    whole_study: bool = False
    study_date: str = ""  # DICOM DA, YYYYMMDD
    several_sides: bool = False

    @property
    def row_key(self) -> str:
        return row_key(self.study_uid, self.region, self.laterality)


@dataclass(frozen=True, slots=True)
class Matched:
    """truth: that was used, see Truth.of_run. cases: labelled and scored. unscored:
    labels that name a study of the run without a score. unlabelled: scored studies that no label names. readers: names.
    unread: studies of a drawn sample without a label. lines: of the truth files. left_out: what became of lines that
    are no label -> how many. contradictory, overruled, no_row, ambiguous: as in Settlement; absent: the first NAMED of
    a truth that was given."""

    truth: Truth
    cases: tuple[Case, ...]
    unscored: int
    unlabelled: int
    readers: tuple[str, ...] = ()
    unread: int = 0
    lines: int = 0
    left_out: tuple[tuple[str, int], ...] = ()
    contradictory: tuple[Contradiction, ...] = ()
    overruled: tuple[Contradiction, ...] = ()
    no_row: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def whole_study(self) -> int:
        """Labels of a whole study with several regions."""
        return sum(case.whole_study for case in self.cases)

    @property
    def several_sides(self) -> int:
        """Labels that name no side, of a study or region with several."""
        return sum(case.several_sides for case in self.cases)

    @property
    def names_a_study(self) -> bool:
        """Whether a line of the truth is about a study of the run."""
        return self.lines > dict(self.left_out).get("not_in_this_run", 0)


def match(truth: Truth, studies: Iterable[StudyScore]) -> Matched:
    """A label goes with the rows that it covers: of the side, region or study that it names. Of several it gets the one
    of the highest score, a study being abnormal if any part of it is, and is marked: nobody knows which region or side
    it is about."""
    matching = Matching(truth)
    for study in studies:
        matching.add(study)
    return matching.matched()


class Matching:
    """`match` for rows that come one by one. Holds the rows of the studies that the truth names."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self._rows: dict[str, tuple[StudyScore, ...]] = {}
        self._scored: set[str] = set()  # studies

    def add(self, study: StudyScore) -> None:
        """A row that keeps the score of an earlier model counts as one without a score: no figure mixes two models."""
        if study.earlier_model:
            study = replace(study, score=None, abnormal=None)
        if self.truth.names(study.study_uid, study.accession):
            self._rows[study.study_uid] = (*self._rows.get(study.study_uid, ()), study)
        if study.score is not None:
            self._scored.add(study.study_uid)

    def matched(self) -> Matched:
        """Of the rows so far."""
        settlement = settle(self.truth, self._rows)
        readers = self.truth.readers
        cases = [case for one in settlement.labels if (case := _case(one, readers)) is not None]
        accessions = {row.accession for rows in self._rows.values() for row in rows}
        sheet = self.truth.newest_sheet
        return Matched(
            truth=self.truth.of_run(self._rows.keys(), accessions),
            cases=tuple(cases),
            unscored=len(settlement.labels) - len(cases),
            unlabelled=len(self._scored - {case.study_uid for case in cases}),
            readers=readers,
            unread=sheet.unread if sheet is not None else 0,
            lines=settlement.lines,
            left_out=tuple(sorted(settlement.left_out.items())),
            contradictory=tuple(settlement.contradictory),
            overruled=tuple(settlement.overruled),
            no_row=tuple(settlement.no_row),
            ambiguous=tuple(settlement.ambiguous),
            absent=() if self.truth.is_stored else tuple(settlement.absent[:NAMED]),
        )


def _case(settled: Settled, readers: tuple[str, ...]) -> Case | None:
    """None where none of its rows has a score."""
    scored = [row for row in settled.rows if row.score is not None]
    if not scored:
        return None
    row = max(scored, key=lambda row: row.score or 0.0)
    return Case(
        study_uid=row.study_uid,
        patient=row.patient_key or row.study_uid,
        region=row.region,
        laterality=row.laterality,
        label=settled.label,
        score=rounded(row.score or 0.0),
        abnormal=bool(row.abnormal),
        readers=tuple(settled.readers.get(name) for name in readers),
        sampled=settled.sampled,
        whole_study=len({row.region for row in settled.rows}) > 1,
        study_date=row.study_date,
        several_sides=len({row.laterality for row in settled.rows}) > 1,
    )
