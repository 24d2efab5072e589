"""What the bar of a run says of its speed."""

from __future__ import annotations

from train.fit.pace import pace_words, work_left
from train.fit.recipe import Recipe, Stage

RECIPE = Recipe(
    name="two sizes",
    seed=1,
    stages=(Stage(epochs=3, lr=1e-3, batch=10, sizes=((0, 100), (2, 200))),),
)


def test_larger_pictures_count_by_their_area() -> None:
    assert work_left(RECIPE, rows=45, epoch=0, batches=0) == 40 * (2 * 100**2 + 200**2)
    assert work_left(RECIPE, rows=45, epoch=2, batches=3) == 10 * 200**2
    assert work_left(RECIPE, rows=45, epoch=3, batches=0) == 0


def test_the_end_of_the_run_follows_from_the_rate() -> None:
    left = work_left(RECIPE, rows=45, epoch=1, batches=0)  # 40 pictures of 100 px, 40 of 200 px: as 200 of 100 px
    assert pace_words(20, 10.0, 100, left) == "2 img/s, run ends in 0:01:40"


def test_nothing_is_said_before_the_first_step() -> None:
    assert pace_words(0, 0.0, 100, 1.0) == ""
