"""Recipes: what is committed, and how a wrong one is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from mura_batch.errors import InputError
from train.fit.recipe import read_recipe, recipe_from

RECIPES = Path(__file__).resolve().parents[3] / "train/recipes"


def broken(text: str, tmp_path: Path) -> str:
    path = tmp_path / "broken.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_an_unknown_key_is_named_wherever_it_is(recipe_text: str, tmp_path: Path) -> None:
    assert "'sead'" in broken(recipe_text.replace("seed", "sead"), tmp_path)
    assert "[augmentation] unknown key 'flop'" in broken(recipe_text.replace("flip", "flop"), tmp_path)
    assert "[[stages]] unknown key 'epoch'" in broken(recipe_text.replace("epochs", "epoch"), tmp_path)


def test_impossible_values_are_refused(recipe_text: str, tmp_path: Path) -> None:
    assert "one_cycel" in broken(recipe_text.replace('"one_cycle"', '"one_cycel"'), tmp_path)
    assert "batch" in broken(recipe_text.replace("batch = 8", "batch = 1"), tmp_path)
    assert "sizes" in broken(recipe_text.replace("[[0, 32]]", "[[1, 32]]"), tmp_path)
    assert "validate" in broken("validate = [1]\n" + recipe_text + "carry = 'loss'\n", tmp_path)
    assert "cannot be read" in broken("seed = ", tmp_path)


def test_a_missing_recipe_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.toml"):
        read_recipe(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_committed_recipes_are_readable_and_justify_their_values(path: Path) -> None:
    assert read_recipe(path).epochs > 0
    assert path.read_text(encoding="utf-8").count("#") >= 5


def test_recipes_from_imagenet_weights_ask_for_them() -> None:
    asked = {path.stem: read_recipe(path).init for path in RECIPES.glob("*.toml")}
    assert {name for name, init in asked.items() if "densenet169-b2777c0a.pth" in init} == {"paper", "guillou", "best"}
    assert asked["reference"] == asked["smoke"] == ""


def test_asking_for_initial_weights_does_not_change_recipe_identity(recipe_text: str) -> None:
    values = tomllib.loads(recipe_text)
    plain, asking = (recipe_from({"name": "one", **values, "init": words}, "").as_json() for words in ("", "weights"))
    assert plain == asking
    assert '"init"' not in plain
    stretched = recipe_from({"name": "one", **values, "resize": "stretch"}, "").as_json()
    assert "resize" not in plain, "runs begun before the key go on"
    assert '"resize": "stretch"' in stretched


def test_the_papers_recipe_is_the_papers() -> None:
    """arXiv:1712.06957, section 3.1."""
    recipe = read_recipe(RECIPES / "paper.toml")
    (stage,) = recipe.stages
    assert (recipe.optimizer.name, recipe.optimizer.betas, stage.batch, stage.lr) == ("adam", (0.9, 0.999), 8, 1e-4)
    assert (stage.schedule, stage.sizes, recipe.loss.weighting) == ("plateau", ((0, 320),), "per_region")
    assert (recipe.augmentation.flip, recipe.augmentation.rotate) == (0.5, 30.0)
    assert (recipe.keep, recipe.criterion, recipe.resize) == (5, "loss", "stretch")


def test_the_articles_recipe_has_its_nine_stages() -> None:
    """P. Guillou, Deep Learning in medical imaging: MURA, notebooks of piegu/fastai-projects: pixels, batch, frozen,
    epochs, highest and lowest rate of each stage."""
    stages = read_recipe(RECIPES / "guillou.toml").stages
    assert [(s.sizes[0][1], s.batch, s.frozen, s.epochs, s.lr, s.body_lr) for s in stages] == [
        (112, 8, True, 10, 1e-4, 0.0),
        (112, 8, True, 5, 1e-5, 0.0),
        (112, 8, True, 5, 1e-6, 0.0),
        (112, 8, False, 5, 4e-6, 4e-8),
        (320, 8, True, 5, 2e-4, 0.0),
        (320, 8, True, 5, 2e-4, 0.0),
        (320, 16, True, 5, 2e-5, 0.0),
        (320, 16, True, 5, 2e-6, 0.0),
        (320, 16, False, 5, 3e-5, 3e-7),
    ]
    assert [s.carry for s in stages] == ["loss"] * 4 + ["picture_kappa"] * 5


def test_a_recipe_is_located_by_its_name() -> None:
    assert read_recipe(Path("smoke")) == read_recipe(RECIPES / "smoke.toml")
    with pytest.raises(InputError, match=r"recipe smok is neither a file nor one of best, .*, smoke"):
        read_recipe(Path("smok"))
