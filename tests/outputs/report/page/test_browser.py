"""The report in a real browser, at the width of a desk and of a phone: no error, no network, nothing cut off."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from record_builders import build_truth

from mura_batch.outputs.report.render import render_report_file

DESKTOP, TABLET, PHONE = ({"width": w, "height": h} for w, h in ((1440, 900), (768, 1024), (360, 740)))
CLIPPED = """() => [...document.querySelectorAll('main *, header *, footer *, .disclaimer')]
  .filter(e => !e.closest('.scroll') && !e.closest('svg') && !e.closest('.unseen'))
  .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(e => e.tagName + '.' + e.className)"""
CONTRAST = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const worst = {};
  for (const e of document.querySelectorAll('main *, header *, footer *, .disclaimer *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.closest('.unseen') || e.tagName === 'title') continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(rgb(e.closest('svg') ? style.fill : style.color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) worst[e.tagName + '.' + e.getAttribute('class')] = ratio;
  }
  return worst; }"""


class Opened:
    """A page of the report, with all that the browser complained of and asked for."""

    def __init__(self, browser: Any, report: Path, **how: Any) -> None:
        self.messages: list[str] = []
        self.asked: list[str] = []
        self.page = browser.new_page(**how)
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(report.as_uri())

    def asked_beyond_itself(self) -> list[str]:
        return [url for url in self.asked if not url.startswith(("file://", "data:"))] + [
            url for url in self.asked if url.startswith("file://")
        ][1:]


@pytest.fixture(scope="module")
def report(seven: Any) -> Path:
    return render_report_file(seven.folder, seven.truth)


@pytest.fixture(scope="module")
def read_by_three(twenty: Any) -> Path:
    """A report that has every part: groups, other thresholds, three readers, a viewer."""
    labels = dict(list(twenty.labels.items())[1:])
    readers = {f"reader_{n}": {uid: label ^ (k % 7 == n) for k, (uid, label) in enumerate(labels.items())}
               for n in range(3)}  # fmt: skip
    return render_report_file(twenty.folder, build_truth(labels, readers), "https://viewer.example/{study_uid}")


@pytest.mark.parametrize("viewport", [DESKTOP, TABLET, PHONE], ids=["desktop", "tablet", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_error_network_or_horizontal_scrolling(
    browser: Any, report: Path, viewport: dict[str, int], scheme: str
) -> None:
    opened = Opened(browser, report, viewport=viewport, color_scheme=scheme)
    assert opened.messages == []
    assert opened.asked_beyond_itself() == []
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert opened.page.evaluate(CLIPPED) == []
    opened.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_has_wcag_contrast(browser: Any, report: Path, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1."""
    opened = Opened(browser, report, viewport=DESKTOP, color_scheme=scheme)
    assert opened.page.evaluate(CONTRAST) == {}
    opened.page.close()


@pytest.mark.parametrize(("viewport", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
def test_axe_finds_nothing(browser: Any, read_by_three: Path, viewport: dict[str, int], scheme: str) -> None:
    """axe-core: WCAG 2.2 A and AA but for the size of targets, and its best practices."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed: make setup"
    )
    opened = Opened(browser, read_by_three, viewport=viewport, color_scheme=scheme)
    opened.page.evaluate("document.querySelectorAll('details:not(.study > details)').forEach(d => d.open = true)")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    found = axe.Axe().run(opened.page)
    assert [(v["id"], [node["html"] for node in v["nodes"]]) for v in found.response["violations"]] == []
    assert len(found.response["passes"]) > 25
    opened.page.close()


def test_every_picture_loads_and_has_alternative_text(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, viewport=DESKTOP)
    pictures = opened.page.evaluate(
        "Promise.all([...document.images].map(i => i.decode().then(() => [i.naturalWidth, i.alt])))"
    )
    worst = opened.page.locator(".worst img").count()
    assert worst == 1
    assert len(pictures) == worst + 7 * 2 * 2
    assert {width for width, _ in pictures} == {40, 64}  # of maps, and of the model inputs that conftest draws
    assert all(alt for _, alt in pictures[worst:])
    opened.page.close()


@pytest.mark.parametrize("box", ["abnormal", "discordant", "new", "wrist"])
def test_a_filter_shows_only_its_studies_and_rows(browser: Any, report: Path, box: str) -> None:
    opened = Opened(browser, report, viewport=DESKTOP)
    opened.page.check(f"#only-{box}")
    chosen = '[data-region="wrist"]' if box == "wrist" else f".is-{box}"
    for kind in (".study", "tr.row"):
        visible = opened.page.locator(f"{kind}:visible").count()
        assert visible == opened.page.locator(f"{kind}{chosen}").count()
        assert 0 < visible < opened.page.locator(kind).count()
    opened.page.close()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_picture_enlarges_with_and_without_its_map(browser: Any, report: Path, viewport: dict[str, int]) -> None:
    """Without script: 320 pixels, what the model saw."""
    opened = Opened(browser, report, viewport=viewport, java_script_enabled=False)
    figure = opened.page.locator(".pictures figure").first
    seen, drawn = figure.locator("img").all()
    assert seen.bounding_box()["width"] < 320
    figure.locator(".layers").click()  # as good as its check box
    assert seen.bounding_box() == drawn.bounding_box()
    assert [seen.bounding_box()[side] for side in ("width", "height")] == [320, 320]
    assert seen.bounding_box()["x"] + 320 <= viewport["width"]
    figure.locator(".with-map input").uncheck()
    assert not drawn.is_visible()
    figure.locator(".with-map input").check()
    opened.page.check("#no-maps")
    assert not drawn.is_visible()
    opened.page.close()


def test_three_hundred_studies_are_folded(browser: Any, make_run: Callable[..., Any]) -> None:
    run = make_run(300)
    report = render_report_file(run.folder, run.truth)
    for viewport, most in ((DESKTOP, 16_000), (PHONE, 24_000)):
        opened = Opened(browser, report, viewport=viewport)
        assert opened.page.locator(".study > details[open]").count() == 9
        assert opened.page.locator("html").bounding_box()["height"] < most
        opened.page.close()
    opened = Opened(browser, report, viewport={"width": 794, "height": 1123})
    pages = len(re.findall(rb"/Type /Page\b", opened.page.pdf(format="A4")))
    assert 5 < pages < 20
    opened.page.close()


def test_a_link_opens_the_list_or_study_it_leads_to(browser: Any, make_run: Callable[..., Any]) -> None:
    run = make_run(120)
    opened = Opened(browser, render_report_file(run.folder, run.truth), viewport=DESKTOP, java_script_enabled=False)
    group = opened.page.locator("#rows-agree-normal")
    assert not group.is_visible()
    opened.page.click("td.good a >> nth=0")
    assert group.is_visible()
    group.locator("tr th a").last.click()
    assert opened.page.locator(".body:target").is_visible()
    opened.page.click("#first .worst a >> nth=0")
    assert opened.page.locator(".body:target .layers").first.is_visible()
    opened.page.close()


def test_the_style_matches_the_policy(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, viewport=DESKTOP)
    assert opened.page.evaluate("getComputedStyle(document.querySelector('.tiles')).display") == "grid"
    opened.page.close()


def test_the_policy_stops_an_injected_script(browser: Any, report: Path) -> None:
    hostile = report.with_name("hostile.html")
    text = report.read_text(encoding="utf-8")
    injected = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"
    hostile.write_text(text.replace("<main>", f"<main>{injected}"), encoding="utf-8")
    opened = Opened(browser, hostile, viewport=DESKTOP)
    assert opened.page.title().startswith("mura-batch audit report")
    assert any("Content Security Policy" in line for line in opened.messages)
    opened.page.close()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_hostile_headers_stay_text(browser: Any, make_run: Callable[..., Any], viewport: dict[str, int]) -> None:
    text = "<script>document.title='owned'</script><img src=x onerror=alert(1)>'\"&{{7*7}}]]>" + "W" * 200
    run = make_run(3, hostile=text)
    opened = Opened(browser, render_report_file(run.folder, None), viewport=viewport)
    assert opened.messages == []
    assert opened.asked_beyond_itself() == []
    assert opened.page.title().startswith("mura-batch audit report")
    assert opened.page.evaluate("document.scripts.length") == 0
    assert text in opened.page.inner_text("#studies")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    opened.page.close()


def test_print_is_on_white_without_hidden_content(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, viewport={"width": 794, "height": 1123}, color_scheme="dark")  # A4 at 96 dpi
    opened.page.emulate_media(media="print", color_scheme="light")
    assert opened.page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"
    assert not opened.page.is_visible("nav")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 794
    assert opened.page.pdf(format="A4").startswith(b"%PDF")
    opened.page.close()
