"""In which order a person should look at the study rows: disagreement with the truth first."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mura_batch.records import StudyScore, StudyStatus


class Group(StrEnum):
    """Of a study row, in the order of the page."""

    MISSED = "missed"
    FALSE_ALARM = "false-alarm"
    SET_ASIDE = "set-aside"
    FAILED = "failed"
    NEW = "new"
    UNCHANGED = "unchanged"
    AGREE_ABNORMAL = "agree-abnormal"
    AGREE_NORMAL = "agree-normal"
    SKIPPED = "skipped"


TITLES = {
    Group.MISSED: "Missed: the truth is abnormal, the call normal",
    Group.FALSE_ALARM: "False alarms: the truth is normal, the call abnormal",
    Group.SET_ASIDE: "Conflicting identity: not scored until a person has looked",
    Group.FAILED: "Not scored: no radiograph of it could be read",
    Group.NEW: "New, changed or partly read",
    Group.UNCHANGED: "Unchanged since an earlier run",
    Group.AGREE_ABNORMAL: "Agreed: abnormal",
    Group.AGREE_NORMAL: "Agreed: normal",
    Group.SKIPPED: "Nothing to score",
}
DISCORDANT = (Group.MISSED, Group.FALSE_ALARM)
SERIOUS = (*DISCORDANT, Group.SET_ASIDE, Group.FAILED)  # a person should look at each of them
_ORDER = {group: n for n, group in enumerate(Group)}
_BY_STATUS = {
    StudyStatus.SET_ASIDE: Group.SET_ASIDE,
    StudyStatus.FAILED: Group.FAILED,
    StudyStatus.SKIPPED: Group.SKIPPED,
    StudyStatus.UNCHANGED: Group.UNCHANGED,
}
Order = tuple[float | str, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """A study row with its truth, None where it has none."""

    row: StudyScore
    label: int | None

    @property
    def group(self) -> Group:
        if self.label is None or self.row.abnormal is None:
            return _BY_STATUS.get(self.row.status, Group.NEW)
        if bool(self.label) == self.row.abnormal:
            return Group.AGREE_ABNORMAL if self.label else Group.AGREE_NORMAL
        return Group.MISSED if self.label else Group.FALSE_ALARM

    @property
    def is_discordant(self) -> bool:
        return self.group in DISCORDANT

    @property
    def is_new(self) -> bool:
        return self.row.status in {StudyStatus.SCORED, StudyStatus.PARTIAL}


def in_table(listed: Listed) -> Order:
    """By group, in each what is new in this run first, then the most abnormal, but of the missed the most normal: the
    worst mistake first."""
    score = listed.row.score or 0.0
    worst = score if listed.group is Group.MISSED else -score
    return (_ORDER[listed.group], not listed.is_new, worst, *_identity(listed.row))


def in_pictures(listed: Listed) -> Order:
    """Missed, false alarms, then what is new, then the most abnormal; within each as in the table."""
    if listed.is_discordant:
        return in_table(listed)
    return (len(_ORDER), not listed.is_new, -(listed.row.score or 0.0), *_identity(listed.row))


def by_mistake(listed: Listed) -> Order:
    """The score that is farthest on the wrong side of the threshold first, whichever side that is."""
    return (-abs((listed.row.score or 0.0) - listed.row.threshold), *_identity(listed.row))


def without_truth(row: StudyScore) -> Order:
    """The order of the table for rows that no truth names."""
    return in_table(Listed(row, None))


def _identity(row: StudyScore) -> tuple[str, str, str]:
    return (row.study_uid, row.region, row.laterality)
