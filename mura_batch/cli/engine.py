"""`mura-batch compile`, `doctor` and `bench`: the model on this machine."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from mura_batch.cli.options import FILE, FOLDER, example, option, reference_model
from mura_batch.errors import ExitCode

_MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


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
def compile_command(
    model: Path, out: Path | None, gpu: str, max_batch: int, opt_batch: int, workspace: int, **rest: object
) -> int:
    """Builds a TensorRT plan of MODEL for a GPU of this machine, holds it against the CPU runner on the model's
    reference inputs, and keeps it only if it passes."""
    from mura_batch.model_card import load_model
    from mura_batch.runtime.build import BuildOptions, compile_plan

    options = BuildOptions(out, gpu, opt_batch, max_batch, workspace, **rest)  # type: ignore[arg-type]
    path = compile_plan(load_model(model), options, _print_phase if sys.stderr.isatty() else None)
    click.echo(str(path))
    return ExitCode.OK


def _print_phase(phase: str, part: float) -> None:
    click.echo(f"\r{phase[:60]:<60} {part:4.0%}", err=True, nl=False)


@click.command(epilog=example("mura-batch doctor --out /srv/mura", "mura-batch doctor --json"))
@option("--out", type=FOLDER, default=None, help="Also look at the folder that score will write to.")
@option("--model", type=FOLDER, default=None, show_default="the reference model", help="Model folder.")
@option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def doctor(out: Path | None, model: Path | None, as_json: bool) -> int:
    """Tells what this machine can do, what stands in the way, and how to mend it. Changes nothing. Exit code 1 if
    something must be mended."""
    from mura_batch.doctor import examine

    checks = examine(out, model or reference_model())
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            mark, colour = _MARKS[check.status]
            click.echo(f"{click.style(mark, fg=colour)}  {check.name:<18} {check.detail}")
            if check.mend and check.status != "ok":
                click.echo(f"{'':6}{'':<18} {check.mend}")
    return ExitCode.FATAL if any(check.status == "fail" for check in checks) else ExitCode.OK


@click.command(epilog=example("mura-batch bench engines/reference"))
@click.argument("model", type=FOLDER, required=False)
@option("--batch-sizes", default="1,8,32", help="Batch sizes, by comma.")
@option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
def bench(model: Path | None, batch_sizes: str, as_json: bool) -> int:
    """Measures every runner of this machine on MODEL: images a second, latency, and parity against float32."""
    from mura_batch.bench import bench as measure
    from mura_batch.model_card import load_model

    try:
        sizes = tuple(int(size) for size in batch_sizes.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{batch_sizes!r}: write numbers with commas, as in 1,8,32") from error
    records = list(measure(load_model(model or reference_model()), sizes))
    if as_json:
        click.echo(json.dumps([asdict(record) for record in records], indent=2))
        return ExitCode.OK
    click.echo(f"{'runner':<14} {'batch':>5} {'img/s':>8} {'ratio':>6} {'median ms':>10} {'p95 ms':>8} {'max |dp|':>9}")
    for r in records:
        if r.unavailable:
            click.echo(f"{r.runner:<14} {r.batch_size:>5} not measured: {r.unavailable}")
            continue
        click.echo(
            f"{r.runner:<14} {r.batch_size:>5} {r.images_per_second or 0:>8.1f} {r.ratio or 1:>6.2f}"
            f" {r.latency_ms_median or 0:>10.1f} {r.latency_ms_p95 or 0:>8.1f} {r.parity_max_abs or 0:>9.5f}"
        )
    return ExitCode.OK
