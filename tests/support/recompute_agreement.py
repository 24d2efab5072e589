"""The figures of agreement.json, computed anew from a run's tables and the truth files by the formulas of
docs/statistics.md. Imports nothing of the program: its own mistakes cannot hide here.

    python recompute_agreement.py RUN READER.csv ...

RUN: a run's folder whose studies have one row each. READER.csv: study_uid and label, one file a reader; the truth is
their majority. Prints {group: {figure: [value, low, high, n]}} as JSON; null where a figure is undefined.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc, betaincinv
from scipy.stats import norm, t

Z = float(norm.ppf(0.975))
FEWEST = 10
MOST = 40
REGIONS = ("elbow", "finger", "forearm", "hand", "humerus", "shoulder", "wrist", "other", "unknown")
SIDES = {"L": "left", "R": "right", "B": "both sides", "U": "unpaired", "": "not recorded"}
SEXES = {"F": "female", "M": "male", "O": "other", "": "not recorded"}
Figure = list[float | int | None]
NOTHING = math.nan


@dataclass(frozen=True)
class Study:
    """One labelled and scored study. readers: 0, 1 or None. images: rows of images.csv."""

    patient: str
    region: str
    side: str
    month: str
    score: float
    called: int
    label: int
    readers: tuple[int | None, ...]
    images: tuple[dict[str, str], ...]


def figure(value: float, low: float, high: float, n: int) -> Figure:
    return [None if math.isnan(x) else x for x in (value, low, high)] + [n]


# patients


def patient_sums(values: np.ndarray, patients: Sequence[str]) -> np.ndarray:
    sums: dict[str, float] = {}
    for value, patient in zip(values, patients, strict=True):
        sums[patient] = sums.get(patient, 0.0) + float(value)
    return np.array(list(sums.values()))


def variance_of_mean(influence: np.ndarray, patients: Sequence[str]) -> float:
    sums = patient_sums(influence, patients)
    return float((sums**2).sum()) / len(influence) ** 2 * len(sums) / max(1, len(sums) - 1)


def effective(influence: np.ndarray, patients: Sequence[str]) -> float:
    n, g = len(influence), len(set(patients))
    if n == g:
        return float(n)
    alone = float((influence**2).sum()) / n**2
    if g < 10 or alone <= np.finfo(float).eps / n:
        return n * n / float((patient_sums(np.ones(n), patients) ** 2).sum())
    effect = max(1.0, variance_of_mean(influence, patients) / alone)
    return n / effect * (Z / float(t.ppf(0.975, g - 1))) ** 2


# figures


def share(hits: Sequence[bool], patients: Sequence[str]) -> Figure:
    n = len(hits)
    if not n:
        return figure(NOTHING, NOTHING, NOTHING, 0)
    p = sum(hits) / n
    m = effective(np.array(hits, float) - p, patients)
    centre, half = p + Z**2 / (2 * m), Z * math.sqrt(p * (1 - p) / m + Z**2 / (4 * m**2))
    scale = 1 + Z**2 / m
    return figure(p, (centre - half) / scale if p > 0 else 0.0, (centre + half) / scale if p < 1 else 1.0, n)


def kappa_of(p: np.ndarray) -> float:
    expected = float(p.sum(1) @ p.sum(0))
    return (float(np.trace(p)) - expected) / (1 - expected)


def kappa_influence(p: np.ndarray) -> np.ndarray:
    """Fleiss, Cohen, Everitt 1969, equation 13, as the derivative of kappa by each cell's share."""
    rows, columns = p.sum(1), p.sum(0)
    expected, observed = float(rows @ columns), float(np.trace(p))
    out = np.empty((2, 2))
    for i in range(2):
        for j in range(2):
            out[i, j] = ((i == j) * (1 - expected) - (1 - observed) * (columns[i] + rows[j])) / (1 - expected) ** 2
    return out - float((p * out).sum())


def kappa(first: Sequence[int], second: Sequence[int], patients: Sequence[str]) -> Figure:
    n = len(first)
    if not n:
        return figure(NOTHING, NOTHING, NOTHING, 0)
    table = np.zeros((2, 2))
    for a, b in zip(first, second, strict=True):
        table[a, b] += 1
    if (table.sum(1) == 0).any():
        return figure(NOTHING, NOTHING, NOTHING, n)
    p = table / n
    slope = kappa_influence(p)
    influence = np.array([slope[a, b] for a, b in zip(first, second, strict=True)])
    m = effective(influence, patients)
    low, high = (posterior_quantile(p.ravel() * m + 0.45, share) for share in (0.025, 0.975))
    value = kappa_of(p)
    return figure(value, min(low, value), max(high, value), n)


def posterior_quantile(shapes: np.ndarray, share: float) -> float:
    """Of kappa where its cells are Dirichlet: the truth's share and the calls' shares in both classes of it are beta
    variables. Gauss-Legendre over the quantiles of two of them, the distribution function of the third."""
    a, b, c, d = shapes
    at, weight = np.polynomial.legendre.leggauss(60)
    p, f = betaincinv(c + d, a + b, (at + 1) / 2)[:, None], betaincinv(b, a, (at + 1) / 2)[None, :]

    def below(kappa: float) -> float:
        over = kappa * (p + (1 - 2 * p) * (1 - p) * f) + 2 * p * (1 - p) * f
        under = 2 * p * (1 - p) - kappa * p * (1 - 2 * p)
        hits = np.where(under > over, over / np.where(under > over, under, 1), 1).clip(0, 1)
        return float(weight @ betainc(d, c, hits) @ weight) / 4 - share

    return float(brentq(below, -0.999999, 0.999999, xtol=1e-8))


def auroc(labels: Sequence[int], scores: Sequence[float], patients: Sequence[str]) -> Figure:
    n = len(labels)
    if len(set(labels)) < 2 or len(set(scores)) < 2:
        return figure(NOTHING, NOTHING, NOTHING, n)
    x = np.array([s for s, label in zip(scores, labels, strict=True) if label])
    y = np.array([s for s, label in zip(scores, labels, strict=True) if not label])
    wins = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    above, below = list(wins.mean(1)), list(wins.mean(0))
    value = float(np.mean(above))
    of = [p for p, label in zip(patients, labels, strict=True) if label]
    others = [p for p, label in zip(patients, labels, strict=True) if not label]
    if min(len(set(of)), len(set(others))) < 2:
        return figure(value, NOTHING, NOTHING, n)
    above, below = [*above, 0.5], [*below, 0.5]  # one undecided case in each class
    of, others = [*of, "an abnormal one"], [*others, "a normal one"]
    area = (float(np.mean(above)) + float(np.mean(below))) / 2
    parts = obuchowski(np.array(above), np.array(below), of, others)
    quantile = Z
    if min(len(set(of)), len(set(others))) - 1 < 10:
        freedom = sum(parts) ** 2 / sum(v**2 / (len(set(who)) - 1) for v, who in zip(parts, (of, others), strict=False))
        quantile = float(t.ppf(0.975, max(1.0, freedom)))
    half = quantile * math.sqrt(max(sum(parts), np.finfo(float).tiny)) / (area * (1 - area))
    middle = math.log(area / (1 - area))
    low, high = (1 / (1 + math.exp(-(middle + side * half))) for side in (-1, 1))
    return figure(value, min(value, low), max(value, high), n)


def obuchowski(above: np.ndarray, below: np.ndarray, of: list[str], others: list[str]) -> tuple[float, float, float]:
    everyone = list(dict.fromkeys([*of, *others]))
    a, b = dict.fromkeys(everyone, 0.0), dict.fromkeys(everyone, 0.0)
    for value, patient in zip(above - above.mean(), of, strict=True):
        a[patient] += float(value) / len(above)
    for value, patient in zip(below - below.mean(), others, strict=True):
        b[patient] += float(value) / len(below)
    m, k, g = len(set(of)), len(set(others)), len(everyone)
    return (
        sum(v**2 for v in a.values()) * m / (m - 1),
        sum(v**2 for v in b.values()) * k / (k - 1),
        2 * sum(a[p] * b[p] for p in everyone) * g / (g - 1),
    )


def brier(labels: np.ndarray, scores: np.ndarray, patients: Sequence[str]) -> Figure:
    losses = (scores - labels) ** 2
    value, g = float(losses.mean()), len(set(patients))
    half = float(t.ppf(0.975, max(1, g - 1))) * math.sqrt(variance_of_mean(losses - value, patients))
    return figure(value, max(0.0, value - half), min(1.0, value + half), len(losses))


def calibration(labels: np.ndarray, scores: np.ndarray, patients: Sequence[str]) -> tuple[Figure, Figure]:
    """Slope and intercept: iteratively reweighted least squares."""
    n = len(labels)
    nothing = figure(NOTHING, NOTHING, NOTHING, n)
    if len(set(labels.tolist())) < 2:
        return nothing, nothing
    inside = np.clip(scores, 1e-6, 1 - 1e-6)
    design = np.column_stack([np.log(inside / (1 - inside)), np.ones(n)])
    beta = np.zeros(2)
    for _ in range(100):
        p = 1 / (1 + np.exp(-design @ beta))
        weight = p * (1 - p)
        if weight.max() < 1e-12 or np.linalg.cond(design.T @ (weight[:, None] * design)) > 1e12:
            return nothing, nothing
        working = design @ beta + (labels - p) / weight
        new = np.linalg.lstsq(np.sqrt(weight)[:, None] * design, np.sqrt(weight) * working, rcond=None)[0]
        done, beta = np.abs(new - beta).max() < 1e-12, new
        if done:
            break
    else:
        return nothing, nothing
    p = 1 / (1 + np.exp(-design @ beta))
    bread = np.linalg.inv(design.T @ ((p * (1 - p))[:, None] * design))
    sums = np.column_stack([patient_sums((labels - p) * design[:, k], patients) for k in range(2)])
    g = len(sums)
    errors = np.sqrt(np.diag(bread @ (sums.T @ sums * g / max(1, g - 1)) @ bread))
    half = float(t.ppf(0.975, max(1, g - 1))) * errors
    slope, intercept = (figure(float(b), float(b - h), float(b + h), n) for b, h in zip(beta, half, strict=True))
    return slope, intercept


def transformed(of: Figure, change: Callable[[float], float]) -> Figure:
    return [None if x is None else change(float(x)) for x in of[:3]] + [of[3]]


def right(studies: Sequence[Study]) -> Figure:
    return share([s.called == s.label for s in studies], [s.patient for s in studies])


def of_group(studies: Sequence[Study]) -> dict[str, Figure]:
    labels, called = [s.label for s in studies], [s.called for s in studies]
    scores, patients = [s.score for s in studies], [s.patient for s in studies]
    slope, intercept = calibration(np.array(labels, float), np.array(scores), patients)
    return {
        "kappa": kappa(labels, called, patients),
        "pabak": transformed(right(studies), lambda x: 2 * x - 1),
        "accuracy": right(studies),
        "positive_agreement": transformed(
            right([s for s in studies if s.label or s.called]), lambda q: 2 * q / (1 + q)
        ),
        "negative_agreement": transformed(
            right([s for s in studies if not (s.label and s.called)]), lambda q: 2 * q / (1 + q)
        ),
        "sensitivity": right([s for s in studies if s.label]),
        "specificity": right([s for s in studies if not s.label]),
        "ppv": right([s for s in studies if s.called]),
        "npv": right([s for s in studies if not s.called]),
        "prevalence": share([bool(x) for x in labels], patients),
        "auroc": auroc(labels, scores, patients),
        "brier": brier(np.array(labels, float), np.array(scores), patients),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
    }


# groups


def band(age: str) -> str:
    if not age:
        return "not recorded"
    years = int(age)
    return "under 18" if years < 18 else "18 to 39" if years < 40 else "40 to 64" if years < 65 else "65 and older"


def common(values: Sequence[str]) -> str:
    known = {value for value in values if value}
    return known.pop() if len(known) == 1 else "several" if known else ""


def device(image: dict[str, str]) -> str:
    maker, model = image["manufacturer"].split(), image["manufacturer_model"].split()
    if [w.casefold() for w in model[: len(maker)]] == [w.casefold() for w in maker]:
        maker = []
    return " ".join([*maker, *model])[:80]


def grouped(studies: Sequence[Study], threshold: float) -> dict[str, list[Study]]:
    found: dict[str, dict[str, list[Study]]] = {}
    for s in studies:
        names = {
            "side": SIDES[s.side],
            "sex": SEXES.get(sex := common([i["patient_sex"] for i in s.images]), sex),
            "age": band(next((i["patient_age"] for i in s.images if i["patient_age"]), "")),
            "device": common([device(i) for i in s.images]) or "not recorded",
        }
        for kind, name in names.items():
            found.setdefault(kind, {}).setdefault(name, []).append(s)
        for view in dict.fromkeys(i["view"] for i in s.images):
            scores = [float(i["probability"]) for i in s.images if i["view"] == view]
            score = sum(scores) / len(scores)
            alone = replace(s, score=score, called=int(score > threshold))
            found.setdefault("view", {}).setdefault(view or "not recorded", []).append(alone)
    out = {}
    for kind, members in found.items():
        if len(members) < 2:
            continue
        largest = sorted(members, key=lambda name: (-len(members[name]), name))[:MOST]
        out.update({f"{kind}: {name}": members[name] for name in largest if len(members[name]) >= FEWEST})
    return out


# all


def recompute(studies: Sequence[Study], readers: Sequence[str], threshold: float) -> dict[str, dict[str, Figure]]:
    result = {"overall": of_group(studies)}
    parts = {region: [s for s in studies if s.region == region] for region in REGIONS}
    months = {m: [s for s in studies if s.month == m] for m in sorted({s.month for s in studies})}
    parts.update(months if len(months) > 1 else {})
    for name, members in parts.items():
        if members and len(members) < FEWEST:
            result[name] = dict.fromkeys(result["overall"], figure(NOTHING, NOTHING, NOTHING, len(members)))
        elif members:
            result[name] = of_group(members)
    result.update({name: of_group(members) for name, members in grouped(studies, threshold).items()})
    for cut in sorted({*(n / 10 for n in range(1, 10)), threshold}):
        at = [replace(s, called=int(s.score > cut)) for s in studies]
        figures = of_group(at)
        kept = {name: figures[name] for name in ("kappa", "sensitivity", "specificity", "ppv", "npv")}
        called = share([bool(s.called) for s in at], [s.patient for s in at])
        result[f"threshold {cut:.4g}"] = {"called_abnormal": called, **kept}
    ordered = sorted(studies, key=lambda s: s.score)
    for n, rows in enumerate(np.array_split(np.arange(len(ordered)), 10), start=1):
        members = [ordered[k] for k in rows]
        mean = sum(s.score for s in members) / len(members)
        observed = share([bool(s.label) for s in members], [s.patient for s in members])
        result[f"score bin {n}"] = {"predicted": figure(mean, NOTHING, NOTHING, len(members)), "observed": observed}
    result.update(of_readers(studies, readers))
    return result


def of_readers(studies: Sequence[Study], readers: Sequence[str]) -> dict[str, dict[str, Figure]]:
    result: dict[str, dict[str, Figure]] = {}
    for k, name in enumerate(readers):
        read = [s for s in studies if s.readers[k] is not None]
        own, patients = [int(s.readers[k] or 0) for s in read], [s.patient for s in read]
        result[name] = {
            "kappa_with_truth": kappa([s.label for s in read], own, patients),
            "kappa_with_model": kappa(own, [s.called for s in read], patients),
        }
        held = [(s, votes) for s in read if (votes := [r for j, r in enumerate(s.readers) if j != k and r is not None])]
        held = [(s, votes) for s, votes in held if 2 * sum(votes) != len(votes)]
        majority = [int(2 * sum(votes) > len(votes)) for _, votes in held]
        patients = [s.patient for s, _ in held]
        result[name]["kappa_with_other_readers"] = kappa(majority, [int(s.readers[k] or 0) for s, _ in held], patients)
        result[name]["model_kappa_with_other_readers"] = kappa(majority, [s.called for s, _ in held], patients)
    for a, b in combinations(range(len(readers)), 2):
        both = [s for s in studies if s.readers[a] is not None and s.readers[b] is not None]
        pair = [[int(s.readers[k] or 0) for s in both] for k in (a, b)]
        result[f"{readers[a]} and {readers[b]}"] = {"kappa": kappa(*pair, [s.patient for s in both])}
    result["all readers"] = {"fleiss_kappa": fleiss([s for s in studies if None not in s.readers])}
    return result


def fleiss(studies: Sequence[Study]) -> Figure:
    m, n = len(studies[0].readers), len(studies)
    abnormal = np.array([sum(r or 0 for r in s.readers) for s in studies])

    def values(shares: np.ndarray) -> np.ndarray:
        k = np.arange(m + 1)
        p = shares @ k / m
        agreed = shares @ (k * (k - 1) + (m - k) * (m - k - 1)) / (m * (m - 1))
        return np.asarray((agreed - p**2 - (1 - p) ** 2) / (2 * p * (1 - p)))

    def value(shares: np.ndarray) -> float:
        return float(values(shares))

    shares = np.bincount(abnormal, minlength=m + 1) / n
    step = 1e-6  # the derivative by each share, numerically
    slope = np.array(
        [(value(mixed(shares, k, step)) - value(mixed(shares, k, -step))) / (2 * step) for k in range(m + 1)]
    )
    size = effective(slope[abnormal], [s.patient for s in studies])
    drawn = np.random.default_rng(0).standard_gamma(shares * size + 0.5, (50_000, m + 1))
    low, high = np.quantile(values(drawn / drawn.sum(1, keepdims=True)), (0.025, 0.975))
    return figure(value(shares), min(float(low), value(shares)), max(float(high), value(shares)), n)


def mixed(shares: np.ndarray, k: int, step: float) -> np.ndarray:
    one = np.zeros(len(shares))
    one[k] = 1.0
    return (1 - step) * shares + step * one


# reading


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read(run: Path, files: Sequence[Path]) -> tuple[list[Study], float]:
    given = [{r["study_uid"]: r["label"] for r in table(path)} for path in files]
    images: dict[str, list[dict[str, str]]] = {}
    for image in table(run / "images.csv"):
        images.setdefault(image["row_key"], []).append(image)
    studies = []
    rows = table(run / "studies.csv")
    for row in rows:
        said = [of.get(row["study_uid"], "") for of in given]
        readers = tuple(int(label) if label in {"0", "1"} else None for label in said)
        votes = [label for label in readers if label is not None]
        if not row["score"] or not votes or 2 * sum(votes) == len(votes):
            continue
        date = row["study_date"]
        studies.append(
            Study(
                row["patient_key"] or row["study_uid"], row["region"], row["laterality"], f"{date[:4]}-{date[4:6]}",
                float(row["score"]), int(row["abnormal"]), int(2 * sum(votes) > len(votes)), readers,
                tuple(images[row["row_key"]]),
            )
        )  # fmt: skip
    return studies, float(rows[0]["threshold"])


def main() -> None:
    run, files = Path(sys.argv[1]), [Path(word) for word in sys.argv[2:]]
    studies, threshold = read(run, files)
    result = recompute(studies, [path.stem for path in files], threshold)
    if any(name.partition(".")[0] == "mura_batch" for name in sys.modules):
        raise SystemExit("the program was imported: this is no independent check")
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
