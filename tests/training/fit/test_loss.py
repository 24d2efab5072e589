"""The losses against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mura_batch.errors import InputError
from train.data.examples import Example
from train.fit.loss import region_weights, term_weights, training_loss, weighted_bce
from train.fit.recipe import DistilPart, LossPart
from train.models.densenet import Outputs


def example(region: str, abnormal: bool) -> Example:
    return Example("i", "train", "s", "p", region, abnormal)


WRIST = [example("wrist", True)] * 1 + [example("wrist", False)] * 3
ELBOW = [example("elbow", True)] * 2 + [example("elbow", False)] * 2


def test_each_region_weighs_by_its_own_counts() -> None:
    """w1 = |N|/(|A|+|N|), w0 = |A|/(|A|+|N|): arXiv:1712.06957, section 3.1."""
    assert region_weights(WRIST + ELBOW) == {"wrist": (0.25, 0.75), "elbow": (0.5, 0.5)}


def test_mura_finger_pictures_weigh_as_its_counts_say() -> None:
    """3138 normal and 1968 abnormal finger pictures train MURA v1.1 (its CSV files)."""
    finger = [example("finger", False)] * 3138 + [example("finger", True)] * 1968
    assert region_weights(finger)["finger"] == pytest.approx((0.38543, 0.61457), abs=1e-5)


def test_the_weighted_loss_is_the_papers_formula() -> None:
    # p = 1/2: both terms are log 2; p = 3/4 at logit log 3
    logits = torch.tensor([0.0, 0.0, math.log(3), math.log(3)])
    labels = torch.tensor([1.0, 0.0, 1.0, 0.0])
    weights = torch.tensor([[0.25, 0.75]] * 4)
    by_hand = [0.75 * math.log(2), 0.25 * math.log(2), -0.75 * math.log(0.75), -0.25 * math.log(0.25)]
    assert weighted_bce(logits, labels, weights).item() == pytest.approx(sum(by_hand) / 4, rel=1e-6)


def test_smoothing_moves_both_labels_toward_the_middle() -> None:
    logit, ones = torch.tensor([math.log(3)]), torch.ones(1, 2)
    by_hand = -(0.95 * math.log(0.75) + 0.05 * math.log(0.25))
    assert weighted_bce(logit, torch.ones(1), ones, smoothing=0.1).item() == pytest.approx(by_hand, rel=1e-6)


def test_a_region_without_abnormal_pictures_gives_a_finite_loss() -> None:
    weights = torch.from_numpy(term_weights(LossPart("per_region"), WRIST[1:], WRIST[1:]))
    assert weights.tolist() == [[0.0, 1.0]] * 3
    assert math.isfinite(weighted_bce(torch.tensor([9.0, 0.0, -9.0]), torch.zeros(3), weights).item())


def test_validation_is_weighted_by_the_training_counts() -> None:
    weights = term_weights(LossPart("per_region"), WRIST + ELBOW, [example("wrist", True)])
    np.testing.assert_allclose(weights, [[0.25, 0.75]])
    with pytest.raises(InputError, match="shoulder"):
        term_weights(LossPart("per_region"), WRIST, [example("shoulder", True)])


def test_a_picture_of_two_regions_has_their_mean_weight() -> None:
    """FracAtlas has hips with hands; one such pair in val need not be in the training split."""
    both = example("elbow+wrist", True)
    weights = region_weights([*WRIST, *ELBOW, both])
    assert weights["wrist"] == pytest.approx((2 / 5, 3 / 5))
    assert weights["elbow"] == pytest.approx((3 / 5, 2 / 5))
    np.testing.assert_allclose(term_weights(LossPart("per_region"), WRIST + ELBOW, [both]), [[0.375, 0.625]])


def test_the_auxiliary_heads_add_their_share() -> None:
    batch = {"abnormal": torch.ones(1), "weights": torch.ones(1, 2), "attributes": torch.tensor([[1.0, 0.0]])}
    outputs = Outputs(torch.zeros(1), torch.zeros(1, 2), ())
    total, main, auxiliary = training_loss(outputs, batch, LossPart(aux_weight=0.5), DistilPart())
    assert main.item() == pytest.approx(math.log(2))
    assert auxiliary.item() == pytest.approx(math.log(2))
    assert total.item() == pytest.approx(1.5 * math.log(2))
