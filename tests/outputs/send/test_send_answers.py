"""What is made of an archive's answers: nothing is sent twice, and nothing is claimed that did not arrive."""

from __future__ import annotations

import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mura_batch.errors import InputError
from mura_batch.outputs.send import dimse
from mura_batch.outputs.send.archive import Sendable, UnreachableError
from mura_batch.outputs.send.deliver import BACK_OFF, Delivery, deliver, sendables
from mura_batch.outputs.send.dimse import DimseArchive, Ourselves, parse_peer
from mura_batch.outputs.send.stow import WebArchive, read_header_file
from mura_batch.store.sends import Sends, SendStatus, Sent

# pynetdicom 3.0.4 leaves the socket of an association that was not made to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def to(peer: Any, *, tls: bool = False) -> DimseArchive:
    return DimseArchive(parse_peer(f"PEER@127.0.0.1:{peer.port}", tls=tls), Ourselves())


def statuses(delivery: Delivery) -> list[SendStatus]:
    return [answer.status for answer in delivery.outcomes]


@pytest.fixture
def pauses() -> list[float]:
    return []


def test_all_objects_arrive_and_are_never_sent_again(
    items: list[Sendable], sends: Sends, start_peer: Callable[..., Any], pauses: list[float]
) -> None:
    peer = start_peer()
    first = deliver(items, to(peer), sends, pauses.append)
    assert (first.sent, first.failures) == (len(items), ())
    assert sorted(peer.requests) == sorted(item.sop_uid for item in items)
    second = deliver(items, to(peer), sends, pauses.append)
    assert (second.sent, second.skipped, second.failures) == (0, len(items), ())
    assert len(peer.requests) == len(items)


def test_only_refused_objects_are_listed_and_sent_again(
    items: list[Sendable], sends: Sends, start_peer: Callable[..., Any], pauses: list[float]
) -> None:
    peer = start_peer(answer=lambda n: 0xC000 if n % 2 else 0x0000)
    first = deliver(items, to(peer), sends, pauses.append)
    refused = [answer.item.sop_uid for answer in first.failures]
    assert refused == [item.sop_uid for item in items[1::2]]
    assert {answer.status for answer in first.failures} == {SendStatus.REFUSED}
    assert "C000" in first.failures[0].detail
    assert len(peer.requests) == len(items), "a refusal for good was tried again"
    peer.answer = lambda _: 0x0000
    assert deliver(items, to(peer), sends, pauses.append).failures == ()
    assert peer.requests[len(items) :] == refused


def test_a_full_archive_is_tried_again_with_growing_pauses(
    items: list[Sendable], sends: Sends, start_peer: Callable[..., Any], pauses: list[float]
) -> None:
    peer = start_peer(answer=lambda n: 0xA700 if n < len(items) + 2 else 0x0000)
    delivery = deliver(items, to(peer), sends, pauses.append)
    assert delivery.failures == ()
    assert pauses == [0.0, *BACK_OFF[:2]]
    assert len(peer.requests) == 2 * len(items) + 2


def test_an_archive_that_stays_full_is_reported(
    items: list[Sendable], sends: Sends, start_peer: Callable[..., Any], pauses: list[float]
) -> None:
    delivery = deliver(items, to(start_peer(answer=lambda _: 0xA700)), sends, pauses.append)
    assert set(statuses(delivery)) == {SendStatus.REFUSED}
    assert pauses == [0.0, *BACK_OFF]


def test_a_warning_is_recorded_beside_the_object(
    items: list[Sendable], sends: Sends, start_peer: Callable[..., Any], pauses: list[float]
) -> None:
    delivery = deliver(items, to(start_peer(answer=lambda _: 0xB000)), sends, pauses.append)
    assert set(statuses(delivery)) == {SendStatus.PRESENT}
    assert all("warning B000" in answer.detail for answer in delivery.outcomes)


def test_an_association_that_is_aborted_goes_on_where_it_was(
    items: list[Sendable], sends: Sends, start_peer: Callable[..., Any], pauses: list[float]
) -> None:
    peer = start_peer(answer=lambda n: "abort" if n == 2 else 0x0000)
    delivery = deliver(items, to(peer), sends, pauses.append)
    assert delivery.failures == ()
    assert len(peer.requests) == len(items) + 1, "an object that had arrived was sent again"


def test_a_peer_that_does_not_answer_is_no_arrival(
    items: list[Sendable], sends: Sends, start_peer: Callable[..., Any], pauses: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def slow(_: int) -> int:
        time.sleep(3)
        return 0x0000

    monkeypatch.setattr(dimse, "_SECONDS", 0.5)
    peer = start_peer(answer=slow, finds=False)
    delivery = deliver(items[:1], to(peer), sends, pauses.append)
    assert statuses(delivery) == [SendStatus.NOT_SENT]


def test_an_archive_without_c_find_is_not_believed(
    items: list[Sendable], sends: Sends, start_peer: Callable[..., Any], pauses: list[float]
) -> None:
    delivery = deliver(items, to(start_peer(finds=False)), sends, pauses.append)
    assert set(statuses(delivery)) == {SendStatus.ACCEPTED}
    assert len(delivery.failures) == len(items)


def test_an_object_that_was_taken_and_lost_is_missing(
    items: list[Sendable], sends: Sends, start_peer: Callable[..., Any], pauses: list[float]
) -> None:
    peer = start_peer()
    lost = items[0].sop_uid
    peer.held = _Forgetful(lost)
    delivery = deliver(items, to(peer), sends, pauses.append)
    assert [answer.item.sop_uid for answer in delivery.failures] == [lost]
    assert delivery.failures[0].status is SendStatus.MISSING


class _Forgetful(dict[str, Any]):
    def __init__(self, lost: str) -> None:
        super().__init__()
        self._lost = lost

    def get(self, key: str, default: Any = None) -> Any:
        return default if key == self._lost else super().get(key, default)


def test_another_object_under_the_same_uid_is_different(
    items: list[Sendable], sends: Sends, start_peer: Callable[..., Any], pauses: list[float]
) -> None:
    peer = start_peer()
    deliver(items, to(peer), sends, pauses.append)
    peer.held[items[0].sop_uid].PatientID = "SOMEBODY ELSE"
    sends.put(_unsent(items[0]))
    peer.answer = lambda _: 0xB007  # success with a warning; `held` stays
    delivery = deliver(items, to(peer), sends, pauses.append)
    (failure,) = delivery.failures
    assert failure.status is SendStatus.DIFFERENT
    assert "PatientID" in failure.detail
    assert "SOMEBODY" not in failure.detail


def _unsent(item: Sendable) -> Sent:
    return Sent(item.sop_uid, item.sha256, SendStatus.NOT_SENT)


def test_the_contexts_are_those_of_the_objects(items: list[Sendable], start_peer: Callable[..., Any]) -> None:
    peer = start_peer()
    archive = to(peer)
    classes = sorted({item.sop_class_uid for item in items})
    with archive._association(classes) as association:
        contexts = association.requestor.requested_contexts
    assert [context.abstract_syntax for context in contexts] == classes
    assert {tuple(context.transfer_syntax) for context in contexts} == {("1.2.840.10008.1.2.1",)}


def test_a_certificate_that_is_not_trusted_is_refused(
    items: list[Sendable], sends: Sends, start_peer: Callable[..., Any], tmp_path: Path, pauses: list[float]
) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
               "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]  # fmt: skip
    if subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip("openssl cannot make a certificate here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    peer = start_peer(tls=context)
    with pytest.raises(UnreachableError, match="certificate"):
        deliver(items, to(peer, tls=True), sends, pauses.append)
    assert peer.requests == []
    with pytest.MonkeyPatch.context() as patch:  # and with the certificate among the trusted ones it works
        patch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert deliver(items, to(peer, tls=True), sends, pauses.append).failures == ()


def test_nobody_listening_is_unreachable(items: list[Sendable], sends: Sends, pauses: list[float]) -> None:
    with pytest.raises(UnreachableError, match="host, port"):
        deliver(items, DimseArchive(parse_peer("X@127.0.0.1:1", tls=False), Ourselves()), sends, pauses.append)


def test_a_file_that_was_changed_is_not_sent(out: Path) -> None:
    folder = (out / "latest" / "dicom").resolve()
    path = next(folder.glob("*.dcm"))
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(InputError, match="make the objects again"):
        sendables(folder)


@pytest.mark.parametrize(
    "text", ["ARCHIVE", "A@host", "A@host:0", "A@host:70000", "@host:1", "A" * 17 + "@host:1", "A@:1", "A@host:x"]
)
def test_a_wrong_destination_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--to"):
        parse_peer(text, tls=False)


def test_header_lines_are_read_and_wrong_ones_named(tmp_path: Path) -> None:
    path = tmp_path / "headers"
    path.write_text("Authorization: Bearer a:b\n\nX-One:1\n")
    assert read_header_file(path) == {"Authorization": "Bearer a:b", "X-One": "1"}
    path.write_text("Authorization: x\nnonsense\n")
    with pytest.raises(InputError, match="line 2"):
        read_header_file(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_header_file(tmp_path / "none")
    with pytest.raises(InputError, match="URL"):
        WebArchive("pacs.example.org", {})
