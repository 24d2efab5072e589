"""run.json: what was run, with what, and the counts that every other output must agree with."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mura_batch.atomic_files import SURROGATES, write_atomic
from mura_batch.errors import InputError, OutputError

MANIFEST_NAME = "run.json"


@dataclass(frozen=True, slots=True)
class RunManifest:
    """Each field is described in docs/outputs.md. counts: found = scored + unchanged + skipped, in source files."""

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
    seconds: dict[str, dict[str, float]]
    exit_code: int
    disclaimer: str


def check_identity(manifest: RunManifest) -> None:
    """Raises OutputError where a file is not accounted for: such a run is not published."""
    c = manifest.counts
    if c["found"] != c["scored"] + c["unchanged"] + c["skipped"] or c["skipped"] != sum(
        manifest.skipped_by_reason.values()
    ):
        raise OutputError(f"the files of the run do not add up ({c}); nothing was published: please report this")


def write_manifest(folder: Path, manifest: RunManifest) -> None:
    text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n"
    write_atomic(folder / MANIFEST_NAME, text.encode("utf-8", SURROGATES))  # JSON reads \udcXX back as it was


def read_manifest(folder: Path) -> RunManifest:
    """Raises InputError where the folder is not a whole run of this version."""
    path = folder / MANIFEST_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return RunManifest(**{f.name: values[f.name] for f in fields(RunManifest)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder} is not the folder of a run: {MANIFEST_NAME} cannot be read ({error!r})") from error
