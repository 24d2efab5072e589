"""An archive by DICOM's own protocol: C-STORE, then Storage Commitment or C-FIND. Never C-MOVE or C-GET."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mura_batch.dicom.write.result_files import answer_differences, commitment_request, instance_query
from mura_batch.dicom.write.result_uids import derived_uid
from mura_batch.errors import InputError
from mura_batch.outputs.send.archive import Answer, Sendable, UnreachableError
from mura_batch.store.sends import SendStatus

_EXPLICIT_LE = "1.2.840.10008.1.2.1"  # the files' own transfer syntax; no other is proposed, so none is changed
_FIND = "1.2.840.10008.5.1.4.1.2.2.1"  # Study Root Query/Retrieve - FIND
_COMMITMENT = "1.2.840.10008.1.20.1"  # Storage Commitment Push Model
_COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
_PENDING = frozenset({0xFF00, 0xFF01})
_SECONDS = 30.0  # to wait for the peer's next message
_COMMITMENT_SECONDS = 60.0  # to wait for the report of a commitment
_LONGEST_AET = 16  # characters (PS3.5 6.2)


@dataclass(frozen=True, slots=True)
class Peer:
    """An application entity. tls: with certificates of the system's store, or those of SSL_CERT_FILE."""

    aet: str
    host: str
    port: int
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Ourselves:
    """aet: our title. commit: ask for storage commitment. listen: the port at which its report may come in."""

    aet: str = "MURA_BATCH"
    commit: bool = False
    listen: int = 11112


def parse_peer(text: str, *, tls: bool) -> Peer:
    """text: AET@HOST:PORT. Raises InputError."""
    aet, at, address = text.partition("@")
    host, colon, port = address.rpartition(":")
    if not (at and colon and host and port.isdecimal() and 0 < int(port) < 65536):
        raise InputError(f"--to {text}: write AET@HOST:PORT, as in ARCHIVE@pacs.example.org:104")
    if not 0 < len(aet.strip()) <= _LONGEST_AET:
        raise InputError(f"--to {text}: an AE title has 1 to {_LONGEST_AET} characters")
    return Peer(aet.strip(), host.strip("[]"), int(port), tls)


class DimseArchive:
    """`outputs.send.archive.Archive` by DIMSE."""

    def __init__(self, peer: Peer, ourselves: Ourselves) -> None:
        self._peer, self._ourselves = peer, ourselves
        self.name = f"dimse:{peer.aet}@{peer.host}:{peer.port}"

    def send(self, items: Sequence[Sendable]) -> Iterator[Answer]:
        """An association that breaks leaves the rest NOT_SENT, to be tried again."""
        classes = sorted({item.sop_class_uid for item in items})
        with self._association(classes) as association:
            for item in items:
                yield _store(association, item)

    def verify(self, items: Sequence[Sendable]) -> Iterator[Answer]:
        if not items:
            return
        if self._ourselves.commit:
            yield from self._commit(items)
            return
        with self._association([_FIND]) as association:
            for item in items:
                yield _find(association, item)

    @contextmanager
    def _association(self, classes: Sequence[str], handlers: Sequence[Any] = ()) -> Iterator[Any]:
        from pynetdicom import AE

        entity = AE(ae_title=self._ourselves.aet)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _SECONDS
        entity.connection_timeout = _SECONDS
        for sop_class in classes:
            entity.add_requested_context(sop_class, _EXPLICIT_LE)
        peer = self._peer
        tls = (_tls_context(), peer.host) if peer.tls else None
        association = entity.associate(
            peer.host, peer.port, ae_title=peer.aet, tls_args=tls, evt_handlers=list(handlers)
        )
        if not association.is_established:
            raise UnreachableError(_why_not(association, peer))
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def _commit(self, items: Sequence[Sendable]) -> Iterator[Answer]:
        """PS3.4 J. The report comes in on this association or on one that the archive opens to our port."""
        from pynetdicom import AE, evt

        report = _Report()
        handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, report.handle)]
        listener = AE(ae_title=self._ourselves.aet)
        listener.add_supported_context(_COMMITMENT, scu_role=True, scp_role=True)
        try:
            address = ("", self._ourselves.listen)
            server: Any = listener.start_server(address, block=False, evt_handlers=handlers)
        except OSError as error:
            raise InputError(f"--listen {self._ourselves.listen}: {error.strerror}: choose a free port") from error
        try:
            with self._association([_COMMITMENT], handlers) as association:
                refused = _request_commitment(association, items)
                if not refused:
                    report.arrived.wait(_COMMITMENT_SECONDS)
        finally:
            server.shutdown()
        for item in items:
            yield report.answer(item, refused)


class _Report:
    """The outcome of a commitment: N-EVENT-REPORT (PS3.4 J.3.3)."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self._committed: frozenset[str] = frozenset()
        self._failed: dict[str, int] = {}

    def handle(self, event: Any) -> tuple[int, None]:
        information = event.event_information
        self._committed = frozenset(
            str(item.ReferencedSOPInstanceUID) for item in information.get("ReferencedSOPSequence", [])
        )
        self._failed = {
            str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason", 0))
            for item in information.get("FailedSOPSequence", [])
        }
        self.arrived.set()
        return 0x0000, None

    def answer(self, item: Sendable, refused: str) -> Answer:
        if item.sop_uid in self._committed:
            return Answer(item, SendStatus.PRESENT, "storage commitment")
        if item.sop_uid in self._failed:
            return Answer(item, SendStatus.MISSING, f"not committed to, reason {self._failed[item.sop_uid]:04X}")
        return Answer(item, SendStatus.ACCEPTED, refused or "no report of the storage commitment came in")


def _store(association: Any, item: Sendable) -> Answer:
    if not association.is_established:
        return Answer(item, SendStatus.NOT_SENT, "the association was lost", again=True)
    try:
        status = association.send_c_store(str(item.path)).get("Status")
    except ValueError:  # no context was accepted for its SOP class in its transfer syntax
        return Answer(item, SendStatus.REFUSED, "the archive takes no objects of this SOP class in Explicit VR")
    except RuntimeError:  # the association was lost between the two lines
        status = None
    if status is None:
        return Answer(item, SendStatus.NOT_SENT, "no answer: the association was lost or timed out", again=True)
    return _judge(item, int(status))


def _judge(item: Sendable, status: int) -> Answer:
    """PS3.4 B.2.3 and PS3.7 annex C."""
    if status == 0x0000:
        return Answer(item, SendStatus.ACCEPTED)
    if status in {0xB000, 0xB006, 0xB007}:
        return Answer(item, SendStatus.ACCEPTED, f"with warning {status:04X}: the archive changed or doubts it")
    full = status & 0xFF00 == 0xA700  # out of resources: it may have some later
    return Answer(item, SendStatus.REFUSED, f"status {status:04X}", again=full)


def _find(association: Any, item: Sendable) -> Answer:
    """An archive that allows no C-FIND accepts the context and aborts, or answers nothing."""
    unknown = Answer(item, SendStatus.ACCEPTED, "the archive answers no C-FIND: it cannot be verified")
    if not association.is_established:
        return unknown
    try:
        replies = list(association.send_c_find(instance_query(item.study_uid, item.series_uid, item.sop_uid), _FIND))
    except (ValueError, RuntimeError):
        return unknown
    if not replies or any("Status" not in status for status, _ in replies):
        return unknown
    found = [answer for status, answer in replies if status.Status in _PENDING and answer is not None]
    if not found:
        done = replies[-1][0].Status == 0x0000
        return Answer(item, SendStatus.MISSING, "C-FIND finds no such instance") if done else unknown
    differing, compared = answer_differences(found[0], item.path)
    if differing:
        return Answer(item, SendStatus.DIFFERENT, f"C-FIND answers another {', '.join(differing)}")
    return Answer(item, SendStatus.PRESENT, f"C-FIND, {compared} attributes agree")


def _request_commitment(association: Any, items: Sequence[Sendable]) -> str:
    """'' where the archive took the request, else why not."""
    references = tuple((item.sop_class_uid, item.sop_uid) for item in items)
    request = commitment_request(derived_uid("commitment", *(uid for _, uid in references)), references)
    try:
        status, _ = association.send_n_action(request, 1, _COMMITMENT, _COMMITMENT_INSTANCE)
    except (ValueError, RuntimeError):
        return "the archive offers no storage commitment"
    code = status.get("Status")
    return "" if code == 0x0000 else f"storage commitment refused, status {code if code is None else f'{code:04X}'}"


def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _why_not(association: Any, peer: Peer) -> str:
    where = f"{peer.aet} at {peer.host}:{peer.port}"
    if association.is_rejected:
        return f"{where} rejects the association: is the AE title right, and does the archive know ours?"
    if association.is_aborted:
        return f"{where} cannot be reached, or aborts: check host, port, TLS and its certificate"
    return f"{where} accepts none of our presentation contexts, or cannot be reached: check the archive's SOP classes"
