"""A new model, or other settings, scores no archive by surprise: which studies keep an earlier score, and what is left
when the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mura_batch.errors import InputError
from mura_batch.model_card import Model
from mura_batch.outputs.manifest import read_manifest
from mura_batch.records import Reason, Stage, skip_instance
from mura_batch.store.kept import KeptCount, KnownModel
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger
from mura_batch.store.run_folder import published_runs


def _ignore(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Plan:
    """rescore_all: studies with a score of an earlier model or other settings are scored again, instead of keeping it.
    stop_at: with a time zone; no other study is begun from then on. announce: takes lines for a person, without patient
    data."""

    rescore_all: bool = False
    stop_at: datetime | None = None
    announce: Callable[[str], None] = _ignore

    def is_time_up(self) -> bool:
        return self.stop_at is not None and time.time() >= self.stop_at.timestamp()


def keep_earlier(ledger: Ledger, key: Key, model: Model, out: Path, plan: Plan) -> None:
    """Before scoring: decides which studies keep an earlier score, and announces a change of model or settings in the
    first run that has it, or whenever much is scored again."""
    card = model.card
    ledger.kept.note_model(KnownModel(model.hash, card.name, card.version, card.threshold))
    ledger.kept.keep_none()
    if not ledger.scores.count_pending(key):
        return
    _recall_models(ledger, out)
    kept = ledger.kept.keep(key)
    if plan.rescore_all:
        ledger.kept.keep_none()
    if kept.studies and (plan.rescore_all or not ledger.runs.have_used(key)):
        plan.announce(_announcement(kept, ledger.runs.images_a_second(), rescore_all=plan.rescore_all))


def _recall_models(ledger: Ledger, out: Path) -> None:
    """Names and thresholds of models that scored before the ledger noted them, out of the manifests of past runs."""
    unknown = set(ledger.kept.unknown_models())
    for name in reversed(published_runs(out)):
        if not unknown:
            return
        try:
            model = read_manifest(out / "runs" / name).model
        except InputError:
            continue  # `mura-batch verify` names such a folder
        if model["hash"] in unknown:
            known = KnownModel(model["hash"], model["name"], model["version"], model["threshold"])
            ledger.kept.note_model(known)
            unknown.discard(known.hash)


def _announcement(kept: KeptCount, images_a_second: float | None, *, rescore_all: bool) -> str:
    what = f"{kept.studies:,} studies ({kept.images:,} images)"
    how_long = "nobody knows yet how long that takes"
    if images_a_second is not None:
        how_long = f"that takes about {duration(kept.images / images_a_second)}"
    if rescore_all:
        return f"the model or its settings changed: {what} with an earlier score are scored again; {how_long}"
    return (
        f"the model or its settings changed: {what} keep their earlier score, marked in studies.csv; --rescore all "
        f"scores them again, {how_long}"
    )


def duration(seconds: float) -> str:
    """For a person: minutes, from an hour on with hours."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def leave_rest(ledger: Ledger, key: Key, plan: Plan) -> str:
    """After scoring: what the time did not suffice for is set aside in this run; a study that had an earlier score
    keeps it for now. Returns one line for a person, '' where nothing is left."""
    images, studies = ledger.scores.count_pending(key), ledger.scores.count_pending_studies(key)
    if not images or plan.stop_at is None:
        return ""
    ledger.kept.keep(key)
    detail = "--stop-after came before its turn"
    ledger.files.set_aside(
        skip_instance(i, Stage.SCORE, Reason.OUT_OF_TIME, detail) for i in ledger.scores.pending(key)
    )
    return f"stopped at {plan.stop_at:%H:%M}: {images:,} images of {studies:,} studies are left for the next run"
