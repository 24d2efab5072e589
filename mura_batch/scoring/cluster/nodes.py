"""A connection to a Ray cluster: every node checked, and on each an engine that holds the model.

Ray's own retries are off: what is lost is counted in `deliveries`, where a file that takes its process along twice is
named.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from mura_batch.errors import ClusterError, MuraBatchError, RunnerError
from mura_batch.model_card import CARD_NAME, Model
from mura_batch.records import SourceFile
from mura_batch.runtime.runner import RunnerInfo, RunnerOptions
from mura_batch.scoring.cluster import node_work
from mura_batch.scoring.storage import Storage

CONNECT_SECONDS = 60.0  # a head that does not answer by then is gone
START_SECONDS = 600.0  # a compiled network may have to be made first
HEAD_WAIT = 20.0  # seconds: a head that KubeRay replaces is there again by then
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
        self._address, self._model = address, model
        self._options = replace(options, late=False, report=None, cache_dir=None)  # of a node, not of this machine
        self._ray = _import_ray()
        self._engines: dict[str, list[EngineOn]] = {}  # by node
        self._restarts: dict[str, int] = {}
        self._looked, self._cores = 0.0, 1
        self._there = frozenset[str]()  # nodes, at the last look
        self._head, self._head_gone = "", 0.0  # its address; since when it does not answer
        self._files: Any = None

    def __enter__(self) -> Self:
        _connect(self._ray, self._address)
        try:
            self._head = self._ray.get_runtime_context().gcs_address
            self._spilled_before = self._spilled()
            self._files = self._ray.put(_files_of(self._model))
            self._check_versions()
            self.look()
        except BaseException:
            self._ray.shutdown()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ray.shutdown()

    @property
    def ray(self) -> Any:
        return self._ray

    @property
    def cores(self) -> int:
        """Of all nodes at the last look: asked of the head each time, it would wait for one that is gone."""
        return self._cores

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
        for node, problem in self._on_each(node_work.sees, storage, sample):
            if problem:
                raise ClusterError(f"node {_host(node)} cannot read the studies: {problem}")

    def look_now_and_then(self) -> None:
        """`look`, where it is some seconds ago."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self.look()

    def look(self) -> None:
        """Takes in nodes that joined, and lets go of those that left. Raises RunnerError where the head is gone, or a
        node's engine does not start or differs from the others."""
        self._looked = time.monotonic()
        if not self._is_head_there():
            return
        nodes = {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}
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

    def _is_head_there(self) -> bool:
        """Raises RunnerError where it was not for long: Ray itself ends this process, without a word of ours, when it
        has not reached the head for a minute."""
        problem = _why_closed(self._head)
        if not problem:
            self._head_gone = 0.0
            return True
        self._head_gone = self._head_gone or time.monotonic()
        if time.monotonic() - self._head_gone > HEAD_WAIT:
            raise RunnerError(f"the head of the cluster, {self._head}, is gone ({problem}): what was scored is kept")
        return False

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

    def _start(self, node: dict[str, Any], nodes: Any) -> list[EngineOn]:
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
                .options(num_cpus=0, num_gpus=int(with_gpu), scheduling_strategy=self._only(node), max_restarts=0)
                .remote(self._files, options)
            )
            engines.append(EngineOn(node["NodeID"], _host(node), actor, actor.info.remote()))
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
        for node, theirs in self._on_each(node_work.describe_node):
            for name in ("mura-batch", "Python"):
                if theirs[name] != ours[name]:
                    raise ClusterError(
                        f"node {_host(node)} has {name} {theirs[name]}, this machine {ours[name]}: install the same "
                        "version on every node"
                    )

    def _on_each(self, function: Any, *arguments: Any) -> Iterator[tuple[dict[str, Any], Any]]:
        """(node, what the function says there)."""
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        task = self._ray.remote(function)
        answers = [
            task.options(num_cpus=0, scheduling_strategy=self._only(node), max_retries=0).remote(*arguments)
            for node in nodes
        ]
        for node, answer in zip(nodes, answers, strict=True):
            try:
                yield node, self._ray.get(answer, timeout=CONNECT_SECONDS)
            except self._ray.exceptions.RayTaskError as error:
                raise ClusterError(f"node {_host(node)}: {first_line(error.cause)}") from error
            except (self._ray.exceptions.TaskUnschedulableError, self._ray.exceptions.NodeDiedError):
                continue  # it left
            except self._ray.exceptions.RayError as error:
                raise ClusterError(f"node {_host(node)} does not answer: {first_line(error)}") from error

    @property
    def warnings(self) -> tuple[str, ...]:
        """Lines for a person."""
        spilled = self._spilled() - self._spilled_before
        if spilled <= 0:
            return ()
        return (
            f"mura-batch: Ray's object store was full, {max(1, spilled >> 20)} MiB went to the nodes' disks, which is "
            "slower: give it more memory (ray start --object-store-memory)",
        )

    def _spilled(self) -> int:
        """Bytes, of all nodes since they started; 0 where they cannot be asked: no run fails for a warning."""
        from ray._private import internal_api, state  # what `ray memory --stats-only` asks; nothing public tells it

        if _why_closed(self._head):
            return 0
        with suppress(Exception):  # an error of gRPC where the node that is asked has just been lost
            return int(internal_api.get_memory_info_reply(state.state).store_stats.spilled_bytes_total)
        return 0

    def _only(self, node: dict[str, Any]) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)


def _import_ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before the import: nothing is sent home
    # Else Ray 2.60 writes to our standard error that pictures were lost with a node, which are sent again.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray._private.worker
    except ImportError as error:
        raise ClusterError("--cluster needs Ray: pip install 'mura-batch[cluster]', on every node") from error
    # Ray 2.60 prints the loss of a node to our standard output, whatever log_to_driver says: JSON goes there.
    ray._private.worker.print_to_stdstream = _print_nothing
    return ray


def _print_nothing(*_: object, **__: object) -> None:
    pass


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Of the whole process, C++ included."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _connect(ray: Any, address: str) -> None:
    """Raises ClusterError. Ray itself tries for a minute and a half to reach a head that is not there."""
    if ":" in address and (problem := _why_closed(address)):
        raise ClusterError(f"--cluster {address}: {problem}: is `ray start --head` running there?")
    local = {"_node_ip_address": "127.0.0.1", "include_dashboard": False} if address == "local" else {}
    try:
        with _silent_stderr():  # Ray says there at which level it logs; what goes wrong is raised
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", configure_logging=False, **local)
    except Exception as error:  # Ray raises ConnectionError, ValueError and errors of its own
        raise ClusterError(
            f"--cluster {address}: {first_line(error)}: is `ray start --head` running there, and is this machine one "
            "of its nodes?"
        ) from error


def _why_closed(address: str) -> str:
    """Why nobody answers there; '' where somebody does."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def _files_of(model: Model) -> dict[str, bytes]:
    """The model and the plans beside it; each engine checks the hashes of the card."""
    names = {CARD_NAME, *model.card.hashes}
    plans = {path.name for path in model.folder.iterdir() if ".plan" in path.suffixes}
    return {name: (model.folder / name).read_bytes() for name in sorted(names | plans)}


def _alike(info: RunnerInfo) -> tuple[str, ...]:
    """What must be the same on every node."""
    return info.name, info.version, info.precision


def _host(node: dict[str, Any]) -> str:
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"


def first_line(error: BaseException | None) -> str:
    """Of what Ray says of an error, which is often a page."""
    if isinstance(error, MuraBatchError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
