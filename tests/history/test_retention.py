"""Which runs a retention rule keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mura_batch.history.prune import Retention, kept_names

START = datetime(2026, 1, 1, 2, 30, tzinfo=UTC)
TIMES = st.lists(st.integers(0, 4000), min_size=1, max_size=40, unique=True)  # hours


def name(hours: int) -> str:
    return (START + timedelta(hours=hours)).strftime("%Y-%m-%dT%H%M%S.%fZ")


def test_the_newest_run_of_each_day_is_retained() -> None:
    nights = [name(24 * day + hour) for day in range(10) for hour in (0, 5)]
    assert kept_names(nights, Retention(daily=3)) == {name(24 * day + 5) for day in (7, 8, 9)}


def test_days_without_a_run_do_not_count() -> None:
    nights = [name(24 * day) for day in (0, 50, 100)]
    assert kept_names(nights, Retention(daily=2)) == {nights[1], nights[2]}


def test_rules_add_up() -> None:
    nights = [name(24 * day) for day in range(90)]
    kept = kept_names(nights, Retention(last=2, weekly=1, monthly=3, yearly=1))
    # 31 January, 28 February and 31 March are the newest of their months; 31 March is the last night but none after it
    assert kept == {nights[30], nights[58], nights[89], nights[88]}


def test_a_folder_of_another_name_is_not_removed() -> None:
    assert "notes" in kept_names(["notes", name(0), name(1)], Retention(last=1))


@given(TIMES, st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_the_newest_run_stays_and_more_rules_retain_more(hours: list[int], last: int, daily: int, monthly: int) -> None:
    names = [name(h) for h in sorted(hours)]
    kept = kept_names(names, Retention(last=last, daily=daily, monthly=monthly))
    assert name(max(hours)) in kept
    assert kept <= set(names)
    assert kept <= kept_names(names, Retention(last=last + 1, daily=daily + 1, monthly=monthly))
    assert kept_names(sorted(kept), Retention(last=last, daily=daily, monthly=monthly)) == kept  # prune twice: the same
