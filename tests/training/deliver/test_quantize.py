"""`quantize`: ranges measured rightly, int8 proved on val, the folder whole and all that it held."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mura_batch.errors import ModelError
from mura_batch.model_card import load_model
from mura_batch.preprocess import InputSpec
from mura_batch.runtime.gates import Gate
from mura_batch.runtime.openvino import precision
from mura_batch.runtime.openvino import processor as cpu
from mura_batch.runtime.runner import RunnerOptions
from train.data.examples import TRAIN, VAL
from train.data.input_cache import model_inputs
from train.data.open_dataset import open_dataset
from train.deliver import quantize
from train.deliver.reopen import scoring_network

Here = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder of the test's own, with a plan in it. A network of a few steps on pictures of noise knows nothing
    of drawn bones: on those its int8 is past the gate, which is not what is tested here."""
    for module in (precision, quantize):
        monkeypatch.setattr(module, "CPU_GATE", Gate(max_abs=0.2, mean_abs=0.2, flip_margin=0.2))
    mine = Path(shutil.copytree(exported, tmp_path / "model"))
    (mine / "gpu.plan").write_bytes(b"a plan")
    return mine


@torch.no_grad()
def test_ranges_are_the_largest_values_that_the_network_itself_has(exported: Path, mura: Path, cache: Path) -> None:
    pictures = np.array(model_inputs(open_dataset(mura), TRAIN, InputSpec(size=32), cache))
    model = load_model(exported)
    ranges = quantize.channel_ranges(model.onnx.read_bytes(), pictures)
    every = 82 * 2 + 3  # each layer's two convolutions and the transitions; neither stem nor head
    assert len(ranges) == every - len(quantize.SENSITIVE)
    net, seen = scoring_network(model), []
    layer = net.features.denseblock2.denselayer3
    layer.conv2.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].amax(dim=(0, 2, 3))))
    net(torch.from_numpy(pictures)[:, None])
    largest = torch.stack(seen).amax(dim=0).numpy()
    assert any(np.allclose(found, largest, rtol=5e-3, atol=1e-3) for found in ranges.values() if len(found) == 128)


def test_the_folder_scores_in_int8_with_evidence_in_its_card(folder: Path, mura: Path, cache: Path, here: Here) -> None:
    before = load_model(folder)
    done = here("quantize", folder, "--data", mura, "--cache", cache)
    assert done.returncode == 0, done.stderr
    model = load_model(folder)
    assert model.hash == before.hash
    assert (folder / "gpu.plan").read_bytes() == b"a plan"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing is left beside it"
    inputs = np.array(model_inputs(open_dataset(mura), VAL, InputSpec(size=32), cache))[:, None]
    processor = cpu.Processor(model, RunnerOptions("cpu"))
    name = "int8" if processor.openvino.has_int8 else cpu.EMULATED_INT8
    exact, rounded = (processor.answers(precision, inputs).probability for precision in ("float32", name))
    parity = model.card.parity["int8"]
    assert parity["n"] == len(inputs)
    assert parity["max_abs"] == pytest.approx(np.abs(rounded - exact).max(), abs=1e-6)
    assert parity["method"] == f"OpenVINO {name} against OpenVINO float32"
    assert parity["max_abs"] > 0
    assert {**model.card.parity, "int8": None} == {**before.card.parity, "int8": None}
    assert f"{parity['max_abs']:.4f} at most" in done.stdout


def test_it_may_be_done_again(folder: Path, mura: Path, cache: Path, here: Here) -> None:
    before = list(load_model(folder).card.hashes)
    for _ in range(2):
        assert here("quantize", folder, "--data", mura, "--cache", cache).returncode == 0
    assert (folder / "gpu.plan").read_bytes() == b"a plan"
    assert list(load_model(folder).card.hashes) == [*before, "int8.npz"]


def test_past_the_gate_the_folder_stays_as_it_was(
    folder: Path, mura: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(quantize, "CPU_GATE", Gate(max_abs=1e-9, mean_abs=1e-9, flip_margin=0.01))
    dataset, spec = open_dataset(mura), InputSpec(size=32)
    training, inputs = (np.array(model_inputs(dataset, split, spec, cache)) for split in (TRAIN, VAL))
    with pytest.raises(ModelError, match="int8 is past the gate on val: max"):
        quantize.quantize(load_model(folder), training, dataset, inputs)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_figures_are_of_real_pictures_in_the_model_that_ships() -> None:
    card = json.loads((Path(__file__).parents[3] / "engines" / "reference" / "model.json").read_text())
    val = card["parity"]["int8"]
    assert val["n"] == card["figures"]["auroc"]["n"]
    assert val["flips"] == 0
