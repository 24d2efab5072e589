"""OUT's secret: made once, missed when it is gone, and put back from a backup."""

from __future__ import annotations

import hashlib
import hmac
import shutil
import stat
from pathlib import Path

import pytest

from mura_batch.errors import LedgerError
from mura_batch.history.backup import backup
from mura_batch.pseudonyms import Pseudonyms
from mura_batch.store.ledger import Ledger

SECRET = "secret.key"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out" / "runs").mkdir(parents=True)
    open_ledger(tmp_path / "out")
    return tmp_path / "out"


def open_ledger(out: Path) -> Pseudonyms:
    with Ledger(out / "ledger.sqlite") as ledger:
        return ledger.names


def test_a_key_is_an_hmac_of_kind_and_name() -> None:
    expected = hmac.new(b"secret", b"study\x001.2.3", hashlib.sha256).hexdigest()[:16]  # RFC 2104
    assert Pseudonyms(b"secret").study("1.2.3") == expected
    assert Pseudonyms(b"secret").file("1.2.3") != expected
    assert Pseudonyms(b"other").study("1.2.3") != expected
    assert Pseudonyms(b"secret").study("") == ""


def test_a_patient_keeps_key_and_issuer_apart() -> None:
    names = Pseudonyms(b"secret")
    patient, issuer = names.patient("0123456789-abcdef0123").split("-")
    assert names.patient("0123456789") == patient
    assert names.patient("0123456789-ffffffffff").split("-")[0] == patient
    assert issuer
    assert names.patient("") == ""


def test_the_secret_is_made_once_for_its_owner(out: Path) -> None:
    written = (out / SECRET).read_bytes()
    assert stat.S_IMODE((out / SECRET).stat().st_mode) == 0o600
    assert len(bytes.fromhex(written.decode())) == 32
    open_ledger(out)
    assert (out / SECRET).read_bytes() == written


def test_a_lost_secret_is_an_error(out: Path) -> None:
    (out / SECRET).unlink()
    with pytest.raises(LedgerError, match=r"secret\.key is missing"):
        open_ledger(out)
    assert not (out / SECRET).exists()


@pytest.mark.parametrize("text", ["ab" * 32, "", "ab" * 31, "no hex at all", "ab" * 40_000])
def test_another_secret_is_an_error(out: Path, text: str) -> None:
    (out / SECRET).write_text(text)
    with pytest.raises(LedgerError, match=r"secret\.key is not the"):
        open_ledger(out)
    assert (out / SECRET).read_text() == text


def test_a_secret_that_was_written_before_a_kill_is_taken(tmp_path: Path) -> None:
    (tmp_path / SECRET).write_text("ab" * 32)
    assert open_ledger(tmp_path).check == Pseudonyms(bytes.fromhex("ab" * 32)).check


def test_a_restored_backup_brings_its_secret_back(out: Path, tmp_path: Path) -> None:
    before = open_ledger(out).study("1.2.3")
    backup(out, tmp_path / "copy.sqlite")
    secret = (out / SECRET).read_text().strip().encode()
    shutil.rmtree(out)
    out.mkdir()
    shutil.copyfile(tmp_path / "copy.sqlite", out / "ledger.sqlite")
    assert open_ledger(out).study("1.2.3") == before
    assert (out / SECRET).read_text().strip().encode() == secret
    backup_again = out / "again.sqlite"
    (out / "runs").mkdir()
    backup(out, backup_again)
    assert secret in backup_again.read_bytes()


def test_a_restored_backup_of_another_out_is_refused(out: Path, tmp_path: Path) -> None:
    backup(out, tmp_path / "copy.sqlite")
    other = tmp_path / "other"
    other.mkdir()
    open_ledger(other)
    for path in other.glob("ledger.sqlite*"):
        path.unlink()
    shutil.copyfile(tmp_path / "copy.sqlite", other / "ledger.sqlite")
    with pytest.raises(LedgerError, match="not the one"):
        open_ledger(other)


def test_a_link_in_place_of_the_secret_is_refused(out: Path, tmp_path: Path) -> None:
    (out / SECRET).rename(tmp_path / "elsewhere")
    (out / SECRET).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LedgerError, match=r"secret\.key cannot be read"):
        open_ledger(out)
