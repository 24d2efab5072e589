"""The benchmarks compare what they say, and show a missed target as missed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from pydicom import dcmread

from bench import decoding, fidelity, full_size, inference, many, overlap, peer
from bench.result import Figure, ratio, table
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.worker.pool import DecodePool
from mura_batch.preprocess import InputSpec

COMMAND = [sys.executable, "-m", "bench"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[Path]]]:
    """One full-size picture in each of the six syntaxes."""
    folder = tmp_path_factory.mktemp("mix")
    return folder, full_size.write_mix(folder, islice(full_size.phantoms(2), 1, 2))


def test_a_higher_rate_and_a_shorter_time_are_better() -> None:
    assert ratio("", "", (30.0, 10.0), "img/s").value == 3
    assert ratio("", "", (30.0, 10.0), "ms").value == pytest.approx(1 / 3)


def test_a_missed_target_is_shown_in_the_table() -> None:
    figures = [Figure("a", "fast", 6.0, ">= 6"), Figure("a", "slow", 5.9, ">= 6"), Figure("b", "far", 0.5, "< 0.5")]
    lines = table(figures).splitlines()
    assert [line.rsplit(maxsplit=1)[-1] for line in lines if line[0] in "fs"] == ["met", "MISSED", "MISSED"]


def test_the_mix_is_one_picture_in_six_syntaxes(mix: tuple[Path, dict[str, list[Path]]]) -> None:
    data = {name: dcmread(paths[0]) for name, paths in mix[1].items()}
    assert {name: d.file_meta.TransferSyntaxUID for name, d in data.items()} == full_size.SYNTAXES
    first = data["native explicit"].pixel_array
    assert first.shape == (2000, 1600)
    assert all(np.array_equal(d.pixel_array, first) for d in data.values())
    assert len({d.SOPInstanceUID for d in data.values()}) == len(data)


def test_fast_path_and_peer_see_the_same_picture(mix: tuple[Path, dict[str, list[Path]]]) -> None:
    """The peer stretches and windows by its own rules: its picture is alike, not equal. The full path is equal but for
    the drawn marker, whose edges are sharper than any radiograph's (JPEG 2000 from a quarter of the size)."""
    folder, files = mix
    with DecodePool(folder, IntakePolicy(settle_seconds=0), InputSpec(size=320), 1) as pool:
        fast = {
            item[0].instance.source.path: item[1]
            for item in pool.decode(fidelity.instances_of(folder))
            if isinstance(item, tuple)
        }
    assert len(fast) == len(full_size.SYNTAXES)
    for paths in files.values():
        mine = fast[str(paths[0].relative_to(folder))].astype(float)
        difference = np.abs(mine - fidelity.full_path(dcmread(paths[0]), 320))
        assert difference.mean() < 0.5
        assert np.percentile(difference, 99) <= 1
        assert difference.max() <= 12
        stretched = Image.fromarray(peer.read(paths[0])[1])
        other = np.asarray(stretched.resize((256, 320)))  # 2000 x 1600 in a letterbox of 320: 32 columns on either side
        assert np.corrcoef(mine[:, 32:288].ravel(), other.ravel())[0, 1] > 0.98


def test_decoding_is_measured_by_both_sides(mix: tuple[Path, dict[str, list[Path]]]) -> None:
    rle = {"RLE": mix[1]["RLE"]}
    of_rle, of_mix = decoding.decoding(rle, 320, rounds=1)
    assert of_rle.ours is not None
    assert of_rle.peer is not None
    assert of_rle.value == of_mix.value == pytest.approx(of_rle.peer / of_rle.ours)


def test_the_simulated_accelerator_takes_its_time_batch_by_batch() -> None:
    accelerator, pictures = overlap.Accelerator(8, 0.01), np.zeros((5, 1, 8, 8), np.uint8)
    begun = time.perf_counter()
    outputs = list(accelerator.run([pictures] * 4))
    took = time.perf_counter() - begun
    assert [len(o.probability) for o in outputs] == [5] * 4
    assert 0.2 <= took < 0.4
    assert accelerator.busy_seconds == pytest.approx(0.2, abs=0.02)


def test_overlap_is_measured_with_every_picture_decoded(mix: tuple[Path, dict[str, list[Path]]]) -> None:
    (alone, *beside), seconds = overlap.overlap(mix[0], len(full_size.SYNTAXES), 320)
    assert alone.value == seconds > 0
    assert [f.value > 0.9 for f in beside if f.target] == [True, True], "nothing is faster than its bound"
    with pytest.raises(RuntimeError, match="instead of 7"):
        overlap.overlap(mix[0], 7, 320)


def test_the_float32_graph_is_the_model(tmp_path: Path) -> None:
    """ONNX Runtime gets the same network, not another one: same answers as the half-precision graph."""
    import onnxruntime

    path = ROOT / "engines" / "reference" / "model.onnx"
    full = inference.float32_graph(path)
    kinds = {t.data_type for t in onnx.load_from_string(full).graph.initializer}
    assert onnx.TensorProto.FLOAT16 not in kinds
    with np.load(ROOT / "engines" / "reference" / "reference_inputs.npz") as arrays:
        images = arrays["images"][:4]
    answers = [
        onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(["probability"], {"images": images})
        for graph in (full, path.read_bytes())
    ]
    assert np.abs(answers[0][0] - answers[1][0]).max() < 0.005


def test_each_small_file_is_a_radiograph_of_its_own(tmp_path: Path) -> None:
    tree = many.make_tree(tmp_path / "files", 1003)
    found = list(fidelity.instances_of(tree))
    assert len({i.sop_instance_uid for i in found}) == 1003
    assert len({i.study_uid for i in found}) == 502
    assert all(dcmread(tree / i.source.path).SOPInstanceUID == i.sop_instance_uid for i in found[::100])


@pytest.mark.slow
def test_small_files_are_scored_and_then_reported_unchanged(tmp_path: Path) -> None:
    figures = {f.name: f for f in many.many(ROOT / "engines" / "reference", tmp_path, 200)}
    assert figures["peak memory of the parent, 200 files"].met
    assert figures["second run, 200 files unchanged"].value > 0


@pytest.mark.slow
def test_a_run_prints_the_table_and_writes_json(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--only", "whole", "--count", "1", "--work", str(tmp_path), "--out", str(tmp_path / "bench.json")],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "score of 6 full-size pictures" in done.stdout
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written["run"]["counts"]["scored"] == 6
    assert {"name", "value", "target", "met"} <= written["figures"][0].keys()
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]  # the studies are gone
