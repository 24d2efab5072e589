"""Two model folders on the val split of a labelled data set, by way of DICOM: AUROC of each by region, and the paired
difference. Which of two versions of a model is the better one.

    python -m bench.models engines/version-2 engines/reference --data FRACATLAS
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.as_dicom import input_by_way_of_dicom
from mura_batch.agreement.curves import roc_auc_difference, roc_auc_score
from mura_batch.agreement.estimate import Estimate
from mura_batch.model_card import load_model
from mura_batch.runtime.cpu_answers import cpu_answers
from train.data.examples import VAL, Dataset, Example
from train.data.input_cache import read_picture
from train.data.open_dataset import open_dataset

HEAD = "| region | pictures | abnormal | first | second | second less first |"
Scores = NDArray[np.float32]


def scores(folder: Path, dataset: Dataset, examples: Sequence[Example]) -> Scores:
    """[N] probabilities, in float32, that the model in folder gives the pictures, each written as a DICOM file and read
    as scoring reads it."""
    model = load_model(folder)
    with tempfile.TemporaryDirectory() as place:
        inputs = [
            input_by_way_of_dicom(Path(place) / "a.dcm", read_picture(dataset.root / e.image), n, model.card.input)
            for n, e in enumerate(examples)
        ]
    return cpu_answers(model, "float32", np.stack(inputs)[:, None]).probability


def line(name: str, examples: Sequence[Example], first: Scores, second: Scores) -> str:
    """One row of the table. first, second: [N] scores of the examples. Intervals are by group."""
    truth = [int(e.abnormal) for e in examples]
    groups = [e.group for e in examples]
    areas = [_text(roc_auc_score(truth, values, groups)) for values in (first, second)]
    apart = _text(roc_auc_difference(truth, second, first, groups), sign="+")
    return f"| {' | '.join([name, str(len(truth)), str(sum(truth)), *areas, apart])} |"


def table(examples: Sequence[Example], first: Scores, second: Scores) -> str:
    """Markdown: all pictures, then each region. A picture of two regions counts in both."""
    lines = [HEAD, f"|{' --- |' * HEAD.count(' | ')} --- |", line("all", examples, first, second)]
    for region in sorted({region for e in examples for region in e.regions}):
        of = np.array([region in e.regions for e in examples])
        chosen = [e for e, is_in in zip(examples, of, strict=True) if is_in]
        lines.append(line(region, chosen, first[of], second[of]))
    return "\n".join(lines) + "\n"


def _text(estimate: Estimate, sign: str = "") -> str:
    if not estimate.is_defined:
        return estimate.reason
    if np.isnan(estimate.low):
        return f"{estimate.value:{sign}.3f}"
    return f"{estimate.value:{sign}.3f} [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.models", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", type=Path, help="model folder")
    parser.add_argument("second", type=Path, help="model folder")
    parser.add_argument("--data", type=Path, required=True, help="folder with labels.csv, or a MURA tree")
    chosen = parser.parse_args()
    dataset = open_dataset(chosen.data)
    examples = dataset.split(VAL)
    first, second = (scores(folder, dataset, examples) for folder in (chosen.first, chosen.second))
    sys.stdout.write(table(examples, first, second))


if __name__ == "__main__":
    main()
