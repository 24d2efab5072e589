"""The tree holds what docs/design.md promises: import contracts that notice a wrong import, no cycle, one name one
meaning, and documents that name only what is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("mura_batch", "train", "bench")
ONE_MEANING = {  # base names that stand in several packages for the same thing
    "runner": "a backend's implementation of the Runner protocol, and the protocol itself",
    "backend": "a backend's description, and the protocol itself",
    "compile": "a GPU backend's way from a model to a plan",
}
WRONG_IMPORTS = (
    ("mura_batch/outputs/report/render.py", "pydicom"),
    ("mura_batch/doctor/checks.py", "imagecodecs"),
    ("mura_batch/outputs/csv_tables.py", "highdicom"),
    ("mura_batch/scoring/workplace.py", "ray"),
    ("mura_batch/scoring/storage.py", "fsspec"),
    ("mura_batch/scoring/pipeline.py", "pynetdicom"),
    ("mura_batch/scoring/pipeline.py", "dicomweb_client"),
    ("mura_batch/scoring/intake.py", "sqlite3"),
    ("mura_batch/scoring/results.py", "jinja2"),
    ("mura_batch/agreement/summary.py", "pandas"),
    ("mura_batch/runtime/parity.py", "openvino"),
    ("mura_batch/runtime/choose.py", "tensorrt"),
    ("mura_batch/runtime/tensorrt/runner.py", "pycuda"),
    ("mura_batch/scoring/pipeline.py", "click"),
    ("mura_batch/scoring/pipeline.py", "rich"),
    ("mura_batch/preprocess.py", "torch"),
    ("mura_batch/store/lock.py", "mura_batch.scoring.studies"),
    ("mura_batch/runtime/openvino/runner.py", "mura_batch.runtime.tensorrt"),
    ("mura_batch/model_card.py", "train"),
)


@pytest.mark.parametrize(("file", "library"), WRONG_IMPORTS)
def test_a_wrong_import_breaks_a_contract(file: str, library: str, tmp_path: Path) -> None:
    for package in ("mura_batch", "train"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / file).open("a") as module:
        module.write(f"\nimport {library}\n")
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(tmp_path)}
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph(*PACKAGES)
    cycles = []
    for module in sorted(graph.modules):
        for imported in graph.find_modules_directly_imported_by(module):
            if chain := graph.find_shortest_chain(imported, module):
                cycles.append(" -> ".join((module, *chain)))
    assert cycles == []


def test_one_base_name_has_one_meaning() -> None:
    places = defaultdict(list)
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if path.stem not in {"__init__", "__main__"} and path.parent.name != "cli":
                places[path.stem].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1 and name not in ONE_MEANING} == {}


def test_the_design_names_every_package_and_nothing_that_is_gone() -> None:
    """The drawn tree: folders end in a slash and are indented by two spaces a level."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    tree = next(block for block in text.split("```") if block.startswith("\nmura_batch/"))
    drawn, parents = set(), [ROOT]
    for line in tree.strip().splitlines():
        indent, name = re.match(r"( *)(\S+)", line).groups()  # type: ignore[union-attr]
        level = len(indent) // 2
        if len(indent) > 8 or not re.fullmatch(r"[\w./]+", name) or ("/" not in name and "." not in name):
            continue  # the description goes on
        path = parents[level] / name
        assert path.exists(), f"docs/design.md draws {name}, which is not there"
        drawn.add(path)
        parents[level + 1 :] = [path]
    packages = {path.parent for path in (ROOT / "mura_batch").rglob("__init__.py")}
    packages |= {path.parent for path in (ROOT / "train").rglob("__init__.py")}
    assert {str(p.relative_to(ROOT)) for p in packages - drawn} == set()


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/design.md"])
def test_a_document_names_only_files_and_symbols_that_are_there(document: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / document).read_text(encoding="utf-8"), flags=re.S)
    missing = [token for token in re.findall(r"`([^`\n]+)`", text) if not _is_there(token)]
    assert missing == []


def _is_there(token: str) -> bool:
    if re.fullmatch(r"[\w./-]+\.(py|md|toml|npz|j2)|[\w./-]+/", token):
        return any((root / token).exists() for root in (ROOT, ROOT / "mura_batch", ROOT / "docs")) or (
            "/" not in token and token in _sources()
        )
    if re.fullmatch(r"[A-Za-z_][\w.]*", token):
        return all(re.search(rf"\b{part}\b", _sources()) for part in token.split("."))
    return True  # a command, an option, a value


@cache
def _sources() -> str:
    paths = [p for package in (*PACKAGES, "tests") for p in (ROOT / package).rglob("*.py")]
    return "\n".join(p.name + "\n" + p.read_text(encoding="utf-8") for p in [*paths, ROOT / "pyproject.toml"])


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
def test_a_worker_takes_whole_files(request: pytest.FixtureRequest) -> None:
    """Else every worker makes every fixture: pytest-xdist 3.8 does not see the groups of conftest.py in pytest 9.2."""
    assert request.node.nodeid.endswith(f"@{request.path}")
