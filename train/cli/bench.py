"""`python -m train bench`."""

from __future__ import annotations

from argparse import Namespace

from train.cli.options import Commands, add_device, print_result


def add(commands: Commands) -> None:
    parser = commands.add(
        run,
        "bench",
        "Measures the loader and the training step, float32 eager beside bf16 channels_last.",
        "python -m train bench --size 320 --batch 32 --workers 8",
    )
    add_device(parser)
    parser.add_argument("--size", type=int, default=320, help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=10, help="timed steps (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="loader processes (default: %(default)s)")


def run(options: Namespace) -> None:
    from train.fit.processes import pick_device
    from train.measure.step_speed import table

    print_result(table(pick_device(options.device), options.size, options.batch, options.steps, options.workers))
