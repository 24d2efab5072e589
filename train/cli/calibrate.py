"""`python -m train calibrate`."""

from __future__ import annotations

import json
from argparse import Namespace

from mura_batch.preprocess import InputSpec
from train.cli.options import Commands, add_checkpoints, add_data, add_device, print_note, print_result
from train.data.examples import VAL, labels_of, studies_of
from train.data.open_dataset import open_dataset


def add(commands: Commands) -> None:
    parser = commands.add(
        run,
        "calibrate",
        "Prints the temperature and the threshold that export would choose on val.",
        "python -m train calibrate runs/paper/best-e004.pt --data MURA-v1.1",
    )
    add_checkpoints(parser)
    add_data(parser)
    add_device(parser)
    parser.add_argument("--size", type=int, help="input size in pixels (default: the last of the training)")


def run(options: Namespace) -> None:
    from train.data.input_cache import model_inputs
    from train.fit.processes import device_words, pick_device
    from train.measure.calibrate import best_threshold, fit_temperature, log_loss, probabilities
    from train.models.logits import picture_logits
    from train.models.members import input_size, read_member

    device = pick_device(options.device)
    print_note(f"Scoring {device_words(options.device, device)}")
    members = [read_member(path) for path in options.checkpoints]
    dataset = open_dataset(options.data)
    examples = dataset.split(VAL)
    inputs = model_inputs(dataset, VAL, InputSpec(size=input_size(members, options.size)), options.cache)
    logits, abnormal = picture_logits([m.net for m in members], inputs, device), labels_of(examples) > 0
    temperature = fit_temperature(logits, abnormal)
    before, after = probabilities(logits, 1.0), probabilities(logits, temperature)
    studies = studies_of(examples)
    chosen = {
        "temperature": temperature,
        "log_loss_before": round(log_loss(before, abnormal), 5),
        "log_loss_after": round(log_loss(after, abnormal), 5),
        "threshold": best_threshold(studies.mean(after), studies.abnormal),
        "pictures": len(examples),
    }
    print_result(json.dumps(chosen, indent=2))
