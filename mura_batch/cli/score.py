"""`mura-batch score`: from options to a request."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from mura_batch.cli.dicom import DICOM_HELP, KINDS, UNSCORED_HELP, dicom_choice
from mura_batch.cli.options import (
    FILE,
    FOLDER,
    ClockTime,
    NameList,
    Range,
    as_record,
    config_option,
    example,
    notify_option,
    option,
    read_truth_option,
    reference_model,
    shared_out_option,
    viewer_option,
)
from mura_batch.cli.outcome import current_outcome
from mura_batch.cli.process import log, say, show
from mura_batch.errors import ExitCode
from mura_batch.pseudonyms import Identifiers, require_identifiers
from mura_batch.records import MURA_REGIONS, Region
from mura_batch.runtime.registry import BACKENDS, names
from mura_batch.version import __version__

if TYPE_CHECKING:
    from mura_batch.dicom.policy import IntakePolicy
    from mura_batch.outputs.dicom.dicom_sink import DicomChoice
    from mura_batch.scoring.pipeline import ScoreRequest, ScoreResult


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """The command's argument and options, by their names."""

    studies: Path
    out: Path
    model: Path | None
    device: str
    gpu: str
    backend: str
    backend_option: tuple[str, ...] | None
    precision: str
    truth: Path | None
    workers: int | None
    cluster: str | None
    batch_size: int
    regions: tuple[str, ...]
    region_unknown: str
    anatomy: Path | None
    voi: str
    voi_check: bool
    settle: float
    format: tuple[str, ...]
    dicom: tuple[str, ...] | None
    dicom_unscored: bool
    viewer_url: str | None
    rescore: str
    stop_after: datetime | None
    missing_limit: float | None
    unreadable_limit: float | None
    abnormal_limits: tuple[float, float] | Literal["drift"] | None
    dry_run: bool
    strict: bool
    single_writer: bool
    allow_shared_out: bool
    identifiers: str
    timings: bool
    json: bool
    log_format: str
    notify: str | None

    def as_text(self) -> dict[str, str]:
        """For the manifest: every option that has a value. The command of --notify may hold a password."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "notify"}
        values["stop_after"] = self.stop_after and f"{self.stop_after:%H:%M}"  # the same every night
        return {
            name: ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            for name, value in sorted(values.items())
            if value is not None
        }


SHARE = click.FloatRange(0, 1)


def _note_log_format(_: click.Context, __: click.Parameter, value: str) -> str:
    log.is_json = value == "json"
    return value


def _formats() -> tuple[str, ...]:
    from mura_batch.outputs.formats import FORMATS

    return tuple(FORMATS)


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
    "--backend",
    type=click.Choice(["auto", *names("gpu")]),
    default="auto",
    help="On a GPU; auto takes the one that serves the GPU and has a plan.",
)
@option(
    "--backend-option",
    type=NameList(lambda: [f"{name}={v}" for e in BACKENDS for name, values in e.options.items() for v in values]),
    default=None,
    show_default="kernels=eager,cuda-graphs=on",
    help="Settings of --backend rtx, by comma.",
)
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
@option(
    "--cluster",
    metavar="auto|local|HOST:PORT",
    default=None,
    help="Decode and score on the nodes of this Ray cluster; STUDIES may then be s3://, gs:// or az://.",
)
@option("--batch-size", type=click.IntRange(1, 256), default=8, help="Images a batch on a GPU, at most.")
@option(
    "--regions",
    type=NameList(lambda: MURA_REGIONS),
    default=",".join(MURA_REGIONS),
    show_default="all seven",
    help="Regions to score, by comma.",
)
@option(
    "--region-unknown",
    type=click.Choice(["skip", "score"]),
    default="skip",
    help="Whether to score radiographs whose header names no region.",
)
@option("--anatomy", type=FILE, default=None, help="TOML with this site's own terms for regions.")
@option(
    "--voi",
    type=click.Choice(["auto", "window", "lut", "percentiles"]),
    default="auto",
    help="Which grey-level window of an image is used.",
)
@option(
    "--voi-check",
    is_flag=True,
    help="Score each image by window, VOI LUT and percentiles, and name those that differ; up to three times the work.",
)
@option("--settle", type=click.FloatRange(0), default=60.0, help="Seconds since a file was last changed, at least.")
@option("--format", type=NameList(_formats), default="csv", help="Formats of the tables, by comma: csv, jsonl.")
@option("--dicom", type=NameList(lambda: KINDS), default=None, show_default="none", help=DICOM_HELP)
@option("--dicom-unscored", is_flag=True, help=UNSCORED_HELP)
@viewer_option
@option(
    "--rescore",
    type=click.Choice(["new", "all"]),
    default="new",
    help="After a change of model or settings: studies scored before keep that score, marked (new), or are scored "
    "again (all).",
)
@option(
    "--stop-after",
    type=ClockTime(),
    default=None,
    help="HH:MM, local time, the next to come: begin no other study then, publish what is done; the next run goes on.",
)
@option(
    "--missing-limit",
    type=SHARE,
    default=None,
    help="Exit code 3 where a greater share of the known studies is missing, as in 0.05.",
)
@option(
    "--unreadable-limit",
    type=SHARE,
    default=None,
    help="Exit code 3 where a greater share of the radiographs cannot be read.",
)
@option(
    "--abnormal-limits",
    type=Range("drift"),
    default=None,
    help="LOW,HIGH or drift: exit code 3 where the abnormal share of tonight's new studies is beyond these limits by "
    "more than chance, or beyond those of its control chart.",
)
@option(
    "--dry-run",
    is_flag=True,
    help="Print what a run would score and skip, asking the ledger; decode and write nothing.",
)
@option("--strict", is_flag=True, help="End with exit code 1 at the first input that cannot be read.")
@option("--single-writer", is_flag=True, help="Allow an OUT that cannot be locked: no other run ever writes to it.")
@shared_out_option
@option(
    "--identifiers",
    type=click.Choice([each.value for each in Identifiers]),
    default=Identifiers.ACCESSION.value,
    help="What results hold of UIDs, accession numbers, paths and texts of headers; key: none of them, keys instead.",
)
@option("--timings", is_flag=True, help="Print how long each part of the run worked and waited.")
@config_option
@option("--json", is_flag=True, help="Print the run's manifest, or the error, as JSON to standard output.")
@option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    is_eager=True,
    callback=_note_log_format,
    help="Of standard error: json is one object a line, with run, event and counts.",
)
@notify_option
@as_record(ScoreOptions)
def score(options: ScoreOptions) -> int:
    """Scores every upper-limb radiograph under STUDIES and writes OUT/latest/: studies.csv, images.csv, skipped.csv,
    run.json and report.html. What an earlier run scored is not decoded again."""
    _refuse_identifying_outputs(options)
    if options.dry_run:
        current_outcome().notify = None  # nothing was run
        return _rehearse(options)
    from mura_batch.progress import observer
    from mura_batch.scoring.pipeline import run_score
    from mura_batch.store.run_folder import run_name

    started = datetime.now(UTC)
    log.run = run_name(started)
    log.event("started", version=__version__)

    os.umask(0o077)  # scores and identifiers are patient data: whatever a run writes is its owner's only
    request = _request(options, started)
    with observer(sys.stderr, log.event if log.is_json else None) as watch:
        result = run_score(request, watch)
    outcome = current_outcome()
    outcome.published, outcome.message = summary_values(result, options.out), result.summary
    return _print_result(result, options)


def _request(options: ScoreOptions, started: datetime) -> ScoreRequest:
    from mura_batch.model_card import read_model
    from mura_batch.runtime.runner import RunnerOptions
    from mura_batch.scoring.night_limits import Limits
    from mura_batch.scoring.pipeline import ScoreRequest
    from mura_batch.scoring.rescore import Plan

    return ScoreRequest(
        started=started,
        studies=options.studies,
        out=options.out,
        model=read_model(options.model or reference_model()),
        policy=_policy(options),
        runner=RunnerOptions(
            device=options.device,
            precision=options.precision,
            batch_size=options.batch_size,
            gpu=options.gpu,
            backend=options.backend,
            backend_options=options.backend_option or (),
            cache_dir=options.out / "cache",
            late=True,
            report=say if sys.stderr.isatty() else None,
        ),
        workers=options.workers,
        cluster=options.cluster,
        truth=read_truth_option(options.truth),
        strict=options.strict,
        plan=Plan(options.rescore == "all", options.stop_after, lambda line: say(f"mura-batch: {line}")),
        limits=Limits(options.missing_limit, options.unreadable_limit, options.abnormal_limits),
        options=options.as_text(),
        formats=options.format,
        single_writer=options.single_writer,
        dicom=_dicom(options),
        identifiers=Identifiers(options.identifiers),
        allow_shared_out=options.allow_shared_out,
    )


def _refuse_identifying_outputs(options: ScoreOptions) -> None:
    if options.viewer_url is not None:
        require_identifiers(options.identifiers, "--viewer-url")
    if options.dicom is not None or options.dicom_unscored:
        require_identifiers(options.identifiers, "--dicom")


def _dicom(options: ScoreOptions) -> DicomChoice | None:
    if options.dicom is None and not options.dicom_unscored:
        return None
    return dicom_choice(options.dicom or (), unscored=options.dicom_unscored)


def _policy(options: ScoreOptions) -> IntakePolicy:
    from mura_batch.dicom.policy import IntakePolicy, load_site_terms

    return IntakePolicy(
        regions=tuple(Region(name) for name in options.regions),
        score_unknown_region=options.region_unknown == "score",
        voi=options.voi,
        voi_check=options.voi_check,
        settle_seconds=options.settle,
        site_terms=load_site_terms(options.anatomy) if options.anatomy else (),
    )


def summary_values(result: ScoreResult, out: Path) -> dict[str, Any]:
    """Of a published run, for --notify and the log: counts and the place of the run, no patient data."""
    manifest = result.manifest
    names = ("counts", "studies_by_status", "skipped_by_reason", "missing", "breached_limits", "earlier_model_rows")
    return {
        "folder": str(out.resolve() / "runs" / manifest.run),
        **{name: getattr(manifest, name) for name in names},
    }


def _print_result(result: ScoreResult, options: ScoreOptions) -> int:
    manifest = result.manifest
    log.event("published", exit_code=result.exit_code, **current_outcome().published)
    if options.json:
        show(dumps(asdict(manifest), indent=2, default=str))
    if options.timings:
        log.event("timings", seconds=manifest.seconds)
        if not log.is_json:
            say(timings_table(manifest.seconds))
    # Silent under cron when all is well: a mail means that somebody should look.
    if not log.is_json and (result.exit_code or sys.stderr.isatty()):
        say(result.summary)
    for warning in result.warnings:
        say(warning)
    return result.exit_code


def timings_table(seconds: dict[str, dict[str, float]]) -> str:
    """One line a part."""
    lines = [f"{'part':<12}{'busy s':>10}{'waiting s':>12}"]
    lines += [f"{part:<12}{times['busy']:>10.2f}{times['waiting']:>12.2f}" for part, times in seconds.items()]
    return "\n".join(lines)


def _rehearse(options: ScoreOptions) -> int:
    """A line for each file that would be scored or skipped, then the sums; with --json the sums alone."""
    from mura_batch.scoring.rehearsal import rehearse

    forecast = rehearse(_request(options, datetime.now(UTC)), _no_line if options.json else show)
    show(dumps(asdict(forecast), indent=2) if options.json else "\n".join(["", *forecast.lines()]))
    return ExitCode.OK


def _no_line(_: str) -> None:
    pass
