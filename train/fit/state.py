"""The state of a run between two steps, how it is saved, and how a stopped run is resumed."""

from __future__ import annotations

import copy
import hashlib
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch.optim import Optimizer

from mura_batch.errors import InputError
from train.data.examples import Dataset
from train.fit.job import Job
from train.fit.optimizer import Average, freeze, make_optimizer, moments_of, set_moments
from train.fit.recipe import Recipe, recipe_from
from train.fit.schedule import Plateau
from train.fit.teacher import map_channels, teacher_hash
from train.fit.validate import Look
from train.models.checkpoint import heads_of, initialise, recipe_of
from train.models.densenet import MuraNet
from train.models.efficientnet_lite import LiteBody, load_imagenet
from train.models.weight_file import read_checkpoint, write_checkpoint

LAST, FINAL, CARRY = "last.pt", "final.pt", "carry.pt"
OTHER = {
    "recipe": "another recipe",
    "data": "other data",
    "world": "another number of processes",
    "init": "other weights to start from (--init)",
    "teacher": "another teacher (--teacher)",
}


@dataclass(slots=True)
class Best:
    """Checkpoints of the best looks, best first; the best worth of the present stage, where the next starts; the best
    worth of the run by the recipe's criterion, and how many looks were no better since."""

    kept: list[dict[str, Any]] = field(default_factory=list)  # {'file', 'epoch', and Look's fields}
    stage_worth: float = -math.inf
    run_worth: float = -math.inf
    looks_since: int = 0

    def count_look(self, worth: float) -> None:
        """worth: of the newest look, by the recipe's criterion."""
        self.looks_since = 0 if worth > self.run_worth else self.looks_since + 1
        self.run_worth = max(self.run_worth, worth)


@dataclass(slots=True)
class RunState:
    """epoch: the one in progress; batches: of it, done. step: of the whole run; first_step: where the stage began."""

    net: MuraNet
    optimizer: Optimizer
    average: Average
    scaler: torch.amp.GradScaler
    stage: int = 0
    epoch: int = 0
    batches: int = 0
    step: int = 0
    first_step: int = 0
    plateau: Plateau = field(default_factory=Plateau)
    best: Best = field(default_factory=Best)
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0])  # of loss and auxiliary loss in this epoch
    seconds: float = 0.0  # spent in this epoch


@dataclass(frozen=True, slots=True)
class Identity:
    """What must be the same for a run to be resumed, and the command, whose folders may have other names. init and
    teacher: hashes of the files of --init and --teacher, '' without."""

    recipe: str
    data: str
    world: int
    init: str
    command: str
    teacher: str = ""

    @property
    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def identity_of(job: Job, world: int) -> Identity:
    """world: number of processes. Raises InputError on weights that cannot be read."""
    return Identity(
        recipe=job.recipe.as_json(),
        data=data_hash(job.dataset),
        world=world,
        init=init_hash(job.init),
        command=job.command,
        teacher=teacher_hash(job.teacher),
    )


def data_hash(dataset: Dataset) -> str:
    """Of pictures, splits, studies and labels; not of pixels, which the cache's name covers."""
    rows = (f"{e.image}\0{e.split}\0{e.study}\0{e.abnormal}\0{sorted(e.attributes)}\n" for e in dataset.examples)
    return hashlib.sha256("".join(rows).encode("utf-8", "surrogateescape")).hexdigest()


def init_hash(init: Path | None) -> str:
    """Of the file's bytes, wherever it lies. Raises InputError where it cannot be read."""
    if init is None:
        return ""
    try:
        with init.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{init}, the weights of --init, cannot be read: {error.strerror}") from error


def begun(job: Job, device: torch.device) -> RunState:
    """The start of the run of a job."""
    taught = map_channels(job.teacher) if job.recipe.distil.maps else ()
    return fresh(job.recipe, job.init, device, taught)


def fresh(recipe: Recipe, init: Path | None, device: torch.device, taught: Sequence[int] = ()) -> RunState:
    """The start of a run: random weights by the recipe's seed, then `init` over them. taught: channels of the teacher's
    maps at each depth, where the recipe asks for them."""
    torch.manual_seed(recipe.seed)
    net = MuraNet(aux=len(recipe.model.aux), arch=recipe.model.arch, taught=taught)
    net.dropout.p = recipe.model.dropout
    if recipe.model.imagenet:
        load_imagenet(cast(LiteBody, net.features), recipe.model.arch)
    if init is not None:
        share = initialise(net, init)
        sys.stderr.write(f"{init}: {share:.1%} of the body's weights fit {net.arch} and were loaded\n")
    net.to(device).to(memory_format=torch.channels_last)
    return at_stage(net, recipe, 0)


def at_stage(net: MuraNet, recipe: Recipe, stage: int) -> RunState:
    """A stage begins with its own optimiser, average and schedule."""
    freeze(net, recipe.stages[stage].frozen)
    scaler = torch.amp.GradScaler(enabled=recipe.precision == "fp16")
    optimizer = make_optimizer(net, recipe.optimizer, recipe.stages[stage])
    return RunState(net, optimizer, Average(net, recipe.optimizer.average), scaler, stage)


def carried(state: RunState, recipe: Recipe, folder: Path) -> Mapping[str, Any] | None:
    """The checkpoint of the present stage's best epoch. None where its criterion was undefined after each epoch: the
    RUN/carry.pt that may be there is then an earlier stage's."""
    if not (folder / CARRY).is_file():
        return None
    values = read_checkpoint(folder / CARRY)
    return values if recipe.stage_at(values["epoch"])[0] == state.stage else None


def next_stage(state: RunState, recipe: Recipe, best: Mapping[str, Any] | None) -> RunState:
    """The state at the first epoch of the following stage. best: the checkpoint that it starts from; None: from the
    weights as they are."""
    moments = moments_of(state.net, state.optimizer) if best is None else best.get("moments", {})
    if best is not None:
        state.net.load_state_dict(best["ema"])
    new = at_stage(state.net, recipe, state.stage + 1)
    if recipe.optimizer.keep_moments and recipe.stages[state.stage].frozen == recipe.stages[new.stage].frozen:
        set_moments(new.net, new.optimizer, moments)
    new.epoch, new.step, new.first_step, new.best = state.epoch, state.step, state.step, state.best
    new.best.stage_worth = -math.inf
    return new


def save(state: RunState, identity: Identity, folder: Path) -> None:
    """RUN/last.pt: everything that the next step depends on. 'epoch' is the last complete one."""
    values = {
        "model": state.net.state_dict(),
        "opt": state.optimizer.state_dict(),
        "ema": state.average.state,
        "scaler": state.scaler.state_dict(),
        "stage": state.stage,
        "epoch": state.epoch - 1,
        "batches": state.batches,
        "step": state.step,
        "first_step": state.first_step,
        "plateau": [state.plateau.best, state.plateau.factor],
        "best": asdict(state.best),
        "sums": state.sums,
        "seconds": state.seconds,
        **identity.as_dict,
    }
    write_checkpoint(values, folder / LAST)


def resumed(recipe: Recipe, identity: Identity, folder: Path, device: torch.device) -> RunState | None:
    """The state of RUN/last.pt, None where there is none. Raises InputError when it is another run's."""
    if not (folder / LAST).is_file():
        return None
    values = read_checkpoint(folder / LAST)
    _refuse_another(values, identity, folder)
    state = fresh(recipe, None, device, heads_of(values["model"]).taught)
    state.net.load_state_dict(values["model"])
    state = at_stage(state.net, recipe, values["stage"])
    state.optimizer.load_state_dict(values["opt"])
    state.scaler.load_state_dict(values["scaler"])
    state.average.load(values["ema"])
    state.epoch, state.batches, state.step, state.first_step = (
        values["epoch"] + 1, values["batches"], values["step"], values["first_step"],
    )  # fmt: skip
    state.plateau, state.best = Plateau(*values["plateau"]), Best(**values["best"])
    state.sums, state.seconds = values["sums"], values["seconds"]
    return state


def _refuse_another(values: Mapping[str, Any], identity: Identity, folder: Path) -> None:
    """What a run begun under an earlier version did not record is no difference: of its recipe, the keys at their
    defaults; of the weights to start from, all."""
    recipe = recipe_from(recipe_of(values), f"the recipe in {folder / LAST}").as_json()
    recorded = {"init": identity.init, "teacher": "", **values, "recipe": recipe}
    for key, what in OTHER.items():
        if recorded.get(key) != identity.as_dict[key]:
            raise InputError(f"{folder} holds a run with {what}; give another --out, or remove it")


def averaged(state: RunState, decay: float) -> MuraNet:
    """The network that is validated and exported: the average where the recipe keeps one."""
    if not decay:
        return state.net
    net = copy.deepcopy(state.net)
    net.load_state_dict(state.average.state)
    return net


def keep_best(state: RunState, seen: Look, recipe: Recipe, identity: Identity, folder: Path) -> None:
    """Writes the averaged weights if this look is among the best, and removes the one that it pushes out."""
    carry = recipe.stages[state.stage].carry
    if carry and seen.worth(carry) > state.best.stage_worth:
        state.best.stage_worth = seen.worth(carry)
        moments = moments_of(state.net, state.optimizer) if recipe.optimizer.keep_moments else {}
        write_weights(state, recipe, identity, folder / CARRY, moments=moments)
    if not recipe.keep:
        return
    row = {"file": f"best-e{state.epoch:03d}.pt", "epoch": state.epoch, **asdict(seen)}
    ranked = sorted([*state.best.kept, row], key=lambda r: -worth_of(r, recipe.criterion))
    if row in ranked[: recipe.keep]:
        write_weights(state, recipe, identity, folder / str(row["file"]))
    for dropped in ranked[recipe.keep :]:
        (folder / str(dropped["file"])).unlink(missing_ok=True)
    state.best.kept = ranked[: recipe.keep]


def worth_of(row: dict[str, Any], criterion: str) -> float:
    return Look(**{key: row[key] for key in ("loss", "auroc", "kappa", "picture_kappa")}).worth(criterion)


def write_final(
    state: RunState, recipe: Recipe, identity: Identity, best: Mapping[str, Any] | None, folder: Path
) -> None:
    """RUN/final.pt: the checkpoint that the last stage carries, else the last epoch's averaged weights."""
    if best is not None:
        write_checkpoint({key: value for key, value in best.items() if key != "moments"}, folder / FINAL)
        return
    state.epoch -= 1  # the last complete one, as in every checkpoint
    write_weights(state, recipe, identity, folder / FINAL)


def write_weights(state: RunState, recipe: Recipe, identity: Identity, path: Path, **more: Any) -> None:
    """A checkpoint to export or evaluate: averaged weights and where they come from. more: further values in it."""
    net = averaged(state, recipe.optimizer.average)
    write_checkpoint({"ema": net.state_dict(), "epoch": state.epoch, **identity.as_dict, **more}, path)
