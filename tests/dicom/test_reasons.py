"""The closed set of reasons, its advice and its page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mura_batch.reasons import ADVICE
from mura_batch.records import UNREADABLE, Reason

PAGE = Path(__file__).parents[2] / "docs" / "intake.md"


@pytest.fixture(scope="module")
def rows() -> dict[str, tuple[str, str]]:
    """reason -> (exit code 3?, advice) of the page's table."""
    table = re.findall(
        r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {code: (three.strip(), advice.strip()) for code, _, three, advice in table}


def test_the_page_has_exactly_one_row_for_each_reason(rows: dict[str, tuple[str, str]]) -> None:
    assert set(rows) == {reason.value for reason in Reason}


def test_the_page_says_what_the_program_says(rows: dict[str, tuple[str, str]]) -> None:
    assert set(ADVICE) == set(Reason)
    assert {code: advice for code, (_, advice) in rows.items()} == {
        reason.value: text for reason, text in ADVICE.items()
    }


def test_the_page_marks_the_reasons_that_turn_the_exit_code(rows: dict[str, tuple[str, str]]) -> None:
    assert {code for code, (three, _) in rows.items() if three == "3"} == {reason.value for reason in UNREADABLE}


@pytest.mark.parametrize("reason", list(Reason))
def test_each_advice_is_one_sentence_for_an_operator(reason: Reason) -> None:
    text = ADVICE[reason]
    assert text.endswith(".")
    assert 20 <= len(text) <= 140
    assert text[0].isupper()
