"""Text files that people wrote: UTF-8, with or without a byte-order mark."""

from __future__ import annotations

from pathlib import Path

from mura_batch.errors import InputError


def read_utf8(path: Path) -> str:
    """The text of a UTF-8 file without its byte-order mark. Raises InputError that names the file."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: save it as UTF-8 ('CSV UTF-8' in a spreadsheet)") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
