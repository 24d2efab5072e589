"""A connection to a Ray cluster: opened or refused with a reason, its nodes asked, its head watched.

Ray's own retries are off: what is lost is counted in `deliveries`.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

from mura_batch.errors import ClusterError, MuraBatchError, RunnerError

CONNECT_SECONDS = 60.0  # a head that does not answer by then is gone
HEAD_WAIT = 20.0  # seconds: a head that KubeRay replaces is there again by then
Node = Mapping[str, Any]  # as ray.nodes() describes it


class Connection:
    """`with Connection(address) as connection`. address: 'local', 'auto' or HOST:PORT. Raises ClusterError where Ray or
    the cluster is not there."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.ray = _import_ray()
        self._head, self._head_gone = "", 0.0  # its address; since when it does not answer

    def __enter__(self) -> Self:
        _connect(self.ray, self._address)
        try:
            self._head = self.ray.get_runtime_context().gcs_address
            self._spilled_before = self._spilled()
        except BaseException:
            self.ray.shutdown()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ray.shutdown()

    def nodes(self) -> list[Node]:
        """Those that are alive."""
        return [node for node in self.ray.nodes() if node["Alive"]]

    def only(self, node: Node) -> Any:
        """The scheduling strategy that keeps a task on this node."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)

    def is_head_there(self) -> bool:
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

    def on_each(self, function: Any, *arguments: Any) -> Iterator[tuple[Node, Any]]:
        """(node, what the function says there)."""
        nodes = self.nodes()
        task = self.ray.remote(function)
        answers = [
            task.options(num_cpus=0, scheduling_strategy=self.only(node), max_retries=0).remote(*arguments)
            for node in nodes
        ]
        for node, answer in zip(nodes, answers, strict=True):
            try:
                yield node, self.ray.get(answer, timeout=CONNECT_SECONDS)
            except self.ray.exceptions.RayTaskError as error:
                raise ClusterError(f"node {host_of(node)}: {first_line(error.cause)}") from error
            except (self.ray.exceptions.TaskUnschedulableError, self.ray.exceptions.NodeDiedError):
                continue  # it left
            except self.ray.exceptions.RayError as error:
                raise ClusterError(f"node {host_of(node)} does not answer: {first_line(error)}") from error

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


def host_of(node: Node) -> str:
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"


def first_line(error: BaseException | None) -> str:
    """Of what Ray says of an error, which is often a page."""
    if isinstance(error, MuraBatchError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
