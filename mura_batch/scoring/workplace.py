"""Where the work of a run is done: on this machine, or on the nodes of a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mura_batch.dicom.policy import IntakePolicy
from mura_batch.model_card import Model
from mura_batch.progress import Observer
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.runner import Runner, RunnerInfo, RunnerOptions
from mura_batch.scoring.header_readers import HeaderReader, LocalHeaders
from mura_batch.scoring.storage import Folder, Storage
from mura_batch.scoring.timings import Timings
from mura_batch.store.key import Key
from mura_batch.store.scores import Scores

if TYPE_CHECKING:
    from mura_batch.scoring.score_commits import Refuse


class Workplace(Protocol):
    @property
    def storage(self) -> Storage: ...

    @property
    def headers(self) -> HeaderReader: ...

    @property
    def info(self) -> RunnerInfo:
        """Of what runs the model."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """Lines that a person should see when the run ends."""
        ...

    def score(
        self, scores: Scores, key: Key, observer: Observer, timings: Timings, refuse: Refuse | None = None
    ) -> None:
        """Scores what is pending, and commits it as it goes. Raises RunnerError, and what refuse makes."""
        ...


class LocalWork:
    """This machine. workers: decode processes at most, None for one a core."""

    warnings = ()

    def __init__(self, studies: Path, policy: IntakePolicy, model: Model, runner: Runner, workers: int | None) -> None:
        self.storage: Storage = Folder(studies)
        self.headers: HeaderReader = LocalHeaders(self.storage, policy)
        self._policy, self._model, self._runner, self._workers = policy, model, runner, workers

    @property
    def info(self) -> RunnerInfo:
        return self._runner.info

    def score(
        self, scores: Scores, key: Key, observer: Observer, timings: Timings, refuse: Refuse | None = None
    ) -> None:
        """Imports what only a run with news needs."""
        from mura_batch.dicom.worker.pool import DecodePool
        from mura_batch.runtime.feature_distance import load_statistics
        from mura_batch.scoring.score_stream import Stream

        workers = min(self._workers or len(os.sched_getaffinity(0)), scores.count_pending(key))
        with DecodePool(self.storage.folder, self._policy, self._model.card.input, workers) as pool:
            statistics = load_statistics(self._model)
            Stream(scores, key, pool, self._runner, observer, statistics).run(timings, refuse)


@contextmanager
def open_workplace(
    studies: Path, policy: IntakePolicy, model: Model, options: RunnerOptions, workers: int | None, cluster: str | None
) -> Iterator[Workplace]:
    """cluster: None for this machine, else what `cluster.nodes` connects to. Raises RunnerError or PlanError where
    nothing runs the model, ClusterError where the cluster is not there."""
    if cluster is None:
        with open_runner(model, options) as runner:
            yield LocalWork(studies, policy, model, runner, workers)
        return
    from mura_batch.scoring.cluster.cluster_work import open_cluster

    with open_cluster(cluster, studies, policy, model, options) as work:
        yield work
