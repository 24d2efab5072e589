"""Takes the rows of studies out of the files of a past run. Files that several nights share stay shared."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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
    instances: what the tables have beside them: content hashes, and SOP Instance UIDs of images and result objects."""

    all: frozenset[str]
    contents: set[str] = field(default_factory=set)
    instances: set[str] = field(default_factory=set)
    _found: dict[_Inode, bool] = field(default_factory=dict)
    _written: dict[_Inode, Path] = field(default_factory=dict)

    def look_through(self, path: Path) -> bool:
        """Whether a table has such rows. A file under several names is read once."""
        inode = _inode(path)
        if inode not in self._found:
            self._found[inode] = sum(self.names_row(row) for row, _ in _rows(path)) > 0  # all are read
        return self._found[inode]

    def take_rows(self, path: Path) -> bool:
        """Writes a table again without these rows, if it has any; whether it had. What was one file stays one."""
        if not self.look_through(path):
            return False
        inode = _inode(path)
        if (twin := self._written.get(inode)) is not None:
            with output_errors(path):
                replace_by_link(path, twin)
            return True
        text = "".join(line for row, line in _rows(path) if not self.names_row(row))
        write_atomic(path, text.encode("utf-8", SURROGATES))
        self._written[inode] = path
        return True

    def names_row(self, row: _Row) -> bool:
        if not any(row.get(column) in self.all for column in _NAMING):
            return False
        self.contents.update(filter(None, [row.get("content_hash")]))
        self.instances.update(filter(None, [row.get("sop_instance_uid")]))
        return True


_Row = dict[str, Any]
_Inode = tuple[int, int]


def _inode(path: Path) -> _Inode:
    with output_errors(path):
        info = path.stat()
    return info.st_dev, info.st_ino


def _rows(path: Path) -> Iterator[tuple[_Row, str]]:
    """Of a table, each with its text; the head of a CSV file is an empty row. Raises InputError."""
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        if path.suffix != ".csv":
            yield from ((json.loads(line), line) for line in text.splitlines(keepends=True))
            return
        head: list[str] | None = None
        for cells in csv.reader(io.StringIO(text, newline="")):
            yield dict(zip(head, map(plain, cells), strict=False)) if head is not None else {}, _line(cells)
            head = head or cells
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error}): remove its folder, and forget again") from error


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()


def tables_of(run: Path) -> tuple[Path, ...]:
    paths = (run / f"{table}.{suffix}" for table in TABLES for suffix in ("csv", "jsonl"))
    return tuple(path for path in paths if path.exists())


def forget_in_run(run: Path, names: Names, *, again: bool) -> bool:
    """Tables, truth, agreement, result objects, report and the counts of run.json; whether anything went. again: an
    earlier attempt was cut off, and may have left this run half done. Raises InputError where a table cannot be read,
    OutputError where one cannot be written."""
    changed = [names.take_rows(path) for path in tables_of(run)]
    changed += [_forget_objects(run / OBJECTS, names), _forget_labels(run / TRUTH_JSON, names)]
    if not (any(changed) or again):
        return False
    manifest = _recounted(read_manifest(run), run)
    manifest = _compared_again(run, manifest) if (run / TRUTH_JSON).exists() else manifest
    if manifest.report_of:
        write_quiet_page(run / REPORT_NAME, manifest, manifest.report_of)
    write_manifest(run, manifest)
    if not manifest.report_of:
        _render(run, manifest)
    return True


def _recounted(manifest: RunManifest, run: Path) -> RunManifest:
    """With counts of what the tables hold now."""
    of: dict[str, Counter[str]] = {table: Counter() for table in TABLES}
    for path in reversed(tables_of(run)):  # the formats hold the same rows
        of[path.stem] = Counter(_kind(path.stem, row) for row, _ in _rows(path) if row)
    counts = {
        "scored": of["images"]["scored"],
        "unchanged": of["images"]["unchanged"],
        "skipped": of["skipped"].total(),
    }
    gone = sum(manifest.counts[name] - count for name, count in counts.items())
    return replace(
        manifest,
        counts={"found": manifest.counts["found"] - gone, **counts},
        skipped_by_reason=dict(sorted(of["skipped"].items())),
        studies_by_status=dict(sorted(of["studies"].items())),
        missing=of["missing"].total(),
        content="",  # no later night may refer to what this one said before
    )


def _kind(table: str, row: _Row) -> str:
    match table:
        case "images":
            return "unchanged" if row.get("reused") in ("1", True) else "scored"
        case "skipped":
            return f"{row.get('stage')}/{row.get('reason')}"
        case "studies":
            return str(row.get("status"))
    return ""


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
    return names.take_rows(table) if rows else False


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
    for stale in out.glob("reports/.*.partial"):
        shutil.rmtree(stale, ignore_errors=True)
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
            _remove(path)
    return [*changed, *gone]


def _remove(path: Path) -> None:
    """No folder is half removed under its name."""
    if not path.is_dir():
        path.unlink()
        return
    hidden = path.with_name(f".{path.name}.partial")
    path.rename(hidden)
    shutil.rmtree(hidden)


def remove_temporary_files(out: Path) -> None:
    """What kills left of files that were being written; it may name what is to be forgotten. Raises OutputError."""
    for path in out.rglob(".*.tmp*"):
        with output_errors(path):
            if path.is_file() or path.is_symlink():
                path.unlink()


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
