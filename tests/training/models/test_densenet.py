"""The network, and the files that it can start from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import torchvision

from mura_batch.errors import InputError, ModelError
from mura_batch.preprocess import InputSpec
from train.models.checkpoint import initialise, trained_network
from train.models.densenet import MuraNet
from train.models.members import Member, input_spec
from train.models.scoring_graph import scoring_graph
from train.models.weight_file import read_checkpoint


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(0, 256, (3, 1, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def net() -> MuraNet:
    """Random weights, with batch-norm statistics of its own: untrained ones would fold to nothing."""
    torch.manual_seed(5)
    net = MuraNet(aux=2)
    with torch.no_grad():
        for _ in range(2):
            net(torch.randint(0, 256, (4, 1, 64, 64), dtype=torch.uint8))
    return net.eval()


@torch.inference_mode()
def test_the_map_before_pooling_gives_the_plain_heads_logit(net: MuraNet, images: torch.Tensor) -> None:
    plain = net(images).logit
    probability, cam, features = scoring_graph([net], temperature=2.0)(images)
    assert cam.shape == (3, 2, 3)
    assert torch.allclose(cam.mean(dim=(1, 2)) + net.classifier.bias, plain, rtol=0, atol=1e-6)
    assert torch.allclose(probability, torch.sigmoid(plain / 2.0), rtol=0, atol=1e-6)
    assert torch.allclose(net.classifier(features).squeeze(1), plain, rtol=0, atol=1e-6)


@torch.inference_mode()
def test_an_ensemble_averages_probabilities_and_maps(net: MuraNet, images: torch.Tensor) -> None:
    torch.manual_seed(6)
    other = MuraNet().eval()
    one, two = (scoring_graph([n])(images) for n in (net, other))
    for mean, a, b in zip(scoring_graph([net, other])(images), one, two, strict=True):
        assert torch.allclose(mean, (a + b) / 2, rtol=0, atol=1e-6)


@torch.inference_mode()
def test_the_network_is_torchvisions_densenet_on_imagenet_statistics(images: torch.Tensor) -> None:
    theirs = torchvision.models.densenet169(weights=None).eval()
    ours = MuraNet().eval()
    ours.features.load_state_dict(theirs.features.state_dict())
    normalise = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    expected = torch.relu(theirs.features(normalise(images.float().div(255).repeat(1, 3, 1, 1))))
    assert torch.allclose(ours.body(images), expected, atol=1e-5)


def test_old_and_prefixed_torchvision_weight_keys_are_understood(tmp_path: Path) -> None:
    """torchvision's densenet169-b2777c0a.pth of 2017 has 'denselayer1.norm.1.weight'; torchvision renames it on loading
    (torchvision.models.densenet._load_state_dict)."""
    theirs = torchvision.models.densenet169(weights=None)
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", k): v for k, v in theirs.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save({f"module.{k}": v for k, v in old.items()}, tmp_path / "imagenet.pth")
    net = MuraNet(aux=4)
    head = net.classifier.weight.clone()
    initialise(net, tmp_path / "imagenet.pth")
    assert all(torch.equal(v, theirs.state_dict()[f"features.{k}"]) for k, v in net.features.state_dict().items())
    assert torch.equal(net.classifier.weight, head), "ImageNet's 1000 classes are not a head of ours"


def test_a_checkpoint_of_ours_starts_a_run_with_its_head(finished: Path) -> None:
    net = MuraNet(aux=5)
    initialise(net, finished / "final.pt")
    trained = trained_network(read_checkpoint(finished / "final.pt"), finished)
    assert torch.equal(net.classifier.weight, trained.classifier.weight)


def test_a_start_takes_what_fits_and_returns_the_share(tmp_path: Path) -> None:
    """DenseNet121 and 169 begin alike: their first two blocks and the third's first 24 layers have the same shapes."""
    state = torchvision.models.densenet121(weights=None).state_dict()
    torch.save({"state_dict": {f"model.{key}": v for key, v in state.items()}}, tmp_path / "densenet121.pth")
    net = MuraNet()
    share = initialise(net, tmp_path / "densenet121.pth")
    assert 0.3 < share < 0.5
    own = net.state_dict()
    for key in ("features.conv0.weight", "features.denseblock2.denselayer12.conv2.weight", "features.norm0.bias"):
        assert torch.equal(own[key], state[key])


class Trap:
    """Pickles to a call: what a hostile checkpoint does when it is loaded carelessly."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    torch.save({"ema": Trap(tmp_path / "sprung")}, tmp_path / "bad.pt")
    with pytest.raises(ModelError, match="holds more than weights"):
        read_checkpoint(tmp_path / "bad.pt")
    assert not (tmp_path / "sprung").exists()


def test_files_that_are_no_checkpoints_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(ModelError, match=r"text\.pt"):
        read_checkpoint(tmp_path / "text.pt")
    with pytest.raises(InputError, match=r"none\.pt is not there"):
        read_checkpoint(tmp_path / "none.pt")


def test_the_input_of_checkpoints_is_what_they_were_trained_on(net: MuraNet) -> None:
    def member(**recipe: str) -> Member:
        return Member(Path("m.pt"), net, {"recipe": json.dumps({"stages": [{"sizes": [[0, 64]]}], **recipe})})

    stretched, before_the_key = member(resize="stretch"), member()
    assert input_spec([stretched, stretched], None) == InputSpec(64, resize="stretch")
    assert input_spec([before_the_key], 96) == InputSpec(96)
    with pytest.raises(InputError, match="letterbox and stretch"):
        input_spec([stretched, before_the_key], None)
