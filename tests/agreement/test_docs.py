"""docs/statistics.md says what the program does: its example runs, its numbers are the program's."""

from __future__ import annotations

import doctest
import math
from pathlib import Path

from mura_batch.agreement.clusters import FEWEST_PATIENTS
from mura_batch.agreement.curves import FEW
from mura_batch.agreement.drift import BASELINE_NIGHTS, RUN_LENGTH
from mura_batch.agreement.kappa import cohen_kappa_score
from mura_batch.agreement.published import KAPPA

PATH = Path(__file__).parents[2] / "docs" / "statistics.md"
PAGE = PATH.read_text(encoding="utf-8")


def test_the_example_of_the_page_runs_as_printed() -> None:
    result = doctest.testfile(str(PATH), module_relative=False)
    assert (result.attempted > 2, result.failed) == (True, 0)


def test_the_published_table_of_the_page_is_the_programs() -> None:
    table = PAGE.split("| kappa | paper", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    printed = {name: tuple(float(value) for value in values) for name, *values in rows}
    assert printed == {name: (row.model, *row.radiologists, row.article) for name, row in KAPPA.items()}


def test_the_rules_of_the_page_name_the_programs_numbers() -> None:
    assert f"With fewer than {FEWEST_PATIENTS} patients" in PAGE
    assert f"than {FEW} patients in a class" in PAGE
    assert f"the first {BASELINE_NIGHTS} nights" in PAGE
    assert f"every {RUN_LENGTH:,.0f} nights" in PAGE


def test_the_two_standard_errors_of_the_page_differ() -> None:
    """The SAS table: large-sample .1380, simple .1742; 13 of 19 agree, chance is (5*0 + 8*13 + 6*6) / 19^2."""
    observed, chance = 13 / 19, (5 * 0 + 8 * 13 + 6 * 6) / 19**2
    simple = math.sqrt(observed * (1 - observed) / (19 * (1 - chance) ** 2))
    large = cohen_kappa_score([[0, 4, 1], [0, 8, 0], [0, 1, 5]]).se
    assert (f"{large:.4f}", f"{simple:.4f}") == ("0.1380", "0.1742")
    assert "large-sample error is .1380 and the simple one .1742" in PAGE
