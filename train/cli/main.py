"""The parser of `python -m train` and its exit codes. argparse, because Click belongs to mura_batch.cli alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mura_batch.errors import ExitCode, MuraBatchError
from train.cli import (
    ablate,
    bench,
    calibrate,
    data,
    ensemble,
    evaluate,
    export,
    features,
    fit,
    lr_find,
    predict,
    quantize,
    recalibrate,
    reference,
    reopen,
)
from train.cli.options import Commands

COMMANDS = (
    data,
    fit,
    lr_find,
    ablate,
    evaluate,
    predict,
    calibrate,
    export,
    ensemble,
    recalibrate,
    reopen,
    quantize,
    features,
    reference,
    bench,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, or the error's own."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except MuraBatchError as error:
        sys.stderr.write(f"Error: {error}\n")
        return int(error.exit_code)
    except KeyboardInterrupt as interrupt:
        sys.stderr.write(f"Interrupted: {interrupt}\n" if interrupt.args else "Interrupted\n")
        return int(ExitCode.INTERRUPTED)
    return int(ExitCode.OK)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser("python -m train", description="Trains models for mura-batch and exports them.")
    commands = Commands(top.add_subparsers(required=True, metavar="COMMAND"))
    for command in COMMANDS:
        command.add(commands)
    return top
