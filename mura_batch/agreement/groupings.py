"""Cases by region, side, sex, age, device and view: does the model do worse somewhere?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from mura_batch.agreement.group import FEWEST_CASES, Group, group_of
from mura_batch.agreement.traits import TraitBook
from mura_batch.agreement.truth import Case

MOST_GROUPS = 40  # of one kind, the largest: devices and views may be spelled in very many ways
NOT_RECORDED = "not recorded"
_AGES = ((18, "under 18"), (40, "18 to 39"), (65, "40 to 64"), (1000, "65 and older"))  # growing, adult, brittle bone
_SIDES = {"L": "left", "R": "right", "B": "both sides", "U": "unpaired"}
_SEXES = {"F": "female", "M": "male", "O": "other"}


@dataclass(frozen=True, slots=True)
class Grouping:
    """One way to divide the cases. groups: those with figures. left_out: groups without, which are too small or beyond
    MOST_GROUPS, and cases_left_out their studies."""

    kind: str
    groups: tuple[Group, ...]
    left_out: int
    cases_left_out: int


Labels = Callable[[Case], Iterator[tuple[str, Case]]]  # a case -> its groups, with what of the case counts there


def groupings_of(cases: Sequence[Case], regions: Sequence[Group], traits: TraitBook) -> tuple[Grouping, ...]:
    """Each kind that divides the cases: one in which all are in one group says nothing. regions: the groups of the
    first kind."""
    kinds: dict[str, Labels] = {
        "side": lambda case: _one(
            _SIDES.get(case.laterality, NOT_RECORDED), None if case.whole_study or case.several_sides else case
        ),
        "sex": lambda case: _one(_of_sex(traits.of(case.row_key).sex), case),
        "age": lambda case: _one(_age_band(traits.of(case.row_key).age), case),
        "device": lambda case: _one(traits.of(case.row_key).device or NOT_RECORDED, case),
        "view": partial(_by_view, traits),
    }
    found = (_by_region(regions), *(_grouping(kind, cases, labels) for kind, labels in kinds.items()))
    return tuple(grouping for grouping in found if len(grouping.groups) + grouping.left_out > 1)


def _by_region(regions: Sequence[Group]) -> Grouping:
    small = [region.n for region in regions if region.is_suppressed]
    return Grouping("region", tuple(region for region in regions if not region.is_suppressed), len(small), sum(small))


def _grouping(kind: str, cases: Sequence[Case], labels: Labels) -> Grouping:
    members: dict[str, list[Case]] = {}
    for case in cases:
        for name, of in labels(case):
            members.setdefault(name, []).append(of)
    largest = sorted(members, key=lambda name: (-len(members[name]), name))[:MOST_GROUPS]
    shown = sorted(name for name in largest if len(members[name]) >= FEWEST_CASES)
    left_out = [len(of) for name, of in members.items() if name not in shown]
    groups = tuple(group_of(f"{kind}: {name}", members[name]) for name in _in_order(shown))
    return Grouping(kind, groups, len(left_out), sum(left_out))


def _in_order(names: Sequence[str]) -> list[str]:
    """By name; ages by age, and what is not recorded last."""
    ages = [band for _, band in _AGES]
    return sorted(names, key=lambda name: (name == NOT_RECORDED, ages.index(name) if name in ages else 0, name))


def _one(name: str, case: Case | None) -> Iterator[tuple[str, Case]]:
    if case is not None:
        yield name, case


def _of_sex(sex: str) -> str:
    return _SEXES.get(sex, sex) or NOT_RECORDED


def _age_band(age: int | None) -> str:
    return NOT_RECORDED if age is None else next(band for below, band in _AGES if age < below)


def _by_view(traits: TraitBook, case: Case) -> Iterator[tuple[str, Case]]:
    """The case as each of its views alone would have it."""
    for view, score in () if case.whole_study or case.several_sides else traits.of(case.row_key).views:
        yield view or NOT_RECORDED, replace(case, score=score, abnormal=score > (traits.threshold or 0.0))
