"""A number with its interval and the name of the method that gave it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """value with its 95 % interval [low, high]; all three are NaN where it is undefined, and reason says why.

    method: the interval's method. n: the number of units it was computed on. se: standard error, NaN where the method
    has none; the interval need not be value +- 1.96 se. reason: also a warning where the value stands but its interval
    deserves doubt.
    """

    value: float
    low: float
    high: float
    method: str
    n: int
    se: float = math.nan
    reason: str = ""

    def as_json(self) -> dict[str, float | int | str | None]:
        """value, low, high, method, n and, where there is one, reason; None stands for NaN, which JSON has not."""
        numbers = {name: getattr(self, name) for name in ("value", "low", "high")}
        plain = {name: None if math.isnan(number) else number for name, number in numbers.items()}
        return {**plain, "method": self.method, "n": self.n, **({"reason": self.reason} if self.reason else {})}

    @property
    def is_defined(self) -> bool:
        return not math.isnan(self.value)


def undefined(method: str, n: int, reason: str) -> Estimate:
    return Estimate(math.nan, math.nan, math.nan, method, n, reason=reason)


def without_interval(value: float, method: str, n: int, reason: str) -> Estimate:
    return Estimate(value, math.nan, math.nan, method, n, reason=reason)
