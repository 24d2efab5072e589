"""A start that loads nothing until a picture needs it: what the record of an earlier start depends on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mura_batch.errors import ModelError, RunnerError
from mura_batch.model_card import INT8_NAME, ONNX_NAME, REFERENCE_INPUTS_NAME, Model
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.openvino import start_basis as basis
from mura_batch.runtime.runner import Runner, RunnerInfo, RunnerOptions
from mura_batch.runtime.start_cache import StartRecord


def late(model: Model, cache: Path, **options: Any) -> Runner:
    return open_runner(model, RunnerOptions(device="cpu", cache_dir=cache, late=True, **options))


def record_of(cache: Path) -> Path:
    (path,) = cache.glob("start-*")
    return path


def test_a_late_start_knows_what_an_earlier_one_was(tiny_model: Model, tmp_path: Path) -> None:
    with late(tiny_model, tmp_path) as runner:
        first = runner.info
    script = f"""
import sys
from pathlib import Path
from mura_batch.model_card import read_model
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.runner import RunnerOptions
options = RunnerOptions(device="cpu", cache_dir=Path({str(tmp_path)!r}), late=True)
with open_runner(read_model(Path({str(tiny_model.folder)!r})), options) as runner:
    print(runner.info)
print([name for name in ("openvino", "numpy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(first), "[]"]


def test_a_late_start_scores_as_an_early_one(tiny_model: Model, tmp_path: Path, pictures: np.ndarray) -> None:
    with open_runner(tiny_model, RunnerOptions(device="cpu")) as runner:
        (expected,) = runner.run([pictures])
    for _ in range(2):
        with late(tiny_model, tmp_path) as runner:
            (outputs,) = runner.run([pictures])
        assert np.array_equal(outputs.probability, expected.probability)


def test_a_damaged_record_is_written_anew(tiny_model: Model, tmp_path: Path) -> None:
    with late(tiny_model, tmp_path):
        whole = record_of(tmp_path).read_bytes()
    record_of(tmp_path).write_bytes(whole.replace(b"float32", b"float33"))
    with late(tiny_model, tmp_path) as runner:
        assert runner.info.precision in {"float32", "bf16"}
    assert record_of(tmp_path).read_bytes() == whole


def test_another_precision_than_recorded_ends_the_run(tiny_model: Model, tmp_path: Path, pictures: np.ndarray) -> None:
    options = RunnerOptions(device="cpu", cache_dir=tmp_path, late=True)
    with late(tiny_model, tmp_path) as runner:
        info = runner.info
    record = StartRecord(tmp_path, basis.start_basis(tiny_model, options, "CPU as asked for"))
    assert record.info() == info
    record.put(replace(info, precision="int8"))
    with late(tiny_model, tmp_path) as runner, pytest.raises(RunnerError, match=r"ran int8 before .*: run again"):
        list(runner.run([pictures]))
    assert record.info() == info


def test_a_changed_model_file_is_noticed_before_it_is_used(
    own_model: Model, tmp_path: Path, pictures: np.ndarray
) -> None:
    with late(own_model, tmp_path / "cache"):
        pass
    own_model.onnx.write_bytes(own_model.onnx.read_bytes() + b"x")
    with late(own_model, tmp_path / "cache") as runner, pytest.raises(ModelError, match="not the file its card"):
        list(runner.run([pictures]))
    own_model.onnx.unlink()
    with pytest.raises(ModelError, match="is missing"), late(own_model, tmp_path / "new"):
        pass


OPTIONS = RunnerOptions(device="cpu")


def hashed(model: Model, name: str) -> Model:
    return replace(model, card=replace(model.card, hashes=model.card.hashes | {name: "another"}))


@pytest.mark.parametrize("name", [ONNX_NAME, REFERENCE_INPUTS_NAME, INT8_NAME])
def test_the_basis_has_each_file_of_the_model(tiny_model: Model, name: str) -> None:
    before = basis.start_basis(tiny_model, OPTIONS, "CPU found")
    assert basis.start_basis(hashed(tiny_model, name), OPTIONS, "CPU found") != before


def test_the_basis_has_threshold_options_and_reason(tiny_model: Model) -> None:
    stricter = replace(tiny_model, card=replace(tiny_model.card, threshold=0.6))
    every = [
        basis.start_basis(tiny_model, OPTIONS, "CPU found"),
        basis.start_basis(stricter, OPTIONS, "CPU found"),
        basis.start_basis(tiny_model, replace(OPTIONS, precision="float32"), "CPU found"),
        basis.start_basis(tiny_model, replace(OPTIONS, threads=1), "CPU found"),
        basis.start_basis(tiny_model, OPTIONS, "CPU as asked for"),
    ]
    assert len(set(every)) == len(every)
    assert basis.start_basis(tiny_model, OPTIONS, "CPU found") == every[0]


def test_the_basis_has_version_gate_and_environment(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    before = basis.start_basis(tiny_model, OPTIONS, "")
    for name, value in (("__version__", "another"), ("CPU_GATE", replace(basis.CPU_GATE, max_abs=1.0))):
        with monkeypatch.context() as patch:
            patch.setattr(basis, name, value)
            assert basis.start_basis(tiny_model, OPTIONS, "") != before
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert basis.start_basis(tiny_model, OPTIONS, "") != before


def test_the_basis_has_processor_and_libraries(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = basis.start_basis(tiny_model, OPTIONS, "")
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(basis, "CPUINFO", cpuinfo)
    cpuinfo.write_text("model name\t: one\nflags\t\t: sse\ncpu MHz\t: 1\n\nmodel name\t: two\n")
    one = basis.start_basis(tiny_model, OPTIONS, "")
    cpuinfo.write_text("model name\t: one\nflags\t\t: sse avx\ncpu MHz\t: 1\n\nmodel name\t: two\n")
    other = basis.start_basis(tiny_model, OPTIONS, "")
    cpuinfo.write_text("model name\t: one\nflags\t\t: sse\ncpu MHz\t: 2\n\nmodel name\t: three\n")
    assert len({before, one, other}) == 3
    assert basis.start_basis(tiny_model, OPTIONS, "") == one
    package = tmp_path / "openvino"
    (package / "libs").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "libs" / "libopenvino.so").write_bytes(b"1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    small = basis.start_basis(tiny_model, OPTIONS, "")
    (package / "libs" / "libopenvino.so").write_bytes(b"22")
    assert len({one, small, basis.start_basis(tiny_model, OPTIONS, "")}) == 3


def test_a_record_is_kept_for_each_basis(tmp_path: Path) -> None:
    info = RunnerInfo("openvino", "a CPU", "int8", "as asked for", "1", 0.001)
    StartRecord(tmp_path, (1,)).put(info)
    assert StartRecord(tmp_path, (1,)).info() == info
    assert StartRecord(tmp_path, (2,)).info() is None
