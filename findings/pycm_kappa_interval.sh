#!/usr/bin/env bash
# PyCM 4.6: the interval of Cohen's kappa (Kappa_CI) is up to twice as wide as that of other packages.
#
# Behaviour: Kappa_SE is sqrt(po (1 - po) / (n (1 - pe)^2)), Cohen's approximation of 1960, which takes the agreement by
# chance, pe, as known. statsmodels (and psych in R) have the large-sample error of Fleiss, Cohen and Everitt (1969), in
# which the margins vary, too. Where both readers call equally often, the two are close. Where one calls far more often,
# as a model with a low threshold does, PyCM's error is twice the other. Its intervals of 95 % then hold the true kappa
# more often than that. Who compares an interval of mura-batch with one of PyCM finds another one for this reason.
#
# Output seen on 2026-11-27, Python 3.11, Linux x86-64:
#   PyCM 4.6, statsmodels 0.15.0
#   [[472, 27], [40, 69]]: kappa 0.607, error by PyCM 0.0453, by statsmodels 0.0434
#   [[900, 50], [10, 40]]: kappa 0.542, error by PyCM 0.0573, by statsmodels 0.0518
#   [[20, 40], [0, 40]]: kappa 0.286, error by PyCM 0.0875, by statsmodels 0.0612
#   [[88, 10], [1, 1]]: kappa 0.124, error by PyCM 0.2491, by statsmodels 0.1302
#   2,000 samples of 200 from the third, intervals that hold the true kappa: PyCM 99.5 %, statsmodels 94.3 %
#
# Installs the public packages in a temporary folder; fails if the behaviour changes. Not part of the tests.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pycm==4.6 statsmodels==0.15.0 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import pycm
import statsmodels
from statsmodels.stats.inter_rater import cohens_kappa

TABLES = {
    ((472, 27), (40, 69)): ("0.0453", "0.0434"),
    ((900, 50), (10, 40)): ("0.0573", "0.0518"),
    ((20, 40), (0, 40)): ("0.0875", "0.0612"),
    ((88, 10), (1, 1)): ("0.2491", "0.1302"),
}


def errors(table):
    matrix = pycm.ConfusionMatrix(matrix={i: dict(enumerate(row)) for i, row in enumerate(table)})
    other = cohens_kappa(np.array(table))
    assert abs(matrix.Kappa - other.kappa) < 1e-12, "the kappas themselves are equal"
    return matrix.Kappa, matrix.Kappa_SE, other.std_kappa


print(f"PyCM {pycm.__version__}, statsmodels {statsmodels.__version__}")
for table, seen in TABLES.items():
    kappa, first, second = errors(table)
    print(f"{[list(row) for row in table]}: kappa {kappa:.3f}, error by PyCM {first:.4f}, by statsmodels {second:.4f}")
    assert (f"{first:.4f}", f"{second:.4f}") == seen, "the behaviour has changed"

share = np.array([[20, 40], [0.0, 40]]) / 100
expected = share.sum(1) @ share.sum(0)
true = (np.trace(share) - expected) / (1 - expected)
random = np.random.default_rng(0)
held = np.zeros(2)
for drawn in random.multinomial(200, share.ravel(), 2000).reshape(-1, 2, 2):
    kappa, *both = errors(drawn.tolist())
    held += [abs(kappa - true) <= 1.96 * error for error in both]
first, second = held / 20
print(
    "2,000 samples of 200 from the third, intervals that hold the true kappa: "
    f"PyCM {first:.1f} %, statsmodels {second:.1f} %"
)
assert first > 99 and second < 96, "the behaviour has changed"
PYTHON
