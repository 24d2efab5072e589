"""The report's words and numbers are those of the run."""

from __future__ import annotations

import csv
import html.parser
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from record_builders import build_truth

from mura_batch.agreement.group import FIGURES
from mura_batch.agreement.readers import between_readers
from mura_batch.agreement.summary import summarise
from mura_batch.agreement.truth import match
from mura_batch.agreement.truth_file import Sampled, Truth
from mura_batch.errors import InputError, ModelError, TruthError
from mura_batch.outputs.report import collect, page
from mura_batch.outputs.report.card_figures import training_counts
from mura_batch.outputs.report.numbers import estimate, number
from mura_batch.outputs.report.render import render_report_file
from mura_batch.outputs.report.viewer_link import check_viewer_url, viewer_link
from mura_batch.records import UNREADABLE, Laterality, Region, StudyScore, StudyStatus
from mura_batch.resources import engines_folder, templates_folder

MakeRun = Callable[..., Any]
GOLDEN = Path(__file__).with_name("golden.html")
VOID = {"meta", "br", "img", "link", "input", "hr"}


def text_of(path: Path) -> str:
    """The page without its tags, spaces run together."""
    body = path.read_text(encoding="utf-8").partition("<body>")[2]
    return " ".join(re.sub(r"<title>.*?</title>|<[^>]*>", " ", body).split())


class Page(html.parser.HTMLParser):
    """Checks that every element is closed where it should be, and gathers identifiers and links."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[int] = []
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        named = dict(attributes)
        self.ids += [value for name, value in attributes if name == "id" and value]
        self.links += [str(named["href"])] if tag == "a" else []
        self.urls += [str(named[name]) for name in ("src", "href", "xlink:href", "data", "action") if name in named]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        assert "style" not in named, "a style attribute would be stopped by the page's own policy"
        assert not [name for name in named if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def parsed(path: Path) -> Page:
    parser = Page()
    parser.feed(path.read_text(encoding="utf-8"))
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture
def report(make_run: MakeRun) -> Path:
    run = make_run(14)
    return render_report_file(run.folder, run.truth)


def test_the_page_is_well_formed_and_links_have_targets(report: Path) -> None:
    page = parsed(report)
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))


def test_the_page_loads_nothing(report: Path) -> None:
    inside = ("#", "data:image/jpeg;base64,", "data:image/png;base64,")
    assert all(url.startswith(inside) for url in parsed(report).urls)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', report.read_text())
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy[1]


def test_the_disclaimer_is_at_top_and_bottom(report: Path) -> None:
    text = text_of(report)
    assert "Not a medical device" in text[:100]
    assert "Not a medical device" in text[-600:]


def test_file_counts_equal_those_of_the_manifest(report: Path) -> None:
    manifest = json.loads((report.parent / "run.json").read_text())
    counts = manifest["counts"]
    text = text_of(report)
    assert (
        f"{counts['found']} found = {counts['scored']} scored + {counts['unchanged']} unchanged since an earlier run "
        f"+ {counts['skipped']} skipped"
    ) in text
    flow = re.search(r'<table class="flow">.*?</table>', report.read_text(), re.S)
    assert flow is not None
    numbers = [int(n.replace("−", "-")) for n in re.findall(r'<td class="n">([−0-9]+)</td>', flow[0])]
    assert numbers[0] == counts["found"]
    assert numbers[0] + sum(n for n in numbers if n < 0) == numbers[-1] + numbers[-2]
    unreadable = sum(
        n for name, n in manifest["skipped_by_reason"].items() if name.partition("/")[2] in {*map(str, UNREADABLE)}
    )
    assert f"{unreadable} should have been readable" in text


def cards_of(page: str) -> list[str]:
    return re.findall(r'<article class="study.*?</article>', page, re.S)


def scores_of(cards: list[str]) -> list[float]:
    return [float(re.search(r'class="score">([0-9.]+)<', card)[1]) for card in cards]  # type: ignore[index]


def test_without_truth_new_studies_come_first_then_the_most_abnormal(make_run: MakeRun) -> None:
    run = make_run(14)
    cards = cards_of(render_report_file(run.folder, None).read_text())
    new = [study.score for study in run.studies if study.status == "scored"]
    old = [study.score for study in run.studies if study.status == "unchanged"]
    assert old
    assert scores_of(cards) == pytest.approx([*sorted(new, reverse=True), *sorted(old, reverse=True)], abs=0.0005)
    assert all(card.count("<img ") == 4 for card in cards)


def test_the_worst_mistakes_come_first(make_run: MakeRun) -> None:
    run = make_run(14)
    labels = run.labels
    wrong = [abs(s.score - s.threshold) for s in run.studies if labels[s.study_uid] != s.abnormal]
    text = render_report_file(run.folder, run.truth).read_text()
    cards = cards_of(text)
    first = cards[: len(wrong)]
    assert re.findall('<li><a href="#(study-[0-9]+)">', text) == ["study-1", "study-2"]
    assert len(wrong) == 2
    distances = [abs(score - 0.5) for score in scores_of(first)]
    assert distances == pytest.approx(sorted(wrong, reverse=True), abs=0.001)
    assert all(re.search('truth: (ab)?normal, <strong class="serious">(missed|false alarm)<', card) for card in first)
    assert not any("is-discordant" in card for card in cards[len(wrong) :])


def test_pictures_come_missed_first_then_false_alarms_then_new() -> None:
    """Of the mistakes the nine worst are before all; within a group what is new in this run is first."""
    rows = collect.ReportRows(None)
    labels: dict[str, int] = {}
    for n in range(48):
        study = StudyScore(
            study_uid=f"1.2.{n}", accession="", patient_key="", study_date="", region=Region.HAND,
            laterality=Laterality.LEFT, instances=1, scored=1, score=(n % 24) / 24, abnormal=n % 24 > 12, threshold=0.5,
            status=StudyStatus.UNCHANGED if n % 5 == 0 else StudyStatus.SCORED,
        )  # fmt: skip
        rows.study(study, [])
        if n < 36:
            labels[study.row_key] = n // 24
    shown = [listed for listed, _ in rows.shown(labels)]
    assert len(shown) == 48
    assert all(one.is_discordant for one in shown[:9])
    distance = min(abs(one.row.score - 0.5) for one in shown[:9] if one.row.score is not None)
    assert all(abs((one.row.score or 0) - 0.5) <= distance for one in shown[9:] if one.is_discordant)
    kinds = [(one.group if one.is_discordant else "", not one.is_new) for one in shown[9:]]
    order = [(group, known) for group in ("missed", "false-alarm", "") for known in (False, True)]
    assert list(dict.fromkeys(kinds)) == order


def test_each_cell_of_the_matrix_links_to_its_studies(report: Path) -> None:
    text = report.read_text()
    linked = dict(re.findall(r'<td class="(?:good|bad)"><a href="#(rows-[a-z-]+)">(\d+)</a>', text))
    assert linked.keys() >= {"rows-missed", "rows-agree-normal", "rows-agree-abnormal"}
    for group, n in linked.items():
        (body,) = re.findall(rf'<tbody id="{group}">.*?</tbody>', text, re.S)
        assert body.count('<tr class="row') == int(n)
        verdict = {"rows-missed": "missed", "rows-false-alarm": "false alarm"}.get(group, "agrees")
        assert len(re.findall(rf">{verdict}<", body)) == int(n)


def test_pictures_end_when_the_page_is_full(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(14)
    whole = render_report_file(run.folder, None).read_text()
    size = sum(map(len, re.findall(r"data:image/[a-z]+;base64,[^\"]*", whole)))
    monkeypatch.setattr(page, "PICTURE_BYTES", size // 2)
    text = render_report_file(run.folder, None).read_text()
    shown = len(cards_of(text))
    assert 6 <= shown <= 8
    assert (
        f"The page holds the pictures of {shown} study rows; {14 - shown} more rows with a score are left out." in text
    )


def test_study_identifiers_link_to_the_viewer(make_run: MakeRun) -> None:
    run = make_run(3)
    text = render_report_file(run.folder, None, "https://viewer.example/?study={study_uid}&a={accession}").read_text()
    for study in run.studies:
        link = f"https://viewer.example/?study={study.study_uid}&amp;a={study.accession}"
        assert text.count(f'<a href="{link}" rel="noreferrer">{study.study_uid}</a>') == 2  # card and table


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)//{study_uid}", "https://v.example/", "https://v/{patient}", "v/{study_uid}"]
)
def test_an_unusable_viewer_url_is_an_error(url: str) -> None:
    with pytest.raises(ValueError, match="it must"):
        check_viewer_url(url)


def test_a_viewer_link_is_percent_encoded_and_needs_its_value(make_run: MakeRun) -> None:
    (study,) = make_run(1).studies
    hostile = replace(study, study_uid='1"/><script>&?#')
    assert viewer_link("https://v.example/{study_uid}", hostile) == "https://v.example/1%22%2F%3E%3Cscript%3E%26%3F%23"
    assert viewer_link("https://v.example/{accession}", replace(study, accession="")) == ""


def test_agreement_equals_the_computed_statistics(make_run: MakeRun) -> None:
    run = make_run(14)
    agreement = summarise(match(run.truth, run.studies))
    assert agreement is not None
    overall = agreement.overall
    path = render_report_file(run.folder, run.truth)
    text = text_of(path)
    assert f"{overall.kappa.value:.3f} [{overall.kappa.low:.3f}, {overall.kappa.high:.3f}]" in text
    matrix = re.search(r'<table class="matrix">.*?</table>', path.read_text(), re.S)
    assert matrix is not None
    assert [int(n) for n in re.findall(r'<td class="(?:good|bad)">(?:<a[^>]*>)?(\d+)', matrix[0])] == [
        overall.true_negative, overall.false_positive, overall.false_negative, overall.true_positive,
    ]  # fmt: skip
    assert "0.705" in text  # the paper's model overall, arXiv 1712.06957, table 2
    assert "0.731 0.763 0.778" in text  # its radiologists


def test_a_drawn_sample_gets_corrected_figures(make_run: MakeRun) -> None:
    run = make_run(14)
    (file,) = run.truth.files
    lines = tuple(replace(line, sampled=Sampled("1: 14 of 140", 0.1)) for line in file.lines)
    sheet = Truth((replace(file, lines=lines, drawn=(("1: 14 of 140", 0.1),), unread=2),))
    text = text_of(render_report_file(run.folder, sheet))
    agreement = summarise(match(sheet, run.studies))
    assert agreement is not None
    assert agreement.corrected is not None
    kappa = agreement.corrected.kappa
    assert "Corrected for how the studies were drawn" in text
    assert (
        f"Cohen’s kappa {kappa.value:.3f} [{kappa.low:.3f}, {kappa.high:.3f}] Dirichlet quantiles at the effective"
        in text
    )
    assert "2 drawn studies not read" in text
    assert "verification bias" not in text


def test_every_figure_by_group_stands_on_the_page_and_in_the_files(make_run: MakeRun) -> None:
    run = make_run(70)
    text = text_of(render_report_file(run.folder, run.truth))
    written = json.loads((run.folder / "agreement.json").read_text())
    figures = written["figures"]
    kinds = {name.partition(": ")[0] for name in figures if ": " in name}
    assert kinds == {"side", "sex", "age", "device", "view"}
    groups = ["overall", "hand", *(name for name in figures if ": " in name)]
    for group in groups:
        assert list(figures[group]) == list(FIGURES)
        for name, figure in figures[group].items():
            if figure["value"] is not None:
                assert number(figure["value"]) in text, (group, name)
            if figure["low"] is not None and group != "overall":
                assert f"{number(figure['low'])} to {number(figure['high'])}" in text, (group, name)
    assert f"{written['comparisons']} intervals of groups" in text
    assert written["groups_left_out"]["side"] == {"groups": 0, "studies": 0}
    assert figures["threshold 0.9"]["specificity"]["value"] == 1
    assert sum(figures[f"score bin {n}"]["observed"]["n"] for n in range(1, 11)) == 70
    assert "Reliability: at each mean score" in text


def test_small_groups_are_named_and_have_no_figures(make_run: MakeRun) -> None:
    run = make_run(14)
    text = text_of(render_report_file(run.folder, run.truth))
    assert "Left out by region: 7 groups with 14 studies, fewer than 10 in each." in text
    assert "fewer than 10 studies: no figures" in text
    confusion = json.loads((run.folder / "agreement.json").read_text())["confusion"]
    assert "hand" not in confusion


def test_kappa_by_month_is_shown_with_the_truth_date(make_run: MakeRun) -> None:
    run = make_run(14)
    assert "Kappa by month" not in text_of(render_report_file(run.folder, run.truth))
    path = run.folder / "studies.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    later = [line.replace("20260131", "20260214") if n > 7 else line for n, line in enumerate(lines)]
    path.write_text("\n".join(later) + "\n", encoding="utf-8")
    text = text_of(render_report_file(run.folder, run.truth))
    assert "Kappa by month of study, truth as of 2026-02-14" in text
    assert "2026-01 7 " in text
    assert "2026-02 7 " in text


def test_partial_truth_of_unknown_choice_gets_a_warning(make_run: MakeRun) -> None:
    run = make_run(14)
    whole = text_of(render_report_file(run.folder, run.truth))
    part = text_of(render_report_file(run.folder, build_truth(dict(list(run.labels.items())[:9]))))
    assert "verification bias" in part
    assert "verification bias" not in whole


def test_without_truth_there_is_no_agreement_section(make_run: MakeRun) -> None:
    text = render_report_file(make_run(3).folder, None).read_text()
    assert "onfusion" not in text  # the matrix
    assert "appa with the truth" not in text
    assert 'id="agreement"' not in text


def test_each_reader_has_kappas(make_run: MakeRun) -> None:
    run = make_run(14)
    readers = {"reader_a": run.labels, "reader_b": dict(list(run.labels.items())[:5]), "reader_c": {}}
    text = text_of(render_report_file(run.folder, build_truth(run.labels, readers)))
    assert "reader_a 14 1.000 [" in text
    assert "reader_c 0 undefined read no scored study undefined read no scored study" in text
    between = between_readers(list(readers), match(build_truth(run.labels, readers), run.studies).cases)
    assert between is not None
    assert f"all together (Fleiss) {between.fleiss.n} undefined no study was read by all readers" in text
    assert "reader_a and reader_b 5 1.000 [" in text
    other = between.others[0]
    assert f"reader_a {other.n} {estimate(other.reader_kappa)} {estimate(other.model_kappa)}" in text


def test_one_class_only_gives_undefined_figures_with_reasons(make_run: MakeRun) -> None:
    run = make_run(14)
    normal = {study.study_uid: 0 for study in run.studies if not study.abnormal}
    text = text_of(render_report_file(run.folder, build_truth(normal)))
    assert "undefined" in text
    assert "one and the same class" in text
    assert "one class in the truth" in text


def test_tied_scores_give_undefined_figures_with_reasons(make_run: MakeRun) -> None:
    run = make_run(14)
    path = run.folder / "studies.csv"
    with path.open(newline="", encoding="utf-8") as file:
        table = list(csv.reader(file))
    for cells in table[1:]:
        cells[table[0].index("score")], cells[table[0].index("abnormal")] = "0.25", "0"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(table)
    page = render_report_file(run.folder, build_truth({uid: n % 2 for n, uid in enumerate(run.labels)}))
    parsed(page)
    text = text_of(page)
    assert "AUROC undefined all scores are equal: they order nothing" in text
    assert "Calibration slope undefined no finite slope" in text
    assert "Cohen’s kappa 0.000 [" in text


def test_one_labelled_study_has_a_page_without_figures_by_group(make_run: MakeRun) -> None:
    run = make_run(3)
    page = render_report_file(run.folder, build_truth({run.studies[0].study_uid: 1}))
    parsed(page)
    text = text_of(page)
    assert "Compared: 1 labelled study of 1 patient." in text
    assert "2 scored studies without a label" in text
    assert "intervals of groups" not in text


def test_very_many_readers_are_not_compared_in_pairs(make_run: MakeRun) -> None:
    run = make_run(3)
    readers = {f"reader_{n}": run.labels for n in range(21)}
    text = text_of(render_report_file(run.folder, build_truth(run.labels, readers)))
    assert "21 readers are too many to be compared with each other. All together (Fleiss’ kappa): 1.000" in text


def test_truth_without_matching_study_keeps_the_old_report(make_run: MakeRun) -> None:
    run = make_run(3)
    before = render_report_file(run.folder, None).read_text()
    with pytest.raises(TruthError, match="no study"):
        render_report_file(run.folder, build_truth({"9.9": 1}))
    assert (run.folder / "report.html").read_text() == before


def test_rendering_twice_gives_the_same_bytes(make_run: MakeRun) -> None:
    run = make_run(5)
    first = render_report_file(run.folder, run.truth).read_bytes()
    assert render_report_file(run.folder, run.truth).read_bytes() == first


def test_a_missing_picture_is_reported(make_run: MakeRun) -> None:
    run = make_run(2)
    pack = run.folder.parent.parent / "pictures" / "000001.pack"
    first, second = pack.read_bytes().split(b"\xff\xd8\xff")[1:3]  # each JPEG begins with a start of image marker
    with pack.open("r+b") as file:
        file.write(bytes(len(first) + len(second) + 6))  # as a power cut or a bad disk leaves it
    path = render_report_file(run.folder, None)
    assert text_of(path).count("The picture is missing.") == 2
    assert path.read_text().count("<img ") == 4


def test_a_large_run_shows_the_first_and_counts_the_rest(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "SHOWN_STUDIES", 4)
    monkeypatch.setattr(collect, "LISTED_ROWS", 6)
    run = make_run(14)
    text = text_of(render_report_file(run.folder, None))
    assert "The page holds the pictures of 4 study rows; 10 more rows with a score are left out." in text
    assert "The first 6 are listed; 8 more are in studies.csv" in text
    assert "The first 6 are listed; 7 more stand there." in text  # of 13 skipped files
    abnormal = sum(bool(study.abnormal) for study in run.studies)
    assert re.search(rf"abnormal {abnormal} score above 0.500", text)  # of all rows, not of the listed ones


def test_quiet_studies_draw_no_more_than_a_hundred_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are neither new nor discordant: on a night without news they are all there is."""
    monkeypatch.setattr(collect, "QUIET_STUDIES", 2)
    rows = collect.ReportRows(None)
    statuses = [StudyStatus.UNCHANGED] * 5 + [StudyStatus.SCORED] * 3
    for n, status in enumerate(statuses):
        rows.study(
            StudyScore(
                study_uid=f"1.2.{n}", accession="", patient_key="", study_date="", region=Region.HAND,
                laterality=Laterality.LEFT, instances=1, scored=1, score=n / 10, abnormal=n > 5, threshold=0.5,
                status=status,
            ),
            [],
        )  # fmt: skip
    shown = [listed.row.study_uid for listed, _ in rows.shown({})]
    assert shown == ["1.2.7", "1.2.6", "1.2.5", "1.2.4", "1.2.3"]  # the new ones, then the most abnormal of the others


@pytest.mark.parametrize("name", ["run.json", "studies.csv", "images.csv", "skipped.csv", "model.json"])
def test_a_missing_file_of_the_run_is_named(make_run: MakeRun, name: str) -> None:
    run = make_run(1)
    (run.folder / name).unlink()
    with pytest.raises(InputError, match=re.escape(name)):
        render_report_file(run.folder, None)
    assert not (run.folder / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("run.json", b'"found":', b'"found"'),
        ("run.json", b"header/truncated", b"header/eaten_by_the_dog"),
        ("studies.csv", b",scored,", b",half,"),
        ("studies.csv", b",wrist,", b",knee,"),
        ("images.csv", b"1.2.826", b"\xff\xfe"),
        ("images.csv", b"probability", b"likelihood"),
        ("skipped.csv", b"file_key", b"file_name"),
        ("model.json", b'"threshold": 0.5', b'"threshold": 5'),
    ],
)
def test_a_damaged_file_of_the_run_is_an_error(make_run: MakeRun, name: str, old: bytes, new: bytes) -> None:
    run = make_run(7)
    content = (run.folder / name).read_bytes()
    assert old in content
    (run.folder / name).write_bytes(content.replace(old, new))
    with pytest.raises((InputError, ModelError), match=re.escape(str(run.folder))):
        render_report_file(run.folder, None)
    assert not (run.folder / "report.html").exists()


def test_a_manifest_without_a_field_leaves_no_page(make_run: MakeRun) -> None:
    run = make_run(1)
    manifest = json.loads((run.folder / "run.json").read_text())
    del manifest["runner"]["device"]
    (run.folder / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="device"):
        render_report_file(run.folder, None)
    assert not (run.folder / "report.html").exists()


def test_a_run_without_scores_has_a_page(make_run: MakeRun) -> None:
    path = render_report_file(make_run(0).folder, None)
    parsed(path)
    assert "No study was scored." in text_of(path)


def test_the_page_equals_the_golden_page(make_run: MakeRun) -> None:
    """Without its style and its pictures, whose bytes are the libraries'. MURA_BATCH_GOLDEN=write writes it anew."""
    run = make_run(3)
    text = render_report_file(run.folder, run.truth).read_text(encoding="utf-8")
    text = re.sub(r"<style>.*?</style>", "<style></style>", text, flags=re.S)
    text = re.sub(r"sha256-[^']*|data:image/[a-z]+;base64,[^\"]*", "...", text)
    if os.environ.get("MURA_BATCH_GOLDEN") == "write":
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_scores_of_untrained_regions_are_marked(make_run: MakeRun) -> None:
    text = render_report_file(make_run(7).folder, None).read_text()
    marked = {
        re.search("<h3>([A-Za-z]+)", card)[1]  # type: ignore[index]
        for card in re.findall(r'<article class="study.*?</article>', text, re.S)
        if "was not trained on this region" in card
    }
    assert marked == {"Elbow", "Finger", "Forearm", "Humerus", "Wrist"}  # the card names hand and shoulder


def test_no_source_path_is_on_the_page(make_run: MakeRun) -> None:
    text = render_report_file(make_run(3).folder, None).read_text()
    assert "PA001" not in text
    assert "EXTRA/" not in text


def test_a_model_that_sees_the_centre_square_says_so(make_run: MakeRun) -> None:
    run = make_run(1)
    words = "It sees the centre square of each picture"
    assert words not in text_of(render_report_file(run.folder, run.truth))
    card = json.loads((run.folder / "model.json").read_text())
    card["input"]["resize"] = "crop"
    (run.folder / "model.json").write_text(json.dumps(card))
    assert words in text_of(render_report_file(run.folder, run.truth))


def test_incomplete_card_figures_are_shown(report: Path) -> None:
    text = text_of(report)
    assert "AUROC 0.810 [0.770, 0.850] 608 val DeLong" in text
    assert "Cohen’s kappa 0.432 608 val" in text
    assert "hand undefined" in text


def test_the_page_names_the_training_and_acceptance_data(report: Path) -> None:
    text = text_of(report)
    assert "Trained on 2,807 images of 2,807 studies, 498 abnormal Drawings, 3,415 of them" in text
    assert "Validated on 608 images of 608 studies, 109 abnormal" in text
    assert "Acceptance probabilities differ from float32 by at most 0.0060" in text


def test_the_reference_model_was_trained_on_2807_radiographs() -> None:
    card = json.loads((engines_folder() / "reference" / "model.json").read_text())
    assert training_counts(card["training"])["train"] == "2,807 images of 2,807 studies, 498 abnormal"


@pytest.mark.parametrize(
    "training", [{}, {"counts": 3}, {"counts": {"train": None}}, {"counts": {"train": {"pictures": 1}}}]
)
def test_a_card_without_counts_has_none(training: dict[str, Any]) -> None:
    assert training_counts(training) == {}


def test_no_template_turns_escaping_off() -> None:
    for path in templates_folder().glob("*.j2"):
        assert not re.search(r"\|\s*safe|autoescape|<script", path.read_text()), path.name
