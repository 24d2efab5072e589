"""Which plan is taken, which is refused, and what the message says."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mura_batch.errors import InputError, OutputError, PlanError
from mura_batch.model_card import Model
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.gates import Parity
from mura_batch.runtime.nvidia import build, plans
from mura_batch.runtime.nvidia.build import check_plan_options
from mura_batch.runtime.nvidia.plans import Plan, PlanOptions, Sidecar, Target
from mura_batch.runtime.nvidia.thread import GpuThread
from mura_batch.runtime.runner import RunnerOptions
from mura_batch.runtime.tensorrt.compile import BuildOptions, compile_plan

HERE = Target("TensorRT", "10.13.3.9", ("8.9",), "NVIDIA L4", 58)
OPTIONS = PlanOptions(16, 32, 4096, 3, False)
COMMAND = "mura-batch compile MODEL"
DATA = b"a plan " * 100


def put(model: Model, name: str = "one", data: bytes = DATA, **changes: Any) -> Plan:
    """A plan with its sidecar beside the model, as `compile` leaves them."""
    sidecar = Sidecar(
        model_name="tiny 1", model_hash=model.hash, target=HERE, options=OPTIONS, driver="580.65.06", cuda="13.0",
        plan_sha256=hashlib.sha256(data).hexdigest(), plan_bytes=len(data), build_seconds=61.5,
        built_at="2026-11-23T02:00:00+00:00", program="0.1.0", parity=Parity(32, 2e-4, 5e-5, 0, True),
    )  # fmt: skip
    path, staged = model.folder / f"{name}.plan", model.folder / "staged"
    staged.write_bytes(data)
    plans.publish(staged, path, replace(sidecar, **changes))
    return Plan(path, plans.read_sidecar(path))


def test_the_plan_that_matches_is_taken_among_several(own_model: Model) -> None:
    put(own_model, "other-gpu", target=replace(HERE, gpu="NVIDIA A10"))
    right = put(own_model, "right")
    put(own_model, "other-tensorrt", target=replace(HERE, version="11.4.0.106"))
    assert plans.select_plan(own_model, HERE, COMMAND) == right


def test_of_two_that_match_the_newer_is_taken(own_model: Model) -> None:
    newer = put(own_model, "a", built_at="2026-11-24T02:00:00+00:00")
    put(own_model, "b")
    assert plans.select_plan(own_model, HERE, COMMAND) == newer


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_hash": "0" * 64}, "another model"),
        ({"target": replace(HERE, version="10.14.0")}, "TensorRT 10.14.0, installed is 10.13.3.9"),
        ({"target": replace(HERE, gpu="NVIDIA A10")}, "built for NVIDIA A10"),
        ({"target": replace(HERE, compute_capabilities=("9.0",))}, "compute capability 9.0"),
        ({"target": replace(HERE, sm_count=60)}, "60 multiprocessors, this GPU has 58"),
    ],
)
def test_a_plan_without_a_match_is_listed_with_its_reason(
    own_model: Model, changes: dict[str, Any], words: str
) -> None:
    put(own_model, "other", **changes)
    with pytest.raises(PlanError) as caught:
        plans.select_plan(own_model, HERE, plans.compile_command(own_model, "--gpu", "1"))
    assert "other.plan: it was built" in str(caught.value)
    assert words in str(caught.value)
    assert str(caught.value).endswith(f"Build one with: mura-batch compile {own_model.folder} --gpu 1")


@pytest.mark.parametrize(
    ("here", "fits"), [("10.14.1", True), ("10.13.3.9", True), ("10.13.2", False), ("11.4.0.106", False)]
)
def test_a_version_compatible_plan_runs_on_later_minor_tensorrt_versions(
    own_model: Model, here: str, fits: bool
) -> None:
    plan = put(own_model, options=replace(OPTIONS, version_compatible=True))
    assert (plans.mismatch(plan.sidecar, own_model.hash, replace(HERE, version=here)) == "") == fits


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99}', '{"format": 2}', None])
def test_a_plan_with_missing_or_damaged_sidecar_is_not_used(own_model: Model, text: str | None) -> None:
    plan = put(own_model)
    sidecar = plans.sidecar_path(plan.path)
    if text is None:
        sidecar.unlink()
    else:
        sidecar.write_text(text)
    with pytest.raises(PlanError, match=r"one\.plan: its? .*sidecar"):
        plans.select_plan(own_model, HERE, COMMAND)


def test_a_damaged_plan_is_refused_before_tensorrt_sees_it(own_model: Model) -> None:
    plan = put(own_model)
    assert plans.read_plan(plan) == DATA
    plan.path.write_bytes(DATA[:-1])
    with pytest.raises(PlanError, match="699 bytes long and should be 700: it is truncated"):
        plans.read_plan(plan)
    plan.path.write_bytes(DATA[:-1] + b"!")
    with pytest.raises(PlanError, match="not the plan its sidecar describes"):
        plans.read_plan(plan)


def test_a_truncated_plan_stops_the_run_with_its_fix(own_model: Model, simulation: Any) -> None:
    simulation.start("10.13.3.9")
    path = compile_plan(own_model, BuildOptions(opt_batch=4, max_batch=8))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(PlanError, match=r"truncated.*mura-batch compile"), open_runner(own_model, RunnerOptions()):
        pass
    assert not simulation.machine.live


def test_the_sidecar_describes_the_plan(own_model: Model, simulation: Any) -> None:
    simulation.start("11.4.0.106")
    path = compile_plan(own_model, BuildOptions(opt_batch=4, max_batch=8))
    sidecar = json.loads(plans.sidecar_path(path).read_text())
    assert sidecar["model_hash"] == own_model.hash
    assert sidecar["target"] == {
        "library": "TensorRT", "version": "11.4.0.106", "compute_capabilities": ["9.0"], "gpu": "NVIDIA Simulated 1",
        "sm_count": 132,
    }  # fmt: skip
    assert sidecar["options"]["max_batch"] == 8
    assert sidecar["plan_bytes"] == path.stat().st_size
    assert sidecar["cuda"] == "13.0"
    assert 0 <= sidecar["parity"]["max_abs"] < 5e-3
    assert sidecar["build_seconds"] >= 0


def test_another_folder_gets_the_plan_when_asked(own_model: Model, simulation: Any, tmp_path: Path) -> None:
    simulation.start("11.4.0.106")
    path = compile_plan(own_model, BuildOptions(out=tmp_path / "new" / "folder", opt_batch=4, max_batch=8))
    assert path.parent == tmp_path / "new" / "folder"
    assert not list(own_model.folder.glob("*.plan*"))


def test_the_build_first_reports_a_folder_it_cannot_create(own_model: Model, simulation: Any, tmp_path: Path) -> None:
    simulation.start("11.4.0.106")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="--out"):
        compile_plan(own_model, BuildOptions(out=tmp_path / "file" / "folder"))
    assert simulation.machine.calls["build_serialized_network"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (BuildOptions(opt_batch=64, max_batch=32), "--max-batch"),
        (BuildOptions(opt_batch=0), "--opt-batch 0"),
        (BuildOptions(optimization_level=6), "0 to 5"),
        (BuildOptions(workspace_mib=0), "1 MiB"),
    ],
)
def test_a_wrong_build_option_is_named(options: BuildOptions, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_plan_options(options.plan)


def test_a_failing_progress_report_stops_the_build_and_comes_out(own_model: Model, simulation: Any) -> None:
    simulation.start("11.4.0.106")

    def report(phase: str, part: float) -> None:
        raise BrokenPipeError("the terminal is gone")

    with pytest.raises(BrokenPipeError):
        compile_plan(own_model, BuildOptions(opt_batch=4, max_batch=8), report)
    assert not list(own_model.folder.glob("*.plan"))
    assert not simulation.machine.live


def test_ctrl_c_stops_the_build_and_leaves_nothing(
    own_model: Model, simulation: Any, press_ctrl_c: Callable[[], None]
) -> None:
    simulation.start("11.4.0.106")
    before = sorted(own_model.folder.iterdir())

    def report(phase: str, part: float) -> None:
        if part == 0:  # from TensorRT's thread, while the main thread waits
            press_ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        compile_plan(own_model, BuildOptions(opt_batch=4, max_batch=8), report)
    assert sorted(own_model.folder.iterdir()) == before
    assert not simulation.machine.live
    assert not simulation.machine.crimes


def test_ctrl_c_before_the_wait_stops_the_work_too(monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled: list[bool] = []

    class Interrupted(GpuThread):
        def submit(self, work: Callable[[], Any]) -> Any:
            super().submit(work)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(build, "GpuThread", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        build.run_cancellable(lambda event: cancelled.append(event.wait(10)))
    assert cancelled == [True]
