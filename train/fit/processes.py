"""One process or several started by torchrun: rank, device, and what they exchange."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn

from mura_batch.errors import InputError


@dataclass(frozen=True, slots=True)
class Process:
    """rank 0 validates, writes files and prints."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def wrap(self, net: nn.Module, compiled: bool) -> nn.Module:
        """The module to call in training; `net` keeps the weights and their names."""
        if self.world > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            net = nn.parallel.DistributedDataParallel(net, device_ids=ids)
        return torch.compile(net) if compiled else net  # type: ignore[return-value]

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes."""
        if self.world > 1:
            distributed.all_reduce(values)
        return values / self.world

    def wait(self) -> None:
        if self.world > 1:
            distributed.barrier()

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        if self.world == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """'auto', 'cuda' or 'cpu'. Raises InputError where cuda is asked for and missing."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("--device cuda: torch sees no GPU here; give --device cpu, or install a driver")
    return torch.device("cuda", local_rank) if name != "cpu" and available else torch.device("cpu")


def device_words(asked: str, device: torch.device) -> str:
    """'on ...': the device and why it is that one. A day's run on the wrong one should be seen in its first second."""
    if device.type == "cuda":
        return f"on {device}, {torch.cuda.get_device_name(device)} (--device {asked})"
    return f"on the CPU (--device {asked}{': torch sees no GPU here' if asked == 'auto' else ''})"


def precision_warning(precision: str, device: torch.device) -> str:
    """What is slow about a recipe's precision on this processor; '' where nothing is known to be."""
    has = getattr(torch.cpu, "get_capabilities", dict[str, bool])()  # newer than the oldest torch that is allowed
    if precision != "bf16" or device.type != "cpu" or has.get("architecture") != "x86_64":
        return ""
    if has["avx512_bf16"] or has["amx_bf16"]:
        return ""
    return "this processor has no bf16 instructions, and imitating them is slow: train with --set precision=float32"


@contextmanager
def joined(device: str) -> Iterator[Process]:
    """The process that torchrun describes by environment variables; without them there is one."""
    world, rank, local = (
        int(os.environ.get(key, d)) for key, d in (("WORLD_SIZE", "1"), ("RANK", "0"), ("LOCAL_RANK", "0"))
    )
    process = Process(rank, world, pick_device(device, local))
    if process.device.type == "cuda":
        torch.cuda.set_device(process.device)
        torch.backends.cudnn.benchmark = True  # one input size a stage: the search pays within the first steps
    if world == 1:
        yield process
        return
    distributed.init_process_group("nccl" if process.device.type == "cuda" else "gloo")
    try:
        yield process
    finally:
        distributed.destroy_process_group()
