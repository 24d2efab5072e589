"""The nodes of a Ray cluster as the place where a run's work is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mura_batch.dicom.policy import IntakePolicy
from mura_batch.model_card import Model
from mura_batch.progress import Observer
from mura_batch.records import Instance, Skipped, SourceFile
from mura_batch.runtime.runner import RunnerInfo, RunnerOptions
from mura_batch.scoring.cluster.archive_cost import Estimate, estimate
from mura_batch.scoring.cluster.bucket import storage_of
from mura_batch.scoring.cluster.deliveries import HEADERS, Deliveries, read_headers
from mura_batch.scoring.cluster.nodes import Nodes
from mura_batch.scoring.header_readers import HeaderReader
from mura_batch.scoring.score_commits import Committer, Refuse
from mura_batch.scoring.storage import Storage
from mura_batch.scoring.timings import Timings
from mura_batch.store.key import Key
from mura_batch.store.scores import Scores

GROUPS = 4  # header tasks a core, in one group: the end of a group waits for its slowest


class ClusterHeaders:
    """A HeaderReader: all nodes at once."""

    def __init__(self, nodes: Nodes, storage: Storage, policy: IntakePolicy) -> None:
        self._nodes, self._storage, self._policy = nodes, storage, policy
        self._checked = False

    @property
    def group(self) -> int:
        return GROUPS * HEADERS * self._nodes.cores

    def read_headers(self, sources: list[SourceFile]) -> list[Instance | Skipped]:
        """Raises ClusterError that names a node which cannot read the storage."""
        if sources and not self._checked:
            self._nodes.check_storage(self._storage, sources[0])
            self._checked = True
        return read_headers(self._nodes, self._storage, sources, self._policy)


class ClusterWork:
    """A Workplace."""

    def __init__(self, nodes: Nodes, storage: Storage, policy: IntakePolicy, model: Model) -> None:
        self.storage = storage
        self.headers: HeaderReader = ClusterHeaders(nodes, storage, policy)
        self._nodes, self._policy, self._model = nodes, policy, model

    @property
    def info(self) -> RunnerInfo:
        info, nodes = self._nodes.info, len({engine.node for engine in self._nodes.engines()})
        return replace(info, reason=f"{info.reason}; on {nodes} nodes of a Ray cluster")

    @property
    def warnings(self) -> tuple[str, ...]:
        return self._nodes.warnings

    def score(
        self, scores: Scores, key: Key, observer: Observer, timings: Timings, refuse: Refuse | None = None
    ) -> None:
        committer = Committer(scores, key, observer)
        committer.refuse = refuse
        deliveries = Deliveries(self._nodes, self.storage, self._policy, self._model.card.input)
        deliveries.run(scores.due(key), committer, timings)

    def estimate(self, pending: Iterable[Instance]) -> Estimate | None:
        """What scoring them would cost; None where there are none."""
        return estimate(self._nodes, self.storage, self._policy, self._model.card.input, pending)


@contextmanager
def open_cluster(
    address: str, studies: Path, policy: IntakePolicy, model: Model, options: RunnerOptions
) -> Iterator[ClusterWork]:
    """studies: a folder, or what a URL was made to. address: 'local', 'auto' or HOST:PORT. Raises InputError for an
    unknown storage, ClusterError where Ray or the cluster is not there, RunnerError where a node cannot run the
    model."""
    storage = storage_of(studies)
    with Nodes(address, model, options) as nodes:
        yield ClusterWork(nodes, storage, policy, model)
