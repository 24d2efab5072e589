"""Reads an ONNX file without an ONNX library."""

from __future__ import annotations

from pathlib import Path

from mura_batch.errors import ModelError

# onnx.proto: a tensor whose data lie in another file has an external_data entry with key "location": field 1 of
# StringStringEntryProto, length-delimited (tag 0x0a), 8 bytes long.
_EXTERNAL_DATA = b"\x0a\x08location"


def read_graph(path: Path) -> bytes:
    """The file's bytes. Raises ModelError where weights lie in other files, which no hash of the card covers."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    if _EXTERNAL_DATA in data:
        raise ModelError(f"{path} keeps weights in other files, which its card has no hash for; export it as one file")
    return data
