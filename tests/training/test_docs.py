"""Every `python -m train` line of the documents can be given as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from train.cli.main import COMMANDS, parser
from train.fit.recipe import RECIPES, read_recipe
from train.measure.ablate import read_ablation

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "docs/training.md", "CONTRIBUTING.md", "docs/design.md", "docs/performance.md")
SOURCES = [*(ROOT / name for name in DOCUMENTS), *sorted((ROOT / "train").rglob("*.toml"))]


def command_lines() -> list[str]:
    """Whole lines, with their continuation; '...' and a command named in running text are not given as they stand."""
    lines = []
    for path in SOURCES:
        text = re.sub(r"\\\n#?\s*", "", path.read_text(encoding="utf-8"))
        for match in re.finditer(r"^[#\s]*(?:\S*python|\$train) -m train ([a-z-]+ .*)$", text, re.MULTILINE):
            lines.append(match.group(1).split("#")[0].strip())
    return sorted(set(lines))


@pytest.mark.parametrize("line", command_lines())
def test_a_documented_command_is_accepted_and_names_files_that_exist(line: str) -> None:
    words = shlex.split(line)
    parser().parse_args(words)
    for word in words:
        if word.startswith(("train/", "engines/reference")):
            assert (ROOT / word).exists(), word
        if "best-" in word and word.endswith(".pt"):
            assert re.search(r"best-e\d{3}\.pt$", word), f"`fit` writes best-eNNN.pt, not {word}"
    if words[0] in ("fit", "lr-find"):
        recipe = Path(words[1])
        assert recipe.name == "my-recipe.toml" or read_recipe(
            recipe if recipe.parent != Path() else RECIPES / f"{recipe}.toml"
        )


def test_the_documents_show_every_command() -> None:
    named = {line.split()[0] for line in command_lines()}
    page = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        name = command.__name__.rsplit(".", 1)[1].replace("_", "-")
        assert f"| `python -m train {name}` |" in page
    assert {"fit", "export", "evaluate", "ensemble", "quantize", "reopen", "reference", "ablate", "lr-find"} <= named


@pytest.mark.parametrize("path", sorted((ROOT / "train/ablations").glob("*.toml")), ids=lambda path: path.stem)
def test_each_committed_ablation_can_be_read(path: Path) -> None:
    assert read_ablation(path).variants


def test_the_documented_plan_is_the_plan_that_runs() -> None:
    script = (ROOT / "train/plans/reference-v3.sh").read_text(encoding="utf-8")
    page = (ROOT / "docs/training.md").read_text(encoding="utf-8").split("## The plan for version 3", 1)[1]
    for part in ("reopen", "fit teacher", "fit distil", "ablate", "export", "quantize", "evaluate"):
        assert f"$train {part} " in script
        assert f"python -m train {part} " in page
