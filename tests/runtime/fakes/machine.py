"""A simulated GPU machine for the fakes of pycuda and TensorRT: memory, streams, who owns what, and what goes wrong.

It keeps the rules that the real libraries enforce by crashing. A breach is a crime, kept in `MACHINE.crimes`: objects
freed in the wrong order, on another thread or not at all, memory used after it was freed, the default stream.
Work on a stream is done only when something waits for it, so a missing wait shows as old numbers.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary


@dataclass
class SimulatedGpu:
    name: str = "NVIDIA Simulated 1"
    uuid: str = "GPU-11111111-2222-3333-4444-555555555555"
    capability: tuple[int, int] = (9, 0)
    sm_count: int = 132


@dataclass
class Machine:
    tensorrt: str = "11.4.0.106"
    gpus: list[SimulatedGpu] = field(default_factory=lambda: [SimulatedGpu()])
    faults: dict[str, Callable[[int], bool]] = field(default_factory=dict)  # call name -> does call number n fail?
    calls: Counter[str] = field(default_factory=Counter)
    crimes: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)  # 'made X', 'freed X' in order
    live: dict[int, str] = field(default_factory=dict)  # id -> kind; no reference, which would keep it alive
    streams: WeakValueDictionary[int, Thing] = field(default_factory=WeakValueDictionary)
    memory: dict[int, bytearray] = field(default_factory=dict)
    stacks: dict[int, list[Any]] = field(default_factory=dict)  # thread -> CUDA contexts current there
    initialised: bool = False
    is_lost: bool = False
    next_address: int = 4096
    built: list[Any] = field(default_factory=list)  # (flags, timing cache's bytes) of each build
    jit: list[str] = field(default_factory=list)  # 'compiled' or 'cached', of each first run of a shape by RTX
    runtime_configs: list[Any] = field(default_factory=list)  # (specialization, CUDA graphs) of each RTX context
    logger: Any = None

    @property
    def is_rtx(self) -> bool:
        return self.tensorrt.startswith("1.")

    def fails(self, call: str) -> bool:
        """Counts the call; true if it is to fail."""
        self.calls[call] += 1
        return call in self.faults and self.faults[call](self.calls[call])

    def fail(self, call: str, on: int | None = None) -> None:
        """From now on the call fails: each time, or the on-th time only."""
        self.calls[call] = 0
        self.faults[call] = (lambda _: True) if on is None else (lambda number: number == on)

    def crime(self, text: str) -> None:
        self.crimes.append(text)

    def has_context(self) -> bool:
        return bool(self.stacks.get(threading.get_ident()))

    def need_context(self, what: str) -> None:
        if not self.has_context():
            self.crime(f"{what} without a current CUDA context on this thread")

    def allocate(self, size: int) -> int:
        address, self.next_address = self.next_address, self.next_address + (size // 256 + 2) * 256
        self.memory[address] = bytearray(size)
        return address


MACHINE = Machine()


def reset() -> Machine:
    MACHINE.__init__()  # type: ignore[misc]  # the fakes hold this very object
    return MACHINE


class Thing:
    """Something that must be freed: on the thread that made it, while the CUDA context is current."""

    kind = "thing"
    before: tuple[str, ...] = ()  # kinds that must all be gone by then
    needs_context = True

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.is_freed = False
        MACHINE.live[id(self)] = self.kind
        MACHINE.events.append(f"made {self.kind}")

    def used(self) -> None:
        if self.is_freed:
            MACHINE.crime(f"{self.kind} used after it was freed")
        if threading.get_ident() != self.thread:
            MACHINE.crime(f"{self.kind} used on another thread")

    def release(self) -> None:
        if self.is_freed:
            return
        self.is_freed = True
        if MACHINE.live.pop(id(self), None) is None:
            return  # of a machine before this one
        MACHINE.events.append(f"freed {self.kind}")
        if threading.get_ident() != self.thread:
            MACHINE.crime(f"{self.kind} freed on another thread")
        elif self.needs_context and not MACHINE.has_context():
            MACHINE.crime(f"{self.kind} freed after its CUDA context")
        for kind in self.before:
            if kind in MACHINE.live.values():
                MACHINE.crime(f"{self.kind} freed before {kind}")

    def __del__(self) -> None:
        self.release()
