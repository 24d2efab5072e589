"""Drawing a sample, and reading it back as truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mura_batch.agreement.sampling import LEAST_OF_A_STRATUM, Stratum, allocate, draw, label_of
from mura_batch.agreement.summary import summarise
from mura_batch.agreement.truth import match
from mura_batch.agreement.truth_csv import read_truth
from mura_batch.agreement.truth_file import Truth
from mura_batch.errors import TruthError
from mura_batch.records import StudyScore

StudyMaker = Callable[..., StudyScore]
TruthWriter = Callable[..., Path]
HEADER = "study_uid,label,sampling_stratum,sampling_probability\n"

sizes = st.dictionaries(st.text("abc", min_size=1), st.integers(0, 400), min_size=1)


@given(sizes, st.data())
def test_a_draw_takes_what_is_wanted_in_proportion(of: dict[str, int], data: st.DataObject) -> None:
    total = sum(of.values())
    if not total:
        with pytest.raises(ValueError, match="cannot be drawn"):
            allocate(of, 1)
        return
    wanted = data.draw(st.integers(1, total))
    strata = allocate(of, wanted)
    assert wanted <= sum(part.drawn for part in strata) <= wanted + LEAST_OF_A_STRATUM * len(strata)
    for part in strata:
        assert min(part.studies, LEAST_OF_A_STRATUM) <= part.drawn <= part.studies
        assert part.drawn <= max(LEAST_OF_A_STRATUM, wanted * part.studies / total + 1)


def test_more_than_there_is_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="11 studies cannot be drawn of 10"):
        allocate({"a": 4, "b": 6}, 11)


def test_a_seed_draws_the_same_studies_without_replacement() -> None:
    members = ["a"] * 30 + ["b"] * 10
    strata = allocate(Counter(members), 20)
    first = draw(members, strata, seed=3)
    assert first == draw(members, strata, seed=3)
    assert first != draw(members, strata, seed=4)
    assert len(set(first)) == len(first)
    assert Counter(members[n] for n in first) == {part.name: part.drawn for part in strata}


def _sheet(strata: list[Stratum], blank: int = 0) -> list[str]:
    """Lines of a sheet, abnormal where the number is odd; the first `blank` have no label yet."""
    lines = [
        f"{label_of(number, part)},{part.probability:.9g}"
        for number, part in enumerate(strata, start=1)
        for _ in range(part.drawn)
    ]
    return [f"{n},{'' if n < blank else n % 2},{line}\n" for n, line in enumerate(lines)]


def test_a_sheet_is_read_as_truth_with_probabilities(truth_file: TruthWriter, study: StudyMaker) -> None:
    lines = _sheet([Stratum("x", 300, 30), Stratum("y", 21, 7)])
    truth = read_truth(truth_file(HEADER + "".join(lines)))
    matched = match(Truth((truth,)), [study(str(n), 0.9 if n % 2 else 0.1) for n in range(37)])
    sampled = [case.sampled for case in matched.cases]
    assert {one.stratum for one in sampled if one} == {"1: 30 of 300", "2: 7 of 21"}
    assert {round(one.probability, 6) for one in sampled if one} == {0.1, round(1 / 3, 6)}
    summary = summarise(matched)
    assert summary is not None
    assert summary.corrected is not None
    assert summary.corrected.kappa.value == 1
    assert not summary.may_be_biased


def test_unread_studies_lower_the_probability(truth_file: TruthWriter) -> None:
    truth = read_truth(truth_file(HEADER + "".join(_sheet([Stratum("x", 300, 30)], blank=10))))
    assert (sum(line.has_label for line in truth.lines), truth.unread) == (20, 10)
    assert truth.drawn == (("1: 30 of 300", 0.1 * 20 / 30),)


@pytest.mark.parametrize(
    "edit",
    [
        lambda lines: lines[:-1],  # a line lost
        lambda lines: [*lines[:-1], lines[-1].replace(",0.1\n", ",0.2\n")],  # one probability changed
        lambda lines: [line.replace(",0.1\n", ",0.2\n") for line in lines],  # all of them
        lambda lines: [line.replace(" of 300", " of 400") for line in lines],
    ],
)
def test_probabilities_other_than_the_drawn_ones_are_an_error(
    truth_file: TruthWriter, edit: Callable[[list[str]], list[str]]
) -> None:
    lines = edit(_sheet([Stratum("x", 300, 30)]))
    with pytest.raises(TruthError, match="are not the drawn ones") as error:
        read_truth(truth_file(HEADER + "".join(lines)))
    assert "\n" not in str(error.value)


def test_counts_that_stand_for_no_whole_archive_are_an_error(truth_file: TruthWriter) -> None:
    with pytest.raises(TruthError, match=r"3 lines with 0.7 stand for 4.3 studies"):
        read_truth(truth_file("study_uid,label,sampling_probability\n1,0,0.7\n2,1,0.7\n3,1,0.7\n"))


@pytest.mark.parametrize("probability", ["", "0", "1.5", "often", "nan"])
def test_a_probability_that_is_none_is_an_error(truth_file: TruthWriter, probability: str) -> None:
    with pytest.raises(TruthError, match="line 2: sampling_probability"):
        read_truth(truth_file(f"study_uid,label,sampling_probability\n1,0,{probability}\n"))


def test_partial_truth_without_probabilities_may_be_biased(truth_file: TruthWriter, study: StudyMaker) -> None:
    truth = read_truth(truth_file("study_uid,label\n1,0\n2,1\n"))
    part, whole = (summarise(match(Truth((truth,)), [study(str(n)) for n in range(1, last)])) for last in (4, 3))
    assert part is not None
    assert whole is not None
    assert part.may_be_biased
    assert part.corrected is None
    assert not whole.may_be_biased
