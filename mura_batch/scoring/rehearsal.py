"""`score --dry-run`: what a run would do tonight, with the ledger asked and nothing written.

The ledger is copied into memory and the run's own code works on the copy: headers are read, conflicts settled, kept
scores decided as in a run. Nothing is decoded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from mura_batch.outputs.disclosure import Disclosure
from mura_batch.progress import Silent
from mura_batch.records import Skipped
from mura_batch.runtime.choose import open_runner
from mura_batch.scoring.intake import scan, score_key, settle_identity
from mura_batch.scoring.pipeline import ScoreRequest, refuse_bad_folders
from mura_batch.scoring.rescore import duration, keep_earlier
from mura_batch.scoring.storage import Folder
from mura_batch.store.database import LEDGER_NAME
from mura_batch.store.key import Key
from mura_batch.store.ledger import CopiedLedger, Ledger
from mura_batch.store.run_folder import is_published, run_name

if TYPE_CHECKING:
    from mura_batch.scoring.cluster.archive_cost import Estimate
    from mura_batch.scoring.cluster.cluster_work import ClusterWork


@dataclass(frozen=True, slots=True)
class Forecast:
    """counts: source files `found`, and of these what would be done: `score`, `unchanged`, `skip`. seconds: that
    scoring would take at the rate of earlier runs, None where there was none. cluster: what it would cost there, None
    without --cluster, or where nothing is to be scored."""

    counts: dict[str, int]
    skipped_by_reason: dict[str, int]
    studies_to_score: int
    seconds: float | None
    cluster: Estimate | None = None

    def lines(self) -> list[str]:
        """For a person: the sums."""
        names = [*(("score", self.counts["score"]), ("unchanged", self.counts["unchanged"]))]
        names += [(f"skip ({reason.partition('/')[2]})", count) for reason, count in self.skipped_by_reason.items()]
        lines = [f"{count:>7}  {name}" for name, count in names if count]
        if self.seconds is not None and self.counts["score"]:
            lines.append(f"scoring would take about {duration(self.seconds)}")
        return lines if self.cluster is None else [*lines, *self.cluster.lines()]


def rehearse(request: ScoreRequest, show: Callable[[str], None]) -> Forecast:
    """show: takes a line for each file that would be scored or skipped. Raises MuraBatchError."""
    refuse_bad_folders(request)
    with CopiedLedger(request.out / LEDGER_NAME) as ledger, _cluster(request) as work:
        ledger.runs.reconcile(partial(is_published, request.out))
        ledger.runs.begin(run_name(request.started), request.studies)
        ledger.scores.forget_transient()
        storage = Folder(request.studies) if work is None else work.storage
        found = scan(storage, request.policy, ledger.files, Silent(), None if work is None else work.headers)
        settle_identity(storage, request.policy, ledger)
        key = _key(request, ledger) if work is None else score_key(request.model, request.policy, work.info.precision)
        keep_earlier(ledger, key, request.model, request.out, request.plan)
        forecast = _forecast(ledger, key, found, show, Disclosure(request.identifiers, ledger.names))
        return forecast if work is None else replace(forecast, cluster=work.estimate(ledger.scores.pending(key)))


@contextmanager
def _cluster(request: ScoreRequest) -> Iterator[ClusterWork | None]:
    """None for a run on this machine."""
    if request.cluster is None:
        yield None
        return
    from mura_batch.scoring.cluster.cluster_work import open_cluster

    with open_cluster(request.cluster, request.studies, request.policy, request.model, request.runner_options) as work:
        yield work


def _key(request: ScoreRequest, ledger: Ledger) -> Key:
    """A ledger without scores need not know which precision the runner takes: every picture would be scored."""
    if ledger.scores.are_none():
        return score_key(request.model, request.policy, request.runner.precision)
    cache = request.runner.cache_dir
    options = replace(request.runner_options, cache_dir=cache if cache is not None and cache.is_dir() else None)
    with open_runner(request.model, options) as runner:
        return score_key(request.model, request.policy, runner.info.precision)


def _forecast(ledger: Ledger, key: Key, found: int, show: Callable[[str], None], disclosure: Disclosure) -> Forecast:
    for i in map(disclosure.instance, ledger.scores.pending(key)):
        show(f"score  {i.region.region:<28} {i.source.path}: {i.region.source} {i.region.evidence}")
    pending = ledger.scores.count_pending(key)
    skipped: Counter[str] = Counter()
    unchanged = 0
    for study in ledger.outcomes.studies(key):
        unchanged += len(study.scored)
        for skip in (*(skip for _, skip in study.failed), *study.skipped):
            _show_skip(disclosure.skip(skip), skipped, show)
    for skip in ledger.outcomes.skipped_without_study(key):
        _show_skip(disclosure.skip(skip), skipped, show)
    rate = ledger.runs.images_a_second()
    return Forecast(
        counts={"found": found, "score": pending, "unchanged": unchanged, "skip": skipped.total()},
        skipped_by_reason=dict(sorted(skipped.items())),
        studies_to_score=ledger.scores.count_pending_studies(key),
        seconds=pending / rate if rate is not None else None,
    )


def _show_skip(skip: Skipped, skipped: Counter[str], show: Callable[[str], None]) -> None:
    skipped[f"{skip.stage}/{skip.reason}"] += 1
    show(f"skip   {skip.reason:<28} {skip.source.path}: {skip.detail}")
