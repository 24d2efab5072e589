"""OUT/index.html: all nights at a glance, bounded, and never a reason to lose a run."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mura_batch.outputs.index.index_page import MONTHS, NIGHTS, render_index
from mura_batch.outputs.index.nights import Night, periods


def nights(count: int, **values: int | float | None) -> list[Night]:
    start = datetime(2001, 1, 1, 2, 30, tzinfo=UTC)
    made = []
    for n in range(count):
        at = start + timedelta(days=n)
        of = {"scored": 4, "rows": 2, "abnormal": 1, "skipped": n, "unreadable": 0, "missing": 0, "kappa": 0.5,
              "seconds": 60.0, "exit_code": 0, **values}  # fmt: skip
        made.append(Night(at.strftime("%Y-%m-%dT%H%M%S.%fZ"), at.isoformat(), **of))  # type: ignore[arg-type]
    return made


def test_every_night_has_its_figures_and_a_link() -> None:
    (night,) = nights(1, exit_code=3, kappa=0.625, seconds=3725)
    page = render_index([night])
    row = next(line for line in page.splitlines() if "<tr>" in line and night.name in line)
    assert re.sub(r"<[^>]+>", " ", row).split() == [
        "2001-01-01",
        "02:30",
        "4",
        "50",
        "%",
        "0",
        "0",
        "0",
        "0.62",
        "1",
        "h",
        "2",
        "min",
        "3",
    ]


def test_the_page_is_bounded_however_many_nights_there_are() -> None:
    page = render_index(nights(9000))
    assert len(page.encode()) < 160_000
    assert page.count("/report.html") == NIGHTS + 1
    assert len(re.findall(r'<th scope="row">\d{4}-\d{2}</th>', page)) == MONTHS


def test_an_index_without_a_run_says_so() -> None:
    assert "No run yet" in render_index([])


def test_a_month_adds_up_and_ends_with_its_last_night() -> None:
    january, february = periods(nights(32), 7)
    assert (january.runs, january.scored, january.share, january.skipped) == (31, 124, 0.5, 30)
    assert (february.name, february.runs) == ("2001-02", 1)


def test_the_page_has_no_script_and_opens_no_connection() -> None:
    page = render_index(nights(3))
    assert "default-src 'none'" in page
    assert not re.search(r"<script|javascript:|https?://|@import|url\(", page)


NO_INDEX = """
import sys
from mura_batch.outputs.index import index_page
from mura_batch.errors import OutputError
def fail(*_, **__): raise OutputError("index.html cannot be written (No space left on device): free space")
index_page.write_atomic = fail
from mura_batch.cli import main
sys.argv[0] = "mura-batch"
main()
"""


def test_a_failure_to_write_it_leaves_the_run_published(scored: Path, studies: Path, tmp_path: Path) -> None:
    subprocess.run(["cp", "-a", scored, tmp_path / "out"], check=True)
    before = (tmp_path / "out" / "index.html").read_bytes()
    command = [sys.executable, "-c", NO_INDEX, "score", studies, "--out", tmp_path / "out", "--settle", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert "index.html is as it was" in line
    assert (tmp_path / "out" / "index.html").read_bytes() == before
    assert len(list((tmp_path / "out" / "runs").iterdir())) == 2
