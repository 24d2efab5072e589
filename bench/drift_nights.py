"""`python -m bench.drift_nights`: 365 simulated nights with a lasting change at night 200, and five years of months
with one of kappa after the third, repeated many times.

Prints how many sites get a false alarm before it, and how much later it is found: the tables of docs/statistics.md.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np

from mura_batch.agreement.cohorts import BASELINE_MONTHS, kappa_chart
from mura_batch.agreement.drift import BASELINE_NIGHTS, Count, Night, drift_of
from mura_batch.agreement.truth import Case

SEED, SITES, NIGHTS, CHANGE = 20261127, 200, 365, 200
MONTHS, MONTH_OF_CHANGE = 61, 36  # the last month waits for its truth


@dataclass(frozen=True, slots=True)
class Setting:
    """share of abnormal studies before and after the change; studies a night on average, Poisson; spread: standard
    deviation of the nights' own log odds, beyond chance."""

    share: float
    after: float
    studies: int
    spread: float = 0.0


SETTINGS = (
    Setting(0.2, 0.25, 100),
    Setting(0.2, 0.30, 100),
    Setting(0.2, 0.25, 30),
    Setting(0.2, 0.30, 30),
    Setting(0.05, 0.10, 30),
    Setting(0.01, 0.03, 300),
    Setting(0.2, 0.25, 100, 0.2),
)


@dataclass(frozen=True, slots=True)
class KappaSetting:
    """True kappa before and after the change, the share of abnormal studies, and studies with truth a month on average,
    Poisson."""

    kappa: float
    after: float
    share: float
    studies: int


KAPPA_SETTINGS = (
    KappaSetting(0.7, 0.5, 0.2, 30),
    KappaSetting(0.7, 0.5, 0.2, 60),
    KappaSetting(0.7, 0.6, 0.2, 60),
    KappaSetting(0.7, 0.5, 0.2, 200),
    KappaSetting(0.7, 0.6, 0.2, 200),
    KappaSetting(0.8, 0.6, 0.4, 60),
    KappaSetting(0.7, 0.5, 0.1, 200),
)


@dataclass(frozen=True, slots=True)
class Found:
    """false_alarms: share of sites with one before the change. nights: from it to the alarm, [sites that found it]; of
    kappa months."""

    false_alarms: float
    nights: tuple[int, ...]


def simulate(setting: Setting, sites: int = SITES) -> Found:
    rng = np.random.default_rng(SEED)
    alarms = [_alarms(setting, rng) for _ in range(sites)]
    before = CHANGE - BASELINE_NIGHTS
    nights = tuple(int(np.argmax(of[before:])) + 1 for of in alarms if of[before:].any())
    return Found(sum(bool(of[:before].any()) for of in alarms) / sites, nights)


def _alarms(setting: Setting, rng: np.random.Generator) -> np.ndarray:
    """[nights after the baseline]"""
    nights = []
    for night in range(NIGHTS):
        share = setting.after if night >= CHANGE else setting.share
        odds = math.log(share / (1 - share)) + rng.normal(0, setting.spread)
        n = int(rng.poisson(setting.studies))
        nights.append(
            Night(str(night), str(night), "m", {"abnormal": Count(int(rng.binomial(n, 1 / (1 + math.exp(-odds)))), n)})
        )
    return np.array(drift_of(nights).series[0].chart.alarm)


def simulate_kappa(setting: KappaSetting, sites: int = SITES) -> Found:
    rng = np.random.default_rng(SEED)
    alarms = [_months_with_alarm(setting, rng) for _ in range(sites)]
    later = tuple(min(after) for of in alarms if (after := [n for n in of if n > 0]))
    return Found(sum(any(n <= 0 for n in of) for of in alarms) / sites, later)


def _months_with_alarm(setting: KappaSetting, rng: np.random.Generator) -> list[int]:
    """Counted from the month of the change, which is 1."""
    cases: list[Case] = []
    for month in range(MONTHS):
        kappa = setting.after if month >= MONTH_OF_CHANGE else setting.kappa
        apart = (1 - kappa) * setting.share * (1 - setting.share)
        shares = [1 - setting.share - apart, apart, apart, setting.share - apart]
        date = f"{2001 + month // 12}{1 + month % 12:02}01"
        for cell, n in enumerate(rng.multinomial(int(rng.poisson(setting.studies)), shares).tolist()):
            for k in range(n):
                uid = f"{month}.{cell}.{k}"
                cases.append(Case(uid, uid, "wrist", "L", cell // 2, 0.5, bool(cell % 2), study_date=date))
    chart = kappa_chart(cases)
    if chart is None or chart.series is None:
        return []
    months = [12 * (int(name[:4]) - 2001) + int(name[5:]) for name in chart.series.nights[BASELINE_MONTHS:]]
    return [n - MONTH_OF_CHANGE for n, alarm in zip(months, chart.series.chart.alarm, strict=True) if alarm]


def kappa_line(setting: KappaSetting, found: Found) -> str:
    median, late = (np.quantile(found.nights, share) for share in (0.5, 0.9))
    cells = (
        f"{setting.kappa:g} to {setting.after:g}", f"{setting.share:.0%}", str(setting.studies),
        f"{found.false_alarms:.0%}", f"{len(found.nights) / SITES:.0%}", f"{median:.0f}", f"{late:.0f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def line(setting: Setting, found: Found) -> str:
    median, late = (np.quantile(found.nights, share) for share in (0.5, 0.9))
    cells = (
        f"{setting.share:.0%} to {setting.after:.0%}", str(setting.studies), f"{setting.spread:g}",
        f"{found.false_alarms:.0%}", f"{len(found.nights) / SITES:.0%}", f"{median:.0f}", f"{late:.0f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


HEAD = "| abnormal share | studies a night | spread | false alarm before | found | median nights | 90 % within |"
KAPPA_HEAD = "| kappa | abnormal | studies a month | false alarm before | found | median months | 90 % within |"


def main() -> None:
    sys.stdout.write(f"{HEAD}\n|{' --- |' * 7}\n")
    for setting in SETTINGS:
        sys.stdout.write(line(setting, simulate(setting)) + "\n")
    sys.stdout.write(f"\n{KAPPA_HEAD}\n|{' --- |' * 7}\n")
    for of_kappa in KAPPA_SETTINGS:
        sys.stdout.write(kappa_line(of_kappa, simulate_kappa(of_kappa)) + "\n")


if __name__ == "__main__":
    main()
