"""Truth: labels to compare scores with, matched to the studies of a run. `truth_csv` reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from mura_batch.agreement.sampling import Sampled
from mura_batch.errors import TruthError
from mura_batch.records import StudyScore, row_key

Key = tuple[str, str]  # (study_uid or accession, region or '')


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Lines that give one study, or one region of it, different labels. lines: each with its file and its label."""

    study: str
    region: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Truth:
    """labels: (study_uid or accession, region or '') -> 0 or 1. by: the column that names the study. readers: for each
    reader column its name and its labels, which may leave studies out. sampling: of the labels of a drawn sample, else
    empty. unread: studies that were drawn and have no label yet. sha256: of the file. left_out: lines of the file that
    give no label, 'pending', 'indeterminate', 'blank' or 'repeated' -> how many. contradictory: studies whose lines
    contradict each other; none of them is a label."""

    source: str
    by: str  # 'study_uid' or 'accession'
    labels: tuple[tuple[Key, int], ...]
    readers: tuple[tuple[str, tuple[tuple[Key, int], ...]], ...] = ()
    sampling: tuple[tuple[Key, Sampled], ...] = ()
    unread: int = 0
    sha256: str = ""
    left_out: tuple[tuple[str, int], ...] = ()
    contradictory: tuple[Contradiction, ...] = ()

    studies: frozenset[str] = field(init=False, repr=False, compare=False)  # the names in labels

    def __post_init__(self) -> None:
        object.__setattr__(self, "studies", frozenset(study for (study, _), _ in self.labels))

    def names(self, study_uid: str, accession: str) -> bool:
        """Whether it has a label for this study."""
        return (study_uid if self.by == "study_uid" else accession) in self.studies

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Case:
    """One labelled study (or one region of it) with its score. readers: the label of each reader, None for none.
    sampled: how it came to be read, None where the truth file does not say. whole_study: the label is of a study with
    several regions, and the case is its row of highest score: no region's figure may use it."""

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

    @property
    def row_key(self) -> str:
        return row_key(self.study_uid, self.region, self.laterality)


@dataclass(frozen=True, slots=True)
class Matched:
    """cases: labelled and scored. unscored: labels that name a study of the run without a score. absent: labels that
    name no study of the run. unlabelled: scored studies that no label names. readers: names of the reader columns.
    unread: studies of a drawn sample without a label. ambiguous: labels whose accession number stands for several
    studies of the run; they are not compared."""

    cases: tuple[Case, ...]
    unscored: int
    absent: int
    unlabelled: int
    readers: tuple[str, ...] = ()
    unread: int = 0
    ambiguous: int = 0

    @property
    def whole_study(self) -> int:
        """Labels of a whole study with several regions."""
        return sum(case.whole_study for case in self.cases)


def match(truth: Truth, studies: Iterable[StudyScore]) -> Matched:
    """A label with a region goes with the row of that region; where the study has one row and one label, with that row
    whatever its region. A label of a whole study goes with its highest row: a study is abnormal if any part of it is.
    Where that study has several regions, the case is marked: nobody knows which region the label is about.
    Raises TruthError when no study of the run is named."""
    matching = Matching(truth)
    for study in studies:
        matching.add(study)
    return matching.matched()


class Matching:
    """`match` for rows that come one by one. Holds the rows of the studies that the truth names."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._rows: dict[str, list[StudyScore]] = {name: [] for name in truth.studies}
        self._unlabelled: set[str] = set()  # scored studies that the truth does not name

    def add(self, study: StudyScore) -> None:
        name = study.study_uid if self._truth.by == "study_uid" else study.accession
        if name in self._rows:
            self._rows[name].append(study)
        elif study.score is not None:
            self._unlabelled.add(study.study_uid)

    def matched(self) -> Matched:
        """Of the rows so far. Raises TruthError when none of them is of a study that the truth names."""
        truth = self._truth
        labels_of = Counter(name for (name, _), _ in truth.labels)
        readers = [dict(labels) for _, labels in truth.readers]
        sampling = dict(truth.sampling)
        cases: list[Case] = []
        unscored = absent = ambiguous = 0
        for (name, region), label in truth.labels:
            of = self._rows[name]
            if len({row.study_uid for row in of}) > 1:
                ambiguous += 1
                continue
            lenient = not region or len(of) == labels_of[name] == 1
            matching = [row for row in of if lenient or row.region == region]
            scored = [row for row in matching if row.score is not None]
            absent += not matching
            unscored += bool(matching) and not scored
            if scored:
                given = tuple(reader.get((name, region)) for reader in readers)
                row = max(scored, key=lambda row: row.score or 0.0)
                several = not region and len({row.region for row in of}) > 1
                cases.append(_case(row, label, given, sampling.get((name, region)), several))
        if absent == len(truth.labels):
            raise TruthError(
                f"{truth.source} names no study of this run: are its {truth.by} values from here, with their leading "
                "zeros?"
            )
        names = tuple(name for name, _ in truth.readers)
        return Matched(tuple(cases), unscored, absent, len(self._unlabelled), names, truth.unread, ambiguous)


def _case(
    row: StudyScore, label: int, readers: tuple[int | None, ...], sampled: Sampled | None, whole_study: bool
) -> Case:
    return Case(
        study_uid=row.study_uid,
        patient=row.patient_key or row.study_uid,
        region=row.region,
        laterality=row.laterality,
        label=label,
        score=row.score or 0.0,
        abnormal=bool(row.abnormal),
        readers=readers,
        sampled=sampled,
        whole_study=whole_study,
        study_date=row.study_date,
    )
