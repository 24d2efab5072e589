"""Whole runs in an OUT, written by the program's own writers from records: nothing is decoded."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from record_builders import FULL, build_instance, build_score

from mura_batch.model_card import CARD_NAME, Model, ModelCard
from mura_batch.outputs.csv_tables import CsvTables
from mura_batch.outputs.manifest import manifest_of, write_manifest
from mura_batch.outputs.sink import RunEnd, RunInfo
from mura_batch.preprocess import InputSpec
from mura_batch.records import InstanceScore, Laterality, Region, RegionFinding, StudyScore, StudyStatus
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger

Scored = tuple[StudyScore, list[InstanceScore]]  # a row and its images
SETTINGS = "0123456789abcdef"
CARD = ModelCard(
    name="drawn", version="1", input=InputSpec(size=320), threshold=0.5, threshold_rule="fixed",
    regions=("hand", "wrist"), temperature=1.0, temperature_rule="not calibrated", licence="CC BY 4.0",
    attribution="Numbers made for this test.", intended_use="Tests.", limits=(), training={}, figures={}, parity={},
    hashes={"model.onnx": "a" * 64},
)  # fmt: skip


@dataclass(frozen=True)
class DrawnModel:
    """What a run's manifest says of its model."""

    name: str = "drawn"
    sha256: str = "a" * 64
    threshold: float = 0.5

    @property
    def card(self) -> ModelCard:
        return replace(CARD, name=self.name, threshold=self.threshold, hashes={"model.onnx": self.sha256})


MODEL = DrawnModel()


def scored_row(
    study: str,
    scores: Sequence[float],
    region: Region = Region.WRIST,
    side: Laterality = Laterality.RIGHT,
    *,
    patient: str = "",
    model: DrawnModel = MODEL,
    **fields: object,
) -> Scored:
    """A study row and its images, one for each score. fields: of the StudyScore."""
    instances = [
        build_instance(
            f"{study}/{region}{side}/{n}", study, sop_instance_uid=f"{study}.{region}.{side}.{n}", laterality=side,
            patient_key=patient or f"p{study}", accession=f"A{study}", region=RegionFinding(region, "code", "", "high"),
        )
        for n in range(len(scores))
    ]  # fmt: skip
    images = [
        build_score(instance, score, content=hashlib.sha256(instance.source.path.encode()).hexdigest())
        for instance, score in zip(instances, scores, strict=True)
    ]
    score = sum(scores) / len(scores) if scores else None
    row = StudyScore(
        study_uid=study, accession=f"A{study}", patient_key=patient or f"p{study}", study_date="20260101",
        region=region, laterality=side, instances=len(scores), scored=len(scores), score=score,
        abnormal=None if score is None else score > model.threshold, threshold=model.threshold,
        status=StudyStatus.SCORED if scores else StudyStatus.FAILED,
    )  # fmt: skip
    return replace(row, **fields), images  # type: ignore[arg-type]


def write_drawn_run(
    out: Path,
    started: datetime,
    scored: Iterable[Scored],
    model: DrawnModel = MODEL,
    picture: bytes = b"",
) -> Path:
    """OUT/runs/<started>/ with tables, card and manifest, and scores and pictures in the ledger; no report. started: in
    UTC. picture: of every image."""
    folder = out / "runs" / started.strftime("%Y-%m-%dT%H%M%S.%fZ")
    folder.mkdir(parents=True)
    rows = list(scored)
    images = [image for _, of in rows for image in of]
    run = RunInfo(
        folder=folder, name=folder.name, started=started.replace(tzinfo=UTC), studies=Path("/export"), options={},
        settings_hash=SETTINGS, model=Model(folder, model.card),
        runner={"name": "openvino", "device": "none", "precision": "float32", "version": "1", "reason": "drawn",
                "parity_max_abs_error": None},
        read_picture=lambda _: None, disclosure=FULL,
    )  # fmt: skip
    with CsvTables(run) as tables:
        for row, of in rows:
            tables.study(row, of)
        tables.finish(_end(rows, images))
    with Ledger(out / "ledger.sqlite") as ledger:
        ledger.runs.begin(folder.name, run.studies)
        ledger.scores.commit([(image, picture) for image in images], [], Key(model.sha256, SETTINGS))
        ledger.runs.finish(run.started.isoformat())
    (folder / CARD_NAME).write_text(json.dumps(asdict(model.card)), encoding="utf-8")
    write_manifest(folder, manifest_of(run, _end(rows, images)))
    return folder


def _end(rows: Sequence[Scored], images: Sequence[InstanceScore]) -> RunEnd:
    return RunEnd(
        finished="2026-02-01T02:01:40+00:00",
        counts={"found": len(images), "scored": len(images), "unchanged": 0, "skipped": 0},
        skipped_by_reason={},
        studies_by_status=dict(Counter(str(row.status) for row, _ in rows)),
        seconds={},
        exit_code=0,
    )
