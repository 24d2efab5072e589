"""`mura-batch score`: from options to a request.

Options may come from the command line, from MURA_BATCH_<OPTION>, or from the TOML file of --config; the first wins.
"""

from __future__ import annotations

import json
import os
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mura_batch.cli.options import FILE, FOLDER, example, option, read_truth_option, reference_model, say
from mura_batch.errors import ExitCode, InputError
from mura_batch.records import MURA_REGIONS, Region

if TYPE_CHECKING:
    from mura_batch.dicom.policy import IntakePolicy


def _load_config(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Feeds the TOML file's values to the options of the command, below environment and command line."""
    if path is None:
        return
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--config {path} cannot be read: {error}") from error
    known = {p.name for p in context.command.params if isinstance(p, click.Option)} - {"config", None}
    given = {name.replace("-", "_"): value for name, value in values.items()}
    if unknown := sorted(given.keys() - known):
        raise InputError(
            f"--config {path}: unknown {', '.join(unknown)}; known are {', '.join(sorted(filter(None, known)))}"
        )
    context.default_map = given


@click.command(
    epilog=example(
        "mura-batch score ./studies",
        "mura-batch score /export/tonight --out /srv/mura --truth readings.csv --device gpu",
        "MURA_BATCH_OUT=/srv/mura mura-batch score /export/tonight --json",
    )
)
@click.argument("studies", type=FOLDER)
@option("--out", type=FOLDER, default=Path("mura-out"), help="Results, ledger and past runs.")
@option("--model", type=FOLDER, default=None, show_default="the reference model", help="Model folder.")
@option("--device", type=click.Choice(["auto", "gpu", "cpu"]), default="auto", help="Where the model runs.")
@option("--gpu", default="0", help="Which GPU: its index or UUID.")
@option(
    "--precision",
    type=click.Choice(["auto", "float32", "bf16", "int8"]),
    default="auto",
    help="On the CPU; auto takes the fastest that processor and model have and whose parity holds.",
)
@option("--truth", type=FILE, default=None, help="CSV with study_uid (or accession) and label, for agreement.")
@option(
    "--workers", type=click.IntRange(1, 256), default=None, show_default="one a core", help="Decode processes at most."
)
@option("--batch-size", type=click.IntRange(1, 256), default=8, help="Images a batch on a GPU, at most.")
@option("--regions", default=",".join(MURA_REGIONS), show_default="all seven", help="Regions to score, by comma.")
@option(
    "--region-unknown",
    type=click.Choice(["skip", "score"]),
    default="skip",
    help="What becomes of radiographs that do not tell their region.",
)
@option("--anatomy", type=FILE, default=None, help="TOML with this site's own terms for regions.")
@option(
    "--voi",
    type=click.Choice(["auto", "window", "lut", "percentiles"]),
    default="auto",
    help="Which grey-level window of an image is used.",
)
@option("--settle", type=click.FloatRange(0), default=60.0, help="Seconds a file must have been left alone.")
@option("--dry-run", is_flag=True, help="Tell what would be scored and skipped, decode nothing.")
@option("--strict", is_flag=True, help="End with exit code 1 at the first input that cannot be read.")
@option("--json", "as_json", is_flag=True, help="Print the run's manifest to standard output.")
@option("--timings", is_flag=True, help="Tell how long each part of the run worked and waited.")
@click.option(
    "--config",
    type=FILE,
    default=None,
    is_eager=True,
    expose_value=False,
    callback=_load_config,
    envvar="MURA_BATCH_CONFIG",
    help="TOML file with these options; the command line comes first.",
)
def score(studies: Path, out: Path, **options: Any) -> int:
    """Scores every upper-limb radiograph under STUDIES and writes OUT/latest/: studies.csv, images.csv, skipped.csv,
    run.json and report.html. What an earlier run scored is not decoded again."""
    policy = _policy(options)
    if options["dry_run"]:
        return _tell_what_would_be(studies, policy)
    from mura_batch.model_card import load_model
    from mura_batch.progress import observer
    from mura_batch.runtime.runner import RunnerOptions
    from mura_batch.scoring.pipeline import ScoreRequest, run_score

    os.umask(0o077)  # scores and identifiers are patient data: whatever a run writes is its owner's only
    given = click.get_current_context().params
    request = ScoreRequest(
        studies=studies,
        out=out,
        model=load_model(options["model"] or reference_model()),
        policy=policy,
        runner=RunnerOptions(
            device=options["device"],
            precision=options["precision"],
            batch_size=options["batch_size"],
            gpu=options["gpu"],
            cache_dir=out / "cache",
        ),
        workers=options["workers"],
        truth=read_truth_option(options["truth"]),
        strict=options["strict"],
        options={name: str(value) for name, value in sorted(given.items()) if value is not None},
    )
    with observer(sys.stderr) as watch:
        result = run_score(request, watch)
    if options["as_json"]:
        click.echo(json.dumps(asdict(result.manifest), indent=2, default=str))
    if options["timings"]:
        say(timings_table(result.manifest.seconds))
    # Silent under cron when all is well: a mail means that somebody should look.
    if result.exit_code or sys.stderr.isatty():
        say(result.summary)
    return result.exit_code


def timings_table(seconds: dict[str, dict[str, float]]) -> str:
    """One line a part."""
    lines = [f"{'part':<12}{'busy s':>10}{'waiting s':>12}"]
    lines += [f"{part:<12}{told['busy']:>10.2f}{told['waiting']:>12.2f}" for part, told in seconds.items()]
    return "\n".join(lines)


def _policy(options: dict[str, Any]) -> IntakePolicy:
    from mura_batch.dicom.policy import IntakePolicy, load_site_terms

    return IntakePolicy(
        regions=_regions(options["regions"]),
        score_unknown_region=options["region_unknown"] == "score",
        voi=options["voi"],
        settle_seconds=options["settle"],
        site_terms=load_site_terms(options["anatomy"]) if options["anatomy"] else (),
    )


def _regions(text: str) -> tuple[Region, ...]:
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    wrong = [name for name in names if name not in MURA_REGIONS]
    if wrong or not names:
        raise InputError(f"--regions {text}: {', '.join(wrong) or 'nothing'} is not one of {', '.join(MURA_REGIONS)}")
    return tuple(region for region in MURA_REGIONS if region in names)


def _tell_what_would_be(studies: Path, policy: IntakePolicy) -> int:
    from mura_batch.dicom.inspect import describe_folder

    if not studies.is_dir():
        raise InputError(f"{studies} is not a folder: name the folder of exported studies")
    for line in describe_folder(studies, policy):
        click.echo(line)
    return ExitCode.OK
