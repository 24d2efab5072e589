"""The list of backends: the only one. A backend is a package and a line here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from mura_batch.runtime.backend import Backend


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a backend without importing it.

    device: 'gpu' or 'cpu'. module: implements the Backend protocol. precisions: those that `--precision` may ask of
    it; empty where the compiled plan has its own.
    """

    name: str
    device: str
    module: str
    precisions: tuple[str, ...] = ()


# In the order in which `--device auto` tries them.
BACKENDS: tuple[Entry, ...] = (
    Entry("tensorrt", "gpu", "mura_batch.runtime.tensorrt.backend"),
    Entry("openvino", "cpu", "mura_batch.runtime.openvino.backend", ("float32", "bf16", "int8")),
)


def load(entry: Entry) -> Backend:
    return cast("Backend", import_module(entry.module))


def entries(device: str = "auto", name: str = "auto") -> Iterator[Entry]:
    """The backends of a device and of a name, in the registry's order; 'auto' is any."""
    for entry in BACKENDS:
        if device in ("auto", entry.device) and name in ("auto", entry.name):
            yield entry


def names(device: str = "auto") -> tuple[str, ...]:
    return tuple(entry.name for entry in entries(device))


def devices() -> tuple[str, ...]:
    return tuple(dict.fromkeys(entry.device for entry in BACKENDS))


def precisions(device: str = "auto") -> tuple[str, ...]:
    return tuple(dict.fromkeys(precision for entry in entries(device) for precision in entry.precisions))
