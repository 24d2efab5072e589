"""The wheel: its exact files, and that it works without torch, away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_contains_only_package_templates_and_reference_model(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    code = {str(p.relative_to(ROOT)) for p in (ROOT / "mura_batch").rglob("*") if p.suffix in {".py", ".toml"}}
    templates = {f"mura_batch/templates/{p.name}" for p in (ROOT / "templates").iterdir()}
    names = ("model.json", "model.onnx", "reference_inputs.npz", "int8.npz", "features.npz")
    model = {f"mura_batch/engines/reference/{name}" for name in names}
    assert held == code | templates | model


def test_the_wheel_scores_without_torch_and_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    (tmp_path / "run.py").write_text(
        "import sys\n"
        "sys.modules['torch'] = None  # an import of it raises\n"
        f"sys.path[:] = [p for p in sys.path if p != {str(ROOT)!r}]\n"
        "import mura_batch\n"
        f"assert mura_batch.__file__.startswith({str(tmp_path)!r}), mura_batch.__file__\n"
        "from mura_batch.cli import main\n"
        "if __name__ == '__main__':\n"
        "    main()\n"
    )

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(tmp_path / "run.py"), *words],
            capture_output=True, text=True, timeout=240, cwd=tmp_path, check=False,
            env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        )  # fmt: skip

    assert run("phantom", "studies", "--studies", "2", "--small").returncode == 0
    done = run("score", "studies", "--settle", "0", "--truth", "studies/truth.csv")
    assert done.returncode == 3, done.stderr  # the phantom export holds a truncated file
    assert (tmp_path / "mura-out" / "latest" / "report.html").stat().st_size > 10_000
