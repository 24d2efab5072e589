"""Pending pictures -> decode tasks -> engines -> the ledger, with a bounded number on the way.

A chunk is decoded where Ray finds a free core and scored by the engine of that node, or by the one with the least to
do: pictures rarely cross the network. What is lost with a node is sent again. What is lost with a process is sent again
file by file; a file that is lost so a second time is given a reason, and its neighbours are scored.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from mura_batch.dicom.policy import IntakePolicy
from mura_batch.errors import RunnerError
from mura_batch.preprocess import InputSpec
from mura_batch.records import Instance, Reason, Skipped, SourceFile, Stage, skip_instance
from mura_batch.scoring.cluster import node_work
from mura_batch.scoring.cluster.connection import first_line
from mura_batch.scoring.cluster.node_work import ChunkFacts
from mura_batch.scoring.cluster.nodes import EngineOn, Nodes
from mura_batch.scoring.score_commits import Committer
from mura_batch.scoring.storage import Storage
from mura_batch.scoring.timings import Timings

_File = TypeVar("_File")
CHUNK = 16  # files a task: a task costs a millisecond or two, and what is lost with one is done again
AHEAD = 3  # chunks on the way a core
QUEUED = 3  # chunks at an engine: it has the next one while it works
HEADERS = 128  # files a task
MOVES = 10  # nodes that a file may be lost with: on clouds they come and go, and no file was seen to end one
NODE_WAIT = 120.0  # seconds without any engine: then the cluster is gone
_LOOK = 1.0  # seconds: how soon something else than an answer is noticed


@dataclass(slots=True)
class Job:
    """Files on their way. tries, moves: how often they were lost with a process, and with a node. decoded: Ray's
    reference to their pictures."""

    instances: list[Instance]
    tries: int = 0
    moves: int = 0
    decoded: Any = None
    facts: ChunkFacts | None = None
    engine: EngineOn | None = None


class Deliveries:
    """One run's pictures. Raises what Committer.put raises, and RunnerError where no node is left."""

    def __init__(self, nodes: Nodes, storage: Storage, policy: IntakePolicy, spec: InputSpec) -> None:
        self._nodes, self._ray = nodes, nodes.ray
        self._arguments = [nodes.ray.put(value) for value in (storage, policy, spec)]
        self._decode = nodes.ray.remote(node_work.decode)
        self._again: list[Job] = []  # lost once
        self._decoding: dict[Any, Job] = {}  # by the reference to their facts
        self._decoded: list[Job] = []  # waiting for an engine
        self._scoring: dict[Any, Job] = {}
        self._busy = {"decode": 0.0, "inference": 0.0}
        self._engine_seen = time.monotonic()

    def run(self, pending: Iterator[Instance], committer: Committer, timings: Timings) -> None:
        begun = time.perf_counter()
        try:
            while self._fill(pending):
                self._nodes.look_now_and_then()
                self._hand_on()
                for reference in self._arrived():
                    if reference in self._decoding:
                        self._take_decoded(reference, committer)
                    else:
                        self._take_scored(reference, committer)
        finally:
            committer.commit()
            took = time.perf_counter() - begun
            timings.put("decode", self._busy["decode"], self._nodes.cores * took)
            timings.put("inference", self._busy["inference"], took)

    def _fill(self, pending: Iterator[Instance]) -> bool:
        """Sends out what there is room for; returns whether anything is on the way."""
        limit = AHEAD * self._nodes.cores
        while len(self._decoding) + len(self._decoded) + len(self._scoring) < limit:
            job = self._again.pop() if self._again else Job(list(islice(pending, CHUNK)))
            if not job.instances:
                break
            self._send(job)
        return bool(self._decoding or self._decoded or self._scoring)

    def _send(self, job: Job) -> None:
        storage, policy, spec = self._arguments
        facts, job.decoded = self._decode.options(num_returns=2, max_retries=0, scheduling_strategy="SPREAD").remote(
            storage, job.instances, policy, spec
        )
        self._decoding[facts] = job

    def _arrived(self) -> list[Any]:
        waiting = [*self._decoding, *self._scoring]
        if not waiting:
            time.sleep(_LOOK / 10)  # all is decoded and no engine is there yet
            return []
        ready, _ = self._ray.wait(waiting, num_returns=1, timeout=_LOOK, fetch_local=False)
        more, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0, fetch_local=False)
        return list(dict.fromkeys([*ready, *more]))

    def _hand_on(self) -> None:
        """Decoded chunks to engines with room."""
        engines = list(self._nodes.engines())
        if engines:
            self._engine_seen = time.monotonic()
        elif time.monotonic() - self._engine_seen > NODE_WAIT:
            raise RunnerError("no node of the cluster runs the model any more: what was scored is kept")
        waiting, self._decoded = self._decoded, []
        for job in waiting:
            free = [engine for engine in engines if engine.queued < QUEUED]
            if not free:
                self._decoded.append(job)
                continue
            node = job.facts.node if job.facts else ""
            engine = min(free, key=lambda e: (e.node != node, e.queued))
            job.engine, engine.queued = engine, engine.queued + 1
            self._scoring[engine.actor.run.remote(job.decoded)] = job

    def _take_decoded(self, reference: Any, committer: Committer) -> None:
        job = self._decoding.pop(reference)
        facts = self._answer(reference, job, committer)
        if facts is None:
            return
        self._busy["decode"] += facts.seconds
        for skip in facts.skipped:
            committer.put(skip)
        refused = {skip.source.path for skip in facts.skipped}
        job.instances = [instance for instance in job.instances if instance.source.path not in refused]
        if job.instances:
            job.facts = facts
            self._decoded.append(job)

    def _take_scored(self, reference: Any, committer: Committer) -> None:
        job = self._scoring.pop(reference)
        assert job.engine is not None  # noqa: S101 - it was handed to one
        job.engine.queued -= 1
        answer = self._answer(reference, job, committer)
        if answer is None:
            return
        results, seconds = answer
        self._busy["inference"] += seconds
        for result in results:
            committer.put(result)

    def _answer(self, reference: Any, job: Job, committer: Committer) -> Any:
        """None where it was lost; the files are then sent again, or given up."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            # The pictures were lost with the node that decoded them, the device failed, or a program error: the files
            # are not to blame.
            where = job.engine.host if job.engine else "a node"
            if not isinstance(error.cause, self._ray.exceptions.RayError):
                if job.engine is None or not isinstance(error.cause, RunnerError):
                    raise RunnerError(f"{where}: {first_line(error.cause)}") from error
                self._nodes.lost(job.engine, error.cause)
            self._again.append(Job(job.instances, job.tries, job.moves))
        except self._ray.exceptions.RayError as error:
            if job.engine is not None:
                self._nodes.lost(job.engine, error)
            with_node = isinstance(error, self._ray.exceptions.NodeDiedError) or (
                job.engine is not None and not self._nodes.is_there(job.engine.node)
            )
            self._send_again(job, with_node, committer)
        return None

    def _send_again(self, job: Job, with_node: bool, committer: Committer) -> None:
        if again := _sent_again((job.instances, job.tries, job.moves), with_node):
            self._again.extend(Job(*sent) for sent in again)
            return
        for instance in job.instances:
            detail = "the process or the node that worked on it was lost, twice"
            committer.put(skip_instance(instance, Stage.PIXELS, Reason.WORKER_CRASHED, detail))


def _sent_again(sent: tuple[list[_File], int, int], with_node: bool) -> list[tuple[list[_File], int, int]]:
    """sent: files that were lost, tries and moves as a Job has them. Returns what is sent in their place, nothing where
    they are given up."""
    files, tries, moves = sent
    if with_node and moves < MOVES:
        return [(files, tries, moves + 1)]
    return [([file], 1, moves) for file in files] if tries == 0 else []


def read_headers(
    nodes: Nodes, storage: Storage, sources: list[SourceFile], policy: IntakePolicy
) -> list[Instance | Skipped]:
    """Of these files, on all nodes at once; what is lost is read again, under the rules of pictures."""
    ray = nodes.ray
    task = ray.remote(node_work.read_headers).options(max_retries=0, scheduling_strategy="SPREAD")
    jobs = [(sources[at : at + HEADERS], 0, 0) for at in range(0, len(sources), HEADERS)]  # files, tries, moves
    records: list[Instance | Skipped] = []
    while jobs:
        sent = [(task.remote(storage, job[0], policy), job) for job in jobs]
        jobs = []
        for reference, job in sent:
            try:
                records.extend(ray.get(reference))
            except ray.exceptions.RayTaskError as error:
                raise RunnerError(f"a node could not read headers: {first_line(error.cause)}") from error
            except ray.exceptions.RayError as error:
                if again := _sent_again(job, isinstance(error, ray.exceptions.NodeDiedError)):
                    jobs.extend(again)
                else:
                    detail = "the process or the node that read it was lost, twice"
                    records.extend(Skipped(s, Stage.HEADER, Reason.WORKER_CRASHED, detail) for s in job[0])
    return records
