"""`python -m train calibrate`."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict

from train.cli.options import Commands, add_checkpoints, add_data, add_device, print_note, print_result
from train.data.examples import VAL, labels_of, studies_of
from train.data.open_dataset import open_dataset


def add(commands: Commands) -> None:
    parser = commands.add(
        run,
        "calibrate",
        "Prints the calibration and the threshold that export would choose on val.",
        "python -m train calibrate runs/paper/best-e004.pt --data MURA-v1.1",
    )
    add_checkpoints(parser)
    add_data(parser)
    add_device(parser)
    parser.add_argument("--size", type=int, help="input size in pixels (default: the last of the training)")


def run(options: Namespace) -> None:
    from train.data.input_cache import model_inputs
    from train.fit.processes import device_words, pick_device
    from train.measure.calibrate import (
        Calibration,
        cross_validated_threshold,
        fit_calibration,
        held_out_probabilities,
        log_loss,
        probabilities,
    )
    from train.measure.figures import calibration_figures
    from train.models.logits import picture_logits
    from train.models.members import input_spec, read_member

    device = pick_device(options.device)
    print_note(f"Scoring {device_words(options.device, device)}")
    members = [read_member(path) for path in options.checkpoints]
    dataset = open_dataset(options.data)
    examples = dataset.split(VAL)
    inputs = model_inputs(dataset, VAL, input_spec(members, options.size), options.cache)
    logits, abnormal = picture_logits([m.net for m in members], inputs, device), labels_of(examples) > 0
    calibration = fit_calibration(logits, abnormal)
    if calibration.is_at_limit:
        print_note(f"Warning: the temperature {calibration.temperature} is at the limit of the search")
    before, after = probabilities(logits, Calibration()), probabilities(logits, calibration)
    studies = studies_of(examples)
    held_out = held_out_probabilities(logits, abnormal, [studies.groups[row] for row in studies.member])
    chosen = {
        **asdict(calibration),
        "log_loss_before": round(log_loss(before, abnormal), 5),
        "log_loss_after": round(log_loss(after, abnormal), 5),
        "threshold": cross_validated_threshold(studies.mean(after), studies.abnormal, studies.groups),
        "held_out": calibration_figures(examples, held_out, VAL),
        "pictures": len(examples),
    }
    print_result(json.dumps(chosen, indent=2))
