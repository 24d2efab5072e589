"""`mura-batch compile`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import click

from mura_batch.cli.options import FILE, FOLDER, as_record, example, option
from mura_batch.cli.process import show
from mura_batch.errors import ExitCode


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """The command's argument and options, by their names."""

    model: Path
    out: Path | None
    gpu: str
    max_batch: int
    opt_batch: int
    workspace: int
    optimization_level: int
    timing_cache: Path | None
    version_compatible: bool


@click.command(
    name="compile", epilog=example("mura-batch compile engines/mymodel", "mura-batch compile engines/mymodel --gpu 1")
)
@click.argument("model", type=FOLDER)
@option("--out", type=FOLDER, default=None, show_default="the model's folder", help="Where the plan goes.")
@option("--gpu", default="0", help="Which GPU: its index or UUID.")
@option("--max-batch", type=click.IntRange(1, 256), default=32, help="Largest batch; larger ones are split.")
@option("--opt-batch", type=click.IntRange(1, 256), default=16, help="Batch that TensorRT makes fastest.")
@option("--workspace", type=click.IntRange(64), default=4096, help="MiB of GPU memory that the build may use.")
@option("--optimization-level", type=click.IntRange(0, 5), default=3, help="Each step up builds longer.")
@option("--timing-cache", type=FILE, default=None, show_default="beside the plan", help="Speeds the next build up.")
@option("--version-compatible", is_flag=True, help="Runs on later TensorRT of this major version, more slowly.")
@as_record(CompileOptions)
def compile_command(options: CompileOptions) -> int:
    """Builds a TensorRT plan of MODEL for a GPU of this machine, compares it with the CPU runner on the model's
    reference inputs, and keeps it only if it passes."""
    from mura_batch.model_card import load_model
    from mura_batch.runtime.tensorrt.compile import BuildOptions, compile_plan

    build = BuildOptions(
        out=options.out,
        gpu=options.gpu,
        opt_batch=options.opt_batch,
        max_batch=options.max_batch,
        workspace_mib=options.workspace,
        optimization_level=options.optimization_level,
        timing_cache=options.timing_cache,
        version_compatible=options.version_compatible,
    )
    path = compile_plan(load_model(options.model), build, _print_phase if sys.stderr.isatty() else None)
    show(str(path))
    return ExitCode.OK


def _print_phase(phase: str, part: float) -> None:
    click.echo(f"\r{phase[:60]:<60} {part:4.0%}", err=True, nl=False)
