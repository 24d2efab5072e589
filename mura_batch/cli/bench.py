"""`mura-batch bench`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from mura_batch.cli.options import FOLDER, NumberList, example, option, reference_model
from mura_batch.cli.process import show
from mura_batch.errors import ExitCode


@click.command(epilog=example("mura-batch bench engines/reference"))
@click.argument("model", type=FOLDER, required=False)
@option("--batch-sizes", type=NumberList(), default="1,8,32", help="Batch sizes, by comma.")
@option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
def bench(model: Path | None, batch_sizes: tuple[int, ...], as_json: bool) -> int:
    """Measures every runner of this machine on MODEL: images a second, latency, and parity against float32."""
    from mura_batch.doctor.runner_speed import bench as measure
    from mura_batch.model_card import load_model

    records = list(measure(load_model(model or reference_model()), batch_sizes))
    if as_json:
        show(json.dumps([asdict(record) for record in records], indent=2))
        return ExitCode.OK
    show(
        f"{'runner':<16} {'batch':>5} {'img/s':>8} {'ratio':>6} {'median ms':>10} {'p95 ms':>8} {'max |dp|':>9}"
        f" {'starts s':>11}"
    )
    for r in records:
        if r.unavailable:
            show(f"{r.runner:<16} {r.batch_size:>5} not measured: {r.unavailable}")
            continue
        show(
            f"{r.runner:<16} {r.batch_size:>5} {r.images_per_second or 0:>8.1f} {r.ratio or 1:>6.2f}"
            f" {r.latency_ms_median or 0:>10.1f} {r.latency_ms_p95 or 0:>8.1f} {r.parity_max_abs or 0:>9.5f}"
            f" {r.first_start_seconds or 0:>5.1f} {r.later_start_seconds or 0:>5.1f}"
        )
    return ExitCode.OK
