"""A whole run's folder, written by the program's own writers: small, and the same every time."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from record_builders import build_instance, build_score, build_truth

from mura_batch.agreement.truth_file import Truth
from mura_batch.model_card import CARD_NAME, ModelCard
from mura_batch.outputs.csv_tables import CsvTables
from mura_batch.outputs.manifest import manifest_of, write_manifest
from mura_batch.outputs.report.thumbnails import encode_thumbnail
from mura_batch.outputs.sink import RunEnd, RunInfo
from mura_batch.preprocess import InputSpec
from mura_batch.records import (
    MURA_REGIONS,
    Instance,
    InstanceScore,
    Laterality,
    Reason,
    Region,
    RegionFinding,
    Sex,
    Skipped,
    SourceFile,
    Stage,
    StudyScore,
    StudyStatus,
)
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger

RunInfoMaker = Callable[..., RunInfo]
THRESHOLD = 0.5
LOSSES = (  # what a real export loses, at every stage before the model
    (Stage.DISCOVER, Reason.TOO_YOUNG, 2),
    (Stage.HEADER, Reason.NOT_DICOM, 4),
    (Stage.HEADER, Reason.NOT_AN_IMAGE, 3),
    (Stage.HEADER, Reason.TRUNCATED, 1),
    (Stage.STUDY, Reason.DUPLICATE, 2),
    (Stage.PIXELS, Reason.UNDECODABLE_PIXELS, 1),
)
CARD = ModelCard(
    name="reference",
    version="1",
    input=InputSpec(size=320),
    threshold=THRESHOLD,
    threshold_rule="highest kappa on the validation studies",
    regions=("hand", "shoulder"),
    temperature=0.82,
    temperature_rule="least negative log-likelihood on the validation pictures",
    licence="CC BY 4.0",
    attribution="Trained on drawings made for this test.",
    intended_use="Research and quality assurance, by people who check every result.",
    limits=("Trained on two regions; a score of any other is extrapolation.", "No fracture under two pixels is seen."),
    training={
        "data_set": "Drawings, 3,415 of them",
        "counts": {
            "train": {"pictures": 2807, "studies": 2807, "abnormal_studies": 498},
            "val": {"pictures": 608, "studies": 608, "abnormal_studies": 109},
        },
    },
    figures={
        "auroc": {"value": 0.81, "low": 0.77, "high": 0.85, "method": "DeLong", "n": 608, "split": "val"},
        "kappa": {"value": 0.4321, "low": None, "high": None, "method": "none", "n": 608, "split": "val"},
        "abnormal": 109,
        "by_region": {"hand": {"auroc": {"value": None, "low": None, "high": None, "n": 3, "split": "val"}}},
    },
    parity={},
    hashes={"model.onnx": "a" * 64},
)


@dataclass(frozen=True)
class Run:
    """folder: of a whole run, without its report. studies and images: what its tables hold. labels: study UID -> 0 or
    1."""

    folder: Path
    studies: tuple[StudyScore, ...]
    images: tuple[InstanceScore, ...]
    labels: dict[str, int]

    @property
    def truth(self) -> Truth:
        return build_truth(self.labels)


def make_instance(n: int, k: int, region: Region, side: Laterality) -> Instance:
    """The k-th radiograph of the n-th study."""
    return build_instance(
        study=f"1.2.826.0.1.{n}",
        source=SourceFile(f"PA{n:03}/ST1/IM{k}", 1_000_000, 1_767_225_600_000_000_000, 1),
        sop_instance_uid=f"1.2.826.0.1.{n}.{k}",
        series_uid=f"1.2.826.0.1.{n}.0",
        patient_key=hashlib.sha256(f"patient {n}".encode()).hexdigest()[:10],
        accession=f"ACC{n:05}",
        study_date="20260131",
        region=RegionFinding(region, "code", "85562004", "high"),
        laterality=side,
        view_position="PA" if k == 1 else "LL",
        photometric="MONOCHROME1" if n % 2 else "MONOCHROME2",
        sex=Sex.FEMALE if n % 3 else Sex.MALE,
        age=10 + n % 70,
        manufacturer="Maker",
        manufacturer_model=f"Device {n % 2}",
    )


def make_score(instance: Instance, probability: float, *, reused: bool = False) -> InstanceScore:
    content = hashlib.sha256(instance.source.path.encode()).hexdigest()
    return build_score(
        instance, probability, reused=reused, content=content, voi="window linear", window_center=2048.0,
        window_width=4096.0, polarity="inverted" if instance.photometric == "MONOCHROME1" else "as stored",
        polarity_reason=f"Photometric Interpretation {instance.photometric}",
    )  # fmt: skip


def make_study(scores: list[InstanceScore]) -> StudyScore:
    score = sum(s.probability for s in scores) / len(scores)
    first = scores[0].instance
    return StudyScore(
        study_uid=first.study_uid, accession=first.accession, patient_key=first.patient_key,
        study_date=first.study_date, region=first.region.region, laterality=first.laterality,
        instances=len(scores), scored=len(scores), score=score,
        abnormal=score > THRESHOLD, threshold=THRESHOLD,
        status=StudyStatus.UNCHANGED if all(s.reused for s in scores) else StudyStatus.SCORED,
    )  # fmt: skip


def skipped_files() -> list[Skipped]:
    return [
        Skipped(
            source=SourceFile(f"EXTRA/{reason}-{n}", 100, 0, 1),
            stage=stage,
            reason=reason,
            detail="the file ends inside Pixel Data (7FE0,0010)" if reason is Reason.TRUNCATED else "",
            study_uid="1.2.826.0.1.999" if stage is Stage.PIXELS else "",
            accession="ACC00999" if stage is Stage.PIXELS else "",
        )
        for stage, reason, count in LOSSES
        for n in range(count)
    ]


def drawing(n: int) -> NDArray[np.uint8]:
    """[64, 64] uint8: something like two bones."""
    y, x = 5 * np.mgrid[0:64, 0:64]
    bones = np.exp(-(((x - 120 - 3 * n) / 18) ** 2)) + np.exp(-(((x - 200 + 2 * n) / 12) ** 2))
    picture: NDArray[np.uint8] = (40 + 180 * np.clip(bones, 0, 1) * (0.6 + 0.4 * np.sin(y / 40))).astype(np.uint8)
    return picture


def heat(n: int) -> NDArray[np.float32]:
    """[10, 10] float32 logits, warm in one place."""
    y, x = np.mgrid[0:10, 0:10]
    spot: NDArray[np.float32] = (4 * np.exp(-(((x - 3 - n % 5) / 2) ** 2) - ((y - 5) / 2) ** 2) - 1).astype(np.float32)
    return spot


def end_of(studies: list[StudyScore], images: list[InstanceScore], skipped: list[Skipped]) -> RunEnd:
    reused = sum(s.reused for s in images)
    counts = {"scored": len(images) - reused, "unchanged": reused, "skipped": len(skipped)}
    return RunEnd(
        finished="2026-02-01T02:01:40+00:00",
        counts={"found": sum(counts.values()), **counts},
        skipped_by_reason=dict(Counter(f"{skip.stage}/{skip.reason}" for skip in skipped)),
        studies_by_status=dict(Counter(str(study.status) for study in studies)),
        seconds={"decode": {"busy": 60.5, "waiting": 3.1}},
        exit_code=3,
    )


def write_run(run: RunInfo, studies: list[tuple[StudyScore, list[InstanceScore]]], skipped: list[Skipped]) -> None:
    """Everything that a run's folder holds, but the report."""
    run.folder.mkdir(parents=True)
    images = [image for _, of in studies for image in of]
    with CsvTables(run) as tables:
        for study, of in studies:
            tables.study(study, of)
        for skip in skipped:
            tables.skip(skip)
    with Ledger(run.folder.parent.parent / "ledger.sqlite") as ledger:
        ledger.runs.begin(run.name, run.studies)
        scored = [(image, encode_thumbnail(drawing(n), heat(n))) for n, image in enumerate(images)]
        ledger.scores.commit(scored, [], Key(run.model.hash, run.settings_hash))
    (run.folder / CARD_NAME).write_text(json.dumps(asdict(CARD)), encoding="utf-8")
    write_manifest(run.folder, manifest_of(run, end_of([study for study, _ in studies], images, skipped)))


@pytest.fixture
def make_run(tmp_path: Path, run_info: RunInfoMaker) -> Callable[..., Run]:
    """make_run(studies=14, hostile=""): two radiographs a study, regions in turn; the truth agrees with four of five.
    hostile: a text to stand wherever a header's text may stand."""
    return lambda studies=14, hostile="": run_in(run_info(tmp_path / "runs" / "run", card=CARD), studies, hostile)


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory, run_info: RunInfoMaker) -> Run:
    """A run of seven studies, for tests that change nothing in its folder but the report."""
    return run_in(run_info(tmp_path_factory.mktemp("seven") / "runs" / "run", card=CARD), 7)


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory, run_info: RunInfoMaker) -> Run:
    """A run of twenty studies: enough for figures by group."""
    return run_in(run_info(tmp_path_factory.mktemp("twenty") / "runs" / "run", card=CARD), 20)


def run_in(run: RunInfo, studies: int, hostile: str = "") -> Run:
    rows: list[tuple[StudyScore, list[InstanceScore]]] = []
    labels = {}
    for n in range(studies):
        scores = _scores_of(n, hostile)
        row = make_study(scores)
        rows.append((row, scores))
        labels[row.study_uid] = int(bool(row.abnormal) ^ (n % 5 == 4))
    skipped = [_hostile_skip(s, hostile) if hostile else s for s in skipped_files()]
    write_run(run, rows, skipped)
    images = tuple(image for _, of in rows for image in of)
    return Run(run.folder, tuple(row for row, _ in rows), images, labels)


def _scores_of(n: int, hostile: str) -> list[InstanceScore]:
    region, side = MURA_REGIONS[n % 7], (Laterality.LEFT, Laterality.RIGHT)[n % 2]
    mean = (n * 0.37) % 1
    instances = [make_instance(n, k, region, side) for k in (1, 2)]
    if hostile:
        instances = [_hostile(instance, hostile) for instance in instances]
    return [make_score(i, min(1.0, mean * f), reused=n == 3) for i, f in zip(instances, (0.8, 1.2), strict=True)]


def _hostile(instance: Instance, text: str) -> Instance:
    finding = replace(instance.region, evidence=text, disagreement=text)
    return replace(
        instance, accession=text, view_position=text, region=finding, flags=(text,), study_date=text,
        study_uid=instance.study_uid + text,
    )  # fmt: skip


def _hostile_skip(skip: Skipped, text: str) -> Skipped:
    return replace(skip, detail=text, accession=text, source=replace(skip.source, path=skip.source.path + text))
