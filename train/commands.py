"""What each command does with its arguments. torch is imported when a command that needs it runs."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from mura_batch.errors import InputError
from train.data.examples import TRAIN, VAL
from train.data.sources import open_dataset
from train.progress import read_inputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from train.loop import Job
    from train.recipe import Recipe


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def tell(line: str) -> None:
    """Beside the command's answer."""
    sys.stderr.write(f"{line}\n")


def data(chosen: Namespace) -> None:
    """Prints the table; a MURA tree that is not whole is an error, so that a script stops."""
    from train.data.counts import differences, table

    dataset = open_dataset(chosen.data)
    say(table(dataset))
    if dataset.kind != "mura":
        return
    found = differences(dataset)
    if found and not chosen.partial:
        raise InputError("this is not the whole of MURA v1.1 (--partial accepts it):\n  " + "\n  ".join(found))
    say("As MURA v1.1." if not found else f"Differs from MURA v1.1 in {len(found)} counts.")


def fit(chosen: Namespace) -> None:
    from train.loop import fit as run
    from train.recipe import read_recipe

    say(f"{run(_job(chosen, read_recipe(chosen.recipe), f'fit {chosen.recipe}'))}")


def _job(chosen: Namespace, recipe: Recipe, command: str) -> Job:
    from train.loop import Job
    from train.processes import pick_device

    init = f" --init {chosen.init.name}" if chosen.init else ""
    # folders by their last name only: the card that carries this line travels
    folders = f"--data {chosen.data.resolve().name} --out {chosen.out.name}"
    return Job(
        recipe=recipe,
        dataset=open_dataset(chosen.data),
        out=chosen.out,
        cache=chosen.cache,
        # the device that it was, whatever 'auto' would be elsewhere
        command=f"python -m train {command} {folders}{init} --device {pick_device(chosen.device).type}",
        init=chosen.init,
        device=chosen.device,
        workers=chosen.workers,
        save_every=chosen.save_every,
        compiled=chosen.compile,
    )


def ablate(chosen: Namespace) -> None:
    """Prints a line for each variant as it is known."""
    from train.ablate import ablate as run
    from train.ablate import read_ablation

    ablation = read_ablation(chosen.ablation)
    job = _job(chosen, ablation.variants[0][1], f"ablate {chosen.ablation}")
    for worth in run(ablation, job):
        difference = worth.difference
        against = f"  {difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]" if difference else ""
        auroc = worth.auroc
        say(f"{worth.name:<40} AUROC {auroc.value:.3f} [{auroc.low:.3f}, {auroc.high:.3f}]{against}")


def evaluate(chosen: Namespace) -> None:
    from train.evaluate import evaluate as run
    from train.evaluate import write_evaluation
    from train.predictor import open_predictor

    dataset = open_dataset(chosen.data)
    predictor = open_predictor(chosen.model, chosen.size, chosen.threshold, chosen.device)
    tell(f"Scoring {predictor.device}")
    inputs = read_inputs(dataset, chosen.split, predictor.size, chosen.cache)
    evaluation = run(predictor, dataset, chosen.split, inputs, chosen.flips)
    write_evaluation(evaluation, chosen.out)
    studies = evaluation.figures["studies"]
    say(f"AUROC {studies['auroc']['value']}, kappa {studies['kappa']['value']} by study")
    say(f"{chosen.out / 'evaluation.html'}")


def predict(chosen: Namespace) -> None:
    from train.predict import predict as run
    from train.predictor import open_predictor

    predictor = open_predictor(chosen.model, chosen.size, chosen.threshold, chosen.device)
    tell(f"Scoring {predictor.device}")
    say(f"{run(predictor, chosen.listed, chosen.written, chosen.root, chosen.flips)} studies in {chosen.written}")


def calibrate(chosen: Namespace) -> None:
    from train.calibrate import best_threshold, fit_temperature, log_loss, probabilities
    from train.data.examples import labels_of, studies_of
    from train.infer import picture_logits
    from train.members import input_size, read_member
    from train.processes import device_words, pick_device

    device = pick_device(chosen.device)
    tell(f"Scoring {device_words(chosen.device, device)}")
    members = [read_member(path) for path in chosen.checkpoints]
    dataset = open_dataset(chosen.data)
    examples = dataset.split(VAL)
    inputs = read_inputs(dataset, VAL, input_size(members, chosen.size), chosen.cache)
    logits, abnormal = picture_logits([m.net for m in members], inputs, device), labels_of(examples) > 0
    temperature = fit_temperature(logits, abnormal)
    before, after = probabilities(logits, 1.0), probabilities(logits, temperature)
    studies = studies_of(examples)
    found = {
        "temperature": temperature,
        "log_loss_before": round(log_loss(before, abnormal), 5),
        "log_loss_after": round(log_loss(after, abnormal), 5),
        "threshold": best_threshold(studies.mean(after), studies.abnormal),
        "pictures": len(examples),
    }
    say(json.dumps(found, indent=2))


def export(chosen: Namespace) -> None:
    _export(chosen.checkpoints, [path.parent for path in chosen.checkpoints], chosen)


def ensemble(chosen: Namespace) -> None:
    from train.ensemble import lowest_losses

    members = lowest_losses(chosen.runs, chosen.count)
    say("Members: " + ", ".join(map(str, members)))
    _export(members, chosen.runs, chosen)


def _export(checkpoints: Sequence[Path], runs: Sequence[Path], chosen: Namespace) -> None:
    """runs: the folders whose looks at val chose the checkpoints."""
    from train.about import read_about
    from train.ensemble import joint_log
    from train.export import Wanted
    from train.export import export as run
    from train.members import input_size, read_member

    about, dataset = read_about(chosen.card), open_dataset(chosen.data)
    members = [read_member(path) for path in checkpoints]
    size = input_size(members, chosen.size)
    tell("Exporting on the CPU (where half precision is written out and compared with float32)")
    inputs = read_inputs(dataset, VAL, size, chosen.cache)
    with TemporaryDirectory() as scratch:
        wanted = Wanted(
            out=chosen.out,
            name=chosen.name or chosen.out.resolve().name,
            version=chosen.version,
            about=about,
            size=size,
            command=chosen.made_by,
            log=chosen.log or joint_log(runs, Path(scratch) / "epochs.jsonl"),
        )
        card = run(members, dataset, inputs, wanted)
    say(f"{chosen.out}: AUROC {card.figures['auroc']['value']}, kappa {card.figures['kappa']['value']}")


def reopen(chosen: Namespace) -> None:
    from mura_batch.model_card import load_model
    from train.reopen import ENOUGH
    from train.reopen import reopen as run

    model = load_model(chosen.model)
    inputs = read_inputs(open_dataset(chosen.data), TRAIN, model.card.input.size, chosen.cache)
    run(model, _evenly(inputs, ENOUGH), chosen.out)
    say(f"{chosen.out}: for --init of `fit`")


def _evenly(inputs: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """At most count of them, from all over: a data set may be sorted by region."""
    return np.array(inputs[:: max(1, len(inputs) // count)][:count])


def quantize(chosen: Namespace) -> None:
    from mura_batch.model_card import load_model
    from train.quantize import ENOUGH
    from train.quantize import quantize as run

    model, dataset = load_model(chosen.model), open_dataset(chosen.data)
    size = model.card.input.size
    training = _evenly(read_inputs(dataset, TRAIN, size, chosen.cache), ENOUGH)
    told = run(model, training, dataset, read_inputs(dataset, VAL, size, chosen.cache)).parity["int8"]
    say(
        f"{chosen.model}: int8 differs from float32 by {told['max_abs']:.4f} at most, {told['p99_abs']:.4f} on 99 % of "
        f"{told['n']} pictures; {told['studies_called_otherwise']} studies called otherwise"
    )


def reference(chosen: Namespace) -> None:
    from mura_batch.model_card import load_model
    from train.reference import renew

    told = renew(load_model(chosen.model)).parity["sets"]["reference_inputs"]
    say(f"{chosen.model}: half precision differs by {told['max_abs']:.2g} at most on {told['n']} new reference inputs")


def bench(chosen: Namespace) -> None:
    from train.bench import table
    from train.processes import pick_device

    say(table(pick_device(chosen.device), chosen.size, chosen.batch, chosen.steps, chosen.workers))
