"""evaluation.html: one self-contained page, no script, no network. What it shows is computed here; train/templates lays
it out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mura_batch.agreement.published import ARTICLE_PICTURES, KAPPA, PAPER_STUDIES
from mura_batch.atomic_files import atomic_file, make_folder
from mura_batch.outputs.html import content_policy, html_environment
from train.data.examples import VAL
from train.measure.evaluate import Evaluation, Worst
from train.measure.figures import FEWEST

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
FIGURES = {  # name in the JSON: name on the page
    "auroc": "AUROC",
    "kappa": "kappa",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}
CALIBRATION = {
    "slope": "slope",
    "intercept": "intercept",
    "brier": "Brier score",
    "calibration_error": "calibration error",
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
ROW = 48  # pixels of a region in the chart: this model by study, the published ones by study, both by picture
FIRST_ROW = 30  # below the axis


@dataclass(frozen=True, slots=True)
class Table:
    """notes: sentences below it."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """What the template shows, as text and coordinates. reliability, chart: see `_reliability` and `_chart`. worst:
    captions and pictures."""

    title: str
    setting: str
    studies: Table
    pictures: Table
    held_out: str
    confusions: tuple[Table, ...]
    calibration: Table
    reliability: dict[str, Any]
    comparable: str
    published: Table
    chart: dict[str, Any]
    worst: tuple[dict[str, str], ...]


def page(evaluation: Evaluation) -> str:
    """The whole HTML document."""
    style = (TEMPLATES / "evaluation.css").read_text(encoding="utf-8")
    template = html_environment(TEMPLATES).get_template("evaluation.html.j2")
    policy = Markup(content_policy(style))  # noqa: S704 - fixed words and a hash
    return template.render(page=_page(evaluation), style=Markup(style), policy=policy)  # noqa: S704 - our own file


def _page(evaluation: Evaluation) -> Page:
    figures = evaluation.figures
    by_study, by_picture = figures["studies"], figures["pictures"]
    flips = ", mean over each picture and its mirror image" if figures["test_time_flips"] else ""
    held_out = by_study["kappa_threshold_held_out"]
    return Page(
        title=f"{figures['model']} on {figures['split']}",
        setting=f"{figures['size']} px, abnormal above {figures['threshold']:.4g}{flips}. 95 % intervals in brackets.",
        studies=_breakdown(by_study),
        pictures=_breakdown(by_picture),
        held_out=f"Kappa with {held_out['note']}: {_estimate(held_out)}.",
        confusions=(_confusion("studies", by_study["table"]), _confusion("pictures", by_picture["table"])),
        calibration=_calibration(figures["calibration"]),
        reliability=_reliability(figures["calibration"]["reliability"]),
        comparable=_comparable(figures),
        published=Table(PUBLISHED_HEADS, tuple(_published_row(name, figures) for name in KAPPA)),
        chart=_chart(figures),
        worst=tuple({"png": worst.png, "caption": _caption(worst)} for worst in evaluation.worst),
    )


def _comparable(figures: Mapping[str, Any]) -> str:
    """Which of the published figures were measured on the pictures of this page: it depends on the data."""
    sources = (  # the article's model names the likelier of two classes: a threshold of 0.5
        f"The paper's and the radiologists' kappas are per study on MURA's hidden test set ({PAPER_STUDIES} studies); "
        f"the article's are per picture on MURA's public validation set ({ARTICLE_PICTURES:,} pictures), "
        "abnormal above 0.5. "
    )
    if figures["data_kind"] != "mura" or figures["split"] != VAL:
        return sources + "None of them is measured on the data of this page: they are shown for scale."
    hidden = "The test set is of other studies: its kappas are shown for scale."
    if (n := figures["pictures"]["kappa"]["n"]) != ARTICLE_PICTURES:
        return f"{sources}This page has only {n:,} pictures of that validation set. {hidden}"
    same = f"This model's, per picture, are of the same pictures, abnormal above {figures['threshold']:.4g}. "
    return sources + same + hidden


def _breakdown(part: Mapping[str, Any]) -> Table:
    """part: the figures by study or by picture."""
    groups = {"all": part, **part["by_region"]}
    notes = (_left_out(part["regions_left_out"]), _reasons(groups, FIGURES), _methods(groups))
    return Table(("", "n", *FIGURES.values()), _rows(groups, FIGURES), tuple(note for note in notes if note))


def _rows(groups: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """A row a group: its name, its n and the estimate of each column."""
    first = next(iter(columns))
    return tuple(
        (name, str(group[first]["n"]), *(_estimate(group[key]) for key in columns)) for name, group in groups.items()
    )


def _calibration(part: Mapping[str, Any]) -> Table:
    groups = {"all": part, **part["by_region"]}
    methods = "; ".join(f"{shown}: {part[key]['method']}" for key, shown in CALIBRATION.items())
    notes = (
        f"A region needs {FEWEST} normal and {FEWEST} abnormal pictures.",
        _reasons(groups, CALIBRATION),
        f"{methods}.",
    )
    return Table(("", "n", *CALIBRATION.values()), _rows(groups, CALIBRATION), tuple(note for note in notes if note))


def _reliability(bins: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Coordinates, in pixels, of a square of 260 whose lower left corner is at (40, 270)."""

    def across(value: float) -> float:
        return round(40 + 260 * value, 1)

    def down(value: float) -> float:
        return round(270 - 260 * value, 1)

    return {
        "ticks": [{"x": across(v), "y": down(v), "label": f"{v:g}"} for v in (0, 0.5, 1)],
        "points": [
            {"x": across(b["predicted"]), "y": down(b["observed"]), "low": down(b["low"]), "high": down(b["high"])}
            for b in bins
        ],
    }


def _left_out(regions: Mapping[str, Mapping[str, int]]) -> str:
    if not regions:
        return ""
    names = (f"{name} ({count['normal']} normal, {count['abnormal']} abnormal)" for name, count in regions.items())
    needed = f"{FEWEST} normal and {FEWEST} abnormal studies"
    return f"A region needs {needed} for figures of its own. Left out: {', '.join(names)}."


def _reasons(groups: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """Why a figure is undefined or deserves doubt."""
    return " ".join(
        f"{shown} of {name}: {group[key]['reason']}."
        for name, group in groups.items()
        for key, shown in columns.items()
        if "reason" in group[key]
    )


def _methods(groups: Mapping[str, Mapping[str, Any]]) -> str:
    """Of AUROC, kappa and the rates; kappa's may differ from one region to another."""
    used = {key: " or ".join(dict.fromkeys(g[key]["method"] for g in groups.values())) for key in FIGURES}
    return f"Intervals of AUROC: {used['auroc']}; of kappa: {used['kappa']}; of the rates: {used['accuracy']}."


def _estimate(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return "undefined"
    if estimate["low"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def _confusion(unit: str, table: list[list[int]]) -> Table:
    rows = tuple((name, str(a), str(b)) for name, (a, b) in zip(("normal", "abnormal"), table, strict=True))
    return Table((f"{unit}: truth", "called normal", "called abnormal"), rows)


def _published_row(name: str, figures: Mapping[str, Any]) -> tuple[str, ...]:
    known = KAPPA[name]
    study, picture = (
        _estimate(kappa) if kappa else "–" for kappa in (_own(name, figures[by]) for by in ("studies", "pictures"))
    )
    paper = (f"{value:.3f}" for value in (known.model, *known.radiologists))
    return (name, study, *paper, picture, f"{known.article:.3f}")


def _own(name: str, part: Mapping[str, Any]) -> dict[str, Any] | None:
    """This model's kappa of a row of the published table; None where it has none."""
    group = part if name == "overall" else part["by_region"].get(name)
    return group["kappa"] if group else None


def _chart(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Coordinates, in pixels. Three lines a region: this model by study, as a bar; the paper's model and its
    radiologists from lowest to highest; and by picture, this model and the article's, as marks."""
    return {
        "height": FIRST_ROW + ROW * len(KAPPA),
        "zero": _x(0),
        "ticks": [{"x": _x(value), "label": f"{value:g}"} for value in (0, 0.25, 0.5, 0.75, 1)],
        "rows": list(_chart_rows(figures)),
    }


def _chart_rows(figures: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """y: of the row's upper edge."""
    for number, (name, known) in enumerate(KAPPA.items()):
        yield {
            "name": name,
            "y": FIRST_ROW + ROW * number,
            "study": _mark(_own(name, figures["studies"])),
            "picture": _mark(_own(name, figures["pictures"])),
            "radiologists": {"low": _x(min(known.radiologists)), "high": _x(max(known.radiologists))},
            "paper": _x(known.model),
            "article": _x(known.article),
        }


def _mark(kappa: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """None where there is no value; its `span` is None where there is no interval."""
    if kappa is None or kappa["value"] is None:
        return None
    x = _x(kappa["value"])
    span = None if kappa["low"] is None else {"low": _x(kappa["low"]), "high": _x(kappa["high"])}
    return {"x": x, "width": round(x - _x(0), 1), "span": span}


def _x(kappa: float) -> float:
    return round(90 + 530 * max(kappa, 0.0), 1)


def _caption(worst: Worst) -> str:
    truth = "abnormal" if worst.abnormal else "normal"
    return f"{worst.region}: labelled {truth}, probability {worst.probability:.3f}; {worst.image}"


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """evaluation.json and evaluation.html, each whole or not at all. Raises OutputError that names the file."""
    texts = {"evaluation.json": json.dumps(evaluation.figures, indent=2) + "\n", "evaluation.html": page(evaluation)}
    fix = "free some space or give another --out"
    make_folder(folder, fix)
    for name, text in texts.items():
        with atomic_file(folder / name, fix) as file:
            # a picture's name that is no UTF-8 reaches us with surrogates (PEP 383), which UTF-8 cannot hold
            file.write(text.encode(errors="backslashreplace"))
