"""`mura-batch send`: the only command that opens a network connection."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mura_batch.cli.dicom import require_extra
from mura_batch.cli.options import FILE, FOLDER, as_record, example, option, shared_out_option
from mura_batch.cli.process import say
from mura_batch.errors import ExitCode, InputError
from mura_batch.pseudonyms import require_identifiers

if TYPE_CHECKING:
    from mura_batch.outputs.send.archive import Archive, Sendable
    from mura_batch.outputs.send.deliver import Delivery


@dataclass(frozen=True, slots=True)
class SendOptions:
    """The command's argument and options, by their names."""

    run: Path
    to: str | None
    stow: str | None
    tls: bool
    commit: bool
    aet: str
    listen: int
    header_file: Path | None
    dry_run: bool
    allow_shared_out: bool
    json: bool


@click.command(
    epilog=example(
        "mura-batch send mura-out/latest --to ARCHIVE@pacs.example.org:104",
        "mura-batch send mura-out/latest --to ARCHIVE@pacs.example.org:2762 --tls --commit",
        "mura-batch send mura-out/latest --stow https://pacs.example.org/dicom-web --header-file token.txt",
    )
)
@click.argument("run", type=FOLDER)
@option("--to", default=None, metavar="AET@HOST:PORT", help="Send by C-STORE to this application entity.")
@option("--stow", default=None, metavar="URL", help="Send by STOW-RS to this DICOMweb root.")
@option("--tls", is_flag=True, help="With --to: TLS, with the certificates of the system or of SSL_CERT_FILE.")
@option("--commit", is_flag=True, help="With --to: ask for storage commitment, instead of C-FIND.")
@option("--aet", default="MURA_BATCH", help="With --to: our own AE title.")
@option(
    "--listen", type=click.IntRange(1, 65535), default=11112, help="With --commit: the port for the archive's report."
)
@option("--header-file", type=FILE, default=None, help="With --stow: lines 'Name: value' to send, as a token.")
@option("--dry-run", is_flag=True, help="Print what would be sent; open no connection.")
@shared_out_option
@option("--json", is_flag=True, help="Print the status of each object to standard output.")
@as_record(SendOptions)
def send(options: SendOptions) -> int:
    """Sends the DICOM objects of a RUN (see `mura-batch dicom`) to an archive and finds out what arrived. What has
    arrived is not sent again. Exit code 0: all objects are there; 3: some are not, they are listed; 1: the archive
    cannot be reached."""
    from mura_batch.outputs.dicom.dicom_sink import FOLDER as OBJECTS
    from mura_batch.outputs.manifest import read_manifest
    from mura_batch.outputs.send.deliver import deliver, pending, sendables
    from mura_batch.store.database import LEDGER_NAME
    from mura_batch.store.ledger import Ledger
    from mura_batch.store.lock import locked

    require_extra("pynetdicom")
    require_extra("dicomweb_client")
    logging.disable()  # the libraries' own logs and warnings may quote patient data
    warnings.simplefilter("ignore")
    run = options.run.resolve()
    out = run.parent.parent
    require_identifiers(read_manifest(run).identifiers, "mura-batch send")
    items = sendables(run / OBJECTS)
    archive = _archive(options)
    if not (out / LEDGER_NAME).is_file():
        raise InputError(f"{out} has no {LEDGER_NAME}: name a run where it was written, OUT/runs/NAME or OUT/latest")
    with (
        locked(out, allow_shared=options.allow_shared_out) as may_lock,
        Ledger(out / LEDGER_NAME, may_lock=may_lock) as ledger,
    ):
        sends = ledger.sends(archive.name)
        if options.dry_run:
            return _print_plan(pending(items, sends), len(items))
        return _print_delivery(deliver(items, archive, sends), as_json=options.json)


def _archive(options: SendOptions) -> Archive:
    if (options.to is None) == (options.stow is None):
        raise InputError("give either --to AET@HOST:PORT or --stow URL")
    if options.to is not None:
        from mura_batch.outputs.send.dimse import DimseArchive, Ourselves, parse_peer

        if not 0 < len(options.aet.strip()) <= 16:
            raise InputError(f"--aet {options.aet}: an AE title has 1 to 16 characters")
        ourselves = Ourselves(options.aet.strip(), options.commit, options.listen)
        return DimseArchive(parse_peer(options.to, tls=options.tls), ourselves)
    from mura_batch.outputs.send.stow import WebArchive, read_header_file

    headers = read_header_file(options.header_file) if options.header_file else {}
    return WebArchive(str(options.stow), headers)


def _print_plan(todo: Sequence[Sendable], total: int) -> int:
    for item in todo:
        click.echo(f"{item.kind:<5} {item.sop_uid}")
    say(f"mura-batch: {len(todo)} of {total} objects would be sent")
    return ExitCode.OK


def _print_delivery(delivery: Delivery, *, as_json: bool) -> int:
    if as_json:
        rows = [
            {"sop_instance_uid": a.item.sop_uid, "kind": a.item.kind, "status": a.status.value, "detail": a.detail}
            for a in delivery.outcomes
        ]
        click.echo(dumps({"sent": delivery.sent, "there_before": delivery.skipped, "objects": rows}, indent=2))
    for answer in delivery.failures:
        say(f"mura-batch: not there: {answer.item.kind} {answer.item.sop_uid}: {answer.status}: {answer.detail}")
    arrived = len(delivery.outcomes) - len(delivery.failures)
    say(f"mura-batch: {arrived} of {len(delivery.outcomes)} objects are there; {delivery.sent} sent now")
    return ExitCode.INPUT_UNREADABLE if delivery.failures else ExitCode.OK
