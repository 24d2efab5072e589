"""Truth files as people write them, and what they are matched with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from mura_batch.agreement.summary import summarise
from mura_batch.agreement.truth import match
from mura_batch.agreement.truth_csv import read_truth
from mura_batch.errors import TruthError
from mura_batch.records import Region, StudyScore

StudyMaker = Callable[..., StudyScore]
TruthWriter = Callable[..., Path]


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
    truth = read_truth(truth_file(text))
    assert dict(truth.labels) == {("1.2", ""): 1, ("1.3", ""): 0}
    assert truth.names("1.2", "")
    assert not truth.names("1.4", "")


def test_accession_numbers_keep_their_leading_zeros(truth_file: TruthWriter) -> None:
    truth = read_truth(truth_file("accession,label\n00012,1\n"))
    assert truth.by == "accession"
    assert truth.names("any", "00012")
    assert not truth.names("any", "12")


def test_an_empty_accession_is_named_by_no_truth(truth_file: TruthWriter) -> None:
    assert not read_truth(truth_file("accession,label\n7,1\n")).names("1.2", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "header line"),
        ("study_uid,label\n", "no label"),
        ("study,label\n1.2,1\n", "header line"),
        ("study_uid,label\n1.2,1\n1.3,maybe\n", "line 3: label 'maybe'"),
        ("study_uid,label\n1.2,1\n1.2,0\n", "no label (1 contradictory)"),
        ("study_uid,label\n1.2,\n1.3,pending\n", "no label (1 blank, 1 pending)"),
        ("study_uid,region,label\n1.2,knee,1\n", "line 2: region 'knee'"),
        ("study_uid,region,label\n1.2,hand,1\n1.2,,0\n", "keep one kind"),
        ("study_uid,label\n1.2\n", "line 2: has 1 values"),
        ("study_uid,label\n,1\n", "line 2: names no study"),
        ("study_uid,label,label\n1.2,1,1\n", "more than once"),
        ('study_uid,label\n1.2,"1\n', "not a CSV"),
        ("study_uid,reader_1,reader_2\n1.2,1,0\n", "line 2: its readers give no majority"),
    ],
)
def test_a_mistake_is_reported_with_its_line(truth_file: TruthWriter, text: str, message: str) -> None:
    with pytest.raises(TruthError, match=r"truth\.csv") as error:
        read_truth(truth_file(text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_lines_without_a_label_are_counted_by_kind(truth_file: TruthWriter) -> None:
    truth = read_truth(truth_file("study_uid,label\n1,1\n2,pending\n3,Indeterminate\n4,\n5, \n1,1\n"))
    assert truth.labels == ((("1", ""), 1),)
    assert dict(truth.left_out) == {"pending": 1, "indeterminate": 1, "blank": 2, "repeated": 1}


def test_contradictory_lines_are_listed_and_give_no_label(truth_file: TruthWriter) -> None:
    path = truth_file("study_uid,region,label,reader_1\n1,hand,1,1\n2,hand,0,0\n1,hand,0,1\n1,hand,1,1\n")
    truth = read_truth(path)
    assert truth.labels == ((("2", "hand"), 0),)
    assert truth.readers == (("reader_1", ((("2", "hand"), 0),)),)
    (found,) = truth.contradictory
    assert (found.study, found.region) == ("1", "hand")
    assert found.lines == (f"{path}, line 2: 1", f"{path}, line 4: 0", f"{path}, line 5: 1")


def test_readers_who_have_not_decided_have_no_label(truth_file: TruthWriter) -> None:
    truth = read_truth(truth_file("study_uid,reader_1,reader_2\n1,1,pending\n2,indeterminate,\n3,,\n"))
    assert truth.labels == ((("1", ""), 1),)
    assert dict(truth.left_out) == {"indeterminate": 1, "blank": 1}


def test_the_hash_of_the_file_is_recorded(truth_file: TruthWriter) -> None:
    path = truth_file("study_uid,label\n1,1\n")
    assert read_truth(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_whole_study_label_of_several_regions_counts_only_overall(truth_file: TruthWriter, study: StudyMaker) -> None:
    rows = [
        study("1", region=Region.HAND, score=0.2), study("1", region=Region.WRIST, score=0.9),
        study("2", region=Region.WRIST, score=0.8),
    ]  # fmt: skip
    matched = match(read_truth(truth_file("study_uid,label\n1,1\n2,1\n")), rows)
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
    matched = match(read_truth(truth_file("accession,label\n7,1\n8,1\n")), rows)
    assert [case.study_uid for case in matched.cases] == ["3"]
    assert (matched.ambiguous, matched.absent, matched.unscored) == (1, 0, 0)


def test_wrong_encoding_or_missing_file_is_an_error(truth_file: TruthWriter, tmp_path: Path) -> None:
    with pytest.raises(TruthError, match="CSV UTF-8"):
        read_truth(truth_file("study_uid,label,who\n1.2,1,Müller\n", encoding="latin-1"))
    with pytest.raises(TruthError, match="cannot be read"):
        read_truth(tmp_path / "nowhere.csv")


def test_unmatched_labels_are_counted(truth_file: TruthWriter, study: StudyMaker) -> None:
    truth = read_truth(truth_file("study_uid,label\n1,1\n2,0\n3,1\n4,1\n"))
    matched = match(truth, [study("1", 0.9), study("2", 0.8), study("3", None), study("9", 0.1), study("8", None)])
    assert [(c.study_uid, c.label, c.abnormal) for c in matched.cases] == [("1", 1, True), ("2", 0, True)]
    assert (matched.unscored, matched.absent, matched.unlabelled) == (1, 1, 1)


def test_a_region_label_matches_that_regions_row(truth_file: TruthWriter, study: StudyMaker) -> None:
    truth = read_truth(truth_file("study_uid,region,label\n1,hand,1\n1,wrist,0\n"))
    rows = [study("1", 0.9, Region.WRIST), study("1", 0.2, Region.HAND)]
    assert {(c.region, c.label, c.score) for c in match(truth, rows).cases} == {("hand", 1, 0.2), ("wrist", 0, 0.9)}


def test_a_label_without_region_matches_the_highest_row(truth_file: TruthWriter, study: StudyMaker) -> None:
    truth = read_truth(truth_file("study_uid,label\n1,1\n"))
    rows = [study("1", 0.2, Region.WRIST), study("1", 0.9, Region.HAND), study("1", None, Region.ELBOW)]
    (case,) = match(truth, rows).cases
    assert (case.region, case.score) == ("hand", 0.9)


def test_one_row_matches_one_label_of_any_region(truth_file: TruthWriter, study: StudyMaker) -> None:
    """A reader writes 'wrist' where the header has 'hand'."""
    truth = read_truth(truth_file("study_uid,region,label\n1,wrist,1\n"))
    (case,) = match(truth, [study("1", 0.9, Region.HAND)]).cases
    assert case.region == "hand"


def test_a_truth_of_other_studies_is_refused(truth_file: TruthWriter, study: StudyMaker) -> None:
    with pytest.raises(TruthError, match="no study"):
        match(read_truth(truth_file("study_uid,label\n9.9.9,1\n")), [study("1")])


def test_studies_are_matched_by_accession_too(truth_file: TruthWriter, study: StudyMaker) -> None:
    truth = read_truth(truth_file("Accession Number;label\nX1;1\n"))
    matched = match(truth, [study("1", 0.4, accession="X1"), study("2", 0.4, accession="")])
    assert [(c.study_uid, c.label) for c in matched.cases] == [("1", 1)]
    assert matched.unlabelled == 1


def test_reader_columns_give_majority_and_own_labels(truth_file: TruthWriter, study: StudyMaker) -> None:
    truth = read_truth(truth_file("study_uid,reader_1,reader_2,reader_3\n1,1,1,0\n2,0,,\n"))
    matched = match(truth, [study("1"), study("2")])
    assert matched.readers == ("reader_1", "reader_2", "reader_3")
    assert [(c.label, c.readers) for c in matched.cases] == [(1, (1, 1, 0)), (0, (0, None, None))]


def test_studies_without_patient_key_are_different_patients(truth_file: TruthWriter, study: StudyMaker) -> None:
    """Else every study without Patient ID would count as one patient in the bootstrap."""
    truth = read_truth(truth_file("study_uid,label\n1,1\n2,0\n"))
    matched = match(truth, [study("1", patient_key=""), study("2", patient_key="")])
    assert len({c.patient for c in matched.cases}) == 2
