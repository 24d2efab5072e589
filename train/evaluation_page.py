"""evaluation.html: one self-contained page, no script, no network. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from mura_batch.agreement.published import KAPPA
from train.evaluate import Evaluation, Worst

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .7rem;border-bottom:1px solid #ddd;text-align:right}
td{white-space:nowrap}td:first-child,th:first-child{text-align:left}figure{display:inline-block;margin:.4rem;width:15rem;vertical-align:top}
figure img{width:100%}figcaption{font-size:.8rem;overflow-wrap:anywhere}.note{color:#555}svg{max-width:100%;height:auto}
.wide{overflow-x:auto}
"""
HEAD = (
    "<meta charset=utf-8><meta http-equiv=Content-Security-Policy "
    "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
    f"<meta name=viewport content='width=device-width'><title>Evaluation</title><style>{STYLE}</style>"
)
HEADS = ("", "n", "AUROC", "kappa", "accuracy", "sensitivity", "specificity")
NOT_COMPARABLE = (
    "The paper's and the radiologists' kappas are per study on MURA's hidden test set (207 studies); the article's are "
    "per picture on its public validation set. Neither is measured on the data of this page: they are here for scale."
)


def page(evaluation: Evaluation) -> str:
    """The whole HTML document."""
    found = evaluation.figures
    flips = ", mean over each picture and its mirror image" if found["test_time_flips"] else ""
    body = [
        f"<h1>{escape(found['model'])} on {escape(found['split'])}</h1>",
        f"<p>{found['size']} px, abnormal above {found['threshold']:.4g}{flips}. 95 % intervals in brackets.</p>",
        "<h2>By study</h2><p class=note>The mean over a study's pictures, as in the MURA paper.</p>",
        _table(HEADS, [_row("all", found["studies"]), *_region_rows(found)]),
        _held_out(found["studies"]["kappa_threshold_held_out"]),
        "<h2>By picture</h2><p class=note>As the article counts.</p>",
        _table(HEADS, [_row("all", found["pictures"])]),
        "<h2>Decisions</h2>",
        _confusion("studies", found["studies"]["table"]),
        _confusion("pictures", found["pictures"]["table"]),
        f"<h2>Beside published kappas</h2><p class=note>{escape(NOT_COMPARABLE)}</p>",
        _published(found),
        _chart(found),
        f"<h2>The {len(evaluation.worst)} pictures furthest from their label</h2>",
        "".join(_figure(worst) for worst in evaluation.worst),
    ]
    return f"<!doctype html><html lang=en><head>{HEAD}</head><body>{''.join(body)}</body></html>\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=wide><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>"


def _row(name: str, group: dict[str, Any]) -> list[str]:
    names = ("auroc", "kappa", "accuracy", "sensitivity", "specificity")
    return [name, str(group["kappa"]["n"]), *(_estimate(group[key]) for key in names)]


def _region_rows(found: dict[str, Any]) -> list[list[str]]:
    return [_row(name, group) for name, group in found["studies"]["by_region"].items()]


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
    heads = (
        "kappa",
        "this model",
        "paper's model",
        "radiologist 1",
        "radiologist 2",
        "radiologist 3",
        "article, per picture",
    )
    return _table(heads, [_published_row(name, found) for name in KAPPA])


def _published_row(name: str, found: dict[str, Any]) -> list[str]:
    known, own = KAPPA[name], _own(name, found)
    others = (known.model, *known.radiologists, known.article)
    return [name, _estimate(own) if own else "", *(f"{value:.3f}" for value in others)]


def _own(name: str, found: dict[str, Any]) -> dict[str, Any] | None:
    group = found["studies"] if name == "overall" else found["studies"]["by_region"].get(name)
    return group["kappa"] if group else None


def _chart(found: dict[str, Any]) -> str:
    """A row a region: the three radiologists as a line from lowest to highest, the paper's and the article's model as
    marks, this model as a bar with its interval."""
    rows = "".join(_chart_row(name, found, 30 + 34 * k) for k, name in enumerate(KAPPA))
    ticks = "".join(
        f'<line x1="{_x(v)}" y1="16" x2="{_x(v)}" y2="{30 + 34 * len(KAPPA)}" stroke="#e5e5e5"/>'
        f'<text x="{_x(v)}" y="12" text-anchor="middle">{v:g}</text>'
        for v in (0, 0.25, 0.5, 0.75, 1)
    )
    legend = "bar: this model · grey line: radiologists · ◆ paper · ○ article (per picture)"
    height = 60 + 34 * len(KAPPA)
    text = f'<text x="90" y="{height - 8}">{legend}</text>'
    open_tag = f'<svg viewBox="0 0 640 {height}" role="img" aria-label="Kappa by region" font-size="11">'
    return f"{open_tag}{ticks}{rows}{text}</svg>"


def _x(kappa: float) -> float:
    return round(90 + 530 * max(kappa, 0.0), 1)


def _chart_row(name: str, found: dict[str, Any], y: int) -> str:
    known, own = KAPPA[name], _own(name, found)
    parts = [f'<text x="0" y="{y + 12}">{escape(name)}</text>']
    if own and own["value"] is not None:
        parts.append(f'<rect x="{_x(0)}" y="{y}" width="{_x(own["value"]) - _x(0)}" height="10" fill="#3b6ea8"/>')
        if own["low"] is not None:
            parts.append(f'<path d="M{_x(own["low"])} {y + 5}H{_x(own["high"])}" stroke="#102a43" stroke-width="2"/>')
    low, high = min(known.radiologists), max(known.radiologists)
    parts.append(f'<path d="M{_x(low)} {y + 17}H{_x(high)}" stroke="#999" stroke-width="4"/>')
    x = _x(known.model)
    parts.append(f'<path d="M{x} {y + 12}l5 5l-5 5l-5 -5z" fill="#b03a2e"/>')
    parts.append(f'<circle cx="{_x(known.article)}" cy="{y + 17}" r="4" fill="none" stroke="#222"/>')
    return "".join(parts)


def _figure(worst: Worst) -> str:
    truth = "abnormal" if worst.abnormal else "normal"
    words = f"{worst.region}: labelled {truth}, probability {worst.probability:.3f}; {worst.image}"
    return f'<figure><img src="{worst.png}" alt="{escape(words)}"><figcaption>{escape(words)}</figcaption></figure>'
