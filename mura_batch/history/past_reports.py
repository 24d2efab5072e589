"""Pages of nights without news link to the report of an earlier run. Before that run is removed, the oldest of them
gets a report of its own, and the others link to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mura_batch.errors import InputError
from mura_batch.outputs.file_names import REPORT_NAME
from mura_batch.outputs.manifest import RunManifest, read_manifest, write_manifest
from mura_batch.outputs.report.quiet_page import write_quiet_page
from mura_batch.outputs.report.render import render_report_file


def hand_on_reports(keep: Sequence[Path], remove: Sequence[Path]) -> None:
    """keep, remove: run folders, oldest first. After it no page of `keep` links to a run of `remove`, or to one that is
    gone already. Raises OutputError, LedgerError."""
    going, heirs = {run.name for run in remove}, dict[str, str]()
    for run in keep:
        try:
            manifest = read_manifest(run)
        except InputError:  # damaged: `verify` names it
            continue
        target = manifest.report_of
        if not target or (target not in going and (run.parent / target / REPORT_NAME).is_file()):
            continue
        if target in heirs:
            _link(run, manifest, heirs[target])
        elif _render(run, manifest):
            heirs[target] = run.name


def _render(run: Path, manifest: RunManifest) -> bool:
    """Whether the run has a report of its own now; where its tables were edited, its page says that there is none."""
    try:
        render_report_file(run, None)
    except InputError:
        _link(run, manifest, "")
        return False
    return True


def _link(run: Path, manifest: RunManifest, report_of: str) -> None:
    write_quiet_page(run / REPORT_NAME, manifest, report_of)
    # Without a report the night has no content that a later night could refer to.
    content = manifest.content if report_of else ""
    write_manifest(run, replace(manifest, report_of=report_of, content=content))
