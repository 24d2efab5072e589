"""Limits on a night, off by default: what is beyond them ends the run with exit code 3 and one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mura_batch.agreement.drift import Count

AbnormalLimits = tuple[float, float] | Literal["drift"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Shares, 0 to 1; None for no limit. missing: of the known studies. unreadable: of the files that are radiographs
    or should be. abnormal: lowest and highest share of the new study rows, or 'drift' for the limits of its control
    chart."""

    missing: float | None = None
    unreadable: float | None = None
    abnormal: AbnormalLimits | None = None


def breaches(
    limits: Limits, missing: Count, unreadable: Count, abnormal: Count, drift_alarm: Callable[[Count], str]
) -> tuple[str, ...]:
    """One line for each limit that the night is beyond, without patient data. drift_alarm: the sentence of the control
    chart with the night's abnormal share in it, '' where it gives no alarm."""
    return tuple(
        filter(
            None,
            (
                _above("of the known studies are missing", missing, "--missing-limit", limits.missing),
                _above("of the radiographs cannot be read", unreadable, "--unreadable-limit", limits.unreadable),
                _outside(abnormal, limits.abnormal, drift_alarm),
            ),
        )
    )


def _above(words: str, count: Count, option: str, limit: float | None) -> str:
    if limit is None or not count.n or count.value <= limit:
        return ""
    return f"{count.value:.1%} {words} ({count.hits} of {count.n}), more than {option} {limit:g}"


def _outside(abnormal: Count, limits: AbnormalLimits | None, drift_alarm: Callable[[Count], str]) -> str:
    """By more than chance: the whole 95 % interval is beyond the limit, so that a night of few studies is no alarm."""
    if limits is None or not abnormal.n:
        return ""
    if isinstance(limits, str):
        return drift_alarm(abnormal)
    from mura_batch.agreement.curves import rate

    found, (lowest, highest) = rate(abnormal.hits, abnormal.n), limits
    if lowest <= found.high and found.low <= highest:
        return ""
    word = "below" if found.high < lowest else "above"
    return (
        f"{found.value:.1%} of the new studies are abnormal ({abnormal.hits} of {abnormal.n}, 95 % interval "
        f"{found.low:.1%} to {found.high:.1%}), {word} --abnormal-limits {lowest:g},{highest:g}"
    )
