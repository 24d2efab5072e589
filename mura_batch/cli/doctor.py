"""`mura-batch doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from mura_batch.cli.options import FOLDER, example, option, reference_model
from mura_batch.cli.process import show
from mura_batch.errors import ExitCode

_MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


@click.command(epilog=example("mura-batch doctor --out /srv/mura", "mura-batch doctor --json"))
@option("--out", type=FOLDER, default=None, help="Also look at the folder that score will write to.")
@option("--model", type=FOLDER, default=None, show_default="the reference model", help="Model folder.")
@option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def doctor(out: Path | None, model: Path | None, as_json: bool) -> int:
    """Reports what this machine can do, what is missing, and how to fix it. Changes nothing. Exit code 1 if something
    must be fixed."""
    from mura_batch.doctor.checks import examine

    checks = examine(out, model or reference_model())
    if as_json:
        show(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            mark, colour = _MARKS[check.status]
            show(f"{click.style(mark, fg=colour)}  {check.name:<18} {check.detail}")
            if check.fix and check.status != "ok":
                show(f"{'':6}{'':<18} {check.fix}")
    return ExitCode.FATAL if any(check.status == "fail" for check in checks) else ExitCode.OK
