"""Type-checks mura_batch/runtime against NVIDIA's bindings of TensorRT 10.13, 11.4 and RTX 1.7, without a GPU.

    python tests/runtime/tensorrt_stubs.py

The bindings wheels (from the package index, by name) hold no stubs and need libnvinfer, which cannot be had everywhere;
but their extension module loads once nine C symbols resolve, so empty libraries stand in for them and pybind11-stubgen
reads the signatures out of NVIDIA's own binary. Nothing runs this way. TensorRT-RTX is installed and read as it is; for
the shared code its stubs stand for `tensorrt` too. The stubs are kept under .mypy_cache and are
not ours to commit. Where they cannot be made (no index, no gcc, no readelf) a notice says so and the exit code is 0;
a type error is exit code 1.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".mypy_cache" / "tensorrt-stubs"
VERSIONS = ("10.13.3.9", "11.4.0.106")  # the oldest that pyproject allows, and the newest known
RTX = "1.7.1.116"
STUBGEN = "pybind11-stubgen==3.0.0"
SYMBOLS = {
    "nvinfer": (
        "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
        "getBuilderPluginRegistry", "getPluginRegistry",
    ),
    "nvonnxparser": (
        "createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL", "getNvOnnxParserVersion",
    ),
    "nvinfer_plugin": ("initLibNvInferPlugins",),
}  # fmt: skip
MAY_BE_NONE = (  # NVIDIA's documentation says so, the generated signatures do not
    ("Builder", "build_serialized_network"),
    ("Builder", "create_network"),
    ("Runtime", "deserialize_cuda_engine"),
    ("ICudaEngine", "create_execution_context"),
    ("ITimingCache", "serialize"),
    ("IRuntimeCache", "serialize"),
)
PACKAGE = "from typing import Any\nfrom .{name} import *\n__version__: str\n"
ALIAS = "from tensorrt_rtx import *\n__version__: str\n"


class CannotMakeError(Exception):
    """The stubs cannot be made here, and why."""


def main() -> int:
    worst = 0
    for version in (*VERSIONS, RTX):
        try:
            folder = stubs(version)
        except CannotMakeError as error:
            sys.stdout.write(f"NOTICE: the TensorRT {version} type check is skipped: {error}\n")
            continue
        sys.stdout.write(f"TensorRT{'-RTX' * (version == RTX)} {version}: ")
        sys.stdout.flush()
        worst = max(worst, type_check(folder, version))
    return worst


def type_check(folder: Path, version: str) -> int:
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(KEPT / f"cache-{version}"), "mura_batch/runtime"]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"MYPYPATH": str(folder)}, check=False).returncode


def stubs(version: str) -> Path:
    """Folder to put on MYPYPATH; made once and kept."""
    folder = KEPT / version
    name = "tensorrt_rtx" if version == RTX else "tensorrt"
    if (folder / name / f"{name}.pyi").is_file():
        return folder
    if version == RTX:
        with tempfile.TemporaryDirectory() as scratch:
            write_stubs(make_raw_rtx(Path(scratch)), folder, name)
        (folder / "tensorrt").mkdir(exist_ok=True)
        (folder / "tensorrt" / "__init__.pyi").write_text(ALIAS)
    else:
        for tool in ("gcc", "readelf"):
            if shutil.which(tool) is None:
                raise CannotMakeError(f"{tool} is not installed")
        with tempfile.TemporaryDirectory() as scratch:
            write_stubs(make_raw(Path(scratch), version), folder, name)
    return folder


def write_stubs(raw: str, folder: Path, name: str) -> None:
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    (target / "__init__.pyi").write_text(PACKAGE.format(name=name))
    (target / f"{name}.pyi").write_text("# mypy: ignore-errors\n" + polish(make_parsable(raw)))


def make_raw(scratch: Path, version: str) -> str:
    """What pybind11-stubgen says of the bindings."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    run(*pip("download"), "-d", str(scratch / "wheels"), f"tensorrt-cu13-bindings=={version}")
    run(*pip("install"), "--target", str(scratch / "tools"), STUBGEN)
    wheels = list((scratch / "wheels").glob(f"*{tag}*.whl"))
    if not wheels:
        raise CannotMakeError(f"there is no bindings wheel for {tag}")
    zipfile.ZipFile(wheels[0]).extractall(scratch / "site")
    make_libraries(next((scratch / "site").rglob("tensorrt.so")), scratch / "lib")
    paths = {"PYTHONPATH": f"{scratch / 'site'}:{scratch / 'tools'}", "LD_LIBRARY_PATH": str(scratch / "lib")}
    generate = ("-m", "pybind11_stubgen", "--ignore-all-errors", "-o", str(scratch / "raw"), "tensorrt_bindings")
    run(sys.executable, *generate, environment=paths)
    made = scratch / "raw" / "tensorrt_bindings" / "tensorrt.pyi"
    if not made.is_file():
        raise CannotMakeError("pybind11-stubgen made nothing")
    return made.read_text().replace("tensorrt_bindings", "tensorrt")


def make_raw_rtx(scratch: Path) -> str:
    """What pybind11-stubgen says of the installed TensorRT-RTX."""
    module = "tensorrt_rtx_bindings.tensorrt_rtx"
    if find_spec("tensorrt_rtx_bindings") is None:
        raise CannotMakeError("TensorRT-RTX is not installed")
    run(*pip("install"), "--target", str(scratch / "tools"), STUBGEN)
    generate = ("-m", "pybind11_stubgen", "--ignore-all-errors", "-o", str(scratch / "raw"), module)
    run(sys.executable, *generate, environment={"PYTHONPATH": str(scratch / "tools")})
    made = scratch / "raw" / "tensorrt_rtx_bindings" / "tensorrt_rtx.pyi"
    if not made.is_file():
        raise CannotMakeError("pybind11-stubgen made nothing")
    return made.read_text().replace(module, "tensorrt_rtx")


def pip(command: str) -> tuple[str, ...]:
    return sys.executable, "-m", "pip", command, "--quiet", "--no-deps", "--disable-pip-version-check"


def make_libraries(extension: Path, folder: Path) -> None:
    """Empty stand-ins for the libraries that the extension module asks for."""
    folder.mkdir()
    needed = run("readelf", "-d", str(extension))
    for library, version in re.findall(r"\[lib(nv\w+)\.so\.(\d+)\]", needed):
        name = f"lib{library}.so.{version}"
        source = folder / f"{library}.c"
        source.write_text("".join(f"void* {symbol}(void) {{ return 0; }}\n" for symbol in SYMBOLS[library]))
        run("gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(folder / name), str(source))


def run(*command: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, env=os.environ | (environment or {}), capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CannotMakeError(f"{' '.join(command[:4])} ...: {last}")
    return done.stdout


def make_parsable(text: str) -> str:
    """pybind11-stubgen leaves a few lines that are not Python."""
    text = re.sub(r"([,(] ?)in: ", r"\1in_: ", text)
    while True:
        try:
            ast.parse(text)
        except SyntaxError as error:
            lines = text.split("\n")
            index = (error.lineno or 1) - 1
            lines[index] = fixed_line(lines[index], error.msg)
            text = "\n".join(lines)
        else:
            return text


def fixed_line(line: str, trouble: str) -> str:
    if "non-default argument follows" not in trouble and "without a default follows" not in trouble:
        return line[: len(line) - len(line.lstrip())] + "# not Python: " + line.strip()
    head, rest = line.split("(", 1)
    body, tail = rest.rsplit(") ->", 1)
    has_default, parts = False, []
    for part in body.split(", "):
        has_default = has_default or "=" in part
        parts.append(part if "=" in part or not has_default else part + " = ...")
    return f"{head}({', '.join(parts)}) ->{tail}"


def polish(text: str) -> str:
    """Says what the generated signatures do not: builtin bool (a DataType has its name), unresolved types, None."""
    lines = [
        re.sub(r"(?<![\w.'])bool(?![\w'(])", "builtins.bool", line)
        if re.match(r"\s*(def |@|[A-Za-z_]\w*: )", line) and not line.startswith("bool:")
        else line
        for line in text.split("\n")
    ]
    text = "\n".join(lines).replace(
        "from __future__ import annotations\n",
        "from __future__ import annotations\nimport builtins\nimport collections.abc\n", 1,
    ).replace("capsule", "typing.Any")  # fmt: skip
    text = re.sub(r"(def get_error\(self, index: [^)]*\)) -> \.\.\.:", r"\1 -> ParserError:", text)
    text = re.sub(r"(?<=[:\[>] )\.\.\.(?=[,)\]:])", "typing.Any", text).replace("[...]", "[typing.Any]")
    text = re.sub(r": \.\.\.$", ": typing.Any", text.replace("-> ...:", "-> typing.Any:"), flags=re.M)
    text = add_to(text, "Dims", "    def __iter__(self) -> collections.abc.Iterator[int]:\n        ...\n")
    text = add_to(text, "IHostMemory", "    def __buffer__(self, flags: int, /) -> memoryview:\n        ...\n")
    shape = "Dims | collections.abc.Sequence[int]"
    wide = f"min: {shape}, opt: {shape}, max: {shape}"
    text = in_class(text, "IOptimizationProfile", lambda body: body.replace("min: Dims, opt: Dims, max: Dims", wide))
    for name, method in MAY_BE_NONE:
        text = in_class(
            text, name, lambda body, m=method: re.sub(rf"(def {m}\([^\n]*\) -> )(\w+):", r"\1\2 | None:", body)
        )
    return text


def add_to(text: str, name: str, method: str) -> str:
    return in_class(text, name, lambda body: body + method)


def in_class(text: str, name: str, change: Callable[[str], str]) -> str:
    found = re.search(rf"^class {name}(\([^)]*\))?:\n[\s\S]*?(?=^class |^def |\Z)", text, re.M)
    return text[: found.start()] + change(found.group(0)) + text[found.end() :] if found else text


if __name__ == "__main__":
    sys.exit(main())
