"""Files and folders of training appear whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mura_batch.errors import InputError, OutputError
from train.files import read_text, replace_folder, whole_file

ROOT = Path(__file__).resolve().parents[2]

KILLED_AT_A_RENAME = """
import os, signal, sys
from pathlib import Path
from train.files import replace_folder

renames = []

def watch(event, arguments):
    if event == "os.rename":
        renames.append(arguments)
        if len(renames) == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)  # called before each rename
replace_folder(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def folder(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "model.json").write_text(text)
    return path


def names(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir())


def test_a_file_that_cannot_be_written_to_its_end_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    path.write_bytes(b"old")

    def write_half() -> None:
        with whole_file(path) as file:
            file.write(b"half of the new")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OutputError, match=r"steps\.csv cannot be written: No space left on device; free some space"):
        write_half()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["steps.csv"]


def test_a_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    out = folder(tmp_path / "out", "old")
    replace_folder(folder(tmp_path / "made", "new"), out)
    assert (out / "model.json").read_text() == "new"
    assert names(tmp_path) == ["out"]


def test_the_old_folder_is_put_back_when_the_new_one_cannot_take_its_place(tmp_path: Path) -> None:
    out = folder(tmp_path / "out", "old")
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "made and gone", out)
    assert (out / "model.json").read_text() == "old"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("rename", [1, 2])
def test_a_kill_while_a_folder_is_replaced_loses_neither_and_the_next_call_clears_up(
    tmp_path: Path, rename: int
) -> None:
    out, made = folder(tmp_path / "out", "old"), folder(tmp_path / "made", "new")
    command = [sys.executable, "-c", KILLED_AT_A_RENAME, str(made), str(out), str(rename)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    held = {p.name: (p / "model.json").read_text() for p in tmp_path.iterdir()}
    assert held == {"made": "new", {1: "out", 2: ".out.old"}[rename]: "old"}

    replace_folder(made, out)
    assert (out / "model.json").read_text() == "new"
    assert names(tmp_path) == ["out"]


def test_a_file_in_the_place_of_a_folder_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("somebody's notes")
    with pytest.raises(NotADirectoryError, match="is no folder"):
        replace_folder(folder(tmp_path / "made", "new"), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "somebody's notes"


def test_text_of_another_encoding_is_told_and_a_byte_order_mark_is_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffimage,Größe\r\n".encode())
    assert read_text(path) == "image,Größe\n"
    path.write_bytes("image,Größe\r\n".encode("cp1252"))
    with pytest.raises(InputError, match=r"a\.csv is not UTF-8: save it as UTF-8"):
        read_text(path)
