"""The table of agreement of a run, and the published figures beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics
from statsmodels.stats.inter_rater import cohens_kappa

from mura_batch.agreement.curves import OBUCHOWSKI, WILSON_CLUSTERED
from mura_batch.agreement.estimate import Estimate
from mura_batch.agreement.group import Group
from mura_batch.agreement.kappa import DIRICHLET, DIRICHLET_CLUSTERED
from mura_batch.agreement.published import KAPPA
from mura_batch.agreement.summary import Agreement, summarise
from mura_batch.agreement.truth import match
from mura_batch.agreement.truth_csv import read_truth
from mura_batch.agreement.truth_file import Truth
from mura_batch.records import MURA_REGIONS, Region, StudyScore

StudyMaker = Callable[..., StudyScore]
TruthWriter = Callable[..., Path]


def truth_of(path: Path) -> Truth:
    return Truth((read_truth(path),))


def _cases(n: int) -> list[tuple[str, int, float, Region]]:
    """n labelled studies over all seven regions, with scores that are right more often than not."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, n)
    scores = np.clip(0.5 + 0.25 * (2 * labels - 1) + rng.normal(0, 0.25, n), 0, 1)
    return [(str(i), int(labels[i]), float(scores[i]), MURA_REGIONS[i % 7]) for i in range(n)]


@pytest.fixture
def agreement(study: StudyMaker, truth_file: TruthWriter) -> Agreement:
    cases = _cases(140)
    text = "study_uid,label\n" + "".join(f"{uid},{label}\n" for uid, label, _, _ in cases)
    matched = match(truth_of(truth_file(text)), [study(uid, score, region) for uid, _, score, region in cases])
    summary = summarise(matched)
    assert summary is not None
    return summary


def test_overall_figures_equal_scikit_learn_and_statsmodels(agreement: Agreement) -> None:
    cases = _cases(140)
    truth, score = [label for _, label, _, _ in cases], [score for _, _, score, _ in cases]
    called = [int(s > 0.5) for s in score]
    table = metrics.confusion_matrix(truth, called)
    overall = agreement.overall
    counts = [
        [overall.true_negative, overall.false_positive],
        [overall.false_negative, overall.true_positive],
    ]
    assert counts == table.tolist()
    assert overall.kappa.value == pytest.approx(metrics.cohen_kappa_score(truth, called), abs=1e-12)
    assert overall.kappa.se == pytest.approx(cohens_kappa(table).std_kappa * math.sqrt(140 / 139), abs=1e-12)
    assert overall.accuracy.value == pytest.approx(metrics.accuracy_score(truth, called), abs=1e-12)
    assert overall.sensitivity.value == pytest.approx(metrics.recall_score(truth, called), abs=1e-12)
    assert overall.specificity.value == pytest.approx(metrics.recall_score(truth, called, pos_label=0), abs=1e-12)
    assert overall.auroc.value == pytest.approx(metrics.roc_auc_score(truth, score), abs=1e-12)


def test_regions_are_in_muras_order_and_add_up(agreement: Agreement) -> None:
    assert [group.name for group in agreement.regions] == list(MURA_REGIONS)
    assert sum(group.n for group in agreement.regions) == agreement.overall.n == 140
    assert sum(group.true_positive for group in agreement.regions) == agreement.overall.true_positive


def test_every_figure_allows_for_patients_with_several_studies(study: StudyMaker, truth_file: TruthWriter) -> None:
    cases = _cases(60)
    truth = truth_of(truth_file("study_uid,label\n" + "".join(f"{uid},{label}\n" for uid, label, _, _ in cases)))

    def overall(per_patient: int) -> Group:
        rows = [study(uid, score, patient_key=str(int(uid) // per_patient)) for uid, _, score, _ in cases]
        summary = summarise(match(truth, rows))
        assert summary is not None
        return summary.overall

    apart, shared = overall(1), overall(3)
    assert (apart.kappa.method, shared.kappa.method) == (DIRICHLET, DIRICHLET_CLUSTERED)
    assert shared.auroc.method == OBUCHOWSKI
    for of_one, of_three in zip(_figures(apart), _figures(shared), strict=True):
        assert of_one.value == of_three.value
    assert {shared.accuracy.method, shared.sensitivity.method, shared.specificity.method} == {WILSON_CLUSTERED}


def _figures(group: Group) -> list[Estimate]:
    return [group.kappa, group.auroc, group.accuracy, group.sensitivity, group.specificity]


def test_months_of_study_have_a_kappa_each(study: StudyMaker, truth_file: TruthWriter) -> None:
    cases = _cases(60)
    truth = truth_of(truth_file("study_uid,label\n" + "".join(f"{uid},{label}\n" for uid, label, _, _ in cases)))
    dates = ["20260105", "20260131", "20260214"]
    rows = [replace(study(uid, score), study_date=dates[int(uid) % 3]) for uid, _, score, _ in cases]
    summary = summarise(match(truth, rows))
    assert summary is not None
    assert [(month.name, month.n) for month in summary.months] == [("2026-01", 40), ("2026-02", 20)]
    assert summary.truth_as_of == "20260214"
    one_month = summarise(match(truth, [replace(row, study_date="20260105") for row in rows]))
    assert one_month is not None
    assert one_month.months == ()


def test_labelled_studies_without_a_score_leave_nothing_to_summarise(
    study: StudyMaker, truth_file: TruthWriter
) -> None:
    truth = truth_of(truth_file("study_uid,label\n1,1\n"))
    assert summarise(match(truth, [study("1", None)])) is None


def test_labels_of_one_class_name_it_and_leave_the_rates(study: StudyMaker, truth_file: TruthWriter) -> None:
    truth = truth_of(truth_file("study_uid,label\n1,0\n2,0\n3,0\n"))
    summary = summarise(match(truth, [study("1", 0.1), study("2", 0.2), study("3", 0.9)]))
    assert summary is not None
    overall = summary.overall
    assert overall.specificity.value == pytest.approx(2 / 3)
    for undefined in (overall.kappa, overall.auroc, overall.sensitivity):
        assert not undefined.is_defined
    assert "one class in the truth" in overall.kappa.reason
    assert "one class in the truth" in overall.auroc.reason


def test_readers_are_compared_with_label_and_model(study: StudyMaker, truth_file: TruthWriter) -> None:
    lines = [f"{i},{i % 2},{i % 2},{1 - i % 2 if i < 4 else i % 2}," for i in range(20)]
    truth = truth_of(truth_file("study_uid,label,reader_1,reader_2,reader_3\n" + "\n".join(lines) + "\n"))
    summary = summarise(match(truth, [study(str(i), 0.9 if i % 2 else 0.1) for i in range(20)]))
    assert summary is not None
    sure, unsure, absent = summary.readers
    assert sure.with_truth.value == 1
    assert unsure.with_truth.value == pytest.approx(0.6)  # 16 of 20 at even margins
    assert unsure.with_model.value == pytest.approx(0.6)
    assert (absent.n, absent.with_truth.is_defined) == (0, False)


def test_the_published_figures_are_the_papers_and_the_articles() -> None:
    """arXiv 1712.06957, table 2, and the article's table of kappa per region."""
    assert set(KAPPA) == {"overall", *MURA_REGIONS}
    assert [KAPPA[name].model for name in KAPPA] == [0.705, 0.710, 0.389, 0.737, 0.851, 0.600, 0.729, 0.931]
    assert KAPPA["overall"].radiologists == (0.731, 0.763, 0.778)
    # The article's overall kappa follows from its table: TN 1507, FP 160, FN 357, TP 1173.
    assert round(float(cohens_kappa(np.array([[1507, 160], [357, 1173]])).kappa), 3) == KAPPA["overall"].article
    assert all(math.isfinite(value) for row in KAPPA.values() for value in (row.model, *row.radiologists, row.article))
