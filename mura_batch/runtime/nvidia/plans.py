"""Plans beside a model: what each was built from and for (its sidecar), and which fits this machine.

Standard library only: no TensorRT, no GPU.

`NAME.plan` cannot be inspected, so `NAME.plan.json` beside it says what it is. The sidecar is written last: a plan
without one was never finished.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mura_batch.atomic_files import output_errors, write_atomic
from mura_batch.errors import PlanError
from mura_batch.model_card import Model
from mura_batch.runtime.gates import Parity

SIDECAR_FORMAT = 2
PLAN_SUFFIX = ".plan"
SIDECAR_SUFFIX = ".plan.json"
OTHER_FOLDER = "free space, or give another folder with --out"


@dataclass(frozen=True, slots=True)
class Target:
    """What a plan depends on besides the graph and the options. The driver is not part of it: plans outlive drivers."""

    library: str  # 'TensorRT' or 'TensorRT-RTX'
    version: str  # of the library
    compute_capabilities: tuple[str, ...]  # 'major.minor' or 'major.x' for all of one major version
    gpu: str = ""  # its name as CUDA reports it; '' where the plan runs on every GPU of those capabilities
    sm_count: int = 0  # two GPUs of one name may differ in it (MIG instances do); 0 where it does not matter


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What a plan was built with."""

    opt_batch: int
    max_batch: int
    workspace_mib: int
    optimization_level: int
    version_compatible: bool


@dataclass(frozen=True, slots=True)
class Sidecar:
    """NAME.plan.json. parity: against float32 on the model's reference inputs; None where the plan was built on a
    machine without its GPU: built, not yet accepted."""

    model_name: str
    model_hash: str
    target: Target
    options: PlanOptions
    driver: str
    cuda: str
    plan_sha256: str
    plan_bytes: int
    build_seconds: float
    built_at: str  # UTC, ISO 8601
    program: str  # version of mura-batch
    parity: Parity | None
    format: int = SIDECAR_FORMAT


@dataclass(frozen=True, slots=True)
class Plan:
    """is_staged: it is being built, and its build measures parity."""

    path: Path
    sidecar: Sidecar
    is_staged: bool = False


def plan_name(model_hash: str, target: Target, options: PlanOptions) -> str:
    """File name without suffix: readable, and another one whenever anything that the plan depends on changes."""
    basis = json.dumps([model_hash, asdict(target), asdict(options)], sort_keys=True)
    key = hashlib.sha256(basis.encode()).hexdigest()[:12]
    place = slug(target.gpu) if target.gpu else "cc" + "-".join(target.compute_capabilities)
    return f"{place}.{slug(target.library)}{target.version}.b{options.max_batch}.{key}"


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "gpu"


def select_plan(model: Model, machine: Target, command: str) -> Plan:
    """The newest plan beside the model that matches it and this machine (one compute capability, its GPU).

    Raises PlanError that lists what is there, why each does not fit, and `command`, which builds one.
    """
    fitting, refused = [], []
    for path in sorted(model.folder.glob(f"*{PLAN_SUFFIX}")):
        try:
            plan = Plan(path, read_sidecar(path))
            reason = mismatch(plan.sidecar, model.hash, machine)
        except PlanError as error:
            reason = str(error)
        if reason:
            refused.append(f"  {path.name}: {reason}")
        else:
            fitting.append(plan)
    if not fitting:
        there = "\n".join(["Not used:", *refused]) if refused else "There is none beside the model."
        raise PlanError(
            f"no plan fits {machine.gpu} with {machine.library} {machine.version}. {there}\nBuild one with: {command}"
        )
    return max(fitting, key=lambda plan: plan.sidecar.built_at)


def mismatch(sidecar: Sidecar, model_hash: str, machine: Target) -> str:
    """Why the plan does not fit, in words; '' if it does."""
    built_for = sidecar.target
    (capability,) = machine.compute_capabilities
    listed = ", ".join(built_for.compute_capabilities)
    served = any(serves(entry, capability) for entry in built_for.compute_capabilities)
    reasons = (
        (
            sidecar.model_hash != model_hash,
            f"it was built from another model ({sidecar.model_name} {sidecar.model_hash[:12]})",
        ),
        (built_for.library != machine.library, f"it was built by {built_for.library}"),
        (
            not _version_fits(sidecar, machine.version),
            f"it was built by {built_for.library} {built_for.version}, installed is {machine.version}",
        ),
        (built_for.gpu not in ("", machine.gpu), f"it was built for {built_for.gpu}"),
        (not served, f"it was built for compute capability {listed}, this GPU has {capability}"),
        (
            built_for.sm_count not in (0, machine.sm_count),
            f"it was built for {built_for.sm_count} multiprocessors, this GPU has {machine.sm_count}",
        ),
    )
    return next((reason for applies, reason in reasons if applies), "")


def serves(entry: str, capability: str) -> bool:
    """entry: '8.9', or '12.x' for every capability of that major version."""
    return entry == capability or (entry.endswith(".x") and entry[:-2] == capability.split(".", maxsplit=1)[0])


def compile_command(model: Model, *options: str) -> str:
    return shlex.join(["mura-batch", "compile", str(model.folder), *options])


def read_plan(plan: Plan) -> bytes:
    """The plan's bytes, which are those that its sidecar was written for. Raises PlanError."""
    try:
        data = plan.path.read_bytes()
    except OSError as error:
        raise PlanError(f"{plan.path} cannot be read: {error.strerror}") from error
    if len(data) != plan.sidecar.plan_bytes:
        raise PlanError(
            f"{plan.path} is {len(data)} bytes long and should be {plan.sidecar.plan_bytes}: it is truncated or was "
            "replaced. Build it again with mura-batch compile"
        )
    if hashlib.sha256(data).hexdigest() != plan.sidecar.plan_sha256:
        raise PlanError(f"{plan.path} is not the plan its sidecar describes. Build it again with mura-batch compile")
    return data


def read_sidecar(plan_path: Path) -> Sidecar:
    """Raises PlanError where it is missing, unreadable or of another format."""
    path = sidecar_path(plan_path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PlanError(f"it has no sidecar {path.name}: its build was not finished") from None
    except (OSError, ValueError) as error:
        raise PlanError(f"its sidecar {path.name} cannot be read: {error}") from error
    if not isinstance(values, dict) or values.get("format") != SIDECAR_FORMAT:
        raise PlanError(f"its sidecar {path.name} is not of format {SIDECAR_FORMAT}")
    try:
        return _sidecar_of(values)
    except (TypeError, KeyError) as error:
        raise PlanError(f"its sidecar {path.name} is incomplete: {error}") from error


def sidecar_path(plan_path: Path) -> Path:
    return plan_path.with_name(plan_path.name.removesuffix(PLAN_SUFFIX) + SIDECAR_SUFFIX)


def publish(staged: Path, path: Path, sidecar: Sidecar) -> None:
    """The old sidecar goes first and the new one comes last: at no moment does a sidecar describe another plan."""
    with output_errors(path, OTHER_FOLDER):
        sidecar_path(path).unlink(missing_ok=True)
        staged.replace(path)
    write_atomic(sidecar_path(path), (json.dumps(asdict(sidecar), indent=2) + "\n").encode(), OTHER_FOLDER)


def _sidecar_of(values: dict[str, Any]) -> Sidecar:
    if unknown := values.keys() - {field.name for field in fields(Sidecar)}:
        raise TypeError(f"unknown {', '.join(sorted(unknown))}")
    parity = values["parity"]
    target = values["target"]
    content = {
        **values,
        "target": Target(**{**target, "compute_capabilities": tuple(target["compute_capabilities"])}),
        "options": PlanOptions(**values["options"]),
        "parity": Parity(**parity) if parity is not None else None,
    }
    return Sidecar(**content)


def _version_fits(sidecar: Sidecar, here: str) -> bool:
    """Exactly the same, or built version-compatible and then the same major version, not older."""
    built_by = sidecar.target.version
    if built_by == here:
        return True
    theirs, ours = _numbers(built_by), _numbers(here)
    return sidecar.options.version_compatible and theirs[:1] == ours[:1] and theirs <= ours


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
