"""`mura-batch compile`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import click
from click.core import ParameterSource

from mura_batch.cli.options import FILE, FOLDER, NameList, as_record, example, option
from mura_batch.cli.process import say, show
from mura_batch.errors import ExitCode, InputError

RTX_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
TENSORRT_ONLY = ("gpu", "optimization_level", "timing_cache", "version_compatible")
RTX_ONLY = ("compute_capability",)


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """The command's argument and options, by their names."""

    model: Path
    out: Path | None
    backend: str
    gpu: str
    compute_capability: tuple[str, ...] | None
    max_batch: int
    opt_batch: int
    workspace: int
    optimization_level: int
    timing_cache: Path | None
    version_compatible: bool


@click.command(
    name="compile",
    epilog=example(
        "mura-batch compile engines/mymodel",
        "mura-batch compile engines/mymodel --gpu 1",
        "mura-batch compile engines/mymodel --backend rtx",
    ),
)
@click.argument("model", type=FOLDER)
@option("--out", type=FOLDER, default=None, show_default="the model's folder", help="Where the plan goes.")
@option(
    "--backend",
    type=click.Choice(["tensorrt", "rtx"]),
    default="tensorrt",
    help="tensorrt builds on the GPU that runs the plan; rtx builds on any machine, without a GPU.",
)
@option("--gpu", default="0", help="tensorrt: which GPU, its index or UUID.")
@option(
    "--compute-capability",
    type=NameList(lambda: RTX_CAPABILITIES),
    default=None,
    show_default="8.0, 8.6, 8.9 and 12.x",
    help="rtx: build for this one; 7.5 (Turing) has to be named.",
)
@option("--max-batch", type=click.IntRange(1, 256), default=32, help="Largest batch; larger ones are split.")
@option("--opt-batch", type=click.IntRange(1, 256), default=16, help="Batch that TensorRT makes fastest.")
@option("--workspace", type=click.IntRange(64), default=4096, help="MiB of GPU memory that the build may use.")
@option("--optimization-level", type=click.IntRange(0, 5), default=3, help="tensorrt: each step up builds longer.")
@option("--timing-cache", type=FILE, default=None, show_default="beside the plan", help="tensorrt: times of kernels.")
@option("--version-compatible", is_flag=True, help="tensorrt: runs on later TensorRT of this major version, slower.")
@as_record(CompileOptions)
def compile_command(options: CompileOptions) -> int:
    """Builds a plan of MODEL for NVIDIA GPUs. A TensorRT plan is compared with float32 on the model's reference inputs
    and kept only if it passes; a TensorRT-RTX plan is compared when it first starts on a GPU."""
    _refuse_options_of_the_other(options.backend)
    path = _compile_rtx(options) if options.backend == "rtx" else _compile_tensorrt(options)
    show(str(path))
    return ExitCode.OK


def _refuse_options_of_the_other(backend: str) -> None:
    context = click.get_current_context()
    for name in TENSORRT_ONLY if backend == "rtx" else RTX_ONLY:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise InputError(f"--{name.replace('_', '-')} is not an option of --backend {backend}: leave it out")


def _compile_tensorrt(options: CompileOptions) -> Path:
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
    return compile_plan(load_model(options.model), build, _print_phase if sys.stderr.isatty() else None)


def _compile_rtx(options: CompileOptions) -> Path:
    from mura_batch.model_card import load_model
    from mura_batch.runtime.tensorrt_rtx.compile import BuildOptions, compile_plan

    build = BuildOptions(
        out=options.out,
        opt_batch=options.opt_batch,
        max_batch=options.max_batch,
        workspace_mib=options.workspace,
        compute_capabilities=options.compute_capability or (),
    )
    return compile_plan(load_model(options.model), build, _print_phase if sys.stderr.isatty() else None, say)


def _print_phase(phase: str, part: float) -> None:
    click.echo(f"\r{phase[:60]:<60} {part:4.0%}", err=True, nl=False)
