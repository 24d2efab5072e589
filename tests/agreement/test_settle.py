"""Several truth files that speak of the same studies: which label counts, and that no line is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mura_batch.agreement.comparison import LINE_FATES, Comparison
from mura_batch.agreement.truth import Matched, match
from mura_batch.agreement.truth_file import Said, Sampled, Truth, TruthFile, TruthKind, TruthLine
from mura_batch.records import Laterality, Region, StudyScore, StudyStatus

StudyMaker = Callable[..., StudyScore]
NORMAL, ABNORMAL, PENDING, BLANK = Said.NORMAL, Said.ABNORMAL, Said.PENDING, Said.BLANK
CONSENSUS, REPORT, READER = TruthKind.CONSENSUS, TruthKind.REPORT, TruthKind.READER


def file(name: str, *lines: TruthLine, kind: TruthKind = REPORT, **other: object) -> TruthFile:
    return TruthFile(name, name, str(other.pop("by", "study_uid")), kind, lines, **other)  # type: ignore[arg-type]


def line(study: str, said: Said | None, region: str = "", side: str = "", **other: object) -> TruthLine:
    return TruthLine(2, study, region, side, said, **other)  # type: ignore[arg-type]


def reader(name: str, *lines: tuple[str, Said]) -> TruthFile:
    read = [line(study, None, readers=(said,)) for study, said in lines]
    return file(f"{name}.csv", *read, kind=READER, reader=name, readers=(name,))


def counts_of(matched: Matched) -> dict[str, int]:
    counts = Comparison(matched, None).counts
    assert counts["labels"] == counts["compared"] + counts["without_score"]
    assert counts["lines"] == counts["labels"] - counts["by_majority"] + sum(counts[fate] for fate in LINE_FATES)
    return {name: n for name, n in counts.items() if n}


def labels(matched: Matched) -> dict[str, int]:
    return {case.row_key: case.label for case in matched.cases}


def test_files_that_agree_give_one_label(study: StudyMaker) -> None:
    truth = Truth((file("a", line("1", ABNORMAL)), file("b", line("A1", ABNORMAL, "wrist", "R"), by="accession")))
    matched = match(truth, [study("1")])
    assert labels(matched) == {"1/wrist/R": 1}
    assert counts_of(matched)["repeated"] == 1


def test_two_reports_that_differ_are_listed_and_none_counts(study: StudyMaker) -> None:
    truth = Truth((file("a", line("1", ABNORMAL)), file("b", line("A1", NORMAL, "wrist"), by="accession")))
    matched = match(truth, [study("1"), study("2")])
    assert labels(matched) == {}
    (found,) = matched.contradictory
    assert (found.study, found.region, found.side) == ("1", "wrist", "R")
    assert found.lines == ("a, line 2: 1", "b, line 2: 0")
    assert counts_of(matched)["contradictory_lines"] == 2


@pytest.mark.parametrize("first", [True, False])
def test_a_consensus_overrules_a_report(study: StudyMaker, first: bool) -> None:
    files = [file("report", line("1", ABNORMAL), line("2", NORMAL)), file("board", line("1", NORMAL), kind=CONSENSUS)]
    matched = match(Truth(tuple(files if first else files[::-1])), [study("1"), study("2")])
    assert labels(matched) == {"1/wrist/R": 0, "2/wrist/R": 0}
    (found,) = matched.overruled
    assert set(found.lines) == {"report, line 2: 1", "board, line 2: 0"}
    assert (counts_of(matched)["overruled"], counts_of(matched)["by_consensus"]) == (1, 1)


def test_readers_count_by_majority_where_nobody_else_speaks(study: StudyMaker) -> None:
    truth = Truth(
        (
            reader("a", ("1", ABNORMAL), ("2", NORMAL), ("3", NORMAL)),
            reader("b", ("1", ABNORMAL), ("2", ABNORMAL), ("3", NORMAL)),
            reader("c", ("1", NORMAL), ("3", NORMAL)),
            file("report", line("3", ABNORMAL)),
        )
    )
    matched = match(truth, [study("1"), study("2"), study("3")])
    assert labels(matched) == {"1/wrist/R": 1, "3/wrist/R": 1}
    assert matched.readers == ("a", "b", "c")
    assert matched.cases[0].readers == (1, 1, 0)
    counts = counts_of(matched)
    assert (counts["by_majority"], counts["without_majority"], counts["of_readers"]) == (1, 1, 8)


def test_a_pending_report_is_not_decided_by_readers(study: StudyMaker) -> None:
    truth = Truth((reader("a", ("1", ABNORMAL)), file("report", line("1", PENDING))))
    matched = match(truth, [study("1")])
    assert labels(matched) == {}
    assert counts_of(matched)["pending"] == 1


def test_a_reader_who_contradicts_himself_has_no_vote(study: StudyMaker) -> None:
    truth = Truth((reader("a", ("1", ABNORMAL)), reader("a", ("1", NORMAL)), reader("b", ("1", NORMAL))))
    matched = match(truth, [study("1")])
    assert labels(matched) == {"1/wrist/R": 0}
    assert matched.contradictory[0].lines == ("a.csv, line 2, a: 1", "a.csv, line 2, a: 0")


def test_a_later_label_supersedes_a_blank(study: StudyMaker) -> None:
    truth = Truth((file("old", line("1", BLANK), line("2", PENDING)), file("new", line("1", ABNORMAL))))
    counts = counts_of(match(truth, [study("1"), study("2")]))
    assert (counts["superseded"], counts["pending"]) == (1, 1)


@pytest.mark.parametrize(
    ("whole", "hand", "wrist", "expected"),
    [
        (1, 1, 0, {"1/hand/R": 1, "1/wrist/R": 0}),  # the whole says no more than its parts
        (1, 0, None, {"1/hand/R": 0}),
        (0, 1, None, {}),  # a normal study with an abnormal hand
        (1, 0, 0, {}),  # an abnormal study without an abnormal region
        (0, 0, 0, {"1/hand/R": 0, "1/wrist/R": 0}),
    ],
)
def test_a_whole_beside_its_regions(
    study: StudyMaker, whole: int, hand: int, wrist: int | None, expected: dict[str, int]
) -> None:
    parts = [("hand", hand), *([("wrist", wrist)] if wrist is not None else [])]
    truth = Truth(
        (
            file("a", line("1", Said(str(whole)))),
            file("b", *(line("1", Said(str(label)), region) for region, label in parts)),
        )
    )
    matched = match(truth, [study("1", region=Region.HAND), study("1", region=Region.WRIST)])
    assert labels(matched) == expected
    counts = counts_of(matched)
    assert bool(matched.contradictory) is (not expected)
    assert counts.get("beside_its_parts", 0) == bool(expected)


def test_a_label_without_side_enters_no_side(study: StudyMaker) -> None:
    rows = [study("1", 0.9, laterality="L"), study("1", 0.2, laterality="R")]
    (case,) = match(Truth((file("a", line("1", ABNORMAL, "wrist")),)), rows).cases
    assert (case.laterality, case.several_sides, case.whole_study) == ("L", True, False)


def test_only_the_newest_sheet_gives_probabilities(study: StudyMaker) -> None:
    def sheet(name: str, probability: float, *studies: str) -> TruthFile:
        lines = [line(one, ABNORMAL, sampled=Sampled("all", probability)) for one in studies]
        return file(name, *lines, drawn=(("all", probability),), unread=3)

    matched = match(Truth((sheet("old", 0.5, "1", "2"), sheet("new", 0.25, "2", "3"))), [study(n) for n in "123"])
    found = {case.study_uid: case.sampled for case in matched.cases}
    assert found == {"1": None, "2": Sampled("all", 0.25), "3": Sampled("all", 0.25)}
    assert matched.unread == 3


def test_a_stored_truth_keeps_only_files_that_name_the_run(study: StudyMaker) -> None:
    files = (file("here", line("1", ABNORMAL), line("8", NORMAL)), file("elsewhere", line("9", ABNORMAL)))
    stored, given_now = (match(Truth(files, is_stored=is_stored), [study("1")]) for is_stored in (True, False))
    assert [(one.name, len(one.lines), one.elsewhere) for one in stored.truth.files] == [("here", 1, 1)]
    assert given_now.truth.files == files
    assert [named.partition(": ")[2] for named in given_now.absent] == ["8", "9"]
    assert stored.absent == ()
    assert counts_of(stored)["not_in_this_run"] == 2


STUDIES = st.sampled_from(["1", "2", "3", "9"])
LINES = st.builds(
    lambda study, region, side, said, readers: TruthLine(2, study, region, side, said, readers),
    STUDIES,
    st.sampled_from(["", "hand", "wrist", "elbow"]),
    st.sampled_from(["", "L", "R"]),
    st.one_of(st.none(), st.sampled_from(Said)),
    st.tuples(st.sampled_from(Said), st.sampled_from(Said)),
)
FILES = st.lists(
    st.tuples(st.sampled_from(TruthKind), st.lists(LINES, max_size=6)).map(
        lambda one: TruthFile("f", "", "study_uid", one[0], tuple(one[1]), readers=("a", "b"))
    ),
    max_size=4,
)


@given(FILES)
def test_every_line_has_one_fate_whatever_the_files_say(files: list[TruthFile]) -> None:
    def row(uid: str, region: Region, side: Laterality, score: float | None) -> StudyScore:
        return StudyScore(
            uid, f"A{uid}", "", "", region, side, 1, 1, score, None if score is None else score > 0.5, 0.5,
            StudyStatus.SCORED,
        )  # fmt: skip

    rows = [
        row("1", Region.HAND, Laterality.LEFT, 0.1), row("1", Region.HAND, Laterality.RIGHT, 0.9),
        row("1", Region.WRIST, Laterality.RIGHT, 0.4), row("2", Region.WRIST, Laterality.UNKNOWN, 0.8),
        row("3", Region.UNKNOWN, Laterality.UNKNOWN, None),
    ]  # fmt: skip
    truth = Truth(tuple(files))
    matched = match(truth, rows)
    counts = counts_of(matched)
    assert counts.get("lines", 0) == sum(len(one.lines) for one in files)
    again = match(matched.truth, rows)
    assert (again.cases, counts_of(again)) == (matched.cases, counts)
