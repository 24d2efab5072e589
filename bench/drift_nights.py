"""`python -m bench.drift_nights`: 365 simulated nights with a lasting change at night 200, repeated many times.

Prints how many sites get a false alarm before it, and how many nights later it is found: the table of
docs/statistics.md.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np

from mura_batch.agreement.drift import BASELINE_NIGHTS, Count, Night, drift_of

SEED, SITES, NIGHTS, CHANGE = 20261127, 200, 365, 200


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
class Found:
    """false_alarms: share of sites with one before the change. nights: from it to the alarm, [sites that found it]."""

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


def line(setting: Setting, found: Found) -> str:
    median, late = (np.quantile(found.nights, share) for share in (0.5, 0.9))
    cells = (
        f"{setting.share:.0%} to {setting.after:.0%}", str(setting.studies), f"{setting.spread:g}",
        f"{found.false_alarms:.0%}", f"{len(found.nights) / SITES:.0%}", f"{median:.0f}", f"{late:.0f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


HEAD = "| abnormal share | studies a night | spread | false alarm before | found | median nights | 90 % within |"


def main() -> None:
    sys.stdout.write(f"{HEAD}\n|{' --- |' * 7}\n")
    for setting in SETTINGS:
        sys.stdout.write(line(setting, simulate(setting)) + "\n")


if __name__ == "__main__":
    main()
