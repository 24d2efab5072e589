"""What the doctor sees on this machine and on simulated ones; what the bench measures."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest

from mura_batch.dicom.syntax import KNOWN
from mura_batch.doctor import checks as doctor
from mura_batch.doctor.checks import Check, examine
from mura_batch.doctor.runner_speed import bench
from mura_batch.model_card import Model
from mura_batch.runtime.tensorrt.compile import BuildOptions, compile_plan


def by_name(checks: tuple[Check, ...]) -> dict[str, Check]:
    found = {check.name: check for check in checks}
    assert len(found) == len(checks), "each line has a name of its own"
    return found


def test_a_machine_without_a_gpu_has_no_failures(
    own_model: Model, tmp_path: Path, simulation: Any, without: Any
) -> None:
    without("pycuda", ModuleNotFoundError("No module named 'pycuda'", name="pycuda"))
    checks = by_name(examine(tmp_path / "out", own_model.folder))
    assert [check for check in checks.values() if check.status == "fail"] == []
    assert checks["gpu"].status == "warn"
    assert "mura-batch[gpu]" in checks["gpu"].fix
    assert all(check.fix for check in checks.values() if check.status != "ok")
    assert own_model.hash[:12] in checks["model"].detail


def test_every_accepted_transfer_syntax_has_a_working_decoder(own_model: Model) -> None:
    checks = by_name(examine(None, own_model.folder))
    syntaxes = ", ".join(check.detail for name, check in checks.items() if name.startswith("decoder"))
    assert set(syntaxes.split(", ")) == set(KNOWN)
    assert {check.status for name, check in checks.items() if name.startswith("decoder")} == {"ok"}


def test_a_broken_decoder_is_reported(own_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    import imagecodecs

    monkeypatch.setattr(imagecodecs, "jpegls_decode", lambda stream: stream)
    check = by_name(examine(None, own_model.folder))["decoder jpeg-ls"]
    assert check.status == "fail"
    assert "imagecodecs" in check.fix


def test_a_changed_model_is_reported(own_model: Model) -> None:
    own_model.onnx.write_bytes(own_model.onnx.read_bytes() + b"!")
    check = by_name(examine(None, own_model.folder))["model"]
    assert (check.status, bool(check.fix)) == ("fail", True)
    assert "not the file its card describes" in check.detail


def test_a_gpu_without_plan_fails_with_the_build_command(own_model: Model, simulation: Any) -> None:
    simulation.start("11.4.0.106")
    checks = by_name(examine(None, own_model.folder))
    assert "NVIDIA Simulated 1" in checks["gpu"].detail
    assert "CUDA 13.0" in checks["driver"].detail
    assert checks["tensorrt plan"].status == "fail"
    assert checks["tensorrt plan"].fix == f"mura-batch compile {own_model.folder}"
    compile_plan(own_model, BuildOptions(opt_batch=4, max_batch=8))
    assert by_name(examine(None, own_model.folder))["tensorrt plan"].status == "ok"
    assert not simulation.machine.live, "the doctor leaves nothing on the GPU"


def test_a_driver_that_does_not_start_is_a_failure(own_model: Model, simulation: Any) -> None:
    simulation.start("11.4.0.106")
    simulation.machine.fail("init")
    check = by_name(examine(None, own_model.folder))["gpu"]
    assert check.status == "fail"
    assert "nvidia-smi" in check.fix


def test_permissions_of_the_output_folder_are_reported(own_model: Model, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o700)
    os.chmod(out, 0o755)
    checks = by_name(examine(out, own_model.folder))
    assert (checks["permissions"].status, checks["permissions"].fix) == ("warn", f"chmod o-rwx {out}")
    assert checks["out"].status == checks["lock"].status == "ok"
    os.chmod(out, 0o700)
    assert by_name(examine(out, own_model.folder))["permissions"].status == "ok"
    (tmp_path / "file").write_text("")
    assert by_name(examine(tmp_path / "file" / "out", own_model.folder))["out"].status == "fail"


@pytest.mark.parametrize(
    ("mode", "link", "problem", "fix"),
    [
        (
            0o777,
            False,
            "others may write to {out} (mode 0777)",
            "chmod go-w {out}, or allow it with --allow-shared-out.",
        ),
        (0o700, True, "{out}/runs is a symbolic link, not a folder of this program", "move it away."),
    ],
)
def test_an_unsafe_output_folder_is_a_failure_with_a_fix(
    own_model: Model, tmp_path: Path, mode: int, link: bool, problem: str, fix: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(mode)
    if link:
        (out / "runs").symlink_to(tmp_path)
    check = by_name(examine(out, own_model.folder))["permissions"]
    assert (check.status, check.detail, check.fix) == ("fail", problem.format(out=out), fix.format(out=out))


def test_a_secret_that_others_may_read_is_a_warning(own_model: Model, tmp_path: Path) -> None:
    (tmp_path / "secret.key").touch()
    (tmp_path / "secret.key").chmod(0o644)
    tmp_path.chmod(0o700)
    check = by_name(examine(tmp_path, own_model.folder))["permissions"]
    assert (check.status, check.detail) == ("warn", "others may open secret.key")
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o644


def test_a_nearly_full_disk_is_reported(own_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SCARCE", 1 << 62)
    assert by_name(examine(tmp_path, own_model.folder))["disk"].status == "warn"
    monkeypatch.setattr(doctor, "FULL", 1 << 62)
    assert by_name(examine(tmp_path, own_model.folder))["disk"].status == "fail"


def test_bench_measures_what_runs_and_explains_the_rest(tiny_model: Model, simulation: Any) -> None:
    records = list(bench(tiny_model, (1, 4), seconds=0.05))
    assert [(record.runner, record.batch_size) for record in records[:5]] == [
        ("openvino float32", 1), ("tensorrt", 1), ("rtx", 1), ("openvino bf16", 1), ("openvino int8", 1),
    ]  # fmt: skip
    reference, gpu, _, _, int8 = records[:5]
    assert "int8.npz" in int8.unavailable
    assert reference.ratio == 1.0
    assert reference.parity_max_abs == 0.0
    assert gpu.images_per_second is None
    assert gpu.unavailable
    for record in records:
        if not record.unavailable:
            assert record.images_per_second is not None
            assert record.latency_ms_median is not None
            assert record.first_start_seconds is not None
            assert record.later_start_seconds is not None
            assert record.later_start_seconds > 0
            assert record.images_per_second > 0
            assert math.isfinite(record.latency_ms_median)


def test_the_bench_measures_the_gpu_where_there_is_one(own_model: Model, simulation: Any) -> None:
    simulation.start("11.4.0.106")
    compile_plan(own_model, BuildOptions(opt_batch=4, max_batch=8))
    (record,) = (found for found in bench(own_model, (4,), seconds=0.05) if found.runner == "tensorrt")
    assert (record.precision, record.device) == ("fp16", "NVIDIA Simulated 1")
    assert record.parity_max_abs is not None
    assert record.parity_max_abs < 5e-3
    assert not simulation.machine.live
