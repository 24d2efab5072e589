"""Folder -> source files."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mura_batch.dicom.discover import CLOCK_SKEW, discover
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.records import Reason, Skipped, SourceFile

EVERYTHING = IntakePolicy(settle_seconds=0)


def fates(root: Path, policy: IntakePolicy = EVERYTHING, now: float | None = None) -> list[tuple[str, str]]:
    return [
        (item.source.path, item.reason) if isinstance(item, Skipped) else (item.path, "found")
        for item in discover(root, policy, now)
    ]


def test_files_come_sorted_from_any_depth_whatever_their_names(studies: Path) -> None:
    for name in ("b", "a.dcm", "z/1", "z/y/x/IM 1", "z/\u00e9", "\U0001f9b4"):
        (studies / name).parent.mkdir(parents=True, exist_ok=True)
        (studies / name).write_bytes(b"x")
    assert fates(studies) == [(n, "found") for n in ("a.dcm", "b", "\U0001f9b4", "z/1", "z/\u00e9", "z/y/x/IM 1")]
    (source, *_) = discover(studies, EVERYTHING)
    info = (studies / "a.dcm").stat()
    assert source == SourceFile("a.dcm", 1, info.st_mtime_ns, info.st_ctime_ns)


def test_a_name_that_is_no_text_is_still_listed(studies: Path) -> None:
    name = os.fsdecode(b"HAND\xff.dcm")
    (studies / name).write_bytes(b"x")
    assert fates(studies) == [(name, "found")]


def test_symbolic_links_are_reported_and_not_followed(studies: Path) -> None:
    (studies / "real").mkdir()
    (studies / "real" / "image").write_bytes(b"x")
    (studies / "real" / "loop").symlink_to(studies)
    (studies / "link").symlink_to(studies / "real" / "image")
    assert fates(studies) == [("link", Reason.SYMLINK), ("real/image", "found"), ("real/loop", Reason.SYMLINK)]


def test_a_hard_link_is_the_same_file(studies: Path) -> None:
    (studies / "a").write_bytes(b"x")
    os.link(studies / "a", studies / "b")
    assert fates(studies) == [("a", "found"), ("b", Reason.SAME_FILE)]


def test_pipes_are_reported_and_not_opened(studies: Path) -> None:
    os.mkfifo(studies / "pipe")
    assert fates(studies) == [("pipe", Reason.SPECIAL_FILE)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list any folder")
def test_a_folder_that_may_not_be_listed_is_reported(studies: Path) -> None:
    (studies / "closed").mkdir()
    (studies / "closed").chmod(0)
    try:
        assert fates(studies) == [("closed", Reason.UNREADABLE_FOLDER)]
    finally:
        (studies / "closed").chmod(stat.S_IRWXU)


@pytest.mark.parametrize(
    "name",
    [".snapshot", "~snapshot", ".snapshots", ".snap", ".zfs", "#snapshot", "@sharesnap", "@GMT-2026.11.01-02.00.00",
     "#recycle", "@Recycle", "$RECYCLE.BIN", ".Trash-1000", "@eaDir", "@tmp", ".@__thumb", "System Volume Information",
     "lost+found", "DfsrPrivate", ".rsync-partial", ".~tmp~"],
)  # fmt: skip
def test_a_service_folder_of_the_storage_is_left_out_whole(studies: Path, name: str) -> None:
    for path in (studies / "a" / "image", studies / "a" / name / "deep" / "image"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    assert sorted(fates(studies, EVERYTHING)) == sorted([("a/image", "found"), (f"a/{name}", Reason.SERVICE_FOLDER)])


@pytest.mark.parametrize("name", ["snapshots", "recycle", "trash", ".hidden", "tmp", "sync", "@home"])
def test_a_folder_that_a_site_may_have_created_is_read(studies: Path, name: str) -> None:
    (studies / name).mkdir()
    (studies / name / "image").write_bytes(b"x")
    assert fates(studies, EVERYTHING) == [(f"{name}/image", "found")]


def test_a_folder_with_a_too_long_path_is_reported(studies: Path) -> None:
    here = os.open(studies, os.O_RDONLY)  # PATH_MAX is 4096 bytes (linux/limits.h)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=here)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert [reason for _, reason in fates(studies)] in ([Reason.UNREADABLE_FOLDER], [Reason.UNREADABLE_FILE])


@pytest.mark.parametrize(
    ("age", "fate"),
    [
        (59, Reason.TOO_YOUNG),
        (61, "found"),
        (-CLOCK_SKEW + 60, Reason.TOO_YOUNG),  # the file server's clock is ahead
        (-CLOCK_SKEW - 60, "found"),  # a wrong date, not a young file
    ],
)
def test_files_within_the_settle_time_wait_for_the_next_run(studies: Path, age: float, fate: str) -> None:
    (studies / "a").write_bytes(b"x")
    os.utime(studies / "a", (1_000_000, 1_000_000))
    assert fates(studies, IntakePolicy(settle_seconds=60), now=1_000_000 + age) == [("a", fate)]


def test_nothing_is_young_where_the_settle_time_is_zero(studies: Path) -> None:
    (studies / "a").write_bytes(b"x")
    assert fates(studies, EVERYTHING, now=(studies / "a").stat().st_mtime - 5) == [("a", "found")]


def test_discovery_is_lazy(studies: Path, write: Callable[..., Path]) -> None:
    for n in range(3):
        write(f"{n}/image")
    found = discover(studies, EVERYTHING)
    assert isinstance(next(found), SourceFile)
    (studies / "2" / "image").unlink()  # not looked at yet
    assert [item.path for item in found if isinstance(item, SourceFile)] == ["1/image"]
