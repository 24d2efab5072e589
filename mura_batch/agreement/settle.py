"""What the lines of all truth files say of the rows of a run -> one label for each, and what became of every line.

Lines that cover the same rows are about the same thing, whatever level they name: of a study with one row, a label of
the study, of its region and of its side are one. A consensus overrules a report. Where only readers speak, their
majority decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mura_batch.agreement.truth_file import Said, Sampled, Truth, TruthFile, TruthKind, TruthLine
from mura_batch.records import Laterality, Region, StudyScore

Rows = tuple[StudyScore, ...]
Cover = tuple[str, ...]  # row_keys of the rows that a line is about, sorted
_RANK = {TruthKind.READER: 0, TruthKind.REPORT: 1, TruthKind.CONSENSUS: 2}
WITHOUT_LABEL = (Said.PENDING, Said.INDETERMINATE, Said.BLANK)


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Lines that give one study, or one region or side of it, different labels. lines: each with its file and label."""

    study: str
    region: str
    side: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """One label. readers: name -> label, of those who gave one. sampled: with the probability of having been drawn and
    read, None where no sheet says."""

    rows: Rows
    label: int
    readers: Mapping[str, int]
    sampled: Sampled | None


@dataclass(slots=True)
class Settlement:
    """labels: one for each part of a study that has one. left_out: what became of the other lines -> how many; also
    'by_majority' and 'by_consensus' of the labels, and 'without_majority' of the parts.
    contradictory: parts of studies without a label because lines differ. overruled: report lines that a consensus
    contradicts; its label counts. no_row, ambiguous, absent: lines about a region or side that the run has not, with an
    accession number of several studies of the run, and of studies that the run has not."""

    labels: list[Settled] = field(default_factory=list)
    lines: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    contradictory: list[Contradiction] = field(default_factory=list)
    overruled: list[Contradiction] = field(default_factory=list)
    no_row: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Part:
    """What was said of one set of rows. stated: kind, label and place of each line of a label column. readers: name ->
    their labels with places. silent: why lines have no label. sampled: of the newest sheet."""

    rows: Rows
    stated: list[tuple[TruthKind, int, str]] = field(default_factory=list)
    readers: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    reader_lines: int = 0
    silent: list[Said] = field(default_factory=list)
    undecided: bool = False  # a label column says that there is no label yet: readers do not decide
    sampled: Sampled | None = None
    label: int | None = None
    is_majority: bool = False
    is_consensus: bool = False

    def add(self, file: TruthFile, line: TruthLine, *, is_newest_sheet: bool) -> None:
        place = file.place(line)
        for name, said in zip(file.readers, line.readers, strict=True):
            if said.label is not None:
                self.readers.setdefault(name, []).append((said.label, f"{place}, {name}: {said.label}"))
        if not line.has_label:
            self.silent.append(line.without_label)
            self.undecided |= line.said is not None
        elif line.said is None:
            self.reader_lines += 1
        else:
            self.stated.append((file.kind, int(line.said), f"{place}: {line.said}"))
        if line.has_label and line.sampled is not None and is_newest_sheet:
            self.sampled = Sampled(line.sampled.stratum, dict(file.drawn)[line.sampled.stratum])

    def contradiction(self, lines: Sequence[str]) -> Contradiction:
        regions, sides = {row.region for row in self.rows}, {row.laterality for row in self.rows}
        return Contradiction(
            self.rows[0].study_uid,
            min(regions) if len(regions) == 1 else "",
            min(sides) if len(sides) == 1 else "",
            tuple(lines),
        )


def settle(truth: Truth, studies: Mapping[str, Rows]) -> Settlement:
    """studies: study_uid -> its rows, of the studies that the truth names."""
    result = Settlement()
    parts = _parts(truth, studies, result)
    for of_study in parts.values():
        for part in of_study.values():
            _decide(part, result)
        _settle_levels(of_study, result)
        for part in of_study.values():
            _count_silent(part, result)
            if part.label is not None:
                readers = _reader_labels(part)
                result.labels.append(Settled(part.rows, part.label, readers, part.sampled))
                result.left_out["by_majority"] += part.is_majority
                result.left_out["by_consensus"] += part.is_consensus
    return result


def _parts(truth: Truth, studies: Mapping[str, Rows], result: Settlement) -> dict[str, dict[Cover, _Part]]:
    """study_uid -> what lines cover of it -> what they say."""
    uids: dict[str, set[str]] = {}
    for uid, rows in studies.items():
        for row in rows:
            uids.setdefault(row.accession, set()).add(uid)
    said: dict[str, list[tuple[TruthFile, TruthLine]]] = {}
    for file in truth.files:
        result.lines += len(file.lines) + file.elsewhere
        result.left_out["not_in_this_run"] += file.elsewhere
        for line in file.lines:
            found = uids.get(line.study, set()) if file.by == "accession" else {line.study} & studies.keys()
            if len(found) == 1:
                said.setdefault(min(found), []).append((file, line))
            else:
                (result.ambiguous if found else result.absent).append(_named(file, line))
    result.left_out["not_in_this_run"] += len(result.absent)
    result.left_out["ambiguous_accession"] = len(result.ambiguous)
    sheet = truth.newest_sheet
    return {uid: _parts_of(studies[uid], lines, sheet, result) for uid, lines in said.items()}


def _parts_of(
    rows: Rows, lines: Sequence[tuple[TruthFile, TruthLine]], sheet: TruthFile | None, result: Settlement
) -> dict[Cover, _Part]:
    parts: dict[Cover, _Part] = {}
    may_guess = len({(line.region, line.side) for _, line in lines}) == 1
    for file, line in lines:
        covered = _covered(rows, line, may_guess=may_guess)
        if covered:
            part = parts.setdefault(tuple(sorted(row.row_key for row in covered)), _Part(covered))
            part.add(file, line, is_newest_sheet=file is sheet)
        else:
            result.no_row.append(_named(file, line))
    result.left_out["no_such_region_or_side"] = len(result.no_row)
    return parts


def _covered(rows: Rows, line: TruthLine, *, may_guess: bool) -> Rows:
    """The rows that a line is about. may_guess: where the study has one row, of unknown region or side, it is the one
    that the line names: nothing else of the study is named."""
    lenient = may_guess and len(rows) == 1
    return tuple(
        row
        for row in rows
        if (not line.region or row.region == line.region or (lenient and row.region == Region.UNKNOWN))
        and (not line.side or row.laterality == line.side or (lenient and row.laterality == Laterality.UNKNOWN))
    )


def _named(file: TruthFile, line: TruthLine) -> str:
    named = " ".join(filter(None, (line.study, line.region, line.side)))
    return f"{file.place(line)}: {named}"


def _decide(part: _Part, result: Settlement) -> None:
    """Its label, from the label columns or else from the readers; what its lines became is counted."""
    result.left_out["of_readers"] += part.reader_lines
    if not part.stated:
        part.label = None if part.undecided else _majority(part, result)
        part.is_majority = part.label is not None
        return
    top = max((kind for kind, _, _ in part.stated), key=_RANK.__getitem__)
    deciding = {label for kind, label, _ in part.stated if kind is top}
    lines = [place for _, _, place in part.stated]
    if len(deciding) > 1:
        _contradict(part, lines, len(lines), result)
        return
    part.label, part.is_consensus = min(deciding), top is TruthKind.CONSENSUS
    overruled = sum(label != part.label for _, label, _ in part.stated)
    result.left_out["overruled"] += overruled
    result.left_out["repeated"] += len(lines) - overruled - 1
    if overruled:
        result.overruled.append(part.contradiction(lines))


def _contradict(part: _Part, lines: Sequence[str], count: int, result: Settlement) -> None:
    part.label, part.is_majority = None, False
    result.contradictory.append(part.contradiction(lines))
    result.left_out["contradictory_lines"] += count


def _reader_labels(part: _Part) -> dict[str, int]:
    """Of readers who do not contradict themselves."""
    labels = {name: {label for label, _ in said} for name, said in part.readers.items()}
    return {name: min(of) for name, of in labels.items() if len(of) == 1}


def _majority(part: _Part, result: Settlement) -> int | None:
    for said in part.readers.values():
        if len({label for label, _ in said}) > 1:
            result.contradictory.append(part.contradiction([place for _, place in said]))
    votes = list(_reader_labels(part).values())
    if not votes or 2 * sum(votes) == len(votes):
        result.left_out["without_majority"] += bool(votes)
        return None
    return int(2 * sum(votes) > len(votes))


def _settle_levels(parts: Mapping[Cover, _Part], result: Settlement) -> None:
    """A label of a study that has labels of its regions or sides too is left out; where they contradict each other,
    all are."""
    for cover, part in parts.items():
        within = [(c, p) for c, p in parts.items() if set(c) < set(cover) and p.label is not None]
        if part.label is None or not within:
            continue
        labels = [p.label for _, p in within]
        whole = set().union(*(set(c) for c, _ in within)) == set(cover)
        if (part.label == 0 and 1 in labels) or (part.label == 1 and whole and 1 not in labels):
            involved = [part, *(p for _, p in within)]
            lines = [place for p in involved for place in _places(p)]
            stated = sum(not p.is_majority for p in involved)
            for other in involved[1:]:
                other.label, other.is_majority = None, False
            _contradict(part, lines, stated, result)
        else:
            result.left_out["beside_its_parts"] += not part.is_majority
            part.label, part.is_majority = None, False


def _places(part: _Part) -> list[str]:
    return [place for _, _, place in part.stated] or [place for said in part.readers.values() for _, place in said]


def _count_silent(part: _Part, result: Settlement) -> None:
    """Lines without a label; where another line of the same part has one, they are superseded."""
    for said in part.silent:
        result.left_out["superseded" if part.label is not None else said] += 1
