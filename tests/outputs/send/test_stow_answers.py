"""What is made of the HTTP statuses of a DICOMweb archive (PS3.18 10.5.3), which a server on loopback gives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mura_batch.outputs.send.archive import Sendable, UnreachableError
from mura_batch.outputs.send.deliver import BACK_OFF, deliver
from mura_batch.outputs.send.stow import WebArchive
from mura_batch.store.sends import Sends, SendStatus


class Refusing(ThreadingHTTPServer):
    """Answers every request with `status` and no content; counts the posts."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Refuse)
        self.status = 200
        self.posts = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/dicom-web"


class _Refuse(BaseHTTPRequestHandler):
    server: Refusing

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.server.posts += 1
        self._answer()

    do_GET = _answer  # noqa: N815 (name given by the base class)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def archive() -> Iterator[Refusing]:
    with Refusing() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "message"), [(401, "--header-file"), (403, "--header-file"), (404, "check the path of the URL")]
)
def test_a_refusal_of_all_requests_ends_the_delivery(
    archive: Refusing, items: list[Sendable], sends: Sends, status: int, message: str
) -> None:
    archive.status = status
    with pytest.raises(UnreachableError, match=message):
        deliver(items, WebArchive(archive.url, {}), sends, lambda _: None)
    assert archive.posts == 1, "the same refusal was asked for again"


@pytest.mark.parametrize(("status", "tries"), [(503, 1 + len(BACK_OFF)), (507, 1 + len(BACK_OFF)), (400, 1)])
def test_only_a_busy_archive_is_asked_again(
    archive: Refusing, items: list[Sendable], sends: Sends, status: int, tries: int
) -> None:
    archive.status = status
    one_study = [item for item in items if item.study_uid == items[0].study_uid]
    delivery = deliver(one_study, WebArchive(archive.url, {}), sends, lambda _: None)
    assert {(answer.status, answer.detail) for answer in delivery.outcomes} == {(SendStatus.REFUSED, f"HTTP {status}")}
    assert archive.posts == tries
