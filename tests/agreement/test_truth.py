"""Truth files as people write them, and what they are matched with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from mura_batch.agreement.summary import summarise
from mura_batch.agreement.truth import match
from mura_batch.agreement.truth_csv import read_truth
from mura_batch.agreement.truth_file import Said, Truth, TruthFile, TruthKind
from mura_batch.errors import TruthError
from mura_batch.records import Region, StudyScore

StudyMaker = Callable[..., StudyScore]
TruthWriter = Callable[..., Path]


def truth_of(path: Path) -> Truth:
    return Truth((read_truth(path),))


def labels_of(file: TruthFile) -> dict[str, int | None]:
    """Of its label column."""
    return {line.study: None if line.said is None else line.said.label for line in file.lines}


@pytest.mark.parametrize(
    "text",
    [
        "study_uid,label\n1.2,1\n1.3,0\n",
        "\ufeffstudy_uid,label\r\n1.2,1\r\n1.3,0\r\n",  # Excel's 'CSV UTF-8'
        "study_uid;label\n1.2;abnormal\n1.3;normal\n",  # Excel where the comma is the decimal sign
        "StudyInstanceUID\tLabel\n 1.2 \t Positive \n1.3\tnegative\n",
        'label,study_uid,remark\n1.0,1.2,"old, healed"\n0.0,\'1.3,\n\n',
    ],
)
def test_truth_is_read_as_people_save_it(truth_file: TruthWriter, text: str) -> None:
    file = read_truth(truth_file(text))
    assert labels_of(file) == {"1.2": 1, "1.3": 0}
    truth = Truth((file,))
    assert truth.names("1.2", "")
    assert not truth.names("1.4", "")


def test_accession_numbers_keep_their_leading_zeros(truth_file: TruthWriter) -> None:
    file = read_truth(truth_file("accession,label\n00012,1\n"))
    assert file.by == "accession"
    truth = Truth((file,))
    assert truth.names("any", "00012")
    assert not truth.names("any", "12")


def test_an_empty_accession_is_named_by_no_truth(truth_file: TruthWriter) -> None:
    assert not Truth((read_truth(truth_file("accession,label\n7,1\n")),)).names("1.2", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "header line"),
        ("study,label\n1.2,1\n", "header line"),
        ("study_uid,label\n1.2,1\n1.3,maybe\n", "line 3: label 'maybe'"),
        ("study_uid,region,label\n1.2,knee,1\n", "line 2: region 'knee'"),
        ("study_uid,label\n1.2\n", "line 2: has 1 values"),
        ("study_uid,label\n,1\n", "line 2: names no study"),
        ("study_uid,label,label\n1.2,1,1\n", "more than once"),
        ('study_uid,label\n1.2,"1\n', "not a CSV"),
        ("study_uid,side,label\n1.2,up,1\n", "line 2: side 'up'"),
        ("sep=;\nstudy_uid;label\n1.2;1\n1.3;maybe\n", "line 4: label 'maybe'"),
        ("study_uid,label\n1.2,1\n1.3," + 10_000_000 * "x" + "\n", "field larger than field limit"),
        ("study_uid,label," + ",".join(f"column {n}" for n in range(1000)) + "\n1.2,1\n", "has 2 values"),
    ],
)
def test_a_mistake_is_reported_with_its_line(truth_file: TruthWriter, text: str, message: str) -> None:
    with pytest.raises(TruthError, match=r"truth\.csv") as error:
        read_truth(truth_file(text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("sep=;\r\nstudy_uid;label\r\n1.2;1\r\n1.3;0\r\n", "utf-8"),
        ("\ufeffsep=,\nstudy_uid,label\n1.2,1\n1.3,0\n", "utf-8"),
        ("study_uid\tlabel\r\n1.2\t1\r\n1.3\t0\r\n", "utf-16"),  # Excel's 'Unicode text', with its mark
        ("\ufeffsep=;\nstudy_uid;label\n1.2;1\n1.3;0\n", "utf-16-be"),
    ],
)
def test_what_excel_writes_is_read(truth_file: TruthWriter, text: str, encoding: str) -> None:
    assert labels_of(read_truth(truth_file(text, encoding=encoding))) == {"1.2": 1, "1.3": 0}


@pytest.mark.parametrize(
    ("text", "words"),
    [("study_uid,label\n", "no label: it needs"), ("study_uid,label\n1,\n2,pending\n", "(1 pending, 1 blank)")],
)
def test_a_file_without_labels_is_refused_where_asked(truth_file: TruthWriter, text: str, words: str) -> None:
    file = read_truth(truth_file(text))
    with pytest.raises(TruthError) as error:
        file.require_labels()
    assert words in str(error.value)


def test_a_thousand_columns_beside_the_label_are_read(truth_file: TruthWriter) -> None:
    header, values = ",".join(f"c{n}" for n in range(1000)), ",".join("x" * 1000)
    assert labels_of(read_truth(truth_file(f"study_uid,{header},label\n1.2,{values},1\n"))) == {"1.2": 1}


def test_labels_of_a_reader_are_a_reader_column(truth_file: TruthWriter) -> None:
    path = truth_file("study_uid,label,reader_2\n1,1,0\n2,,1\n")
    file = read_truth(path, TruthKind.READER, "Dr Ito")
    assert file.readers == ("Dr Ito", "reader_2")
    assert [line.readers for line in file.lines] == [(Said.ABNORMAL, Said.NORMAL), (Said.BLANK, Said.ABNORMAL)]
    with pytest.raises(TruthError, match="Name the reader with --reader"):
        read_truth(path, TruthKind.READER)


def test_the_hash_of_the_file_is_recorded(truth_file: TruthWriter) -> None:
    path = truth_file("study_uid,label\n1,1\n")
    assert read_truth(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_whole_study_label_of_several_regions_counts_only_overall(truth_file: TruthWriter, study: StudyMaker) -> None:
    rows = [
        study("1", region=Region.HAND, score=0.2), study("1", region=Region.WRIST, score=0.9),
        study("2", region=Region.WRIST, score=0.8),
    ]  # fmt: skip
    matched = match(truth_of(truth_file("study_uid,label\n1,1\n2,1\n")), rows)
    assert [(case.study_uid, case.score, case.whole_study) for case in matched.cases] == [
        ("1", 0.9, True),
        ("2", 0.8, False),
    ]
    agreement = summarise(matched)
    assert agreement is not None
    assert [(group.name, group.n) for group in agreement.regions] == [("wrist", 1)]
    assert (agreement.overall.n, matched.whole_study) == (2, 1)


def test_an_accession_of_several_studies_is_not_compared(truth_file: TruthWriter, study: StudyMaker) -> None:
    rows = [study("1", accession="7"), study("2", accession="7"), study("3", accession="8")]
    matched = match(truth_of(truth_file("accession,label\n7,1\n8,1\n")), rows)
    assert [case.study_uid for case in matched.cases] == ["3"]
    assert (len(matched.ambiguous), len(matched.absent), matched.unscored) == (1, 0, 0)
    assert matched.ambiguous[0].endswith("line 2: 7")


def test_wrong_encoding_or_missing_file_is_an_error(truth_file: TruthWriter, tmp_path: Path) -> None:
    with pytest.raises(TruthError, match="CSV UTF-8"):
        read_truth(truth_file("study_uid,label,who\n1.2,1,Müller\n", encoding="latin-1"))
    with pytest.raises(TruthError, match="cannot be read"):
        read_truth(tmp_path / "nowhere.csv")


def test_unmatched_labels_are_counted(truth_file: TruthWriter, study: StudyMaker) -> None:
    truth = truth_of(truth_file("study_uid,label\n1,1\n2,0\n3,1\n4,1\n"))
    matched = match(truth, [study("1", 0.9), study("2", 0.8), study("3", None), study("9", 0.1), study("8", None)])
    assert [(c.study_uid, c.label, c.abnormal) for c in matched.cases] == [("1", 1, True), ("2", 0, True)]
    assert (matched.unscored, len(matched.absent), matched.unlabelled) == (1, 1, 1)


def test_a_region_label_matches_that_regions_row(truth_file: TruthWriter, study: StudyMaker) -> None:
    truth = truth_of(truth_file("study_uid,region,label\n1,hand,1\n1,wrist,0\n"))
    rows = [study("1", 0.9, Region.WRIST), study("1", 0.2, Region.HAND)]
    assert {(c.region, c.label, c.score) for c in match(truth, rows).cases} == {("hand", 1, 0.2), ("wrist", 0, 0.9)}


def test_a_label_without_region_matches_the_highest_row(truth_file: TruthWriter, study: StudyMaker) -> None:
    truth = truth_of(truth_file("study_uid,label\n1,1\n"))
    rows = [study("1", 0.2, Region.WRIST), study("1", 0.9, Region.HAND), study("1", None, Region.ELBOW)]
    (case,) = match(truth, rows).cases
    assert (case.region, case.score) == ("hand", 0.9)


def test_a_label_of_a_region_that_the_study_has_not_is_named(truth_file: TruthWriter, study: StudyMaker) -> None:
    truth = truth_of(truth_file("study_uid,region,side,label\n1,wrist,,1\n2,hand,left,1\n3,hand,right,0\n"))
    rows = [study(uid, 0.9, Region.HAND, laterality="R") for uid in "123"]
    matched = match(truth, rows)
    assert [(case.study_uid, case.region) for case in matched.cases] == [("3", "hand")]
    assert [named.partition(": ")[2] for named in matched.no_row] == ["1 wrist", "2 hand L"]


def test_a_single_row_of_unknown_region_takes_the_named_one(truth_file: TruthWriter, study: StudyMaker) -> None:
    rows = [study("1", 0.9, Region.UNKNOWN, laterality="")]
    one, two = (
        truth_of(truth_file(f"study_uid,region,side,label\n{lines}"))
        for lines in ("1,wrist,left,1\n", "1,wrist,left,1\n1,hand,left,0\n")
    )
    assert len(match(one, rows).cases) == 1
    assert len(match(two, rows).no_row) == 2


def test_a_label_of_a_side_matches_that_sides_row(truth_file: TruthWriter, study: StudyMaker) -> None:
    truth = truth_of(truth_file("study_uid,laterality,label\n1,L,1\n1,right,0\n"))
    rows = [study("1", 0.9, laterality="R"), study("1", 0.2, laterality="L")]
    assert {(c.laterality, c.label, c.score) for c in match(truth, rows).cases} == {("L", 1, 0.2), ("R", 0, 0.9)}


def test_a_truth_of_other_studies_names_none(truth_file: TruthWriter, study: StudyMaker) -> None:
    matched = match(truth_of(truth_file("study_uid,label\n9.9.9,1\n")), [study("1")])
    assert not matched.names_a_study
    assert matched.cases == ()


def test_studies_are_matched_by_accession_too(truth_file: TruthWriter, study: StudyMaker) -> None:
    truth = truth_of(truth_file("Accession Number;label\nX1;1\n"))
    matched = match(truth, [study("1", 0.4, accession="X1"), study("2", 0.4, accession="")])
    assert [(c.study_uid, c.label) for c in matched.cases] == [("1", 1)]
    assert matched.unlabelled == 1


def test_reader_columns_give_majority_and_own_labels(truth_file: TruthWriter, study: StudyMaker) -> None:
    truth = truth_of(truth_file("study_uid,reader_1,reader_2,reader_3\n1,1,1,0\n2,0,,\n"))
    matched = match(truth, [study("1"), study("2")])
    assert matched.readers == ("reader_1", "reader_2", "reader_3")
    assert [(c.label, c.readers) for c in matched.cases] == [(1, (1, 1, 0)), (0, (0, None, None))]


def test_studies_without_patient_key_are_different_patients(truth_file: TruthWriter, study: StudyMaker) -> None:
    """Else every study without Patient ID would count as one patient in the bootstrap."""
    truth = truth_of(truth_file("study_uid,label\n1,1\n2,0\n"))
    matched = match(truth, [study("1", patient_key=""), study("2", patient_key="")])
    assert len({c.patient for c in matched.cases}) == 2
