"""What a node of the cluster does. Plain functions and one class; nodes.py makes Ray tasks of them.

Each process of Ray keeps one decode process, which may crash or hang without harm to it, as each thread of a local run
does.
"""

from __future__ import annotations

import platform
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.refused import Refused
from mura_batch.dicom.worker.examiner import Examiner
from mura_batch.dicom.worker.pool import Child
from mura_batch.model_card import load_model
from mura_batch.preprocess import InputSpec
from mura_batch.records import Decoded, Instance, Skipped, SourceFile, Stage, skip_instance
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.feature_distance import load_statistics
from mura_batch.runtime.runner import RunnerInfo, RunnerOptions
from mura_batch.scoring.score_commits import Answers, finite_distances
from mura_batch.scoring.storage import Storage
from mura_batch.store.scores import Scored
from mura_batch.version import __version__


@dataclass(frozen=True, slots=True)
class Chunk:
    """Decoded files. pictures: [N, S, S] uint8, in the order of decoded."""

    decoded: list[Decoded]
    pictures: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ChunkFacts:
    """What the driver must know of a chunk; the pictures go from node to node without it. seconds: of decoding."""

    node: str
    skipped: list[Skipped]
    pictures: int
    seconds: float


def describe_node() -> dict[str, str]:
    """Plain text alone: a node with another version could not read our records."""
    return {"mura-batch": __version__, "Python": platform.python_version(), "host": platform.node()}


def sees(storage: Storage, sample: SourceFile) -> str:
    """Why this node cannot read a file that the driver found; '' where it can."""
    return storage.why_unreadable(sample)


def read_headers(storage: Storage, sources: list[SourceFile], policy: IntakePolicy) -> list[Instance | Skipped]:
    """As a local run reads them."""
    with Examiner(storage.folder, policy) as examiner:
        return [storage.read_header(source, policy, examiner) for source in sources]


def decode(
    storage: Storage, instances: list[Instance], policy: IntakePolicy, spec: InputSpec
) -> tuple[ChunkFacts, Chunk]:
    """The model inputs of these files; each decoded in this process's decode process."""
    child = _child(storage.folder, policy, spec)
    begun = time.perf_counter()
    decoded: list[Decoded] = []
    pictures: list[NDArray[np.uint8]] = []
    skipped: list[Skipped] = []
    for instance in instances:
        with storage.at_hand(instance.source) as refused:
            items = child.decode(instance) if refused is None else [_not_at_hand(instance, refused)]
        for item in items:
            if isinstance(item, Skipped):
                skipped.append(item)
            else:
                decoded.append(item[0])
                pictures.append(item[1])
    stacked = np.stack(pictures) if pictures else np.empty((0, spec.size, spec.size), np.uint8)
    return ChunkFacts(_node(), skipped, len(decoded), time.perf_counter() - begun), Chunk(decoded, stacked)


def _not_at_hand(instance: Instance, refused: Refused) -> Skipped:
    return skip_instance(instance, Stage.PIXELS, refused.reason, refused.detail)


def _node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


_children: dict[object, Child] = {}  # of this process: one


def _child(folder: Path, policy: IntakePolicy, spec: InputSpec) -> Child:
    settings = (folder, policy, spec)
    if settings not in _children:
        for child in _children.values():
            child.end()
        _children.clear()
        _children[settings] = Child(settings, threading.Event())
        _children[settings].start()
    return _children[settings]


class Engine:
    """The model on one device of a node. Raises ModelError where the files do not match the card."""

    def __init__(self, files: dict[str, bytes], options: RunnerOptions) -> None:
        with tempfile.TemporaryDirectory(prefix="mura-batch-model-") as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            model = load_model(Path(folder))
            self._statistics = load_statistics(model)
            self._runner = open_runner(model, options)
            self._runner.__enter__()

    def info(self) -> RunnerInfo:
        return self._runner.info

    def run(self, chunk: Chunk) -> tuple[list[Scored | Skipped], float]:
        """The scores with their pictures, and the seconds that the device was busy."""
        before = self._runner.busy_seconds
        answers = Answers()
        results: list[Scored | Skipped] = []
        (out,) = self._runner.run([chunk.pictures[:, np.newaxis]])  # [N, 1, S, S]
        distances = finite_distances(self._statistics, out)
        for n, decoded in enumerate(chunk.decoded):
            result = answers.take(decoded, chunk.pictures[n], float(out.probability[n]), out.cam[n], distances[n])
            if result is not None:
                results.append(result)
        return results, self._runner.busy_seconds - before
