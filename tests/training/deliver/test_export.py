"""From checkpoints to model folders, and what can be done with either."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from mura_batch.errors import InputError
from mura_batch.model_card import load_model, write_card
from mura_batch.preprocess import InputSpec
from mura_batch.runtime.cpu_answers import cpu_answers
from mura_batch.runtime.feature_distance import load_statistics, read_statistics
from train.data.examples import TRAIN, VAL
from train.data.input_cache import model_inputs
from train.data.open_dataset import open_dataset
from train.deliver.card_text import read_card_text
from train.deliver.export import card_identity
from train.deliver.reference_inputs import _drawings, drawn, reference_inputs, spread
from train.measure.calibrate import best_threshold, held_out_decisions
from train.models.checkpoint import trained_network
from train.models.float16_rounding import run_onnx
from train.models.logits import sigmoid
from train.models.scoring_graph import scoring_graph
from train.models.weight_file import read_checkpoint

Command = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).resolve().parents[3]
CARD = ROOT / "train/cards/mura.toml"


def test_the_model_folder_is_one_that_scoring_accepts(exported: Path) -> None:
    card = load_model(exported).card
    assert card.input.size == 32
    assert 0 < card.threshold < 1
    assert "Rajpurkar" in card.attribution
    assert card.training["counts"]["val"] == {"pictures": 42, "studies": 30, "abnormal_studies": 15, "groups": 30}
    assert card.training["command"].startswith("python -m train fit ")
    assert card.training["validation_looks"] == [0, 1]
    assert card.training["epochs"] == 2
    assert set(card.figures["by_region"]) == {"elbow", "hand", "wrist"}
    assert card.figures["kappa"]["n"] == 30
    assert card.parity["n"] == 42 + 16
    assert card.parity["max_abs"] <= 5e-3


def test_nvidia_builds_a_plan_of_an_exported_model(exported: Path, tmp_path: Path) -> None:
    """TensorRT-RTX itself parses the graph, checks its types and builds it; no GPU is needed."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed (development group)")
    command = [sys.executable, "-m", "mura_batch", "compile", str(exported), "--backend", "rtx", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(next(tmp_path.glob("*.plan")))


def test_the_graph_keeps_the_contract(exported: Path) -> None:
    model = onnx.load(exported / "model.onnx")
    (images,) = model.graph.input
    assert (images.name, images.type.tensor_type.elem_type) == ("images", onnx.TensorProto.UINT8)
    assert [d.dim_value for d in images.type.tensor_type.shape.dim] == [0, 1, 32, 32]
    outputs = {o.name: o.type.tensor_type for o in model.graph.output}
    assert list(outputs) == ["probability", "cam", "features"]
    assert {t.elem_type for t in outputs.values()} == {onnx.TensorProto.FLOAT}
    half = sum(i.data_type == onnx.TensorProto.FLOAT16 for i in model.graph.initializer)
    assert half > 169, "the body's weights are float16"
    assert not [i for i in model.graph.initializer if i.data_location == onnx.TensorProto.EXTERNAL]
    assert (exported / "model.onnx").stat().st_size < 30_000_000
    assert str(ROOT).encode() not in (exported / "model.onnx").read_bytes()


@pytest.mark.parametrize("count", [1, 5, 16])
def test_any_batch_gives_what_torch_gives(exported: Path, finished: Path, count: int) -> None:
    inputs = np.load(exported / "reference_inputs.npz")["images"]
    assert inputs.shape == (16, 1, 32, 32)
    assert inputs.dtype == np.uint8
    card = load_model(exported).card
    net = trained_network(read_checkpoint(finished / "final.pt"), finished)
    with torch.inference_mode():
        expected = scoring_graph([net], card.temperature, card.calibration_bias)(torch.from_numpy(inputs[:count]))
    outputs = run_onnx((exported / "model.onnx").read_bytes(), inputs[:count, 0], batch=count, threads=1)
    for name, value, tolerance in zip(("probability", "cam", "features"), expected, (5e-3, 0.05, 0.05), strict=True):
        np.testing.assert_allclose(outputs[name], value.numpy(), atol=tolerance, err_msg=name)


def test_what_float32_says_of_the_reference_pictures_travels_with_them(exported: Path, finished: Path) -> None:
    arrays = np.load(exported / "reference_inputs.npz")
    net = trained_network(read_checkpoint(finished / "final.pt"), finished)
    card = load_model(exported).card
    with torch.inference_mode():
        graph = scoring_graph([net], card.temperature, card.calibration_bias, half=False)
        expected = graph(torch.from_numpy(arrays["images"]))[0].numpy()
    assert arrays["probability"].dtype == np.float32
    np.testing.assert_allclose(arrays["probability"], expected, atol=1e-5)


def test_reference_inputs_are_radiographs_with_uncertain_scores() -> None:
    """Most of what this one says is 0 or 1 to the second decimal, as of a network that never saw a drawing."""
    spec = InputSpec(size=64)

    def score(pictures: np.ndarray) -> np.ndarray:
        grey = pictures.reshape(len(pictures), -1).mean(axis=1)
        return np.asarray(sigmoid(15 * (grey - grey.mean()) / grey.std()))

    pictures, probabilities = reference_inputs(spec, score)
    assert pictures.shape == (16, 64, 64)
    assert len({p.tobytes() for p in pictures}) == 16
    assert (pictures.reshape(16, -1).std(axis=1) > 20).all()
    every = score(drawn(spec))
    np.testing.assert_array_equal(probabilities, np.sort(probabilities))
    assert set(probabilities) <= set(every.astype(np.float32))
    assert 4 < in_doubt(every) < 16
    assert in_doubt(probabilities) == in_doubt(every)


def in_doubt(probabilities: np.ndarray) -> int:
    return int((np.abs(probabilities - 0.5) < 0.49).sum())


def test_the_same_drawings_come_from_the_same_seed() -> None:
    spec = InputSpec(size=64)
    first = drawn(spec)
    _drawings.cache_clear()
    np.testing.assert_array_equal(drawn(spec), first)


def test_probabilities_are_spread_as_evenly_as_there_are_any() -> None:
    even = np.linspace(0, 1, 101, dtype=np.float32)
    assert list(even[spread(even, 4)]) == pytest.approx([0.12, 0.37, 0.62, 0.87], abs=0.011)
    assert spread(np.ones(5, np.float32), 3) == [0, 1, 2]
    saturated = np.array([0, 1, 1, 0.7, 0, 1, 0.4], np.float32)
    assert [saturated[n] for n in spread(saturated, 2)] == pytest.approx([0.4, 0.7])


def test_a_folder_without_its_checkpoint_gets_new_reference_inputs(
    exported: Path, tmp_path: Path, here: Command
) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    before = load_model(folder)
    exports = np.load(folder / "reference_inputs.npz")
    images, probability = exports["images"], exports["probability"]
    np.savez(tmp_path / "old.npz", images=images[:3], probability=np.full(3, 0.5, np.float32))
    (folder / "reference_inputs.npz").unlink()
    (tmp_path / "old.npz").rename(folder / "reference_inputs.npz")
    write_card(before.card, folder)
    assert here("reference", folder).returncode == 0
    after = load_model(folder)
    made = np.load(folder / "reference_inputs.npz")
    assert made["images"].shape == images.shape
    drawings = {picture.tobytes() for picture in drawn(before.card.input)}
    assert {picture.tobytes() for picture in made["images"]} <= drawings
    np.testing.assert_allclose(made["probability"], probability, atol=1e-3)  # spread as export spread them
    assert after.hash == before.hash
    assert after.card.parity["sets"]["reference_inputs"]["n"] == 16
    assert after.card.parity["n"] == before.card.parity["n"]
    assert after.card.parity["max_abs"] <= 5e-3


def test_the_card_quotes_held_out_figures_first(exported: Path) -> None:
    figures = load_model(exported).card.figures
    assert next(iter(figures)) == "kappa_threshold_held_out"
    held_out = figures["calibration_held_out"]
    assert {"slope", "intercept", "brier", "calibration_error"} <= held_out.keys()
    assert held_out["brier"]["n"] == 42
    assert sum(one["n"] for one in held_out["reliability"]) == 42


def test_the_network_names_itself_and_its_card(exported: Path) -> None:
    card = load_model(exported).card
    metadata = {p.key: p.value for p in onnx.load(exported / "model.onnx").metadata_props}
    assert metadata == {"name": "tiny", "version": "1", "card_sha256": card_identity(card)}
    assert card_identity(replace(card, hashes={}, parity={})) == metadata["card_sha256"]
    assert card_identity(replace(card, threshold=0.99)) != metadata["card_sha256"]


def test_features_of_training_pictures_travel_with_the_model(exported: Path, mura: Path, cache: Path) -> None:
    arrays = np.load(exported / "features.npz")
    training = model_inputs(open_dataset(mura), "train", InputSpec(size=32), cache)
    features = run_onnx((exported / "model.onnx").read_bytes(), np.array(training), threads=1)["features"]
    assert arrays["pictures"] == len(training)
    np.testing.assert_allclose(arrays["mean"], features.mean(axis=0), atol=0.02)  # half precision against float32
    distances = read_statistics(exported / "features.npz").distances(features)
    assert np.isfinite(distances).all()
    assert (distances > 0).all()
    assert (exported / "features.npz").stat().st_size < 1_000_000
    assert "features.npz" in load_model(exported).card.hashes


def test_data_of_another_count_than_the_card_states_are_refused(
    here: Command, finished: Path, mura: Path, cache: Path, tmp_path: Path
) -> None:
    model = ("--data", mura, "--cache", cache, "--card", ROOT / "train/cards/mura.toml", "--out", tmp_path / "x")
    done = here("export", finished / "final.pt", *model)
    assert done.returncode == 2
    assert "the card's text states 40005 pictures" in done.stderr
    assert not (tmp_path / "x").exists()


def test_the_threshold_is_the_middle_of_the_best_run() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.8])
    abnormal = np.array([False, False, False, True, True, True])
    assert best_threshold(scores, abnormal) == pytest.approx(0.45)
    with pytest.raises(InputError, match="same score"):
        best_threshold(np.full(6, 0.5), abnormal)


def test_decisions_held_out_do_not_see_their_own_label() -> None:
    """One group, one outlier: its own label would choose a threshold that gets it right."""
    scores = np.concatenate([np.linspace(0, 0.4, 40), np.linspace(0.6, 1, 40), [0.5]])
    groups = [f"g{n}" for n in range(81)]
    for truth in (False, True):
        abnormal = np.concatenate([np.zeros(40, bool), np.ones(40, bool), [truth]])
        called = held_out_decisions(scores, abnormal, groups)
        assert called[-1] == held_out_decisions(scores, np.append(abnormal[:-1], not truth), groups)[-1]


def test_a_card_for_an_unknown_region_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "card.toml"
    path.write_text(CARD.read_text().replace('"elbow"', '"knee"'))
    with pytest.raises(InputError, match="'knee'"):
        read_card_text(path)
    path.write_text(CARD.read_text() + "\nnotes = 'x'\n")
    with pytest.raises(InputError, match="notes missing or unknown"):
        read_card_text(path)


@pytest.mark.parametrize("card", sorted((ROOT / "train/cards").glob("*.toml")), ids=lambda path: path.stem)
def test_each_committed_card_can_be_read(card: Path) -> None:
    assert read_card_text(card).limits


def test_calibrate_says_what_export_chose(
    here: Command, finished: Path, exported: Path, mura: Path, cache: Path
) -> None:
    done = here("calibrate", finished / "final.pt", "--data", mura, "--cache", cache)
    printed, card = json.loads(done.stdout), load_model(exported).card
    assert (printed["temperature"], printed["bias"]) == (card.temperature, card.calibration_bias)
    assert printed["held_out"]["brier"] == card.figures["calibration_held_out"]["brier"]
    assert printed["threshold"] == pytest.approx(card.threshold, abs=0.01)
    assert printed["log_loss_after"] <= printed["log_loss_before"]


def test_more_members_than_there_are_is_reported(here: Command, finished: Path, mura: Path, tmp_path: Path) -> None:
    done = here("ensemble", finished, "--count", "7", "--data", mura, "--card", CARD, "--out", tmp_path / "x")
    assert done.returncode == 2
    assert "2 kept checkpoints, 7 were asked for" in done.stderr


def test_bench_compares_eager_tuned_and_loader(here: Command) -> None:
    done = here("bench", "--size", "32", "--batch", "2", "--steps", "1", "--device", "cpu")
    assert done.returncode == 0
    assert "1.00 x" in done.stdout
    assert done.stdout.count("img/s") == 3


def test_each_command_has_an_example_in_its_help(train: Command) -> None:
    for name in ("data", "fit", "evaluate", "predict", "calibrate", "export", "ensemble", "bench"):
        assert f"python -m train {name}" in train(name, "--help").stdout


def test_features_adds_to_a_folder_what_outliers_are_found_by(
    exported: Path, mura: Path, cache: Path, tmp_path: Path, here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    before = load_model(exported)
    done = here("features", folder, "--data", mura, "--cache", cache)
    assert done.returncode == 0, done.stderr
    model = load_model(folder)  # which checks every hash of the card
    assert model.hash == before.hash, "the network stays as it is, and so do its scores"
    assert [path.name for path in tmp_path.iterdir()] == ["model"], "nothing is left beside it"
    statistics = load_statistics(model)
    assert statistics is not None
    dataset = open_dataset(mura)
    training, held_out = (model_inputs(dataset, split, InputSpec(size=32), cache) for split in (TRAIN, VAL))
    assert (statistics.pictures, statistics.held_out) == (len(training), len(held_out))
    assert f"of {len(training)} pictures" in done.stdout
    features = np.asarray(cpu_answers(model, "auto", np.array(training)[:, None]).features, np.float64)
    np.testing.assert_allclose(statistics.mean, features.mean(axis=0), rtol=1e-3, atol=1e-4)
    distances = statistics.distances(np.asarray(cpu_answers(model, "auto", np.array(held_out)[:, None]).features))
    assert np.quantile(distances, statistics.quantile) <= statistics.limit * 1.01
