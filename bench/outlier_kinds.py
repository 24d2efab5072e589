"""`python -m bench.outlier_kinds FRACATLAS DICOM`: how well the distance of features tells images of another kind from
held-out ones of the training data, and what it costs.

For each kind the area under the ROC curve of the distance against held-out pictures, and the share beyond the limit:
the table of docs/statistics.md. FRACATLAS is the data that the model was trained on; DICOM a folder of DICOM files,
of which those named in CHESTS and OTHERS are used where they are there.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mura_batch.agreement.curves import roc_auc_score
from mura_batch.model_card import Model, load_model
from mura_batch.preprocess import InputSpec, preprocess
from mura_batch.resources import engines_folder
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.feature_distance import FeatureStatistics, load_statistics
from mura_batch.runtime.parity import answers
from mura_batch.runtime.runner import RunnerOptions
from train.data.examples import VAL
from train.data.input_cache import evenly_spaced, model_inputs
from train.data.open_dataset import open_dataset

SEED, PICTURES = 20261127, 50
CHESTS = (
    "radiograph_skip_bodypart/cr_chest_mono1_elE.dcm", "broken_file_meta/CR-MONO1-10-chest",
    "radiograph_skip_bodypart/dx_thorax_mono1_8bit.dcm", "radiograph_skip_bodypart/cr_chest_jpegbaseline.dcm",
)  # fmt: skip
OTHERS = (  # CT, MR and a photograph
    "dicomdir_export/77654033/CT2/17106", "dicomdir_export/77654033/CT2/17136", "dicomdir_export/77654033/CT2/17166",
    "dicomdir_export/77654033/CT2/17196", "dicomdir_export/98892001/CT2N/6293", "dicomdir_export/98892001/CT5N/2062",
    "negative_other_modality/ct_elbow_phantom_0060.dcm", "negative_other_modality/ct_elbow_phantom_0061.dcm",
    "transfer_syntax_photometric/MR_small_implicit.dcm",
)  # fmt: skip
Pictures = NDArray[np.uint8]  # [N, S, S]


def kinds(held_out: Pictures, dicom: Path, spec: InputSpec) -> Iterator[tuple[str, Pictures]]:
    """Name of each kind and its pictures."""
    rng = np.random.default_rng(SEED)
    yield "upside down", held_out[:, ::-1]
    yield "on its side", np.rot90(held_out, axes=(1, 2))
    yield "black and white exchanged", np.where(held_out > 0, 255 - held_out, 0).astype(np.uint8)
    yield "blurred to a twentieth", np.stack([_blurred(picture) for picture in held_out])
    yield "noise", rng.integers(0, 256, (PICTURES, spec.size, spec.size), dtype=np.uint8)
    yield "photographs (parts of two)", np.stack(list(_photographs(rng, spec)))
    for name, files in (("chest, real", CHESTS), ("CT and MR slices, real", OTHERS)):
        if found := [_read(dicom / file, spec) for file in files if (dicom / file).exists()]:
            yield name, np.stack(found)


def _blurred(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    image = Image.fromarray(picture)
    small = image.resize((image.width // 20, image.height // 20), Image.Resampling.BOX)
    return np.asarray(small.resize(image.size, Image.Resampling.BICUBIC))


def _photographs(rng: np.random.Generator, spec: InputSpec) -> Iterator[NDArray[np.uint8]]:
    """Parts of the two photographs that come with scikit-learn."""
    from sklearn.datasets import load_sample_images

    greys = [image.mean(axis=2).astype(np.uint8) for image in load_sample_images().images]
    for n in range(PICTURES // 3):
        grey = greys[n % 2]
        rows, columns = rng.integers(200, np.array(grey.shape) + 1)
        top, left = rng.integers(0, np.array(grey.shape) - (rows, columns) + 1)
        yield preprocess(np.ascontiguousarray(grey[top : top + rows, left : left + columns]), spec)


def _read(path: Path, spec: InputSpec) -> NDArray[np.uint8]:
    """Scaled between its smallest and largest value; bone is bright."""
    from pydicom import dcmread
    from pydicom.uid import ImplicitVRLittleEndian

    data = dcmread(path, force=True)
    if "TransferSyntaxUID" not in data.file_meta:  # a data set without its meta information
        data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    values = data.pixel_array.astype(np.float64)
    values = (values - values.min()) / max(float(np.ptp(values)), 1.0)
    if data.PhotometricInterpretation == "MONOCHROME1":
        values = 1 - values
    return preprocess(np.rint(255 * values).astype(np.uint8), spec)


def measured(model: Model, statistics: FeatureStatistics, held_out: Pictures, dicom: Path) -> Iterator[str]:
    """A line of the table for each kind."""
    with open_runner(model, RunnerOptions(device="cpu", features=True)) as runner:

        def distances(pictures: Pictures) -> NDArray[np.float64]:
            images = np.ascontiguousarray(pictures)[:, None]
            features = answers(runner, images, len(images)).features
            return statistics.distances(features if features is not None else np.empty((0, 1)))

        near = distances(held_out)
        yield f"| held-out pictures ({len(near)}, {runner.info.precision}) | | {np.mean(near > statistics.limit):.1%} |"
        for name, pictures in kinds(held_out, dicom, model.card.input):
            far = distances(pictures)
            area = roc_auc_score([False] * len(near) + [True] * len(far), [*near, *far])
            yield f"| {name} ({len(far)}) | {area.value:.3f} | {np.mean(far > statistics.limit):.0%} |"


def milliseconds(of: Callable[[], object], times: int = 50) -> float:
    """The fastest of so many."""
    best = np.inf
    for _ in range(times):
        begun = time.perf_counter()
        of()
        best = min(best, time.perf_counter() - begun)
    return 1000 * best


def main() -> None:
    data, dicom = map(Path, sys.argv[1:])
    model = load_model(engines_folder() / "reference")
    statistics = load_statistics(model)
    if statistics is None:
        raise SystemExit("the reference model has no features.npz: python -m train features engines/reference")
    held_out = evenly_spaced(model_inputs(open_dataset(data), VAL, model.card.input, Path("runs/cache")), PICTURES)
    sys.stdout.write("| kind (pictures) | AUROC | beyond the limit |\n| --- | --- | --- |\n")
    for line in measured(model, statistics, held_out, dicom):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    features = np.zeros((1, len(statistics.mean)), np.float32)
    statistics.distances(features)
    sys.stdout.write(
        f"the distance of one picture takes {milliseconds(lambda: statistics.distances(features)):.2f} ms\n"
    )


if __name__ == "__main__":
    main()
