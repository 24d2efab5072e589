"""The report of 2,000 studies with truth: time and memory of rendering, the page's size, and how soon a browser shows
it at the width of a desk and of a phone.

The studies are copies of 28 drawings of all regions, two 64 x 64 radiographs each, every radiograph shifted by other
columns, so that scores differ. Every fourth label contradicts the call: 500 mistakes.
"""

from __future__ import annotations

import csv
import re
import resource
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.many import PER_STUDY, SIDE, make_model, make_tree, watched
from bench.result import Figure
from bench.whole import COMMAND, score_command

STUDIES = 2000
DRAWINGS = 28  # four of each region
WIDTHS = (1440, 360)  # pixels: a desk and a phone
SECTION = f"Report of {STUDIES:,} studies with truth"


def report_page(reference: Path, work: Path) -> list[Figure]:
    """reference: the model whose card the two-layer model takes over. Without Chromium there are no figures of it."""
    tree = make_tree(work / "files", STUDIES * PER_STUDY, DRAWINGS)
    _shift(tree)
    out = work / "out"
    watched(score_command(tree, out, make_model(reference, work / "model")))
    truth = _truth(out / "latest" / "studies.csv", work / "truth.csv")
    before = _cpu_of_children()
    peak, seconds = watched([*COMMAND, "report", str(out / "latest"), "--truth", str(truth)])
    page = out / "latest" / "report.html"
    return [
        Figure(SECTION, "rendering, CPU time of the whole process", _cpu_of_children() - before, "< 3", unit="s"),
        Figure(SECTION, "rendering, wall time", seconds, unit="s"),
        Figure(SECTION, "peak memory of rendering", peak, "< 250", unit="MB"),
        Figure(SECTION, "the page", page.stat().st_size / 1e6, "< 15", unit="MB"),
        *_in_browser(page.resolve()),
    ]


def _cpu_of_children() -> float:
    """Seconds, of those that have ended: a shared machine stretches wall time by more."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _shift(tree: Path) -> None:
    """Rolls the pixels of each file, its last bytes, by other columns."""
    for number, path in enumerate(sorted(tree.rglob("IM*"))):
        text = path.read_bytes()
        head, pixels = text[: -2 * SIDE * SIDE], np.frombuffer(text[-2 * SIDE * SIDE :], np.uint16)
        rolled = np.roll(pixels.reshape(SIDE, SIDE), 7 * number % SIDE, axis=1)
        path.write_bytes(head + rolled.tobytes())


def _truth(studies: Path, path: Path) -> Path:
    with studies.open(newline="", encoding="utf-8") as file:
        calls = [(row["study_uid"], int(row["abnormal"])) for row in csv.DictReader(file) if row["abnormal"]]
    lines = [f"{uid},{call ^ (n % 4 == 3)}" for n, (uid, call) in enumerate(calls)]
    path.write_text("\n".join(["study_uid,label", *lines]) + "\n")
    return path


def _in_browser(page: Path) -> list[Figure]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        return []
    from playwright.sync_api import sync_playwright

    figures = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width in WIDTHS:
            figures += _at_width(browser, page, width)
        opened = browser.new_page()
        opened.goto(page.as_uri())
        pages = len(re.findall(rb"/Type /Page\b", opened.pdf(format="A4")))
        browser.close()
    return [*figures, Figure(SECTION, "printed on A4", pages, "< 60", unit="pages")]


def _at_width(browser: Any, page: Path, width: int) -> list[Figure]:
    opened = browser.new_page(viewport={"width": width, "height": 900}, java_script_enabled=False)
    begun = time.perf_counter()
    opened.goto(page.as_uri())
    opened.screenshot()  # waits until the first screen is drawn
    shown = time.perf_counter() - begun
    height = opened.locator("html").bounding_box()["height"]
    begun = time.perf_counter()
    opened.check("#only-discordant")
    opened.screenshot()
    filtered = time.perf_counter() - begun
    opened.close()
    return [
        Figure(SECTION, f"first screen, {width} px wide", shown, "< 3", unit="s"),
        Figure(SECTION, f"a filter, {width} px wide", filtered, "< 3", unit="s"),
        Figure(SECTION, f"height, {width} px wide", height, "< 58000", unit="px"),
    ]
