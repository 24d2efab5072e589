"""What a lay eye would see in the pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mura_batch.phantom.bodies import Fracture, Grid, Lump, Matter, Tube
from mura_batch.phantom.drawing import CHEST, SETUPS, Exposure, Person, draw
from mura_batch.phantom.injuries import Injury
from mura_batch.phantom.placing import about_x, about_y, about_z, turned
from mura_batch.phantom.rays import TEXTURE, Rays, rays_through
from mura_batch.records import MURA_REGIONS, Laterality, Region

PLAIN = np.full((TEXTURE, TEXTURE), 0.2, dtype=np.float32)  # trabeculae without grain
GRID = Grid(rows=200, columns=200, left=-20.0, top=-20.0, spacing=0.2)
SHAFT = Tube("shaft", (0, -60, 0), (0, 60, 0), ((0.0, 8, 8, 0), (1.0, 8, 8, 0)), cortex=(2.0, 2.0))


def _exposure(region: Region | None, injury: Injury = Injury.NONE, seed: int = 1) -> Exposure:
    view = SETUPS[region].views[0] if region else CHEST.views[0]
    return Exposure(region, view, Person(seed, 1.0, 1.0, 1.0), Laterality.LEFT, injury, 500, 400, seed)


def _rays(body: Tube | Lump) -> Rays:
    rays = rays_through(body, GRID, PLAIN)
    assert rays is not None
    return rays


def _profile(rays: Rays) -> NDArray[np.float32]:
    """Bone path across the middle of the picture."""
    whole = np.zeros((GRID.rows, GRID.columns), dtype=np.float32)
    whole[rays.window] = rays.outer - rays.marrow
    return whole[100]


def test_the_wall_of_a_shaft_is_brighter_than_its_marrow() -> None:
    profile = _profile(_rays(SHAFT))
    middle, wall, outside = profile[100], profile.max(), profile[:50].max()

    assert wall > 1.6 * middle > 0
    assert outside == 0
    assert abs(int(profile.argmax()) - 100) * GRID.spacing == pytest.approx(6, abs=0.6)  # the marrow's edge


def test_a_ray_through_a_ball_centre_is_its_diameter() -> None:
    rays = _rays(Lump("ball", (0, 0, 0), (7, 7, 7)))

    assert rays.outer.max() == pytest.approx(14, abs=0.01)
    area = float((rays.outer > 0).sum()) * GRID.spacing**2
    assert area == pytest.approx(np.pi * 49, rel=0.02)


@pytest.mark.parametrize("matrix", [about_y(90), about_x(90), about_z(90), about_y(37) @ about_x(20)])
def test_a_turned_ellipsoid_keeps_its_volume(matrix: NDArray[np.float64]) -> None:
    body = turned(Lump("egg", (0, 0, 0), (4, 9, 6), turn=25), matrix)
    assert isinstance(body, Lump)

    assert float(_rays(body).outer.sum()) * GRID.spacing**2 == pytest.approx(4 / 3 * np.pi * 4 * 9 * 6, rel=0.02)


def test_a_break_opens_a_gap_and_may_displace_a_fragment() -> None:
    gap = _rays(replace(SHAFT, fracture=Fracture(at=0.5, slant=0, gap=3, jag=0)))
    shifted = _rays(replace(SHAFT, fracture=Fracture(at=0.5, slant=0, gap=0, shift=5, jag=0)))

    column = np.zeros((GRID.rows, GRID.columns), dtype=np.float32)
    column[gap.window] = gap.outer
    assert column[108, 100] == 0  # 1.6 mm beyond the line, in the gap of 3 mm
    assert column[90, 100] == column[125, 100] == pytest.approx(16, abs=0.1)
    whole = np.zeros((GRID.rows, GRID.columns), dtype=np.float32)
    whole[shifted.window] = shifted.outer
    left, right = (np.flatnonzero(whole[row])[0] for row in (50, 150))
    assert abs(int(left) - int(right)) * GRID.spacing == pytest.approx(5, abs=0.5)


def test_a_body_outside_the_picture_costs_nothing() -> None:
    assert rays_through(replace(SHAFT, start=(100, -60, 0), end=(100, 60, 0)), GRID, PLAIN) is None


@pytest.mark.parametrize("region", [*MURA_REGIONS, None])
def test_every_region_shows_black_border_grey_tissue_and_bright_bone(region: Region | None) -> None:
    picture = draw(_exposure(region))

    assert picture.shape == (500, 400)
    assert picture.dtype == np.float32
    assert 0 <= picture.min() < 0.01
    assert 0.5 < np.percentile(picture, 99) <= 1
    assert np.ptp(np.percentile(picture, (10, 90))) > 0.15


@pytest.mark.parametrize("region", MURA_REGIONS)
@pytest.mark.parametrize("injury", [Injury.FRACTURE, Injury.METAL])
def test_an_injury_changes_the_picture_only_at_its_location(region: Region, injury: Injury) -> None:
    for seed in (1, 2):
        healthy, injured = draw(_exposure(region, seed=seed)), draw(_exposure(region, injury, seed))
        changed = np.abs(healthy - injured) > 0.1

        assert changed.sum() > 40  # pixels of 200,000: more than a speck
        assert changed.mean() < 0.25


def test_metal_is_whiter_than_any_bone() -> None:
    for seed in range(4):
        healthy = draw(_exposure(Region.FOREARM, seed=seed))
        metal = draw(_exposure(Region.FOREARM, Injury.METAL, seed))
        changed = metal - healthy > 0.1

        assert np.percentile(metal[changed], 90) > np.percentile(healthy, 99)


def test_right_mirrors_left_except_for_its_letter_and_noise() -> None:
    left = _exposure(Region.HAND)
    mirrored = draw(replace(left, side=Laterality.RIGHT))[:, ::-1]

    difference = np.abs(draw(left) - mirrored)
    assert np.median(difference) < 0.02
    assert (difference > 0.2).mean() < 0.06  # two letters, and a diaphragm that is not mirrored


def test_views_of_one_study_show_the_same_bones_differently() -> None:
    frontal = _exposure(Region.WRIST)
    lateral = replace(frontal, view=SETUPS[Region.WRIST].views[2])

    assert np.abs(draw(frontal) - draw(lateral)).mean() > 0.03


def test_only_the_same_seed_draws_the_same_picture() -> None:
    exposure = _exposure(Region.ELBOW)

    np.testing.assert_array_equal(draw(exposure), draw(exposure))
    assert (draw(exposure) != draw(replace(exposure, seed=2))).mean() > 0.5


def test_lungs_are_darker_than_the_flesh_beside_them() -> None:
    picture = draw(replace(_exposure(None), rows=400))

    lung, middle = picture[190:230, 125:140].mean(), picture[190:230, 196:204].mean()
    assert middle > lung + 0.2


def test_every_body_of_a_region_is_of_a_known_matter() -> None:
    for setup in (*SETUPS.values(), CHEST):
        bodies = setup.bodies(setup.views[0])
        assert {body.matter for body in bodies} <= set(Matter)
        assert sum(body.matter is Matter.BONE for body in bodies) >= 10
