"""report.html of a run: at its end, and again from its folder when the truth comes later."""

from __future__ import annotations

import heapq
import json
from contextlib import ExitStack
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from mura_batch.agreement.comparison import Comparison, by_model
from mura_batch.agreement.drift import Drift
from mura_batch.agreement.truth_file import Truth
from mura_batch.atomic_files import atomic_writer
from mura_batch.errors import InputError, TruthError
from mura_batch.model_card import CARD_NAME, ModelCard, parse_card
from mura_batch.outputs.agreement_files import manifest_values, read_run_truth, write_agreement
from mura_batch.outputs.disclosure import Disclosure
from mura_batch.outputs.drift_history import kappa_of, read_drift, renew_kappa
from mura_batch.outputs.file_names import REPORT_NAME
from mura_batch.outputs.manifest import RunManifest, manifest_of, read_manifest, write_manifest
from mura_batch.outputs.read_tables import models_of_rows, read_rows
from mura_batch.outputs.report import charts
from mura_batch.outputs.report.agreement_view import view_of
from mura_batch.outputs.report.attention import Listed
from mura_batch.outputs.report.collect import Picture, ReportRows, read_report_rows
from mura_batch.outputs.report.drift_view import drift_view
from mura_batch.outputs.report.file_flow import steps_of
from mura_batch.outputs.report.outliers import Outliers
from mura_batch.outputs.report.page import ReportData, StudyCard, Totals, render
from mura_batch.outputs.sink import RunEnd, RunInfo
from mura_batch.pseudonyms import Identifiers, require_identifiers
from mura_batch.store.key import Key
from mura_batch.store.pictures import ReadPicture, stored_pictures
from mura_batch.store.secret import names_of
from mura_batch.store.stored_truth import stored_truth

SHOWN_PICTURES = 6  # of one study row: a study has 1 to 4, a trauma series a few more


def write_report(run: RunInfo, end: RunEnd, rows: ReportRows, outliers: Outliers) -> None:
    """report.html of a run that is ending. Raises OutputError."""
    data = _report_data(manifest_of(run, end), run.model.card, rows, end.comparison, read_drift(run.folder))
    _write(replace(data, outliers=outliers), run.read_picture, run.folder / REPORT_NAME)


def render_report_file(run_folder: Path, truth: Truth | None, viewer_url: str | None = None) -> Path:
    """Reads run.json and the tables of a past run; writes report.html beside them, whole or not at all. Its pictures
    are in the OUT that holds the run: a run folder that was copied elsewhere has none. A truth replaces the one that
    the run has, in the files of its agreement and in run.json too. Without one it is compared as it was when a file was
    given for it, else with the truth that OUT has now, else as it was. viewer_url: None for that of the run.

    Raises InputError where the folder is no whole run, TruthError where the truth names none of its studies,
    OutputError where the page cannot be written.
    """
    try:
        manifest, card = replace(read_manifest(run_folder), report_of=""), _card(run_folder)
        if viewer_url is not None:
            require_identifiers(manifest.identifiers, "--viewer-url")
        rows, comparison, is_new = _compared(run_folder, manifest, truth)
        if comparison is not None and manifest.period is not None and len(manifest.period["models"]) > 1:
            comparison = by_model(comparison, models_of_rows(run_folder))
        if comparison is not None:
            manifest = replace(manifest, agreement=manifest_values(comparison))
        data = _report_data(manifest, card, rows, comparison, read_drift(run_folder))
        data = replace(data, viewer_url=viewer_url or data.viewer_url, outliers=_read_outliers(run_folder))
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{run_folder}: a file of the run is not as it was written ({error!r}); score again"
        ) from error
    if is_new and comparison is not None:
        write_agreement(run_folder, comparison)
        renew_kappa(run_folder, kappa_of(comparison))
    path = run_folder / REPORT_NAME
    with ExitStack() as stack:
        out = run_folder.resolve().parent.parent
        reads = [stack.enter_context(stored_pictures(out, key)) for key in _keys(manifest)]
        _write(data, lambda content: next((p for read in reads if (p := read(content)) is not None), None), path)
    write_manifest(run_folder, manifest)
    return path


def _keys(manifest: RunManifest) -> list[Key]:
    """Under which the pictures of the rows lie: of several models those of the newest come first."""
    run = {**manifest.model, "settings_hash": manifest.settings_hash}
    models = manifest.period["models"] if manifest.period is not None else [run]
    return [Key(str(model["hash"]), str(model["settings_hash"])) for model in models]


def disclosed(truth: Truth, manifest: RunManifest, run_folder: Path) -> Truth:
    """With the study names of the run's tables."""
    if manifest.identifiers != Identifiers.KEY:
        return truth
    names = names_of(run_folder.resolve().parent.parent)
    return Disclosure(Identifiers.KEY, names).truth(truth)


def _compared(
    run_folder: Path, manifest: RunManifest, truth: Truth | None
) -> tuple[ReportRows, Comparison | None, bool]:
    """Rows and comparison, and whether the comparison is another one than the run's files hold."""
    if truth is not None:
        rows, comparison = read_report_rows(run_folder, disclosed(truth, manifest, run_folder))
        if comparison is None or not comparison.matched.names_a_study:
            names = ", ".join(file.name for file in truth.files)
            raise TruthError(
                f"{names} names no study of this run: are its study_uid or accession values from here, with their "
                "leading zeros?"
            )
        return rows, comparison, True
    earlier = read_run_truth(run_folder)
    stored = stored_truth(run_folder.resolve().parent.parent) if earlier is None or earlier.is_stored else None
    if stored is not None:
        rows, comparison = read_report_rows(run_folder, disclosed(stored, manifest, run_folder))
        if comparison is not None:
            return rows, comparison, True
    return *read_report_rows(run_folder, earlier), False


def _read_outliers(run_folder: Path) -> Outliers:
    outliers = Outliers(None)
    for row in read_rows(run_folder, "images", "outlier", {"1"}):
        outliers.row(row)
    return outliers


def _write(data: ReportData, read: ReadPicture, path: Path) -> None:
    with atomic_writer(path) as file:
        for piece in render(data, read):
            file.write(piece)


def _report_data(
    manifest: RunManifest, card: ModelCard, rows: ReportRows, comparison: Comparison | None, drift: Drift | None
) -> ReportData:
    threshold = float(manifest.model["threshold"])
    labels = comparison.labels if comparison is not None else {}
    listed = rows.listed(labels)
    return ReportData(
        manifest=manifest,
        card=card,
        regions=rows.regions(card.regions),
        totals=Totals(rows.count, rows.scored, rows.abnormal),
        steps=steps_of(manifest),
        cards=tuple(_study_card(shown, pictures) for shown, pictures in rows.shown(labels)),
        groups=tuple((group, tuple(of)) for group, of in groupby(listed, key=attrgetter("group"))),
        hidden_rows=rows.count - len(listed),
        skips=tuple(rows.skips),
        hidden_skips=manifest.counts["skipped"] - len(rows.skips),
        histogram=charts.histogram(rows.bins[False], rows.bins[True], threshold) if rows.scored else "",
        viewer_url=manifest.options.get("viewer_url", ""),
        comparison=comparison,
        agreement=view_of(comparison.agreement, threshold) if comparison and comparison.agreement else None,
        drift=drift_view(drift, kappa_of(comparison)) if drift is not None else None,
    )


def _card(folder: Path) -> ModelCard:
    path = folder / CARD_NAME
    try:
        return parse_card(json.loads(path.read_text(encoding="utf-8")), path)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} is not the folder of a whole run: {CARD_NAME} cannot be read ({error})") from error


def _study_card(listed: Listed, pictures: list[Picture]) -> StudyCard:
    shown = heapq.nlargest(SHOWN_PICTURES, pictures, key=lambda picture: picture.probability)
    drawing = charts.score_bar(listed.row.score or 0.0, listed.row.threshold)
    return StudyCard(listed, tuple(shown), len(pictures) - len(shown), drawing)
