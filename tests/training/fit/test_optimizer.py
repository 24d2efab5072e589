"""What is frozen, how fast each layer learns, and the running average."""

from __future__ import annotations

import pytest
import torch

from train.fit.optimizer import (
    Average,
    decayed_names,
    freeze,
    layer_group,
    make_optimizer,
    moments_of,
    set_moments,
)
from train.fit.recipe import OptimizerPart, Stage
from train.models.densenet import MuraNet


@pytest.fixture(scope="module")
def net() -> MuraNet:
    return MuraNet(aux=3)


def stage(**how: object) -> Stage:
    return Stage(5, 3e-5, 16, ((0, 320),), **how)  # type: ignore[arg-type]


def test_a_frozen_body_still_trains_batch_norms_and_head(net: MuraNet) -> None:
    """torchvision's densenet169 has 12,484,480 parameters in its features (14,149,480 less a 1664 x 1000 head and its
    bias); 158,400 of them are the scale and shift of its 169 batch norms."""
    freeze(net, frozen=True)
    moving = sum(p.numel() for p in net.features.parameters() if p.requires_grad)
    assert sum(p.numel() for p in net.features.parameters()) == 12_484_480
    assert moving == 158_400
    assert all(p.requires_grad for p in net.classifier.parameters())
    freeze(net, frozen=False)
    assert all(p.requires_grad for p in net.parameters())


def test_discriminative_rates_rise_geometrically_to_the_head(net: MuraNet) -> None:
    """The article's ninth stage is slice(3e-7, 3e-5): fastai gives its three groups 3e-7, 3e-6 and 3e-5."""
    optimizer = make_optimizer(net, OptimizerPart(), stage(body_lr=3e-7))
    rates = {name: group["base_lr"] for name, group in decayed_names(net, optimizer)}
    assert rates["features.conv0.weight"] == pytest.approx(3e-7)
    assert rates["features.denseblock2.denselayer1.conv1.weight"] == pytest.approx(3e-7)
    assert rates["features.denseblock3.denselayer1.conv1.weight"] == pytest.approx(3e-6)
    assert rates["classifier.weight"] == pytest.approx(3e-5)


def test_biases_and_batch_norms_do_not_decay_unless_asked(net: MuraNet) -> None:
    part = OptimizerPart(weight_decay=0.05)
    decay = {name: group["weight_decay"] for name, group in decayed_names(net, make_optimizer(net, part, stage()))}
    assert decay["features.conv0.weight"] == 0.05
    assert decay["features.norm0.weight"] == decay["classifier.bias"] == 0.0
    everything = OptimizerPart(weight_decay=0.05, decay_all=True)
    decay = {
        name: group["weight_decay"] for name, group in decayed_names(net, make_optimizer(net, everything, stage()))
    }
    assert set(decay.values()) == {0.05}


def test_every_parameter_that_moves_is_in_one_group(net: MuraNet) -> None:
    names = [name for name, _ in decayed_names(net, make_optimizer(net, OptimizerPart(), stage(body_lr=1e-6)))]
    assert sorted(names) == sorted(name for name, _ in net.named_parameters())
    assert layer_group("classifier.weight") == 2


def test_the_average_warms_up_and_then_decays_as_asked() -> None:
    net = MuraNet()
    bias = net.classifier.bias
    with torch.no_grad():
        bias.fill_(0.0)
        average = Average(net, 0.99)
        bias.fill_(1.0)
    average.update(step=0)  # decay (0 + 1)/(0 + 10)
    assert average.state["classifier.bias"].item() == pytest.approx(0.9)
    average.update(step=10_000)
    assert average.state["classifier.bias"].item() == pytest.approx(0.9 * 0.99 + 0.01)


def test_adams_moments_move_to_the_next_stages_optimizer(net: MuraNet) -> None:
    first = make_optimizer(net, OptimizerPart(), stage())
    outputs = net(torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8))
    (outputs[0].sum() + outputs[1].sum()).backward()
    first.step()
    second = make_optimizer(net, OptimizerPart(), stage(body_lr=1e-6))
    set_moments(net, second, moments_of(net, first))
    for parameter in net.parameters():
        before, after = first.state[parameter], second.state[parameter]
        assert before["step"] == after["step"] == 1
        assert torch.equal(before["exp_avg"], after["exp_avg"])
        assert before["exp_avg"] is not after["exp_avg"]
    second.step()
    assert first.state[net.classifier.weight]["step"] == 1, "the two are apart"


def test_the_head_can_have_a_rate_of_its_own(net: MuraNet) -> None:
    rates = {
        name: group["base_lr"]
        for name, group in decayed_names(net, make_optimizer(net, OptimizerPart(), stage(head_lr=2e-3)))
    }
    assert rates["classifier.weight"] == rates["aux.bias"] == 2e-3
    assert {rate for name, rate in rates.items() if name.startswith("features.")} == {stage().lr}
