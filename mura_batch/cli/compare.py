"""`mura-batch compare`."""

from __future__ import annotations

import os
from json import dumps
from pathlib import Path

import click

from mura_batch.cli.options import FILE, FOLDER, example, option, read_truth_option
from mura_batch.cli.process import show
from mura_batch.errors import ExitCode


@click.command(
    epilog=example(
        "mura-batch compare mura-out/runs/2026-02-01T020000.000000Z mura-out/latest",
        "mura-batch compare old/latest new/latest --truth readings.csv --json",
    )
)
@click.argument("first", metavar="RUN_A", type=FOLDER)
@click.argument("second", metavar="RUN_B", type=FOLDER)
@option("--truth", type=FILE, default=None, show_default="that of RUN_B's OUT", help="CSV with study_uid and label.")
@option(
    "--page",
    type=FILE,
    default=None,
    show_default="comparisons/ in RUN_B's OUT",
    help="Where the HTML page is written.",
)
@option("--json", "as_json", is_flag=True, help="Print the comparison as JSON; no page is written without --page.")
def compare(first: Path, second: Path, truth: Path | None, page: Path | None, as_json: bool) -> int:
    """Compares two runs, of two models or thresholds, on the studies that both scored from the same files: the calls
    that changed, and with truth the paired differences of kappa, AUROC, sensitivity and specificity."""
    from mura_batch.outputs.compare_page import write_compare_page
    from mura_batch.outputs.compare_runs import compare_runs
    from mura_batch.store.stored_truth import stored_truth

    os.umask(0o077)  # identifiers and radiographs: whatever is written is its owner's only
    out = second.resolve().parent.parent
    comparison = compare_runs(first, second, read_truth_option(truth) or stored_truth(out))
    if page is None and not as_json:
        page = out / "comparisons" / f"{comparison.first.run}--{comparison.second.run}.html"
    if page is not None:
        write_compare_page(page, comparison, first, second)
    show(dumps(comparison.as_json(), indent=2) if as_json else str(page))
    return ExitCode.OK
