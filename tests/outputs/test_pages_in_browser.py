"""The pages beside the report of a run, in a real browser: all nights, a night without news, runs compared, drift."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mura_batch.agreement.drift import BASELINE_NIGHTS, Count, Mean, Night
from mura_batch.outputs.drift_history import write_drift

PAGES = ("index", "night without news", "compared runs", "drift")
SHARE = {True: Count(30, 100), False: Count(10, 100)}  # of abnormal studies, after and before a change


@pytest.fixture(scope="module")
def pages(scored: Path, studies: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of an OUT with a first run, a night without news, and a report of the first run with many nights of drift."""
    out = tmp_path_factory.mktemp("pages") / "out"
    shutil.copytree(scored, out, symlinks=True)
    first = (out / "latest").resolve()
    _mura_batch("score", studies, "--out", out, "--settle", 0, "--workers", 1)
    second = (out / "latest").resolve()
    assert second != first
    compared = out.parent / "compared.html"
    _mura_batch("compare", first, second, "--truth", studies / "truth.csv", "--page", compared)
    nights = [_night(n) for n in range(BASELINE_NIGHTS + 20)]
    write_drift(first, nights, 0)
    _mura_batch("report", first)
    quiet, drift = second / "report.html", first / "report.html"
    return dict(zip(PAGES, (out / "index.html", quiet, compared, drift), strict=True))


def _night(n: int) -> Night:
    figures = {"abnormal": SHARE[n >= BASELINE_NIGHTS + 5], "score": Mean(30.0, 12.0, 100)}
    return Night(f"run {n}", f"2026-{1 + n // 28:02}-{1 + n % 28:02}", "m", figures)


def _mura_batch(*words: object) -> None:
    command = [sys.executable, "-m", "mura_batch", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode in {0, 3}, done.stderr


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_desk_and_phone_and_axe_finds_nothing(browser: Any, pages: dict[str, Path], name: str) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed: make setup"
    )
    for width in (1440, 360):
        page = browser.new_page(viewport={"width": width, "height": 800})
        messages: list[str] = []
        page.on("console", lambda message, to=messages: to.append(message.text))
        page.goto(pages[name].as_uri())
        assert messages == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.inner_text("body").strip()
        if width == 360:
            found = axe.Axe().run(page).response["violations"]
            assert [(v["id"], [node["html"] for node in v["nodes"]]) for v in found] == []
        page.close()


def test_a_drift_alarm_leads_the_page_and_its_chart_is_drawn(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900}, java_script_enabled=False)
    page.goto(pages["drift"].as_uri())
    first = page.inner_text("#first")
    assert "The share of abnormal studies has been higher since" in first
    page.click("#first a[href='#drift']")
    chart = page.locator("#drift svg.control").first
    assert chart.is_visible()
    assert chart.locator("circle.abnormal").count() > 0
    assert chart.bounding_box()["height"] == 60
    page.close()
