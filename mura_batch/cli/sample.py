"""`mura-batch sample`."""

from __future__ import annotations

from pathlib import Path

import click

from mura_batch.cli.options import FOLDER, example, option
from mura_batch.cli.process import say, show
from mura_batch.errors import ExitCode


@click.command(epilog=example("mura-batch sample --out mura-out --for-kappa-width 0.2 --strata region,score"))
@option("--out", type=FOLDER, default="mura-out", help="Output folder of `score`: its latest run is drawn from.")
@option("--for-kappa-width", type=float, required=True, help="Width of kappa's 95 % interval that is wanted.")
@option("--expected-kappa", type=float, default=0.7, help="Kappa that is expected.")
@option("--strata", default="", show_default="(none)", help="Draw within each: region, score, or region,score.")
@option("--seed", type=int, default=0, help="Same run, same seed: same studies.")
def sample(out: Path, for_kappa_width: float, expected_kappa: float, strata: str, seed: int) -> int:
    """Draws studies of OUT's latest run to be read, and writes a reader's sheet with their sampling probabilities.

    Fill in its label column and give the sheet to `report --truth`: kappa, sensitivity and specificity are then also
    shown for all studies of the run.
    """
    from mura_batch.outputs.reading_sheet import Wanted, write_sample

    names = tuple(name.strip() for name in strata.split(",") if name.strip())
    drawn = write_sample(out, Wanted(for_kappa_width, expected_kappa, names, seed))
    say(drawn.words)
    show(str(drawn.sheet))
    return ExitCode.OK
