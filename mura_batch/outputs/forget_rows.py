"""Takes the rows of studies out of the files of a past run. Files that several nights share stay shared."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mura_batch.atomic_files import SURROGATES, output_errors, replace_by_link, write_atomic
from mura_batch.errors import InputError
from mura_batch.outputs.agreement_files import (
    AGREEMENT_CSV,
    AGREEMENT_JSON,
    TRUTH_JSON,
    manifest_values,
    read_run_truth,
    write_agreement,
)
from mura_batch.outputs.csv_tables import plain
from mura_batch.outputs.dicom.dicom_sink import FOLDER as OBJECTS
from mura_batch.outputs.dicom.objects_table import TABLE_NAME
from mura_batch.outputs.file_names import REPORT_NAME
from mura_batch.outputs.manifest import RunManifest, read_manifest, write_manifest
from mura_batch.outputs.report.collect import read_report_rows
from mura_batch.outputs.report.quiet_page import write_quiet_page
from mura_batch.outputs.report.render import render_report_file
from mura_batch.outputs.tables import TABLES

_NAMING = (
    "study_uid",
    "accession",
    "study",
    "study_key",
    "file",
    "file_key",
)  # columns that may name what is forgotten


@dataclass(slots=True)
class Names:
    """Everything that names what is to be forgotten: UIDs, accession numbers, paths, and the keys of each. contents,
    instances: what the tables told beside them: content hashes, and SOP Instance UIDs of images and result objects."""

    all: frozenset[str]
    contents: set[str] = field(default_factory=set)
    instances: set[str] = field(default_factory=set)
    _done: dict[tuple[int, int], tuple[Path, Counter[tuple[str, str]]]] = field(default_factory=dict)

    def take_rows(self, path: Path) -> Counter[tuple[str, str]]:
        """Writes a table again without these rows; (table, what kind of row) -> how many went. A file under several
        names is read once."""
        with output_errors(path):
            info = path.stat()
            inode = (info.st_dev, info.st_ino)
            if inode in self._done:
                twin, gone = self._done[inode]
                if gone:
                    replace_by_link(path, twin)
                return gone
        text, gone = self._without(path)
        if gone:
            write_atomic(path, text.encode("utf-8", SURROGATES))
        self._done[inode] = (path, gone)
        return gone

    def _without(self, path: Path) -> tuple[str, Counter[tuple[str, str]]]:
        try:
            text = path.read_bytes().decode("utf-8", "surrogateescape")
            return self._csv(path.stem, text) if path.suffix == ".csv" else self._jsonl(path.stem, text)
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(f"{path} cannot be read ({error}): remove its folder, and forget again") from error

    def _csv(self, table: str, text: str) -> tuple[str, Counter[tuple[str, str]]]:
        rows = csv.reader(io.StringIO(text, newline=""))
        head, out, gone = next(rows, []), io.StringIO(newline=""), Counter[tuple[str, str]]()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(head)
        for cells in rows:
            row = dict(zip(head, map(plain, cells), strict=False))
            if self.names_row(row):
                gone[table, _kind(table, row)] += 1
            else:
                writer.writerow(cells)
        return out.getvalue(), gone

    def _jsonl(self, table: str, text: str) -> tuple[str, Counter[tuple[str, str]]]:
        lines, gone = [], Counter[tuple[str, str]]()
        for line in text.splitlines(keepends=True):
            row = json.loads(line)
            if self.names_row(row):
                gone[table, _kind(table, row)] += 1
            else:
                lines.append(line)
        return "".join(lines), gone

    def names_row(self, row: dict[str, Any]) -> bool:
        if not any(row.get(column) in self.all for column in _NAMING):
            return False
        self.contents.update(filter(None, [row.get("content_hash")]))
        self.instances.update(filter(None, [row.get("sop_instance_uid")]))
        return True


def _kind(table: str, row: dict[str, Any]) -> str:
    match table:
        case "images":
            return "unchanged" if row.get("reused") in ("1", True) else "scored"
        case "skipped":
            return f"{row.get('stage')}/{row.get('reason')}"
        case "studies":
            return str(row.get("status"))
    return ""


def forget_in_run(run: Path, names: Names) -> bool:
    """Tables, truth, agreement, result objects, report and the counts of run.json; whether anything went. Raises
    InputError where a table cannot be read, OutputError where one cannot be written."""
    gone = Counter[tuple[str, str]]()
    for table in TABLES:
        for path in (run / f"{table}.csv", run / f"{table}.jsonl"):
            if path.exists():
                gone |= names.take_rows(path)  # the formats hold the same rows
    objects = _forget_objects(run / OBJECTS, names)
    labels = _forget_labels(run / TRUTH_JSON, names)
    if not (gone or objects or labels):
        return False
    manifest = _reduced(read_manifest(run), gone)
    manifest = _compared_again(run, manifest) if (run / TRUTH_JSON).exists() else manifest
    write_manifest(run, manifest)
    if not manifest.report_of:
        _render(run, manifest)
    return True


def _reduced(manifest: RunManifest, gone: Counter[tuple[str, str]]) -> RunManifest:
    """With counts that fit the tables."""
    of = {table: Counter({kind: n for (name, kind), n in gone.items() if name == table}) for table in TABLES}
    counts = Counter(manifest.counts)
    counts.subtract({**of["images"], "skipped": of["skipped"].total()})
    counts["found"] -= of["images"].total() + of["skipped"].total()
    return replace(
        manifest,
        counts=dict(counts),
        skipped_by_reason=dict(Counter(manifest.skipped_by_reason) - of["skipped"]),
        studies_by_status=dict(Counter(manifest.studies_by_status) - of["studies"]),
        missing=manifest.missing - of["missing"].total(),
        content="",  # no later night may refer to what this one said before
    )


def _forget_labels(path: Path, names: Names) -> bool:
    if not path.exists():
        return False
    values = json.loads(path.read_text(encoding="utf-8"))
    before = sum(len(file["lines"]) for file in values["files"])
    for file in values["files"]:
        file["lines"] = [line for line in file["lines"] if line[1] not in names.all]  # number, study, ...
    if before == sum(len(file["lines"]) for file in values["files"]):
        return False
    write_atomic(path, (json.dumps(values, indent=2) + "\n").encode())
    return True


def _compared_again(run: Path, manifest: RunManifest) -> RunManifest:
    truth = read_run_truth(run)
    _, comparison = read_report_rows(run, truth)
    if comparison is None or not comparison.matched.names_a_study:
        for name in (TRUTH_JSON, AGREEMENT_JSON, AGREEMENT_CSV):
            (run / name).unlink(missing_ok=True)
        return replace(manifest, agreement=None)
    write_agreement(run, comparison)
    return replace(manifest, agreement=manifest_values(comparison))


def _forget_objects(folder: Path, names: Names) -> bool:
    table = folder / TABLE_NAME
    if not table.exists():
        return False
    with table.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["study_uid"] in names.all]
    for row in rows:
        if row["file"]:
            with output_errors(folder):
                (folder / Path(row["file"]).name).unlink(missing_ok=True)
    return bool(names.take_rows(table)) if rows else False


def _render(run: Path, manifest: RunManifest) -> None:
    """A run of an earlier version may lack what its report needs: its page then says that there is none."""
    try:
        render_report_file(run, None)
    except InputError:
        write_quiet_page(run / REPORT_NAME, manifest, "")
        write_manifest(run, manifest)


def forget_beside_runs(out: Path, names: Names) -> list[Path]:
    """Sheets for readers lose the lines; pages over several runs that name a study are removed, for they can be made
    again, and so are records of crashes. Returns what was changed or removed. Raises OutputError."""
    changed = [sheet for sheet in out.glob("samples/*/sheet.csv") if names.take_rows(sheet)]
    needles = [name.encode("utf-8", "surrogateescape") for name in names.all]
    pages = [*out.glob("comparisons/*.html"), *out.glob("crash-*.txt")]
    gone = [page for page in pages if any(needle in page.read_bytes() for needle in needles)]
    gone += [
        folder for folder in out.glob("reports/*")
        if any(needle in path.read_bytes() for path in folder.glob("*.*") for needle in needles)
    ]  # fmt: skip
    for path in gone:
        with output_errors(path):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return [*changed, *gone]


def still_named(out: Path, names: Iterable[str], leave: frozenset[str]) -> list[Path]:
    """Files of OUT in which a name still stands, as bytes; leave: folders of OUT that are not looked into."""
    needles = [name.encode("utf-8", "surrogateescape") for name in names]
    found = []
    for folder, folders, files in os.walk(out):
        folders[:] = [name for name in folders if Path(folder) != out or name not in leave]
        for path in (Path(folder) / name for name in files):
            if not path.is_symlink() and path.is_file():
                data = path.read_bytes()
                found += [path] if any(needle in data for needle in needles) else []
    return found
