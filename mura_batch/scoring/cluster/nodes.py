"""The nodes of a Ray cluster: each checked, and on each an engine that holds the model."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from mura_batch.errors import ClusterError, RunnerError
from mura_batch.model_card import CARD_NAME, Model
from mura_batch.records import SourceFile
from mura_batch.runtime.runner import RunnerInfo, RunnerOptions
from mura_batch.scoring.cluster import node_work
from mura_batch.scoring.cluster.connection import Connection, Node, first_line, host_of
from mura_batch.scoring.storage import Storage

START_SECONDS = 600.0  # a compiled network may have to be made first
LOOK_SECONDS = 2.0  # how soon a node that joined is used
RESTARTS = 2  # of the engines of one node: a device that fails again is broken


@dataclass(slots=True)
class EngineOn:
    """The model on one device of a node. queued: chunks handed to it."""

    node: str
    host: str
    actor: Any
    ready: Any  # Ray's reference to its RunnerInfo
    info: RunnerInfo | None = None
    queued: int = 0


class Nodes:
    """`with Nodes(address, model, options) as nodes`. address: 'local', 'auto' or HOST:PORT.

    Raises ClusterError where Ray or the cluster is not there, RunnerError that names the node where one cannot work.
    """

    def __init__(self, address: str, model: Model, options: RunnerOptions) -> None:
        self._model = model
        self._options = replace(options, late=False, report=None, cache_dir=None)  # of a node, not of this machine
        self._connection = Connection(address)
        self._ray = self._connection.ray
        self._engines: dict[str, list[EngineOn]] = {}  # by node
        self._restarts: dict[str, int] = {}
        self._looked, self._cores = 0.0, 1
        self._there = frozenset[str]()  # nodes, at the last look
        self._files: Any = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._connection)
            self._files = self._ray.put(_files_of(self._model))
            self._check_versions()
            self.look()
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def ray(self) -> Any:
        return self._ray

    @property
    def cores(self) -> int:
        """Of all nodes at the last look: asked of the head each time, it would wait for one that is gone."""
        return self._cores

    @property
    def warnings(self) -> tuple[str, ...]:
        """Lines for a person."""
        return self._connection.warnings

    @property
    def info(self) -> RunnerInfo:
        """Of the engines, which are all alike; waits until each is ready. Raises RunnerError where one does not start
        or differs from the others."""
        end = time.monotonic() + START_SECONDS
        while waiting := self._starting():
            if time.monotonic() > end:
                host = next(iter(waiting.values())).host
                raise RunnerError(f"node {host}: the model was not loaded within {START_SECONDS:g} s")
            ready, _ = self._ray.wait(list(waiting), timeout=LOOK_SECONDS)
            self._note_ready(waiting[reference] for reference in ready)
            self.look_now_and_then()
        first = next(self.engines(), None)
        if first is None or first.info is None:
            raise RunnerError("no node of the cluster has a core or a GPU for Ray: see `ray status`")
        return first.info

    def engines(self) -> Iterator[EngineOn]:
        """Those that are ready."""
        for engines in self._engines.values():
            yield from (engine for engine in engines if engine.info is not None)

    def check_storage(self, storage: Storage, sample: SourceFile) -> None:
        """Raises ClusterError that names the node that cannot read it."""
        for node, problem in self._connection.on_each(node_work.sees, storage, sample):
            if problem:
                raise ClusterError(f"node {host_of(node)} cannot read the studies: {problem}")

    def look_now_and_then(self) -> None:
        """`look`, where it is some seconds ago."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self.look()

    def look(self) -> None:
        """Takes in nodes that joined, and lets go of those that left. Raises RunnerError where the head is gone, or a
        node's engine does not start or differs from the others."""
        self._looked = time.monotonic()
        if not self._connection.is_head_there():
            return
        nodes = {node["NodeID"]: node for node in self._connection.nodes()}
        self._there = frozenset(nodes)
        self._cores = max(1, sum(int(node["Resources"].get("CPU", 0)) for node in nodes.values()))
        for gone in self._engines.keys() - nodes.keys():
            del self._engines[gone]
        for name, node in nodes.items():
            if name not in self._engines:
                self._engines[name] = self._start(node, nodes.values())
        if waiting := self._starting():
            ready, _ = self._ray.wait(list(waiting), num_returns=len(waiting), timeout=0)
            self._note_ready(waiting[reference] for reference in ready)

    def is_there(self, node: str) -> bool:
        """Whether the node was alive at the last look."""
        return node in self._there

    def lost(self, engine: EngineOn, error: Exception) -> None:
        """Its process or its device failed: another takes its place while the node is there. Raises RunnerError where
        that happened too often."""
        if engine not in self._engines.get(engine.node, ()):
            return  # noticed before
        self._engines[engine.node].remove(engine)
        self._restarts[engine.node] = self._restarts.get(engine.node, 0) + 1
        if self._restarts[engine.node] > RESTARTS:
            raise RunnerError(f"node {engine.host}: the model failed {RESTARTS + 1} times: {first_line(error)}")
        if not self._engines[engine.node]:
            del self._engines[engine.node]
        self.look()

    def _start(self, node: Node, nodes: Collection[Node]) -> list[EngineOn]:
        """One engine a GPU, on the nodes that have one; where no node has, one a node, on its processor."""
        with_gpu = self._options.device != "cpu" and any(other["Resources"].get("GPU") for other in nodes)
        gpus = int(node["Resources"].get("GPU", 0))
        count = gpus if with_gpu else int(bool(node["Resources"].get("CPU")))
        cores = int(node["Resources"].get("CPU", 1))
        options = self._options if with_gpu else replace(self._options, threads=self._options.threads or cores)
        engines = []
        for _ in range(count):
            actor = (
                self._ray.remote(node_work.Engine)
                .options(
                    num_cpus=0, num_gpus=int(with_gpu), scheduling_strategy=self._connection.only(node), max_restarts=0
                )
                .remote(self._files, options)
            )
            engines.append(EngineOn(node["NodeID"], host_of(node), actor, actor.info.remote()))
        return engines

    def _starting(self) -> dict[Any, EngineOn]:
        """Engines that are not ready yet, by what tells of them."""
        return {e.ready: e for engines in self._engines.values() for e in engines if e.info is None}

    def _note_ready(self, engines: Iterable[EngineOn]) -> None:
        for engine in engines:
            self._note(engine)

    def _note(self, engine: EngineOn) -> None:
        try:
            info = self._ray.get(engine.ready)
        except self._ray.exceptions.RayTaskError as error:
            raise RunnerError(f"node {engine.host}: {first_line(error.cause)}") from error
        except self._ray.exceptions.RayError as error:
            self.lost(engine, error)
            return
        first = next(self.engines(), None)
        if first is not None and first.info is not None and _alike(first.info) != _alike(info):
            raise RunnerError(
                f"node {engine.host} runs the model by {' '.join(_alike(info))}, node {first.host} by "
                f"{' '.join(_alike(first.info))}: scores of one run come from one arithmetic. Choose one that all "
                "nodes have: --device, --precision"
            )
        engine.info = info

    def _check_versions(self) -> None:
        ours = node_work.describe_node()
        for node, theirs in self._connection.on_each(node_work.describe_node):
            for name in ("mura-batch", "Python"):
                if theirs[name] != ours[name]:
                    raise ClusterError(
                        f"node {host_of(node)} has {name} {theirs[name]}, this machine {ours[name]}: install the same "
                        "version on every node"
                    )


def _files_of(model: Model) -> dict[str, bytes]:
    """The model and the plans beside it; each engine checks the hashes of the card."""
    names = {CARD_NAME, *model.card.hashes}
    plans = {path.name for path in model.folder.iterdir() if ".plan" in path.suffixes}
    return {name: (model.folder / name).read_bytes() for name in sorted(names | plans)}


def _alike(info: RunnerInfo) -> tuple[str, ...]:
    """What must be the same on every node."""
    return info.name, info.version, info.precision
