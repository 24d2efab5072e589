"""`show` and `export`: what the ledger knows, for a person and for a program."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import mura_batch

from mura_batch.history.export_scores import COLUMNS, Wanted, export_lines
from mura_batch.history.show import StudyFacts, show_study, words_of


def exported(out: Path, *words: object) -> list[dict[str, str]]:
    done = mura_batch("export", "--out", out, *words)
    assert (done.returncode, done.stderr) == (0, "")
    return list(csv.DictReader(io.StringIO(done.stdout)))


def images(out: Path) -> Iterator[dict[str, str]]:
    with (out / "latest" / "images.csv").open(newline="") as file:
        yield from csv.DictReader(file)


def test_export_has_the_scores_that_the_tables_have(out: Path) -> None:
    expected = {(row["study_uid"], row["sop_instance_uid"], row["probability"]) for row in images(out)}
    rows = exported(out)
    assert {(row["study_uid"], row["sop_instance_uid"], row["probability"]) for row in rows} == expected
    assert {row["model"].split()[0] for row in rows} == {"reference"}
    assert tuple(rows[0]) == COLUMNS


@pytest.mark.parametrize(
    ("wanted", "is_empty"),
    [
        (Wanted(model="reference"), False),
        (Wanted(model="another"), True),
    ],
)
def test_export_takes_one_model(out: Path, wanted: Wanted, is_empty: bool) -> None:
    assert (list(export_lines(out, wanted, "jsonl")) == []) is is_empty


def test_export_takes_a_span_of_days(out: Path) -> None:
    from datetime import UTC, date, datetime

    today = datetime.now(UTC).date()
    assert list(export_lines(out, Wanted(until=date(2020, 1, 1)), "jsonl")) == []
    assert list(export_lines(out, Wanted(since=date(2020, 1, 1), until=today), "jsonl"))


def test_export_with_keys_holds_no_identifier(out: Path, tmp_path: Path) -> None:
    words = ("--identifiers", "key", "--format", "jsonl", "--file", tmp_path / "rows.jsonl")
    done = mura_batch("export", "--out", out, *words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    text = (tmp_path / "rows.jsonl").read_text(encoding="utf-8")
    assert json.loads(text.splitlines()[0])["probability"] > 0
    assert not any(row[name] in text for row in images(out) for name in ("study_uid", "accession", "file"))
    assert (tmp_path / "rows.jsonl").stat().st_mode & 0o777 == 0o600


def facts_of(out: Path, word: str) -> StudyFacts:
    (facts,) = show_study(out, word)
    return facts


def test_a_study_is_found_by_uid_accession_and_key(out: Path) -> None:
    row = next(images(out))
    facts = facts_of(out, row["study_uid"])
    assert facts_of(out, row["accession"]) == facts
    assert facts_of(out, facts.key) == facts
    assert [score.probability for score in facts.scores]
    assert facts.rows[0].status in {"unchanged", "partial"}


def test_show_says_why_a_score_is_what_it_is(out: Path) -> None:
    row = next(images(out))
    words = "\n".join(words_of(facts_of(out, row["study_uid"])))
    assert row["file"] in words
    assert f"{float(row['probability']):.4f}" in words
    assert row["polarity_reason"] in words
    done = mura_batch("show", "--out", out, row["study_uid"], "--json")
    (facts,) = json.loads(done.stdout)
    assert facts["scores"][0]["settings_hash"]
    assert facts["scores"][0]["committed"]


def test_a_study_that_nobody_knows_is_one_line(out: Path) -> None:
    done = mura_batch("show", "--out", out, "1.2.3")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "no study has this UID" in done.stderr
