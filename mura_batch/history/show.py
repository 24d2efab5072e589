"""`mura-batch show`: a study as the ledger has it: its files, its scores over time, and why each is what it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mura_batch.errors import InputError
from mura_batch.history.past_runs import check_out
from mura_batch.outputs.read_tables import read_studies
from mura_batch.reasons import ADVICE
from mura_batch.records import Instance, StudyScore
from mura_batch.store.run_folder import newest_run
from mura_batch.store.score_history import ScoreHistory, StoredFile, StoredScore


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """key: what messages call the study. files: as the ledger has them. scores: oldest first. rows: of the newest run,
    none where it does not have the study or names studies by keys alone."""

    study_uid: str
    key: str
    files: tuple[StoredFile, ...]
    scores: tuple[StoredScore, ...]
    rows: tuple[StudyScore, ...]


def show_study(out: Path, word: str) -> tuple[StudyFacts, ...]:
    """word: a Study Instance UID, an accession number, which several studies may have, or a key. Raises InputError
    where it names none."""
    check_out(out)
    with ScoreHistory(out) as history:
        found = history.find(word)
        if not found:
            when = history.forgotten(word)
            known = f"the study was forgotten on {when[:10]}" if when else "no study has this UID, accession or key"
            raise InputError(f"{out}: {known}")
        keys = {uid: history.names.study(uid) for uid in found}
        rows = _rows(out, {*keys, *keys.values()})
        return tuple(
            StudyFacts(
                uid,
                key,
                tuple(history.files(uid)),
                tuple(history.scores(uid)),
                tuple(row for row in rows if row.study_uid in {uid, key}),
            )
            for uid, key in keys.items()
        )


def _rows(out: Path, names: set[str]) -> list[StudyScore]:
    newest = newest_run(out)
    try:
        return [row for row in read_studies(newest) if row.study_uid in names] if newest is not None else []
    except InputError:  # edited or removed by hand: `verify` names it, and the ledger has the scores
        return []


def words_of(facts: StudyFacts) -> Iterator[str]:
    """Lines for a terminal."""
    yield f"study {facts.study_uid} (key {facts.key})"
    for row in facts.rows:
        score = f"{row.score:.4f}" if row.score is not None else "no score"
        call = {True: ", abnormal", False: ", normal", None: ""}[row.abnormal]
        why = f" ({row.reason})" if row.reason else ""
        part = " ".join(filter(None, (row.region, row.laterality)))
        yield f"  newest run: {part}: {row.status}{why}, {score}{call}, threshold {row.threshold}"
    for file in facts.files:
        yield from _file_words(file)
        yield from (_score_words(score) for score in facts.scores if _is_of(score, file))
    others = [score for score in facts.scores if not any(_is_of(score, file) for file in facts.files)]
    if others:
        yield "  files as they were before:"
        yield from map(_score_words, others)


def _is_of(score: StoredScore, file: StoredFile) -> bool:
    return score.content_hash == file.content_hash


def _file_words(file: StoredFile) -> Iterator[str]:
    record = file.record
    gone = "" if file.present else " (the last run did not see it)"
    yield f"  file {record.source.path}{gone}"
    if isinstance(record, Instance):
        region = record.region
        evidence = f": {region.evidence}" if region.evidence else ""
        yield f"    {region.region} {record.laterality}, by {region.source}{evidence}, confidence {region.confidence}"
    else:
        detail = f" ({record.detail})" if record.detail else ""
        yield f"    skipped at {record.stage}: {record.reason}{detail}. {ADVICE[record.reason]}"


def _score_words(score: StoredScore) -> str:
    made = score.decisions
    call = "" if score.threshold is None else ", abnormal" if score.probability > score.threshold else ", normal"
    how = f"{made.decoder}, {made.voi}, {made.polarity} ({made.polarity_reason})"
    when = score.committed[:16].replace("T", " ") or "before times were kept"
    model = f"{score.model or score.model_hash[:10]}, settings {score.settings_hash}"
    return f"    {when}  {score.probability:.4f}{call}  {model}  {how}"
