"""`score --dry-run --cluster`: what an archive costs, from rates measured on a sample of its files on these nodes."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev

from mura_batch.dicom.policy import IntakePolicy
from mura_batch.errors import RunnerError
from mura_batch.preprocess import InputSpec
from mura_batch.records import Instance
from mura_batch.scoring.cluster import node_work
from mura_batch.scoring.cluster.nodes import Nodes
from mura_batch.scoring.storage import Storage

SAMPLE = 128  # files: a minute of decoding on a slow core
CHUNK = 8  # files measured at once; the interval is that of the means of chunks
_SEED = 1  # the same sample each time


@dataclass(frozen=True, slots=True)
class Hours:
    """For all files: the mean, and its 95 % interval by what the chunks of the sample differ."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3g} ({self.low:.3g} to {self.high:.3g})"


@dataclass(frozen=True, slots=True)
class Estimate:
    """files, bytes: to be scored. decode: hours of one core. engine: hours of one engine. sample: files measured.
    cores, engines: of the cluster as it is now."""

    files: int
    bytes: int
    decode: Hours
    engine: Hours
    sample: int
    cores: int
    engines: int

    def lines(self) -> list[str]:
        """For a person."""
        return [
            f"to score: {self.files} files, {self.bytes / 1e9:.3g} GB",
            f"decoding: {self.decode} core-hours",
            f"the model: {self.engine} hours of one engine",
            f"an estimate by {self.sample} files, on {self.cores} cores and {self.engines} engines",
        ]


def estimate(
    nodes: Nodes, storage: Storage, policy: IntakePolicy, spec: InputSpec, pending: Iterable[Instance]
) -> Estimate | None:
    """None where nothing is pending. Raises RunnerError where a node is lost meanwhile."""
    sample, files, size = _sampled(pending)
    if not files:
        return None
    chunks = [sample[at : at + CHUNK] for at in range(0, len(sample), CHUNK)]
    try:
        decode, engine = _measured(nodes, (storage, policy, spec), chunks)
    except nodes.ray.exceptions.RayError as error:
        raise RunnerError(f"the sample could not be measured: {error}") from error
    return Estimate(
        files=files,
        bytes=size,
        decode=_hours(decode, files),
        engine=_hours(engine, files),
        sample=len(sample),
        cores=nodes.cores,
        engines=len(list(nodes.engines())),
    )


def _sampled(pending: Iterable[Instance]) -> tuple[list[Instance], int, int]:
    """(SAMPLE instances drawn at random in one pass, how many there are, their bytes)"""
    draw = random.Random(_SEED)  # noqa: S311 - no secret
    sample: list[Instance] = []
    count = size = 0
    for instance in pending:
        count, size = count + 1, size + instance.source.size
        if len(sample) < SAMPLE:
            sample.append(instance)
        elif (place := draw.randrange(count)) < SAMPLE:
            sample[place] = instance
    draw.shuffle(sample)
    return sample, count, size


def _measured(
    nodes: Nodes, arguments: tuple[Storage, IntakePolicy, InputSpec], chunks: list[list[Instance]]
) -> tuple[list[float], list[float]]:
    """Seconds an image of each chunk: of a core that decodes it, and of an engine, one after the other."""
    ray, (storage, policy, spec) = nodes.ray, arguments
    task = ray.remote(node_work.decode).options(num_returns=2, scheduling_strategy="SPREAD")
    sent = [(task.remote(storage, chunk, policy, spec), len(chunk)) for chunk in chunks]
    decode = [ray.get(facts).seconds / files for (facts, _), files in sent]
    engines = list(nodes.engines())
    ray.get([engine.actor.run.remote(sent[0][0][1]) for engine in engines])  # the first batch of a network is slow
    engine = []
    for n, ((_, pictures), files) in enumerate(sent):
        _, seconds = ray.get(engines[n % len(engines)].actor.run.remote(pictures))
        engine.append(seconds / files)
    return decode, engine


def _hours(seconds: list[float], files: int) -> Hours:
    """seconds: an image, of each chunk."""
    mean = fmean(seconds)
    half = 1.96 * stdev(seconds) / math.sqrt(len(seconds)) if len(seconds) > 1 else math.nan
    mean, low, high = (value * files / 3600 for value in (mean, max(0.0, mean - half), mean + half))
    return Hours(mean, low, high)
