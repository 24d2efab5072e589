"""`make gpu-check`: what a machine with an NVIDIA GPU can prove in fifteen minutes, the most valuable first.

    python tests/gpu/check.py [--results build/gpu-check.json]

Each part is a process with its own limit. Results are written as JSON after each test, so that a part that runs out of
time loses only what it had not finished. Needs no network: pycuda is built from a source distribution named by
MURA_BATCH_PYCUDA, or taken as it is installed; the build runs beside the parts that do without it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Part:
    """seconds: its limit. needs: a module without which it is skipped."""

    file: str
    seconds: int
    needs: str = ""


# 840 s in all: a minute is left for the start. In the order of what a person with a GPU most wants to know.
PARTS = (
    Part("test_stream.py", 200),  # PyTorch only: pycuda is built meanwhile
    Part("test_cuda.py", 90, "pycuda"),
    Part("test_tensorrt.py", 240, "pycuda"),
    Part("test_rtx.py", 90, "pycuda"),
    Part("test_training.py", 220),
)
PYCUDA_SECONDS = 180


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "gpu-check.json")
    results = parser.parse_args().results
    results.parent.mkdir(parents=True, exist_ok=True)
    outcome: dict[str, object] = {"command": " ".join(sys.argv), "parts": {}}
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as work:
        builder = start_pycuda(Path(work))
        for part in PARTS:
            if part.needs == "pycuda" and builder is not None:
                outcome["pycuda build"] = finish(builder)
                builder = None
            outcome["parts"][part.file] = run(part, Path(work), results)  # type: ignore[index]
            results.write_text(json.dumps(outcome, indent=2) + "\n")
    print_table(outcome)
    sys.stdout.write(f"written to {results}\n")
    parts = outcome["parts"]
    return int(any(part["state"] == "failed" for part in parts.values()))  # type: ignore[attr-defined]


def run(part: Part, work: Path, results: Path) -> dict[str, object]:
    """Runs one part and returns what it wrote, also where it ran out of time."""
    if part.needs and find_spec(part.needs) is None:
        return {"state": "not run", "reason": f"{part.needs} is not installed", "tests": {}}
    written = work / f"{part.file}.json"
    command = [sys.executable, "-m", "pytest", str(HERE / part.file), "-m", "gpu", "-q"]
    started = time.monotonic()
    try:
        code = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | {"MURA_BATCH_GPU_CHECK": str(written)},
            timeout=part.seconds,
            check=False,
        ).returncode
        state = "passed" if code == 0 else "failed"
    except subprocess.TimeoutExpired:
        state = f"stopped after {part.seconds} s"
    found = json.loads(written.read_text()) if written.is_file() else {"tests": {}}
    if found["tests"] and all(test["outcome"] == "skipped" for test in found["tests"].values()):
        state = "not run"
    return {"state": state, "seconds": round(time.monotonic() - started, 1), **found}


def start_pycuda(work: Path) -> subprocess.Popen[str] | None:
    """Starts to build pycuda on every core, without curand, whose headers are often missing. None where it need not or
    cannot be built."""
    source = os.environ.get("MURA_BATCH_PYCUDA")
    if find_spec("pycuda") is not None or not source:
        return None
    with tarfile.open(source) as archive:
        archive.extractall(work, filter="data")
    (folder,) = (path for path in work.iterdir() if path.is_dir())
    python = f"'{sys.executable}'"
    steps = (
        f"{python} configure.py --no-cuda-enable-curand && {python} setup.py build_ext -j {os.cpu_count()} && "
        f"{python} -m pip install --no-deps --no-build-isolation --no-index ."
    )
    return subprocess.Popen(
        ["bash", "-c", steps], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(builder: subprocess.Popen[str]) -> str:
    try:
        _, errors = builder.communicate(timeout=PYCUDA_SECONDS)
    except subprocess.TimeoutExpired:
        builder.kill()
        return f"stopped after {PYCUDA_SECONDS} s"
    return "built" if builder.returncode == 0 else f"failed: {errors.strip().splitlines()[-1]}"


def print_table(outcome: dict[str, object]) -> None:
    for file, part in outcome["parts"].items():  # type: ignore[attr-defined]
        sys.stdout.write(f"{file:<20} {part['state']} {part.get('reason', '')}\n")
        for name, test in part["tests"].items():
            figures = ", ".join(f"{key} {value}" for key, value in test["figures"].items())
            sys.stdout.write(f"  {test['outcome']:8} {name.split('::')[-1]}  {figures or test['reason']}\n")


if __name__ == "__main__":
    sys.exit(main())
