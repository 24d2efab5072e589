"""The list of backends: the only one. A backend is a package and a line here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, cast

from mura_batch.errors import InputError

if TYPE_CHECKING:
    from mura_batch.runtime.backend import Backend


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a backend without importing it.

    device: 'gpu' or 'cpu'. module: implements the Backend protocol. precisions: those that `--precision` may ask of
    it; empty where the compiled plan has its own. options: name -> the values that `--backend-option` takes, the
    default first.
    """

    name: str
    device: str
    module: str
    precisions: tuple[str, ...] = ()
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def settings(self, given: Iterable[str]) -> dict[str, str]:
        """The value of each option. given: 'name=value'. Raises InputError that lists what there is."""
        values: dict[str, str] = {}
        for text in given:
            name, _, value = text.partition("=")
            if name in values:
                raise InputError(f"--backend-option {text!r}: {name} is given twice")
            if value not in self.options.get(name, ()):
                known = ", ".join(f"{name}={'|'.join(allowed)}" for name, allowed in self.options.items()) or "none"
                raise InputError(f"--backend-option {text!r}: backend {self.name} has {known}")
            values[name] = value
        return {name: values.get(name, allowed[0]) for name, allowed in self.options.items()}


# In the order in which `--device auto` tries them.
BACKENDS: tuple[Entry, ...] = (
    Entry("tensorrt", "gpu", "mura_batch.runtime.tensorrt.backend"),
    Entry(
        "rtx",
        "gpu",
        "mura_batch.runtime.tensorrt_rtx.backend",
        # kernels: every batch has one shape, so kernels made for it are compiled once, at the first start, and cached.
        # cuda-graphs: DenseNet169 has 340 small kernels; in PyTorch on an H200 a CUDA graph raised float16 from 435 to
        # 1,697 images a second at batch 8.
        options={"kernels": ("eager", "lazy", "none"), "cuda-graphs": ("on", "off")},
    ),
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


def entry_named(name: str) -> Entry:
    """Raises KeyError."""
    return {entry.name: entry for entry in BACKENDS}[name]
