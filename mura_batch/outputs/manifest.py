"""run.json: what was run, with what, and the counts that every other output must agree with."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mura_batch.atomic_files import SURROGATES, output_errors, write_atomic
from mura_batch.errors import InputError, OutputError
from mura_batch.outputs.agreement_files import manifest_values
from mura_batch.outputs.sink import EndSink, RunEnd, RunInfo
from mura_batch.pseudonyms import Identifiers
from mura_batch.records import SCHEMA_VERSION
from mura_batch.regular_files import read_json
from mura_batch.version import DISCLAIMER, __version__

MANIFEST_NAME = "run.json"


@dataclass(frozen=True, slots=True)
class RunManifest:
    """Each field is described in docs/outputs.md. counts: found = scored + unchanged + skipped, in source files. Fields
    with a default are missing where an earlier version wrote the run."""

    schema_version: str
    tool_version: str
    run: str
    started: str
    finished: str
    studies_folder: str
    options: dict[str, str]
    settings_hash: str
    model: dict[str, Any]
    runner: dict[str, Any]
    counts: dict[str, int]
    skipped_by_reason: dict[str, int]
    studies_by_status: dict[str, int]
    missing: int
    seconds: dict[str, dict[str, float]]
    exit_code: int
    disclaimer: str
    breached_limits: tuple[str, ...] = ()
    earlier_model_rows: int = 0
    agreement: dict[str, Any] | None = None  # a run without truth has none
    identifiers: str = Identifiers.FULL  # runs of before had no choice
    period: dict[str, Any] | None = None  # of a report over many runs: which they are, and their models
    new_studies: dict[str, int] = field(default_factory=dict)
    content: str = ""
    report_of: str = ""
    files: dict[str, str] = field(default_factory=dict)


class ManifestFile(EndSink):
    """run.json, written when the run is finished: the last of the outputs, for it has the hashes of the others."""

    def finish(self, end: RunEnd) -> None:
        write_manifest(self._run.folder, manifest_of(self._run, end))


def manifest_of(run: RunInfo, end: RunEnd) -> RunManifest:
    """The content of run.json."""
    card = run.model.card
    return RunManifest(
        schema_version=SCHEMA_VERSION,
        tool_version=__version__,
        run=run.name,
        started=run.started.isoformat(timespec="seconds"),
        finished=end.finished,
        studies_folder=run.disclosure.folder(str(run.studies)),
        options=run.disclosure.options(run.options),
        settings_hash=run.settings_hash,
        model={
            "name": card.name,
            "version": card.version,
            "hash": run.model.hash,
            "input_size": card.input.size,
            "threshold": card.threshold,
        },
        runner=dict(run.runner),
        counts=end.counts,
        skipped_by_reason=end.skipped_by_reason,
        studies_by_status=end.studies_by_status,
        missing=end.missing,
        seconds=end.seconds,
        exit_code=end.exit_code,
        disclaimer=DISCLAIMER,
        breached_limits=end.breached_limits,
        earlier_model_rows=end.earlier_model_rows,
        agreement=manifest_values(end.comparison) if end.comparison is not None else None,
        identifiers=run.disclosure.identifiers.value,
        new_studies=end.new_studies,
        content=end.content,
        report_of=end.report_of,
    )


def check_identity(end: RunEnd) -> None:
    """Raises OutputError where a file is not accounted for: such a run is not published."""
    c = end.counts
    if c["found"] != c["scored"] + c["unchanged"] + c["skipped"] or c["skipped"] != sum(end.skipped_by_reason.values()):
        raise OutputError(f"the files of the run do not add up ({c}); nothing was published: please report this")


def write_manifest(folder: Path, manifest: RunManifest) -> None:
    """With the hashes of the files as they are now. Raises OutputError."""
    with output_errors(folder / MANIFEST_NAME):
        manifest = replace(manifest, files=file_hashes(folder))
    text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n"
    write_atomic(folder / MANIFEST_NAME, text.encode("utf-8", SURROGATES))  # JSON reads \udcXX back as it was


def file_hashes(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of each file of a run but run.json itself; dicom/ has its own. Raises OSError."""
    hashes = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != MANIFEST_NAME and not path.name.startswith("."):
            with path.open("rb") as file:
                hashes[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def read_manifest(folder: Path) -> RunManifest:
    """Raises InputError where the folder is not a whole run of this version."""
    path = folder / MANIFEST_NAME
    try:
        values = read_json(path)
        known = {f.name: values[f.name] for f in fields(RunManifest) if f.name in values}
        return RunManifest(**{**known, "breached_limits": tuple(known.get("breached_limits") or ())})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder} is not the folder of a run: {MANIFEST_NAME} cannot be read ({error!r})") from error
