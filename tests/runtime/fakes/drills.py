"""What the GPU runner and the build must do, as functions that raise when they do not.

Run by test_trt.py on the modules as they are, and by test_mutations.py on modules with one call made wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mura_batch.errors import MuraBatchError, PlanError, RunnerError
from mura_batch.model_card import Model
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.nvidia.plans import read_sidecar
from mura_batch.runtime.runner import Outputs, RunnerOptions

TOLERANCE = 2e-3  # the fake computes halves in float32, the CPU runner everything: rounding of the weights is shared


@dataclass
class Kit:
    machine: Any
    model: Model  # in a folder of its own
    pictures: np.ndarray  # [20, 1, S, S] uint8
    expected: Outputs  # of the CPU runner, float32

    def compile(self, **options: Any) -> Path:
        return self.compile_reporting(None, **options)

    def compile_reporting(self, report: Any, **options: Any) -> Path:
        module = self.compiler()
        build = module.BuildOptions(**{"opt_batch": 4, "max_batch": 8, **options})
        path: Path = module.compile_plan(self.model, build, report)
        return path

    def compiler(self) -> Any:
        return import_module(f"mura_batch.runtime.tensorrt{'_rtx' if self.machine.is_rtx else ''}.compile")

    def open(self, batch_size: int = 4, **options: Any) -> Any:
        return open_runner(self.model, RunnerOptions(device="gpu", batch_size=batch_size, features=True, **options))

    def run(self, *sizes: int) -> list[Outputs]:
        with self.open() as runner:
            return list(runner.run(self.batches(*sizes)))

    def batches(self, *sizes: int) -> Iterator[np.ndarray]:
        start = 0
        for size in sizes:
            yield self.pictures[start : start + size]
            start += size

    def score(self, runner: Any, *sizes: int) -> list[Outputs]:
        """Runs, and holds every number to the CPU runner's."""
        outputs = list(runner.run(self.batches(*sizes)))
        assert [len(output.probability) for output in outputs] == list(sizes), "one Outputs for each batch, in order"
        count = sum(sizes)
        for name in ("probability", "cam", "features"):
            ours = np.concatenate([getattr(output, name) for output in outputs])
            theirs = getattr(self.expected, name)[:count]
            assert np.allclose(ours, theirs, atol=TOLERANCE, rtol=2e-2), f"{name} differs"
        return outputs

    def at_rest(self) -> None:
        """Nothing unreleased, nothing released wrongly."""
        assert not self.machine.crimes, self.machine.crimes
        assert not self.machine.live, list(self.machine.live.values())
        assert not self.machine.memory, "device memory left"


def refused(kind: type[Exception], work: Callable[[], Any], *words: str) -> str:
    """The message of the error that must come."""
    try:
        work()
    except kind as error:
        text = str(error)
        assert all(word in text for word in words), text
        return text
    raise AssertionError(f"no {kind.__name__} came")


def scores_in_order_whatever_the_batches(kit: Kit) -> None:
    kit.compile()
    with kit.open() as runner:
        kit.score(runner, 3, 1, 9, 2)
        kit.score(runner, 4, 4, 4)
        assert runner.info.name == ("rtx" if kit.machine.is_rtx else "tensorrt")
        assert runner.info.precision == "fp16"
        assert runner.info.parity_max_abs_error is not None
    kit.at_rest()


def fifty_cycles_leave_nothing(kit: Kit) -> None:
    kit.compile()
    with TemporaryDirectory() as cache:  # so that TensorRT-RTX accepts the plan once
        for _ in range(50):
            with kit.open(cache_dir=Path(cache)) as runner:
                kit.score(runner, 2, 5)
            kit.at_rest()


def everything_is_freed_in_order(kit: Kit) -> None:
    kit.compile()
    kit.machine.events.clear()
    with kit.open() as runner:
        kit.score(runner, 4)
    kit.at_rest()
    freed = [event.removeprefix("freed ") for event in kit.machine.events if event.startswith("freed")]
    assert freed[-3:] == ["engine", "runtime", "CUDA context"], freed
    assert freed[0] == "execution context", freed


def early_stop_waits_for_what_is_in_flight(kit: Kit) -> None:
    kit.compile()
    with kit.open() as runner:
        answers = runner.run(kit.batches(4, 4, 4, 4))
        next(answers)
        answers.close()
        assert not any(stream.queue for stream in kit.machine.streams.values()), "the GPU still works for nobody"
        kit.score(runner, 4, 4, 3)
    kit.at_rest()


def plan_comes_with_its_sidecar(kit: Kit) -> None:
    path = kit.compile()
    sidecar = read_sidecar(path)
    assert sidecar.model_hash == kit.model.hash
    suffixes = {entry.suffix for entry in kit.model.folder.iterdir()}
    if kit.machine.is_rtx:
        assert sidecar.target.compute_capabilities == ("8.0", "8.6", "8.9", "12.x")
        assert sidecar.parity is None, "not yet accepted"
        assert suffixes == {".plan", ".json", ".onnx", ".npz"}
    else:
        assert sidecar.target.gpu == kit.machine.gpus[0].name
        assert sidecar.parity is not None
        assert sidecar.parity.max_abs < TOLERANCE
        assert suffixes == {".plan", ".json", ".onnx", ".npz", ".timing"}
    (flags, _), = kit.machine.built  # fmt: skip
    assert flags == set(), "TF32 would round the float32 head"
    kit.at_rest()


def timings_are_kept_and_foreign_ones_left(kit: Kit) -> None:
    if kit.machine.is_rtx:
        return  # has no timing cache
    kit.compile()
    kit.compile()
    (timings,) = kit.model.folder.glob("*.timing")
    timings.write_bytes(b"timings of another GPU")
    kit.compile()
    seen = [data for _, data in kit.machine.built]
    assert seen[0] == b""
    assert seen[1].startswith(b"timings of")
    assert seen[2] == b""


def refused_batch_is_reported(kit: Kit) -> None:
    kit.compile()
    kit.machine.fail("execute_async_v3")
    refused(RunnerError, lambda: kit.run(4), "enqueueV3 failed")
    kit.at_rest()


def refused_shape_is_reported(kit: Kit) -> None:
    kit.compile()
    if kit.machine.is_rtx:  # sets its one shape when it is opened
        kit.machine.fail("set_input_shape")
        refused(RunnerError, lambda: kit.run(3), "outside the profile")
    else:
        with kit.open() as runner:
            kit.machine.fail("set_input_shape")
            refused(RunnerError, lambda: list(runner.run(kit.batches(3))), "outside the profile")
    kit.at_rest()


def refused_address_is_reported(kit: Kit) -> None:
    kit.compile()
    kit.machine.fail("set_tensor_address")
    refused(RunnerError, lambda: kit.open().__enter__(), "the address of images is refused")
    kit.at_rest()


def unknown_shapes_are_reported(kit: Kit) -> None:
    kit.compile()
    kit.machine.fail("infer_shapes")
    refused(RunnerError, lambda: kit.open().__enter__(), "images")
    kit.at_rest()


def not_a_number_is_reported(kit: Kit) -> None:
    kit.compile()
    kit.machine.fail("nan")
    refused(RunnerError, lambda: kit.run(4), "not numbers")
    kit.at_rest()


def full_memory_halves_the_batch_once(kit: Kit) -> None:
    kit.compile()
    for call in ("create_execution_context", "mem_alloc", "pagelocked_empty"):
        kit.machine.fail(call, on=2)
        with kit.open(batch_size=4) as runner:
            assert "halved from 4 to 2" in runner.info.reason
            kit.score(runner, 5, 3)
        kit.at_rest()
        kit.machine.fail(call)
        refused(RunnerError, lambda: kit.open().__enter__(), "memory is full" if "empty" in call else "emory")
        kit.machine.faults.clear()
        kit.at_rest()


def lost_gpu_keeps_what_was_scored(kit: Kit) -> None:
    kit.compile()
    done: list[Outputs] = []

    def batches() -> Iterator[np.ndarray]:
        for number, batch in enumerate(kit.batches(4, 4, 4, 4)):
            kit.machine.is_lost = number == 3
            yield batch

    def run() -> None:
        with kit.open() as runner:
            done.extend(runner.run(batches()))

    text = refused(RunnerError, run, "nvidia-smi")
    assert "unspecified launch failure" in text
    assert done
    assert np.allclose(done[0].probability, kit.expected.probability[:4], atol=TOLERANCE)
    assert not kit.machine.live, kit.machine.live


def refused_plan_is_reported(kit: Kit) -> None:
    from dataclasses import replace
    from hashlib import sha256

    from mura_batch.runtime.nvidia.plans import Plan

    path = kit.compile()
    data, sidecar = path.read_bytes(), read_sidecar(path)
    for bad in (data[:-100], data.replace(b'"tensorrt": "1', b'"tensorrt": "7', 1), b"nothing"):
        sidecar = replace(sidecar, plan_sha256=sha256(bad).hexdigest(), plan_bytes=len(bad))
        path.write_bytes(bad)
        runner = kit.open()
        runner._plan = Plan(path, sidecar)
        refused(PlanError, runner.__enter__, "Build it again")
        kit.at_rest()


def failed_build_leaves_nothing(kit: Kit) -> None:
    before = sorted(kit.model.folder.iterdir())
    for call, words in (
        ("parse", "Frobnicate"),
        ("add_optimization_profile", "are refused"),
        ("build_serialized_network", "any implementation"),
        ("wrong", "is not kept"),
    ):
        if kit.machine.is_rtx and call == "wrong":
            continue  # nothing runs in its build
        kit.machine.fail(call)
        refused(PlanError, kit.compile, words)
        kit.machine.faults.clear()
        assert sorted(kit.model.folder.iterdir()) == before
        kit.at_rest()


def cancelled_build_leaves_nothing(kit: Kit) -> None:
    from mura_batch.runtime.nvidia import build

    phases: list[tuple[str, float]] = []
    events: list[threading.Event] = []
    run = build.run_cancellable

    def observed(work: Any) -> Any:
        return run(lambda cancelled: (events.append(cancelled), work(cancelled))[1])

    def report(phase: str, part: float) -> None:
        phases.append((phase, part))
        if part > 0:
            events[0].set()

    before = sorted(kit.model.folder.iterdir())
    module = kit.compiler()
    module.run_cancellable = observed
    try:
        refused(PlanError, lambda: kit.compile_reporting(report), "cancelled")
    finally:
        module.run_cancellable = run
    assert sorted(kit.model.folder.iterdir()) == before
    kit.at_rest()
    assert phases[0] == ("Building Engine", 0.0)
    assert {phase for phase, _ in phases} == {"Building Engine"}


def rtx_accepts_a_plan_and_keeps_its_kernels(kit: Kit) -> None:
    if not kit.machine.is_rtx:
        return
    kit.compile()
    with TemporaryDirectory() as cache:
        options = {"cache_dir": Path(cache)}
        with kit.open(4, **options) as runner:
            assert "accepted on this GPU by this run" in runner.info.reason
            kit.score(runner, 1, 3)
        assert kit.machine.jit.count("compiled") == 1, "one shape"
        with kit.open(4, **options) as runner:
            kit.score(runner, 2)
        assert kit.machine.jit.count("compiled") == 1, "by the first start only"
    kit.at_rest()
    with TemporaryDirectory() as cache:
        kit.machine.fail("wrong")
        refused(PlanError, kit.open(4, cache_dir=Path(cache)).__enter__, "is not used on this GPU")
        kit.machine.faults.clear()
    kit.machine.fail("get_engine_validity")
    refused(PlanError, kit.open().__enter__, "unsupported cc")
    kit.at_rest()


DRILLS: tuple[Callable[[Kit], None], ...] = (
    scores_in_order_whatever_the_batches,
    plan_comes_with_its_sidecar,
    refused_batch_is_reported,
    refused_shape_is_reported,
    refused_address_is_reported,
    unknown_shapes_are_reported,
    refused_plan_is_reported,
    not_a_number_is_reported,
    failed_build_leaves_nothing,
    cancelled_build_leaves_nothing,
    full_memory_halves_the_batch_once,
    everything_is_freed_in_order,
    early_stop_waits_for_what_is_in_flight,
    timings_are_kept_and_foreign_ones_left,
    lost_gpu_keeps_what_was_scored,
    fifty_cycles_leave_nothing,
    rtx_accepts_a_plan_and_keeps_its_kernels,
)
__all__ = ["DRILLS", "Kit", "MuraBatchError", "refused"]
