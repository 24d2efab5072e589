"""The GPU runner and the builds, over fakes of pycuda, TensorRT 10.13 and 11.4, and TensorRT-RTX."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import pytest

from mura_batch.errors import RunnerError

DRILLS = (
    "scores_in_order_whatever_the_batches",
    "plan_comes_with_its_sidecar",
    "refused_batch_is_reported",
    "refused_shape_is_reported",
    "refused_address_is_reported",
    "unknown_shapes_are_reported",
    "refused_plan_is_reported",
    "not_a_number_is_reported",
    "failed_build_leaves_nothing",
    "cancelled_build_leaves_nothing",
    "full_memory_halves_the_batch_once",
    "everything_is_freed_in_order",
    "early_stop_waits_for_what_is_in_flight",
    "timings_are_kept_and_foreign_ones_left",
    "lost_gpu_keeps_what_was_scored",
    "fifty_cycles_leave_nothing",
    "rtx_accepts_a_plan_and_keeps_its_kernels",
)


@pytest.mark.parametrize("drill", DRILLS)
def test_the_gpu_runner_and_the_build_pass_the_drill(drill: str, simulation: Any, kit: Any) -> None:
    getattr(simulation.drills, drill)(kit)


def test_every_drill_is_run(simulation: Any) -> None:
    simulation.start("11.4.0.106")
    assert tuple(drill.__name__ for drill in simulation.drills.DRILLS) == DRILLS


def test_a_gpu_that_never_answers_is_given_up(simulation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    simulation.start("11.4.0.106")
    from mura_batch.runtime.nvidia import thread as gpu

    monkeypatch.setattr(gpu, "ANSWER_SECONDS", 0.1)
    thread, answer = gpu.GpuThread(), threading.Event()
    with pytest.raises(RunnerError, match="has not answered"):
        thread.call(answer.wait)
    answer.set()
    thread.close()


def test_a_gpu_thread_error_keeps_no_local_variable_alive(simulation: Any) -> None:
    simulation.start("11.4.0.106")
    from mura_batch.runtime.nvidia import thread as gpu

    class Held:
        pass

    kept: list[weakref.ref[Held]] = []

    def work() -> None:
        held = Held()
        kept.append(weakref.ref(held))
        raise ValueError("on purpose")

    thread = gpu.GpuThread()
    with pytest.raises(ValueError, match="on purpose"):
        thread.call(work)
    assert kept[0]() is None
    thread.close()
