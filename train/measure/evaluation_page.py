"""evaluation.html: one self-contained page, no script, no network. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from mura_batch.agreement.published import ARTICLE_PICTURES, KAPPA, PAPER_STUDIES, Published
from train.data.examples import VAL
from train.measure.evaluate import Evaluation, Worst
from train.measure.figures import FEWEST

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
table{border-collapse:collapse;margin:1rem 0;font-size:.85rem}
td,th{padding:.25rem .5rem;border-bottom:1px solid #ddd;text-align:right}
td{white-space:nowrap}td:first-child,th:first-child{text-align:left}figure{display:inline-block;margin:.4rem;width:15rem;vertical-align:top}
figure img{width:100%}figcaption{font-size:.8rem;overflow-wrap:anywhere}.note{color:#555}svg{max-width:100%;height:auto}
.wide{overflow-x:auto}
"""
HEAD = (
    "<meta charset=utf-8><meta http-equiv=Content-Security-Policy "
    "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
    f"<meta name=viewport content='width=device-width'><title>Evaluation</title><style>{STYLE}</style>"
)
FIGURES = {  # as the JSON names them: as the page does
    "auroc": "AUROC",
    "kappa": "kappa",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}
PUBLISHED_HEADS = (
    "kappa",
    "this model, per study",
    "paper's model",
    "radiologist 1",
    "radiologist 2",
    "radiologist 3",
    "this model, per picture",
    "article, per picture",
)
LEGEND = (
    "Upper bar with a line through it: this model per study, with its interval. Grey line: the radiologists, from the "
    "lowest to the highest. ◆ the paper's model. ● with a line: this model per picture, with its interval. "
    "○ the article's model, per picture. Kappas below 0 are drawn at 0."
)
ROW = 48  # pixels for a region in the chart: this model by study, the published ones by study, both by picture


def page(evaluation: Evaluation) -> str:
    """The whole HTML document."""
    found = evaluation.figures
    flips = ", mean over each picture and its mirror image" if found["test_time_flips"] else ""
    body = [
        f"<h1>{escape(found['model'])} on {escape(found['split'])}</h1>",
        f"<p>{found['size']} px, abnormal above {found['threshold']:.4g}{flips}. 95 % intervals in brackets.</p>",
        "<h2>By study</h2>",
        _note("The mean over a study's pictures, as in the MURA paper."),
        _breakdown(found["studies"]),
        _held_out(found["studies"]["kappa_threshold_held_out"]),
        "<h2>By picture</h2>",
        _note("Each picture by itself, as the article counts."),
        _breakdown(found["pictures"]),
        "<h2>Decisions</h2>",
        _confusion("studies", found["studies"]["table"]),
        _confusion("pictures", found["pictures"]["table"]),
        "<h2>Beside published kappas</h2>",
        _note(_comparable(found)),
        _published(found),
        _chart(found),
        _note(LEGEND),
        f"<h2>The {len(evaluation.worst)} pictures furthest from their label</h2>",
        "".join(_figure(worst) for worst in evaluation.worst),
    ]
    return f"<!doctype html><html lang=en><head>{HEAD}</head><body>{''.join(body)}</body></html>\n"


def _note(words: str) -> str:
    return f"<p class=note>{escape(words)}</p>"


def _comparable(found: dict[str, Any]) -> str:
    """What of the published figures was measured on the pictures of this page, which depends on the data."""
    told = (  # the article's model names the likelier of two classes: a threshold of 0.5
        f"The paper's and the radiologists' kappas are per study on MURA's hidden test set ({PAPER_STUDIES} studies); "
        f"the article's are per picture on MURA's public validation set ({ARTICLE_PICTURES:,} pictures), "
        "abnormal above 0.5. "
    )
    if found["data_kind"] != "mura" or found["split"] != VAL:
        return told + "None of them is measured on the data of this page: they are here for scale."
    hidden = "The test set is of other studies: its kappas are here for scale."
    if (n := found["pictures"]["kappa"]["n"]) != ARTICLE_PICTURES:
        return f"{told}This page has only {n:,} pictures of that validation set. {hidden}"
    decided = f"This model's, per picture, are of the same pictures, abnormal above {found['threshold']:.4g}. "
    return told + decided + hidden


def _breakdown(of: dict[str, Any]) -> str:
    """of: by study or by picture. The table, and below it what must be known to read it."""
    groups = {"all": of, **of["by_region"]}
    table = _table(("", "n", *FIGURES.values()), [_row(name, group) for name, group in groups.items()])
    return table + _left_out(of["regions_left_out"]) + _doubts(groups) + _methods(groups)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=wide><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>"


def _row(name: str, group: dict[str, Any]) -> list[str]:
    return [name, str(group["kappa"]["n"]), *(_estimate(group[key]) for key in FIGURES)]


def _left_out(regions: dict[str, dict[str, int]]) -> str:
    if not regions:
        return ""
    told = (f"{name} ({count['normal']} normal, {count['abnormal']} abnormal)" for name, count in regions.items())
    needed = f"{FEWEST} normal and {FEWEST} abnormal studies"
    return _note(f"A region needs {needed} for figures of its own. Left out: {', '.join(told)}.")


def _doubts(groups: dict[str, dict[str, Any]]) -> str:
    """The reason of each figure that is undefined or deserves doubt."""
    told = [
        f"{shown} of {name}: {group[key]['reason']}."
        for name, group in groups.items()
        for key, shown in FIGURES.items()
        if "reason" in group[key]
    ]
    return _note(" ".join(told)) if told else ""


def _methods(groups: dict[str, dict[str, Any]]) -> str:
    """Names those of AUROC, kappa and the rates; kappa's may differ from one region to another."""
    used = {key: " or ".join(dict.fromkeys(g[key]["method"] for g in groups.values())) for key in FIGURES}
    told = f"Intervals of AUROC: {used['auroc']}; of kappa: {used['kappa']}; of the rates: {used['accuracy']}. "
    return _note(told + "Those of AUROC and the rates take each case for an independent one.")


def _estimate(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return "undefined"
    if estimate["low"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def _held_out(estimate: dict[str, Any]) -> str:
    return f"<p>Kappa with {escape(estimate['note'])}: {_estimate(estimate)}.</p>"


def _confusion(what: str, table: list[list[int]]) -> str:
    rows = [[name, str(a), str(b)] for name, (a, b) in zip(("normal", "abnormal"), table, strict=True)]
    return _table((f"{what}: truth", "called normal", "called abnormal"), rows)


def _published(found: dict[str, Any]) -> str:
    return _table(PUBLISHED_HEADS, [_published_row(name, found) for name in KAPPA])


def _published_row(name: str, found: dict[str, Any]) -> list[str]:
    known, own = KAPPA[name], (_own(name, found[by]) for by in ("studies", "pictures"))
    study, picture = (_estimate(kappa) if kappa else "–" for kappa in own)
    paper = (f"{value:.3f}" for value in (known.model, *known.radiologists))
    return [name, study, *paper, picture, f"{known.article:.3f}"]


def _own(name: str, of: dict[str, Any]) -> dict[str, Any] | None:
    group = of if name == "overall" else of["by_region"].get(name)
    return group["kappa"] if group else None


def _chart(found: dict[str, Any]) -> str:
    """For each region three lines: this model by study, as a bar; the paper's, its radiologists from lowest to highest;
    and by picture, this model and the article's as marks."""
    height = 30 + ROW * len(KAPPA)
    ticks = "".join(
        f'<line x1="{_x(v)}" y1="16" x2="{_x(v)}" y2="{height}" stroke="#e5e5e5"/>'
        f'<text x="{_x(v)}" y="12" text-anchor="middle">{v:g}</text>'
        for v in (0, 0.25, 0.5, 0.75, 1)
    )
    rows = "".join(_chart_row(name, found, 30 + ROW * k) for k, name in enumerate(KAPPA))
    open_tag = f'<svg viewBox="0 0 640 {height}" role="img" aria-label="Kappa by region" font-size="11">'
    return f"{open_tag}{ticks}{rows}</svg>"


def _x(kappa: float) -> float:
    return round(90 + 530 * max(kappa, 0.0), 1)


def _chart_row(name: str, found: dict[str, Any], y: int) -> str:
    """y: of the row's upper edge."""
    study, picture = (_own(name, found[by]) for by in ("studies", "pictures"))
    parts = [f'<text x="0" y="{y + 20}">{escape(name)}</text>']
    if study and study["value"] is not None:
        parts.append(f'<rect x="{_x(0)}" y="{y}" width="{_x(study["value"]) - _x(0):.1f}" height="10" fill="#3b6ea8"/>')
        parts.append(_whisker(study, y + 5, "#102a43"))
    parts.append(_paper(KAPPA[name], y + 17))
    if picture and picture["value"] is not None:
        parts.append(_whisker(picture, y + 31, "#3b6ea8"))
        parts.append(f'<circle cx="{_x(picture["value"])}" cy="{y + 31}" r="3" fill="#3b6ea8"/>')
    # a ring around the dot where both kappas are the same
    parts.append(f'<circle cx="{_x(KAPPA[name].article)}" cy="{y + 31}" r="5.5" fill="none" stroke="#222"/>')
    return "".join(parts)


def _whisker(kappa: dict[str, Any], y: int, colour: str) -> str:
    """The interval, where there is one."""
    if kappa["low"] is None:
        return ""
    return f'<path d="M{_x(kappa["low"])} {y}H{_x(kappa["high"])}" stroke="{colour}" stroke-width="2"/>'


def _paper(known: Published, y: int) -> str:
    low, high, x = _x(min(known.radiologists)), _x(max(known.radiologists)), _x(known.model)
    line = f'<path d="M{low} {y}H{high}" stroke="#999" stroke-width="4"/>'
    return f'{line}<path d="M{x} {y - 5}l5 5l-5 5l-5 -5z" fill="#b03a2e"/>'


def _figure(worst: Worst) -> str:
    truth = "abnormal" if worst.abnormal else "normal"
    words = f"{worst.region}: labelled {truth}, probability {worst.probability:.3f}; {worst.image}"
    return f'<figure><img src="{worst.png}" alt="{escape(words)}"><figcaption>{escape(words)}</figcaption></figure>'
