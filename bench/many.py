"""A folder of very many small files: headers a second beside pydicom's, memory, and a night on which nothing is new.

The files are DICOM radiographs of 64 x 64 pixels, two to a study, and the model has two convolutions: the section
measures the fixed cost of a file, apart from its size and from the model.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread

from bench.full_size import BITS, SEED, TECHNIQUE
from bench.result import Figure, ratio
from bench.whole import score_command
from mura_batch.dicom import syntax
from mura_batch.dicom.discover import discover
from mura_batch.dicom.header.reader import read_header
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.write.radiograph import write_radiograph
from mura_batch.model_card import CARD_NAME, ONNX_NAME, REFERENCE_INPUTS_NAME, load_model, sha256_of
from mura_batch.phantom import PhantomOptions
from mura_batch.phantom.drawing import draw
from mura_batch.phantom.study_plan import plan_study
from mura_batch.phantom.technique import stored_values, voi_of
from mura_batch.records import Instance, SourceFile

SIDE = 64  # pixels
PER_STUDY, PER_FOLDER = 2, 1000
SCANNED = 10_000  # files of the comparison with pydicom
SECTION = "Many small files"


def many(model: Path, work: Path, count: int) -> list[Figure]:
    """count: of the large tree; the small one has a tenth. model: whose card the two-layer model takes over."""
    tiny = make_model(model, work / "model")
    small, _, _ = _score(make_tree(work / "tenth", count // 10), tiny, work / "out-tenth")
    shutil.rmtree(work / "tenth")
    tree = make_tree(work / "files", count)
    figures = [_headers(make_tree(work / "scanned", min(SCANNED, count)), min(SCANNED, count))]
    large, first, _ = _score(tree, tiny, work / "out")
    again, second, manifest = _score(tree, tiny, work / "out")
    if manifest["counts"] != {"found": count, "scored": 0, "unchanged": count, "skipped": 0}:
        raise RuntimeError(f"{manifest['counts']}: the second run scored files again")
    return [
        *figures,
        Figure(SECTION, f"peak memory of the parent, {count // 10:,} files", small, unit="MB"),
        Figure(SECTION, f"peak memory of the parent, {count:,} files", large, "< 600", unit="MB"),
        Figure(SECTION, "ratio of the two", large / small, "< 1.1"),
        Figure(SECTION, f"first run of {count:,} files", count / first, unit="files/s"),
        Figure(SECTION, f"second run, {count:,} files unchanged", second, "< 10" if count == 100_000 else "", unit="s"),
        Figure(SECTION, "peak memory of the parent, second run", again, "< 600", unit="MB"),
    ]


def make_tree(folder: Path, count: int, drawings: int = 1) -> Path:
    """Writes count radiographs: copies of so many drawings in turn, each with its own UIDs and patient."""
    folder.mkdir(parents=True)
    texts = [_drawn(folder / "drawn", n) for n in range(drawings)]
    for number in range(count):
        if number % PER_FOLDER == 0:
            here = folder / f"{number // PER_FOLDER:04d}"
            here.mkdir()
        own = texts[number // PER_STUDY % drawings]
        for series, value in ((1, number // PER_STUDY), (2, number // PER_STUDY), (3, number)):
            own = own.replace(b"1.2.3.4.5.%d000000001" % series, b"1.2.3.4.5.%d%09d" % (series, value))
        (here / f"IM{number % PER_FOLDER:06d}").write_bytes(own)
    return folder


def _drawn(path: Path, number: int) -> bytes:
    """The radiograph that copies are made of: the first view of a study."""
    image = plan_study(number, PhantomOptions(seed=SEED)).images[0]
    radiograph = image.radiograph
    study = replace(radiograph.header.study, study_uid="1.2.3.4.5.1000000001", patient_id="1.2.3.4.5.1000000001")
    header = replace(
        radiograph.header, study=study, series_uid="1.2.3.4.5.2000000001", sop_instance_uid="1.2.3.4.5.3000000001"
    )
    shown = replace(
        radiograph, header=header, bits_stored=BITS, photometric="MONOCHROME2", slope=1.0, intercept=0.0,
        windows=voi_of(TECHNIQUE)[0], table=None,
    )  # fmt: skip
    stored = stored_values(draw(replace(image.exposure, rows=SIDE, columns=SIDE)), TECHNIQUE)
    write_radiograph(path, shown, stored, syntax.EXPLICIT_LE)
    text = path.read_bytes()
    path.unlink()
    return text


def make_model(reference: Path, folder: Path) -> Path:
    """Writes a model folder whose network takes almost no time."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    card = load_model(reference).card
    size, random = card.input.size, np.random.default_rng(SEED)
    weights = {
        "w1": random.normal(0, 0.01, (4, 1, 8, 8)).astype(np.float32),
        "w2": random.normal(0, 0.1, (16, 4, 4, 4)).astype(np.float32),
        "w3": random.normal(0, 0.1, (1, 16, 1, 1)).astype(np.float32),
        "squeeze": np.array([1]), "space": np.array([2, 3]), "plane": np.array([1, 2]),
    }  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["float", "w1"], ["c1"], strides=[8, 8]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], strides=[4, 4]),
        helper.make_node("Relu", ["c2"], ["body"]),
        helper.make_node("ReduceMean", ["body", "space"], ["features"], keepdims=0),
        helper.make_node("Conv", ["body", "w3"], ["map"]),
        helper.make_node("Squeeze", ["map", "squeeze"], ["cam"]),
        helper.make_node("ReduceMean", ["cam", "plane"], ["logit"], keepdims=0),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    shapes: dict[str, list[str | int | None]] = {
        "probability": ["n"],
        "cam": ["n", size // 32, size // 32],
        "features": ["n", 16],
    }
    graph = helper.make_graph(
        nodes,
        "two layers",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 1, size, size])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    folder.mkdir(parents=True)
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(network, folder / "model.onnx")
    images = random.integers(0, 256, (4, 1, size, size), dtype=np.uint8)
    np.savez_compressed(folder / "reference_inputs.npz", images=images)
    # The reference model's card as it is on the disk: an earlier commit reads it too, whatever fields a card has today.
    values = json.loads((reference / CARD_NAME).read_text(encoding="utf-8"))
    hashes = {name: sha256_of(folder / name) for name in (ONNX_NAME, REFERENCE_INPUTS_NAME)}
    (folder / CARD_NAME).write_text(json.dumps({**values, "name": "two layers", "hashes": hashes}), encoding="utf-8")
    return folder


def _headers(tree: Path, count: int) -> Figure:
    """CPU time of one core, files in the page cache for both."""
    policy = IntakePolicy(settle_seconds=0)

    def ours() -> int:
        sources = (source for source in discover(tree, policy) if isinstance(source, SourceFile))
        return sum(isinstance(read_header(tree, source, policy), Instance) for source in sources)

    def peer() -> int:
        files = (path for path in tree.rglob("*") if path.is_file())
        return sum("Rows" in dcmread(path, stop_before_pixels=True) for path in files)

    seconds: dict[Callable[[], int], float] = {}
    for side in (ours, peer, ours, peer):
        begun = time.process_time()
        if side() != count:
            raise RuntimeError(f"{side.__name__} did not read all of {count} headers")
        seconds[side] = min(time.process_time() - begun, seconds.get(side, float("inf")))
    shutil.rmtree(tree)
    rates = (count / seconds[ours], count / seconds[peer])
    return ratio(SECTION, f"headers of {count:,} files, with the folder walk", rates, "files/s", ">= 3")


def _score(tree: Path, model: Path, out: Path) -> tuple[float, float, dict[str, Any]]:
    """(peak resident memory of the parent in MB, seconds, run.json)."""
    peak, seconds = watched(score_command(tree, out, model))
    return peak, seconds, json.loads((out / "latest" / "run.json").read_text())


def watched(command: list[str]) -> tuple[float, float]:
    """Runs it: (peak resident memory of the process in MB, seconds). Raises RuntimeError where it fails."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # noqa: S603 - our own program
    peak = 0.0
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:  # VmHWM of the process alone: wait4's value includes the parent's before exec
        try:
            words = status.read_text()
        except OSError:
            break
        if "VmHWM" in words:
            peak = int(words.split("VmHWM:")[1].split()[0]) / 1024
        time.sleep(0.05)
    _, errors = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {errors.decode()[-500:]}")
    return peak, time.perf_counter() - begun
