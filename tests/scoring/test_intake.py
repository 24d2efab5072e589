"""From folder to ledger."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mura_batch.dicom.policy import IntakePolicy
from mura_batch.errors import InputError, StrictError
from mura_batch.model_card import sha256_of
from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.progress import Silent
from mura_batch.records import Reason, Skipped, SourceFile, Stage
from mura_batch.scoring.intake import refuse_unreadable, scan, score_key, settle_identity
from mura_batch.scoring.storage import Folder
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger

KEY = Key("model", "settings")
POLICY = IntakePolicy(settle_seconds=0)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("intake") / "studies"
    make_phantoms(out, PhantomOptions(studies=3, seed=5, small=True))
    return out


def skipped(ledger: Ledger) -> dict[str, Reason]:
    return {skip.source.path: skip.reason for skip in ledger.files.skipped_before_decoding()}


def test_a_scan_covers_every_file_and_its_repeat_opens_none(
    studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sum(path.is_file() for path in studies.rglob("*"))
    with Ledger(tmp_path / "l") as ledger:
        ledger.runs.begin("one", studies)
        assert scan(Folder(studies), POLICY, ledger.files, Silent()) == files
        first = ledger.scores.count_pending(KEY)
        assert first + len(skipped(ledger)) == files
        ledger.runs.begin("two", studies)
        with monkeypatch.context() as patch:
            patch.setattr("mura_batch.dicom.header.reader.read_header", None)
            patch.setattr("mura_batch.scoring.intake.sha256_of", None)
            scan(Folder(studies), POLICY, ledger.files, Silent())
        assert ledger.scores.count_pending(KEY) == first


def test_of_identical_copies_only_one_is_scored(studies: Path, tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.runs.begin("one", studies)
        scan(Folder(studies), POLICY, ledger.files, Silent())
        before = ledger.scores.count_pending(KEY)
        settle_identity(Folder(studies), POLICY, ledger)
        assert list(skipped(ledger).values()).count(Reason.DUPLICATE) == 1
        assert ledger.scores.count_pending(KEY) == before - 1


@pytest.mark.parametrize("others", [{}, {"note.txt": b"see the other disk"}])
def test_a_folder_of_only_archives_is_an_error(tmp_path: Path, others: dict[str, bytes]) -> None:
    folder = tmp_path / "zipped"
    folder.mkdir()
    for name, content in {"a.zip": b"PK\3\4" + b"\0" * 99, "b.dcm.gz": b"\x1f\x8b\x08" + b"\0" * 99, **others}.items():
        (folder / name).write_bytes(content)
    with Ledger(tmp_path / "l") as ledger:
        ledger.runs.begin("one", folder)
        with pytest.raises(InputError, match="2 archives: unpack them"):
            scan(Folder(folder), POLICY, ledger.files, Silent())


def test_new_content_under_an_old_size_and_time_is_seen(studies: Path, tmp_path: Path) -> None:
    """As rsync -t and some exporters leave it: only the change time tells."""
    folder = tmp_path / "few"
    folder.mkdir()
    picture = next(p for p in sorted(studies.rglob("IM000001")) if p.stat().st_size > 10_000)
    image, other = folder / "image", bytearray(picture.read_bytes())
    image.write_bytes(other)
    os.utime(image, ns=(10**18, 10**18))
    with Ledger(tmp_path / "l") as ledger:
        ledger.runs.begin("one", folder)
        scan(Folder(folder), POLICY, ledger.files, Silent())
        (instance,) = ledger.scores.pending(KEY)
        content = sha256_of(image)
        ledger.files.put_content_hashes([(instance, content)])
        image.chmod(0o640)  # another change time, the same content
        ledger.runs.begin("two", folder)
        scan(Folder(folder), POLICY, ledger.files, Silent())
        assert ledger.files.content_hash(instance.source) == content
        other[-1] ^= 1
        image.write_bytes(other)
        os.utime(image, ns=(10**18, 10**18))
        ledger.runs.begin("three", folder)
        scan(Folder(folder), POLICY, ledger.files, Silent())
        assert ledger.files.content_hash(instance.source) is None  # it is decoded again


def test_a_refused_file_is_read_once_it_can_be_opened(
    studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    picture = next(p for p in sorted(studies.rglob("IM000001")) if p.stat().st_size > 10_000)
    (folder / "image").write_bytes(picture.read_bytes())
    os.utime(folder / "image", (1, 1))
    with Ledger(tmp_path / "l") as ledger:
        ledger.runs.begin("one", studies)
        with monkeypatch.context() as patch:  # root may open anything: the refusal is made

            def refuse(root: Path, source: SourceFile, policy: IntakePolicy, second: object) -> Skipped:
                return Skipped(source, Stage.HEADER, Reason.UNREADABLE_FILE, "Permission denied")

            patch.setattr("mura_batch.dicom.header.reader.read_header", refuse)
            scan(Folder(folder), POLICY, ledger.files, Silent())
        assert skipped(ledger) == {"image": Reason.UNREADABLE_FILE}
        ledger.runs.begin("two", studies)
        scan(Folder(folder), POLICY, ledger.files, Silent())
        assert skipped(ledger) == {}
        assert ledger.scores.count_pending(KEY) == 1


def test_a_folder_without_files_is_a_mount_that_failed(tmp_path: Path) -> None:
    (tmp_path / "studies" / "empty").mkdir(parents=True)
    with Ledger(tmp_path / "l") as ledger, pytest.raises(InputError, match="mounted"):
        scan(Folder(tmp_path / "studies"), POLICY, ledger.files, Silent())


def test_strict_refuses_a_truncated_file_before_decoding(studies: Path, tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.runs.begin("one", studies)
        scan(Folder(studies), POLICY, ledger.files, Silent())
        with pytest.raises(StrictError, match="truncated"):
            refuse_unreadable(ledger.files, ledger.names)


def test_the_settings_of_a_score_are_what_it_depends_on() -> None:
    from mura_batch.model_card import load_model
    from mura_batch.resources import engines_folder

    model = load_model(engines_folder() / "reference")
    base = score_key(model, POLICY, "float32")
    assert score_key(model, IntakePolicy(regions=()), "float32") == base  # which files are scored changes no score
    assert score_key(model, IntakePolicy(voi="lut"), "float32") != base
    assert score_key(model, POLICY, "bf16") != base
    other = replace(model, card=replace(model.card, hashes={**model.card.hashes, "int8.npz": "of other ranges"}))
    assert score_key(other, POLICY, "float32") == base
    assert score_key(other, POLICY, "int8") != score_key(model, POLICY, "int8") != base
