"""The simulation of coverage: a few cells with fewer draws; `make coverage` runs all of them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench.coverage import DRAWS, JSON, Cell, Tally, cells, read, simulate, tables, write
from mura_batch.agreement.estimate import Estimate, undefined

SHORT = 800  # draws: the standard error of a coverage of 95 % is then 0.8 %


STATISTICS = Path(__file__).parents[2] / "docs" / "statistics.md"


def test_the_documented_tables_are_those_of_the_stored_run() -> None:
    documented = STATISTICS.read_text(encoding="utf-8").split("<!-- coverage -->")[1].split("<!-- /coverage -->")[0]
    assert documented.strip() == tables(read(JSON)).strip()
    assert set(read(JSON)) == {cell.key for cell in cells()}


def test_every_stored_coverage_is_at_least_93_5() -> None:
    for key, tallies in read(JSON).items():
        for name, tally in tallies.items():
            assert tally.held + tally.below + tally.above + tally.none == DRAWS
            assert tally.coverage >= 93.5, f"{key} {name}"


@pytest.mark.parametrize(
    "cell",
    [
        Cell("kappa", 50, 0.1, 0.4),  # value +- 1.96 se: 86 %
        Cell("kappa", 100, 0.3, 0.9),  # 92 %
        Cell("auroc", 100, 0.1, 0.95, 1.5),  # 72 %
        Cell("rate", 100, 0.3, 0.9),
        Cell("patients", 60, 0.3, 0.9, 0.5),
        Cell("sample", 3000, 0.1, 0.9),
    ],
    ids=lambda cell: cell.section,
)
def test_intervals_hold_the_true_value_95_times_of_100(cell: Cell) -> None:
    for name, tally in simulate(cell, SHORT).items():
        assert tally.held + tally.below + tally.above + tally.none == SHORT
        assert tally.none < 0.05 * SHORT
        stored = read(JSON)[cell.key][name].coverage
        assert abs(tally.coverage - stored) < 3, name  # three and a half standard errors


def test_the_same_cell_draws_the_same_studies() -> None:
    cell = Cell("rate", 50, 0.1, 0.8)
    assert simulate(cell, 100) == simulate(cell, 100)
    assert simulate(cell, 100) != simulate(Cell("rate", 100, 0.3, 0.6), 100)


def test_a_tally_sorts_intervals_by_where_they_lie() -> None:
    tally = Tally()
    for low, high in ((0.4, 0.6), (0.1, 0.3), (0.7, 0.9)):
        tally.add(Estimate(0.5, low, high, "m", 9), 0.5, draws=2)
    tally.add(undefined("m", 9, "why"), 0.5)
    assert (tally.held, tally.below, tally.above, tally.none) == (2, 2, 2, 1)
    assert math.isclose(tally.coverage, 100 / 3)


def test_finished_cells_are_read_back(tmp_path: Path) -> None:
    first = next(cells())
    finished = {first.key: {"kappa": Tally(held=96, below=3, above=1)}}
    write(finished, tmp_path / "coverage.json")
    assert read(tmp_path / "coverage.json") == finished
    assert read(tmp_path / "nothing.json") == {}
    assert "| 50 | 0.1 |" in tables(finished)
