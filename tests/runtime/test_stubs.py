"""The fakes and the type check beside the signatures in NVIDIA's own bindings: 10.13.3.9, 11.4.0.106, RTX 1.7.1.116."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
VERSIONS = ("10.13.3.9", "11.4.0.106")
RTX = "1.7.1.116"
# In the fakes, and in the bindings of TensorRT-RTX only.
RTX_CLASSES = {"ComputeCapability", "CudaGraphStrategy", "DynamicShapesKernelSpecializationStrategy", "EngineValidity",
               "EngineInvalidityDiagnostics", "IRuntimeCache"}  # fmt: skip
RTX_METHODS = {"set_compute_capability", "get_engine_validity", "create_runtime_config", "create_runtime_cache",
               "set_runtime_cache", "set_execution_context_allocation_strategy"}  # fmt: skip

WRONG_CALLS = (  # module, right, wrong, version, what mypy must say
    ("nvidia.slot", "execute_async_v3(", "execute_async_v2(", "11.4.0.106", "has no attribute"),
    ("nvidia.session", "    if engine is None:", "    if not data:", "10.13.3.9", "Incompatible return value"),
    ("nvidia.slot", "set_device_memory(int(self._scratch.memory), self._scratch.size)",
     "set_device_memory(int(self._scratch.memory))", "11.4.0.106", "Missing positional argument"),
    ("nvidia.network", "library.BuilderFlag.TF32", "library.BuilderFlag.FP16", "11.4.0.106", "has no attribute"),
    ("nvidia.network", "library.BuilderFlag.TF32", "library.BuilderFlag.FP16", RTX, "has no attribute"),
    ("tensorrt.timing_cache", "set_timing_cache(cache, ignore_mismatch=False)", "set_timing_cache(cache)", "10.13.3.9",
     "Missing positional argument"),
    ("nvidia.monitor", "step: SupportsInt) -> bool:", "step: SupportsInt) -> str:", "11.4.0.106",
     "incompatible with"),
    ("tensorrt_rtx.jit", "graphs.WHOLE_GRAPH_CAPTURE", "graphs.WHOLE_GRAPH", RTX, "has no attribute"),
    ("tensorrt_rtx.compile", "set_compute_capability(wanted, index)", "set_compute_capability(wanted)", RTX,
     "Missing positional argument"),
    ("tensorrt_rtx.jit", "create_execution_context(runtime_config=", "create_execution_context(config=", RTX,
     "create_execution_context"),
)  # fmt: skip


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("tensorrt_stubs", HERE / "tensorrt_stubs.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stubs(maker: ModuleType) -> dict[str, Path]:
    """version -> folder for MYPYPATH."""
    try:
        return {version: maker.stubs(version) for version in (*VERSIONS, RTX)}
    except maker.CannotMakeError as error:
        pytest.skip(f"the stubs of TensorRT cannot be made here: {error}")


@pytest.mark.parametrize("version", [*VERSIONS, RTX])
def test_the_runtime_type_checks_against_the_real_bindings(
    version: str, stubs: dict[str, Path], maker: ModuleType
) -> None:
    assert maker.type_check(stubs[version], version) == 0


@pytest.mark.parametrize("call", WRONG_CALLS, ids=str)
def test_the_type_check_notices_a_wrong_call(
    tmp_path: Path, stubs: dict[str, Path], call: tuple[str, str, str, str, str]
) -> None:
    module, right, wrong, version, words = call
    source = (ROOT / "mura_batch" / "runtime" / f"{module.replace('.', '/')}.py").read_text()
    assert right in source, "the wrong call no longer fits the source"
    (tmp_path / "wrong.py").write_text(source.replace(right, wrong))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    cache = str(ROOT / ".mypy_cache" / f"wrong-calls-{version}")  # shared by versions, mypy 2.4.1 ended with an error
    command = [sys.executable, "-m", "mypy", "--follow-imports", "silent", "--cache-dir", cache, "wrong.py"]
    environment = os.environ | {"MYPYPATH": f"{stubs[version]}:{ROOT}"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    assert words in done.stdout


@pytest.mark.parametrize("version", [*VERSIONS, RTX])
def test_the_fakes_have_the_signatures_of_the_real_bindings(version: str, stubs: dict[str, Path]) -> None:
    module = "tensorrt_rtx" if version == RTX else "tensorrt"
    real = classes(stubs[version] / module / f"{module}.pyi")
    fake = classes(HERE / "fakes" / "tensorrt_module.py")
    checked = 0
    for name, methods in fake.items():
        if name.startswith("_") or name == "Severity" or (version != RTX and name in RTX_CLASSES):
            continue
        for method, parameters in methods.items():
            if method.startswith("_") or (version != RTX and method in RTX_METHODS):
                continue
            assert method in real[name], f"TensorRT {version} has no {name}.{method}"
            assert any(parameters == there[: len(parameters)] for there in real[name][method]), (name, method)
            checked += 1
    assert checked > 30


def classes(path: Path) -> dict[str, dict[str, Any]]:
    """class -> method -> parameter names of each overload (of the only signature, in the fakes)."""
    found: dict[str, dict[str, Any]] = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            methods = found.setdefault(node.name, {})
            for entry in node.body:
                if isinstance(entry, ast.FunctionDef):
                    names = [argument.arg for argument in entry.args.args]
                    if path.suffix == ".pyi":
                        methods.setdefault(entry.name, []).append(names)
                    else:
                        methods[entry.name] = names
    return found
