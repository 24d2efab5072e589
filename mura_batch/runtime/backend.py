"""The Backend protocol: what a package that runs models tells the rest of the program.

A backend is one package with a module that has `find` and `checks`, and one line in `registry.BACKENDS`. No backend
imports another; what several share stands beside them (`nvidia/`, `parity`, `inference_stream`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mura_batch.model_card import Model
from mura_batch.runtime.runner import Runner, RunnerOptions

# (model, why this device) -> its runner, not yet entered. Raises PlanError where the model must be compiled first.
Opener = Callable[[Model, str], Runner]


@dataclass(frozen=True, slots=True)
class Absent:
    """Why a backend cannot run here, and how to fix it.

    is_broken: its device is present and set up for this program but does not answer, so that another device must not
    be taken silently.
    """

    reason: str
    fix: str
    is_broken: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `mura-batch doctor`. status: 'ok', 'warn' (works, but not all of it or not well) or 'fail'.
    fix: what to do about it; empty where nothing is wrong."""

    name: str
    status: str
    detail: str
    fix: str = ""


class Backend(Protocol):
    """A module of a backend's package. Importing it loads no library that the backend needs."""

    def find(self, options: RunnerOptions) -> Opener | Absent:
        """Is it usable here? Creates nothing on the device. Raises InputError on a device that does not exist."""
        ...

    def checks(self, model_folder: Path, cache_dir: Path | None) -> Iterator[Check]:
        """What the doctor reports of it: what it needs, whether that is here, and how to fix it. Backends that share a
        need report it in equal lines, which the doctor prints once. cache_dir: of the output folder, if it is known."""
        ...
