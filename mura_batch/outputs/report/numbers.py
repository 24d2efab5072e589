"""Numbers as the page shows them."""

from __future__ import annotations

import math

from mura_batch.agreement.estimate import Estimate


def number(value: float) -> str:
    """Three decimals with a true minus sign; a small sample deserves no more."""
    return "undefined" if math.isnan(value) else f"{value:.3f}".replace("-", "−")


def estimate(value: Estimate) -> str:
    return with_interval(value.value, value.low, value.high)


def with_interval(value: float, low: float, high: float) -> str:
    if math.isnan(value) or math.isnan(low) or math.isnan(high):
        return number(value)
    return f"{number(value)} [{number(low)}, {number(high)}]"


def limits(value: Estimate) -> str:
    """'0.610 to 0.830', '' without an interval."""
    return "" if math.isnan(value.low) else f"{number(value.low)} to {number(value.high)}"
