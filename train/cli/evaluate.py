"""`python -m train evaluate`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from train.cli.options import Commands, add_data, add_model, print_note, print_result
from train.data.open_dataset import open_dataset


def add(commands: Commands) -> None:
    parser = commands.add(
        run,
        "evaluate",
        "Figures of a model by study and by picture, as HTML and JSON.",
        "python -m train evaluate engines/reference --data FRACATLAS --out runs/evaluation",
    )
    add_model(parser, nargs="+")
    add_data(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for evaluation.html and evaluation.json")
    parser.add_argument("--split", default="val", help="default: %(default)s")


def run(options: Namespace) -> None:
    from train.data.input_cache import model_inputs
    from train.measure.evaluate import evaluate
    from train.measure.evaluation_page import write_evaluation
    from train.measure.predictor import open_predictor

    dataset = open_dataset(options.data)
    predictor = open_predictor(options.model, options.size, options.threshold, options.device)
    print_note(f"Scoring {predictor.device}")
    inputs = model_inputs(dataset, options.split, predictor.input, options.cache)
    evaluation = evaluate(predictor, dataset, options.split, inputs, options.flips)
    write_evaluation(evaluation, options.out)
    studies = evaluation.figures["studies"]
    print_result(f"AUROC {studies['auroc']['value']}, kappa {studies['kappa']['value']} by study")
    print_result(f"{options.out / 'evaluation.html'}")
