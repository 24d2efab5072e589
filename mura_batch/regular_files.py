"""Files that people put somewhere, read without waiting: a pipe or a device in the place of a file is an error, and so
is JSON that is nested too deeply."""

from __future__ import annotations

import errno
import json
import os
import stat
from io import FileIO
from pathlib import Path
from typing import Any

DEEPEST = 32  # levels of JSON: a model's card has five


def open_regular(path: Path) -> FileIO:
    """Without a buffer. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer does not block
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", os.fspath(path))
    return FileIO(descriptor)


def read_regular(path: Path) -> bytes:
    """Raises OSError."""
    with open_regular(path) as file:
        return file.read()


def read_json(path: Path) -> Any:
    """Raises OSError, and ValueError where it is no JSON or deeper than DEEPEST."""
    try:
        values = json.loads(read_regular(path).decode("utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    level, inner = 0, [values]
    while inner := [value for container in inner for value in _within(container)]:
        level += 1
        if level > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    return values


def _within(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
