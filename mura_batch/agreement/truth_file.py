"""What a truth file says, line by line, before it is compared with anything."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mura_batch.errors import TruthError


class TruthKind(StrEnum):
    """Where labels come from. A consensus overrules a report; readers count where there is neither."""

    REPORT = "report"
    READER = "reader"
    CONSENSUS = "consensus"


class Said(StrEnum):
    """What stands in the place of a label."""

    NORMAL = "0"
    ABNORMAL = "1"
    PENDING = "pending"
    INDETERMINATE = "indeterminate"
    BLANK = "blank"

    @property
    def label(self) -> int | None:
        return int(self) if self in (Said.NORMAL, Said.ABNORMAL) else None


@dataclass(frozen=True, slots=True)
class Sampled:
    """How a study came to be read. probability: of its having been drawn and read."""

    stratum: str
    probability: float


@dataclass(frozen=True, slots=True)
class TruthLine:
    """number: of the line in its file. study: by the name that the file gives it. region, side: '' where it names none;
    side is a Laterality. said: in the label column, None where the file has none. readers: for each reader of the file.
    sampled: as the sheet was drawn, None where the file is no sheet."""

    number: int
    study: str
    region: str = ""
    side: str = ""
    said: Said | None = None
    readers: tuple[Said, ...] = ()
    sampled: Sampled | None = None

    @property
    def has_label(self) -> bool:
        given = self.readers if self.said is None else (self.said,)
        return any(said.label is not None for said in given)

    @property
    def without_label(self) -> Said:
        """Why it has none: 'pending' before 'indeterminate' before 'blank'."""
        given = self.readers if self.said is None else (self.said,)
        return next((why for why in (Said.PENDING, Said.INDETERMINATE) if why in given), Said.BLANK)


@dataclass(frozen=True, slots=True)
class TruthFile:
    """name: of the file, as given. sha256: of its bytes. by: 'study_uid' or 'accession', what names a study. reader:
    who made it, '' where nobody said. readers: names of its reader columns; the labels of a file of kind 'reader' are
    such a column too. drawn: probability of having been drawn and read, for each stratum of a sheet. unread: studies of
    a sheet without a label. added: to the ledger, UTC, ISO 8601, '' where it was given for one report. elsewhere: lines
    of studies that the run has not, left out of lines."""

    name: str
    sha256: str
    by: str
    kind: TruthKind
    lines: tuple[TruthLine, ...]
    reader: str = ""
    readers: tuple[str, ...] = ()
    drawn: tuple[tuple[str, float], ...] = ()
    unread: int = 0
    added: str = ""
    elsewhere: int = 0

    @property
    def level(self) -> str:
        """The finest that a line names: 'study', 'region' or 'side'."""
        if any(line.side for line in self.lines):
            return "side"
        return "region" if any(line.region for line in self.lines) else "study"

    def place(self, line: TruthLine) -> str:
        return f"{self.name}, line {line.number}"

    def require_labels(self) -> None:
        """Raises TruthError where no line has a label."""
        if any(line.has_label for line in self.lines):
            return
        counts = [(said, sum(line.without_label is said for line in self.lines)) for said in Said]
        words = ", ".join(f"{n} {said}" for said, n in counts if n)
        raise TruthError(
            f"{self.name} holds no label{f' ({words})' if words else ''}: it needs a line for each study below the "
            "header line"
        )


@dataclass(frozen=True, slots=True)
class Truth:
    """The truth files that a run is compared with. is_stored: they are those of the ledger, and a file that names no
    study of the run is no part of its truth; else they were given for this run."""

    files: tuple[TruthFile, ...]
    is_stored: bool = False

    _uids: frozenset[str] = field(init=False, repr=False, compare=False)
    _accessions: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_uids", frozenset(self._names("study_uid")))
        object.__setattr__(self, "_accessions", frozenset(self._names("accession")))

    def _names(self, by: str) -> Iterator[str]:
        return (line.study for file in self.files if file.by == by for line in file.lines)

    @property
    def newest_sheet(self) -> TruthFile | None:
        """The sheet of a drawn sample that was added last. Two draws overlap: only this one stands for the others."""
        return next((file for file in reversed(self.files) if file.drawn), None)

    @property
    def readers(self) -> tuple[str, ...]:
        """Each name once, in the order of the files."""
        return tuple(dict.fromkeys(name for file in self.files for name in file.readers))

    def of_run(self, study_uids: Container[str], accessions: Container[str]) -> Truth:
        """Of a stored truth the files that name these studies, without their other lines; a given one as it is."""
        if not self.is_stored:
            return self
        files = [_of_run(file, study_uids if file.by == "study_uid" else accessions) for file in self.files]
        return Truth(tuple(file for file in files if file.lines), is_stored=True)

    def names(self, study_uid: str, accession: str) -> bool:
        """Whether a line of it is about this study."""
        return study_uid in self._uids or accession in self._accessions


def _of_run(file: TruthFile, names: Container[str]) -> TruthFile:
    lines = tuple(line for line in file.lines if line.study in names)
    return replace(file, lines=lines, elsewhere=file.elsewhere + len(file.lines) - len(lines))
