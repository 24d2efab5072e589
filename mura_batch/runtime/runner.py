"""The Runner protocol: what every backend implements, and the records that travel with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of a model for one batch, by the names of its contract; the receiver owns the arrays."""

    probability: NDArray[np.float32]  # [N] of abnormality
    cam: NDArray[np.float32]  # [N, h, w] class activation map, in logits
    features: NDArray[np.float32] | None  # [N, 1664] pooled features; None unless RunnerOptions.features asks for them


@dataclass(frozen=True, slots=True)
class RunnerInfo:
    """What the manifest records of a runner; known once it is entered."""

    name: str  # of the backend, as the registry has it
    device: str  # the processor's or GPU's own name
    precision: str  # 'float32', 'bf16', 'int8' or 'fp16'
    reason: str  # why this device and this precision
    version: str  # of the library that runs it
    parity_max_abs_error: float | None  # against float32 on the model's reference inputs; None where it is float32


class Runner(Protocol):
    """A context manager; nothing touches the device before `__enter__`, and with RunnerOptions.late perhaps not before
    `run`."""

    @property
    def info(self) -> RunnerInfo: ...

    @property
    def batch_size(self) -> int:
        """Images that the device works on at once; a larger batch is split."""
        ...

    @property
    def busy_seconds(self) -> float:
        """Seconds in which the device had work, since the runner was entered. On a GPU the host learns that work has
        ended only when it asks, so the value is too high while the device waits for batches."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def run(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Outputs]:
        """batches: [N, 1, S, S] uint8, N >= 1, of any length; each is taken when the device has room for it. Yields in
        order, one Outputs for each, with several in flight: it may take some before it gives the first. Raises
        RunnerError when the device fails."""
        ...


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """How to run. Checked when a runner is opened: a wrong value is an InputError that lists the right ones."""

    device: str = "auto"  # 'auto' or a device of registry.BACKENDS
    precision: str = "auto"  # 'auto' or a precision of registry.BACKENDS; a plan has its own, from the graph
    batch_size: int = 8  # images in one piece of work on a GPU; larger batches are split. A CPU takes one by one
    gpu: str = "0"  # index as CUDA counts, or UUID ('GPU-...' or 'MIG-...')
    cache_dir: Path | None = None  # where a backend keeps results that the next start can reuse; None: nowhere
    threads: int | None = None  # of the CPU runner; None leaves it to OpenVINO, which takes every core it may
    backend: str = "auto"  # 'auto' or a name of registry.BACKENDS
    backend_options: tuple[str, ...] = ()  # 'name=value', of the backend's registry entry
    features: bool = False  # fetch Outputs.features from the device as well
    late: bool = False  # load nothing before the first batch, where an earlier start recorded what `info` says
    report: Callable[[str], None] | None = None  # gets a line now and then while a start takes long
