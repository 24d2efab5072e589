"""A bit that the disk turned is an error that names the study, never another score."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mura_batch.errors import LedgerError
from mura_batch.pseudonyms import Pseudonyms
from mura_batch.records import Instance, InstanceScore, Reason, Stage, skip_instance
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger
from mura_batch.store.seen_files import Recall

KEY = Key("model", "settings")
PROBABILITY = 0.3141592653589793


@pytest.fixture
def written(
    tmp_path: Path, make_instance: Callable[..., Instance], make_score: Callable[..., InstanceScore]
) -> tuple[Path, Instance, Instance]:
    """A ledger with one scored radiograph and one that cannot be decoded."""
    good, bad = make_instance("a", "1.2.77"), make_instance("b", "1.2.88")
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        begin(ledger, good, bad)
        failure = skip_instance(bad, Stage.PIXELS, Reason.UNDECODABLE_PIXELS, "broken")
        ledger.scores.commit([(make_score(good, PROBABILITY), b"picture")], [failure], KEY)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = DELETE")  # everything in one file
    return path, good, bad


def key_of(path: Path, study_uid: str) -> str:
    secret = path.with_name("secret.key").read_text()
    return Pseudonyms(bytes.fromhex(secret)).study(study_uid)


def begin(ledger: Ledger, *instances: Instance) -> None:
    ledger.runs.begin("run", Path("/export"))
    with ledger.files.intake():
        for instance in instances:
            if ledger.files.recall(instance.source, "intake") is not Recall.KNOWN:
                ledger.files.put_header(instance, "intake")


def read_all(path: Path, *instances: Instance) -> None:
    with Ledger(path) as ledger:
        begin(ledger, *instances)
        list(ledger.outcomes.studies(KEY))


@pytest.mark.parametrize("bit", range(64))
def test_each_flipped_bit_of_a_probability_names_the_study(written: tuple[Path, Instance, Instance], bit: int) -> None:
    path, good, bad = written
    data = bytearray(path.read_bytes())
    stored = struct.pack(">d", PROBABILITY)  # SQLite's record format: a big-endian IEEE 754 number
    assert data.count(stored) == 1
    data[data.index(stored) + bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    with pytest.raises(LedgerError, match=f"score of a radiograph of study {key_of(path, '1.2.77')}"):
        read_all(path, good, bad)


@pytest.mark.parametrize("word", [b'"rows":2000', b'"accession":"A1"', b'"evidence":"85562004"', b'"region":"hand"'])
def test_a_flipped_bit_of_a_record_names_the_study(written: tuple[Path, Instance, Instance], word: bytes) -> None:
    path, good, bad = written
    data = bytearray(path.read_bytes())
    data[data.index(word) + len(word) - 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        LedgerError, match=f"record of a file of study ({key_of(path, '1.2.77')}|{key_of(path, '1.2.88')})"
    ):
        read_all(path, good, bad)


@pytest.mark.parametrize("word", [b"undecodable_pixels", b"broken"])
def test_a_flipped_bit_of_a_failure_names_the_study(written: tuple[Path, Instance, Instance], word: bytes) -> None:
    path, good, bad = written
    data = bytearray(path.read_bytes())
    data[data.index(word)] ^= 1
    path.write_bytes(data)
    with pytest.raises(LedgerError, match=f"failure of a radiograph of study {key_of(path, '1.2.88')}"):
        read_all(path, good, bad)


def test_an_intact_ledger_is_read(written: tuple[Path, Instance, Instance]) -> None:
    read_all(*written)


def test_a_picture_that_is_damaged_or_gone_is_none(written: tuple[Path, Instance, Instance], tmp_path: Path) -> None:
    path, good, _ = written
    pack = tmp_path / "pictures" / "000001.pack"
    content = f"hash-of-{good.source.path}"
    with Ledger(path) as ledger:
        assert ledger.pictures.read(KEY, content) == b"picture"
        pack.write_bytes(b"pictuse")
        assert ledger.pictures.read(KEY, content) is None
        pack.write_bytes(b"pic")
        assert ledger.pictures.read(KEY, content) is None
        pack.unlink()
        assert ledger.pictures.read(KEY, content) is None
        assert ledger.pictures.read(KEY, "no such content") is None
