"""R as a second opinion on the figures: packages psych, pROC and survey, as Debian has them."""

from __future__ import annotations

import csv
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mura_batch.agreement.curves import rate, roc_auc_difference, roc_auc_score
from mura_batch.agreement.kappa import clustered_kappa_score, cohen_kappa_score
from mura_batch.agreement.paired import mcnemar_p
from mura_batch.agreement.partial import draw_of, weighted_kappa
from mura_batch.agreement.quantiles import Z95

LACKS_PACKAGES = 3  # exit status
SCRIPT = """
if (!all(sapply(c("psych", "pROC", "survey"), requireNamespace, quietly = TRUE))) quit(status = 3)
d <- read.csv(commandArgs(TRUE)[1])
show <- function(name, ...) cat(name, format(c(...), digits = 15), "\\n")
k <- suppressMessages(psych::cohen.kappa(cbind(d$truth, d$call)))
show("kappa", k$kappa, sqrt(k$var.kappa))
auc <- pROC::roc(d$truth, d$score, quiet = TRUE, direction = "<")
other <- pROC::roc(d$truth, d$other, quiet = TRUE, direction = "<")
show("auroc", pROC::ci.auc(auc, method = "delong"))
test <- pROC::roc.test(other, auc, method = "delong", paired = TRUE)
show("difference", other$auc - auc$auc, test$statistic)
d$t <- factor(d$truth)
d$c <- factor(d$call)
by_patient <- survey::svydesign(ids = ~patient, weights = ~1, data = d)
k <- survey::svykappa(~t + c, by_patient)
show("clustered", coef(k), sqrt(vcov(k)))
read <- d[d$read == 1, ]
drawn <- survey::svydesign(ids = ~1, strata = ~call, fpc = ~size, data = read)
k <- survey::svykappa(~t + c, drawn)
show("weighted", coef(k), sqrt(vcov(k)))
right <- d$truth == d$call
show("wilson", prop.test(sum(right), nrow(d), correct = FALSE)$conf.int)
show("mcnemar", binom.test(3, 14)$p.value)
"""


@pytest.fixture(scope="module")
def studies() -> dict[str, np.ndarray]:
    """240 studies of 90 patients, scored by two models; half of the abnormal calls and a fifth of the others read."""
    rng = np.random.default_rng(12)
    truth = (rng.random(240) < 0.35).astype(int)
    shared = rng.normal(size=240)
    score, other = (np.round(shared + gain * truth + rng.normal(size=240), 1) for gain in (1.6, 2.2))
    call, read = (score > 1).astype(int), np.zeros(240, dtype=int)
    for value, share in ((0, 0.2), (1, 0.5)):
        of_call = np.flatnonzero(call == value)
        read[rng.choice(of_call, round(share * len(of_call)), replace=False)] = 1
    size = np.where(call == 1, (call == 1).sum(), (call == 0).sum())
    return {
        "truth": truth, "call": call, "score": score, "other": other, "patient": rng.integers(0, 90, 240),
        "read": read, "size": size,
    }  # fmt: skip


@pytest.fixture(scope="module")
def r(studies: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    if shutil.which("Rscript") is None:
        pytest.skip("R is not installed (Debian's package r-base-core)")
    path: Path = tmp_path_factory.mktemp("r") / "studies.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(studies)
        writer.writerows(zip(*studies.values(), strict=True))
    script = path.with_name("figures.R")
    script.write_text(SCRIPT)
    done = subprocess.run(["Rscript", str(script), str(path)], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode == LACKS_PACKAGES:
        pytest.skip("R lacks a package (Debian's r-cran-psych, r-cran-proc and r-cran-survey)")
    assert done.returncode == 0, done.stderr
    return {line.split()[0]: [float(word) for word in line.split()[1:]] for line in done.stdout.splitlines()}


def test_kappa_and_its_error_are_those_of_psych(studies: dict[str, np.ndarray], r: dict[str, list[float]]) -> None:
    table = np.zeros((2, 2))
    np.add.at(table, (studies["truth"], studies["call"]), 1)
    ours = cohen_kappa_score(table)
    assert (ours.value, ours.se) == pytest.approx(r["kappa"], rel=1e-10)


def test_auroc_and_its_error_are_those_of_proc(studies: dict[str, np.ndarray], r: dict[str, list[float]]) -> None:
    ours = roc_auc_score(studies["truth"], studies["score"])
    wald = (ours.value - Z95 * ours.se, ours.value, ours.value + Z95 * ours.se)
    assert wald == pytest.approx(r["auroc"], rel=1e-10)


def test_a_paired_difference_is_that_of_proc(studies: dict[str, np.ndarray], r: dict[str, list[float]]) -> None:
    ours = roc_auc_difference(studies["truth"], studies["other"], studies["score"])
    assert (ours.value, ours.value / ours.se) == pytest.approx(r["difference"], rel=1e-9)


def test_kappa_of_patients_is_that_of_survey(studies: dict[str, np.ndarray], r: dict[str, list[float]]) -> None:
    ours = clustered_kappa_score(studies["truth"].tolist(), studies["call"].tolist(), studies["patient"].tolist())
    assert (ours.value, ours.se) == pytest.approx(r["clustered"], rel=1e-10)


def test_kappa_of_a_sample_is_that_of_survey(studies: dict[str, np.ndarray], r: dict[str, list[float]]) -> None:
    read = studies["read"] == 1
    truth, call, size = (studies[name][read] for name in ("truth", "call", "size"))
    share = [float((call == value).sum() / n) for value, n in zip(call, size, strict=True)]
    ours = weighted_kappa(
        draw_of(truth.astype(bool).tolist(), call.astype(bool).tolist(), share, call.astype(str).tolist())
    )
    assert (ours.value, ours.se) == pytest.approx(r["weighted"], rel=1e-10)


def test_rates_and_mcnemar_are_those_of_r(studies: dict[str, np.ndarray], r: dict[str, list[float]]) -> None:
    ours = rate(int((studies["truth"] == studies["call"]).sum()), 240)
    assert (ours.low, ours.high) == pytest.approx(r["wilson"], rel=1e-10)
    assert mcnemar_p(3, 11) == pytest.approx(r["mcnemar"][0], rel=1e-10)
    assert not math.isnan(ours.value)
