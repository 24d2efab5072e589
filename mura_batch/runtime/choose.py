"""Which backend runs the model: decided once, at the start, with the reason on record."""

from __future__ import annotations

from mura_batch.errors import InputError, PlanError, RunnerError
from mura_batch.model_card import Model
from mura_batch.runtime import registry
from mura_batch.runtime.backend import Absent
from mura_batch.runtime.registry import Entry
from mura_batch.runtime.runner import Runner, RunnerOptions

MAX_BATCH = 1024  # of 320 px images: 105 MB of input; more cannot be meant


def open_runner(model: Model, options: RunnerOptions) -> Runner:
    """Chooses the backend and returns its runner, not yet entered; `info.reason` says why this one.

    auto: a GPU that some backend can use, and then a plan for it must exist; the CPU only where there is none. Raises
    RunnerError or PlanError that says how to fix it, InputError on a wrong option.
    """
    check_options(options)
    asked = options.device != "auto" or options.backend != "auto"
    absent: list[Absent] = []
    refused: list[PlanError] = []
    for entry in registry.entries(options.device, options.backend):
        if refused and entry.device == "cpu":
            break  # a GPU is here and lacks only a plan: no silent run on the CPU
        found = registry.load(entry).find(options)
        if isinstance(found, Absent):
            absent.append(found)
            if found.is_broken:
                break
            continue
        _check_precision(entry, options)
        try:
            return found(model, _reason(entry, absent, asked=asked))
        except PlanError as error:
            refused.append(error)
    raise _nothing_runs(options, absent, refused, asked=asked)


def check_options(options: RunnerOptions) -> None:
    """Raises InputError that names the option and lists its values."""
    for name, allowed in (
        ("device", registry.devices()),
        ("backend", registry.names()),
        ("precision", registry.precisions()),
    ):
        if (value := getattr(options, name)) not in ("auto", *allowed):
            raise InputError(f"--{name} {value!r}: use one of auto, {', '.join(allowed)}")
    if not 1 <= options.batch_size <= MAX_BATCH:
        raise InputError(f"--batch-size {options.batch_size}: use 1 to {MAX_BATCH}")
    if options.threads is not None and options.threads < 1:
        raise InputError(f"--threads {options.threads}: use 1 or more, or leave it out")
    named = tuple(registry.entries(options.device, options.backend))
    if not named:
        raise InputError(
            f"--backend {options.backend} does not run on --device {options.device}; leave one of them out"
        )
    if options.backend_options and options.backend == "auto":
        raise InputError("--backend-option is for one backend: name it with --backend")
    if options.backend_options:
        named[0].settings(options.backend_options)
    if len({entry.device for entry in named}) == 1 and not any(_has(entry, options.precision) for entry in named):
        raise InputError(f"--precision {options.precision} is for --device cpu: a GPU runs the precision of its plan")


def _has(entry: Entry, precision: str) -> bool:
    return precision in ("auto", *entry.precisions)


def _check_precision(entry: Entry, options: RunnerOptions) -> None:
    if not _has(entry, options.precision):
        raise InputError(
            f"--precision {options.precision} is for the CPU, and this machine has a usable GPU: add --device cpu"
        )


def _reason(entry: Entry, absent: list[Absent], *, asked: bool) -> str:
    device = entry.device.upper()
    if asked:
        return f"{device} as asked for"
    if entry.device == "cpu" and absent:
        return f"{device}, since {_joined(absent)}"
    return f"{device} found"


def _joined(absent: list[Absent]) -> str:
    return "; ".join(dict.fromkeys(item.reason for item in absent))


def _nothing_runs(
    options: RunnerOptions, absent: list[Absent], refused: list[PlanError], *, asked: bool
) -> RunnerError:
    if refused:
        text = "\n".join(dict.fromkeys(map(str, refused)))
        return PlanError(text if asked else f"{text}\nTo run on the CPU instead: --device cpu")
    fixes = " ".join(dict.fromkeys(item.fix for item in absent))
    if not asked:
        return RunnerError(f"{_joined(absent)}. {fixes} To run without it: --device cpu")
    option = f"--device {options.device}" if options.backend == "auto" else f"--backend {options.backend}"
    return RunnerError(f"{option}: {_joined(absent)}. {fixes}")
