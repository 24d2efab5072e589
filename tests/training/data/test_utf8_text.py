"""Text files that people wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from mura_batch.errors import InputError
from train.data.utf8_text import read_utf8


def test_another_encoding_is_an_error_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("image,Größe\r\n".encode("cp1252"))
    with pytest.raises(InputError, match=r"a\.csv is not UTF-8: save it as UTF-8"):
        read_utf8(path)


def test_a_byte_order_mark_is_not_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffimage,Größe\r\n".encode())
    assert read_utf8(path) == "image,Größe\n"
