"""Results appear whole or not at all."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mura_batch.atomic_files import atomic_writer, write_atomic, write_plain
from mura_batch.errors import OutputError


def test_a_file_is_written_whole_for_its_owner_only_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, b"old")
    write_atomic(path, b"new\0\xff")
    assert path.read_bytes() == b"new\0\xff"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_atomic(path, b"old")

    def write_half() -> None:
        with atomic_writer(path) as file:
            file.write("half of the new")
            raise ValueError("the table ends here")

    with pytest.raises(ValueError, match="ends here"):
        write_half()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_the_file_is_not_to_be_seen_before_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with atomic_writer(path) as file:
        file.write("x" * 100_000)
        assert not path.exists()
    assert path.stat().st_size == 100_000


def test_text_is_utf_8_with_line_ends_as_given_and_undecodable_names_spelled_out(tmp_path: Path) -> None:
    with atomic_writer(tmp_path / "a.csv") as file:
        file.write("é\r\n\udcff\n")
    assert (tmp_path / "a.csv").read_bytes() == "é\r\n\\udcff\n".encode()


@pytest.mark.parametrize("place", ["nowhere/a.csv", "file/a.csv"])
def test_a_folder_that_cannot_be_written_is_told_with_how_to_mend_it(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="mend the permissions"):
        write_atomic(tmp_path / place, b"x")
    with pytest.raises(OutputError, match="mend the permissions"):
        write_plain(tmp_path / place, b"x")
    with pytest.raises(OutputError, match="mend the permissions"), atomic_writer(tmp_path / place):
        pass


FILL_THE_DISK = """
import resource, signal, sys
from pathlib import Path
from mura_batch.errors import OutputError
from mura_batch.atomic_files import atomic_writer, write_atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit is then an OSError, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
path = Path(sys.argv[1])
for write in (lambda: write_atomic(path, b"x" * 100_000), lambda: fill(path)):
    try:
        write()
    except OutputError as error:
        print(error)
"""


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out" / "a.csv"
    path.parent.mkdir()
    code = "def fill(path):\n    with atomic_writer(path) as file:\n        file.write('x' * 100_000)\n" + FILL_THE_DISK
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("cannot be written") == 2, done.stdout
    assert not list(path.parent.iterdir())
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 4096  # the limit was the child's


def test_a_small_file_replaces_a_linked_one_and_leaves_the_other_name_alone(tmp_path: Path) -> None:
    """A run links pictures of an earlier run: writing one anew must not change the earlier run."""
    old, new = tmp_path / "old.jpg", tmp_path / "new.jpg"
    write_plain(old, b"earlier")
    os.link(old, new)
    write_plain(new, b"later")
    assert (old.read_bytes(), new.read_bytes()) == (b"earlier", b"later")
    assert stat.S_IMODE(new.stat().st_mode) == 0o600
