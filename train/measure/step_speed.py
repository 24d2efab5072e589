"""How fast pictures are read and how fast they are trained on, measured in one run on one machine."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from torch import nn

from train.data.augment import Augmentation
from train.data.loader import Slice, Targets, Views, loader
from train.fit.loss import training_loss
from train.fit.optimizer import Average, make_optimizer
from train.fit.recipe import DistilPart, LossPart, OptimizerPart, Stage
from train.fit.validate import autocast
from train.models.densenet import MuraNet
from train.models.logits import strict_float32

AUX = 7  # auxiliary heads, as in best.toml
WARM_UP = 3  # steps or batches before the clock starts: the first choose kernels and fill caches
DISTINCT = 256  # pictures in memory that the loader reads again and again
FEWEST = 512  # pictures that the loader is timed on: a few are read in milliseconds, too short to time


@dataclass(frozen=True, slots=True)
class StepKind:
    """How a training step is computed."""

    name: str
    precision: str
    channels_last: bool
    compiled: bool


EAGER = StepKind("float32 eager", "float32", channels_last=False, compiled=False)


def tuned(device: torch.device) -> StepKind:
    """Compiling pays on a GPU; on a CPU it costs minutes for a few per cent."""
    gpu = device.type == "cuda"
    return StepKind(f"bf16 channels_last{' compiled' if gpu else ''}", "bf16", channels_last=True, compiled=gpu)


def step_rate(kind: StepKind, device: torch.device, size: int, batch: int, steps: int) -> float:
    """Images a second of the whole step as `fit` takes it with the parts of best.toml: pictures to the device, forward,
    loss, backward, clipping, optimiser and moving average. Random pictures."""
    net = MuraNet(aux=AUX).to(device)
    if kind.channels_last:
        net = net.to(memory_format=torch.channels_last)
    torch.backends.cudnn.benchmark = True  # as `fit` has it, for either
    optimizer = make_optimizer(net, OptimizerPart(weight_decay=0.05), Stage(1, 1e-5, batch, ((0, size),)))
    average = Average(net, 0.998)
    forward = torch.compile(net) if kind.compiled else net
    loader_batch = {
        "images": torch.randint(0, 256, (batch, 1, size, size), dtype=torch.uint8),
        "abnormal": torch.zeros(batch),
        "weights": torch.ones(batch, 2),
        "attributes": torch.zeros(batch, AUX),
    }
    with strict_float32() if kind.precision == "float32" else nullcontext():
        for number in range(WARM_UP + steps):
            if number == WARM_UP:
                started = _now(device)
            on_device = {key: value.to(device, non_blocking=True) for key, value in loader_batch.items()}
            with autocast(kind.precision, device):
                outputs = forward(on_device["images"])
            loss = training_loss(outputs, on_device, LossPart(aux_weight=0.2), DistilPart())[0]
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 2.0)
            optimizer.step()
            optimizer.zero_grad()
            average.update(number)
        return batch * steps / (_now(device) - started)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def loader_rate(size: int, batch: int, workers: int, batches: int) -> float:
    """Images a second of the loader with the reference recipe's augmentation, from pictures in memory: over `batches`
    or more, once its processes run."""
    inputs = np.random.default_rng(0).integers(0, 256, (DISTINCT, size, size), dtype=np.uint8)
    targets = Targets(
        np.zeros(DISTINCT, np.float32), np.ones((DISTINCT, 2), np.float32), np.zeros((DISTINCT, 0), np.float32)
    )
    how = Augmentation(rotate=25, scale=0.2, shift=0.06, shear=6, gamma=0.3, contrast=0.2, brightness=0.08, erase=0.15)
    before = WARM_UP + 2 * workers  # DataLoader has two batches of each process under kind
    timed = max(batches, ceil(FEWEST / batch), 16 * workers)  # what is under kind when the clock starts hardly counts
    rows = np.arange((before + timed) * batch) % DISTINCT
    reading = iter(loader(Views(inputs, targets, how, 0, 0), rows, Slice(0, 0, batch), workers))
    for _ in range(before):
        next(reading)
    started = time.perf_counter()
    seen = sum(len(b["images"]) for b in reading)
    return seen / (time.perf_counter() - started)


def table(device: torch.device, size: int, batch: int, steps: int, workers: int) -> str:
    """Lines of name, images a second and the ratio to the eager path."""
    eager = step_rate(EAGER, device, size, batch, steps)
    better = tuned(device)
    fast = step_rate(better, device, size, batch, steps)
    reading = loader_rate(size, batch, workers, steps)
    rows = [
        (f"step, {EAGER.name}", eager),
        (f"step, {better.name}", fast),
        (f"loader, {workers} processes beside", reading),
    ]
    where = f"{device.type}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    head = f"{where}, {size} px, batch {batch}, {steps} steps"
    return "\n".join([head, *(f"{name:36}{rate:9.1f} img/s{rate / eager:8.2f} x" for name, rate in rows)])
