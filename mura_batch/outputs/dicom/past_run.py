"""Result objects of a past run: from its tables, and from the ledger, which has what the tables have rounded."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from mura_batch.atomic_files import replace_folder
from mura_batch.errors import InputError, OutputError
from mura_batch.model_card import CARD_NAME, Model, parse_card
from mura_batch.outputs.dicom.dicom_sink import FOLDER, DicomChoice, DicomObjects
from mura_batch.outputs.dicom.objects_table import ObjectRow, read_objects
from mura_batch.outputs.disclosure import Disclosure
from mura_batch.outputs.manifest import RunManifest, read_manifest
from mura_batch.outputs.read_tables import read_rows, read_studies
from mura_batch.outputs.sink import RunEnd, RunInfo
from mura_batch.outputs.tables import Row
from mura_batch.pseudonyms import Identifiers, require_identifiers
from mura_batch.records import (
    Decoded,
    Instance,
    InstanceScore,
    Laterality,
    Reason,
    Region,
    RegionFinding,
    Skipped,
    SourceFile,
    Stage,
)
from mura_batch.store.database import LEDGER_NAME
from mura_batch.store.dicom_results import DicomResults
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger
from mura_batch.store.lock import locked


def write_past_run(run: Path, choice: DicomChoice, *, allow_shared_out: bool = False) -> list[ObjectRow]:
    """Writes RUN/dicom, instead of one that is there. Returns the rows of its objects.csv. Raises InputError where RUN
    is no run of this version or its ledger is not beside it, OutputError where it cannot be written. allow_shared_out:
    see store.lock.locked."""
    run = run.resolve()
    out = run.parent.parent
    manifest = read_manifest(run)
    if not (out / LEDGER_NAME).is_file():
        raise InputError(f"{out} has no {LEDGER_NAME}: name a run where it was written, OUT/runs/NAME or OUT/latest")
    require_identifiers(manifest.identifiers, "mura-batch dicom")
    staging = run / f".{FOLDER}.{os.getpid()}.partial"
    with (
        locked(out, allow_shared=allow_shared_out) as may_lock,
        Ledger(out / LEDGER_NAME, may_lock=may_lock) as ledger,
    ):
        key = Key(manifest.model["hash"], manifest.settings_hash)
        shutil.rmtree(staging, ignore_errors=True)
        try:
            staging.mkdir(mode=0o700)
            info = _info(run, staging, manifest, ledger, key)
            results = ledger.results(key)
            with DicomObjects(choice, results, info) as sink:
                _feed(sink, run, results)
            replace_folder(staging / FOLDER, run / FOLDER)
        except OSError as error:
            raise OutputError(f"{run} cannot be written ({error.strerror}): check its disk and permissions") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return list(read_objects(run / FOLDER))


def _info(run: Path, staging: Path, manifest: RunManifest, ledger: Ledger, key: Key) -> RunInfo:
    card = parse_card(json.loads((run / CARD_NAME).read_text(encoding="utf-8")), run / CARD_NAME)
    return RunInfo(
        folder=staging,
        name=manifest.run,
        started=datetime.fromisoformat(manifest.started),
        studies=Path(manifest.studies_folder),
        options=manifest.options,
        settings_hash=manifest.settings_hash,
        model=Model(run, card),
        runner=manifest.runner,
        read_picture=ledger.pictures.of(key),
        disclosure=Disclosure(Identifiers.FULL, ledger.names),
    )


def _feed(sink: DicomObjects, run: Path, results: DicomResults) -> None:
    images: dict[str, list[InstanceScore]] = {}
    for row in read_rows(run, "images"):
        images.setdefault(row["row_key"], []).append(_score(row, results, run))
    for study in read_studies(run):
        scores = images.get(study.row_key, [])
        # With the exact score: the tables have nine digits of it.
        exact = sum(score.probability for score in scores) / len(scores) if scores else None
        sink.study(replace(study, score=exact), scores)
    for row in read_rows(run, "skipped"):
        sink.skip(_skip(row))
    sink.finish(RunEnd("", {}, {}, {}, {}, 0))


def _score(row: Row, results: DicomResults, run: Path) -> InstanceScore:
    known = results.score(row["content_hash"])
    if known is None:
        raise InputError(f"{run}: the ledger has no score of file {row['file_key']}: was it restored from a copy?")
    probability, decisions = known
    instance = results.instance(os.fsencode(row["file"]), row["content_hash"]) or _from_table(row)
    return InstanceScore(Decoded(instance, row["content_hash"], decisions), probability)


def _from_table(row: Row) -> Instance:
    """Of a file that was replaced since: the table has no SOP class of it."""
    return Instance(
        source=SourceFile(row["file"], 0, 0, 0),
        sop_instance_uid=row["sop_instance_uid"],
        sop_class_uid="",
        study_uid=row["study_uid"],
        series_uid=row["series_uid"],
        patient_key="",
        accession=row["accession"],
        study_date="",
        modality=row["modality"],
        region=RegionFinding(Region(row["region"])),
        laterality=Laterality(row["laterality"]),
        view_position=row["view"],
        transfer_syntax=row["transfer_syntax"],
        photometric=row["photometric"],
        rows=int(row["rows"]),
        columns=int(row["columns"]),
        bits_stored=int(row["bits_stored"]),
    )


def _skip(row: Row) -> Skipped:
    return Skipped(
        source=SourceFile(row["file"], 0, 0, 0),
        stage=Stage(row["stage"]),
        reason=Reason(row["reason"]),
        study_uid=row["study_uid"],
        sop_instance_uid=row["sop_instance_uid"],
        region=Region(row["region"]),
    )
