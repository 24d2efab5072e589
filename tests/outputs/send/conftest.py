"""A scored run with its objects, a real Orthanc on loopback, and a DICOM peer that answers as it is told."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from mura_batch.outputs.send.archive import Sendable
from mura_batch.outputs.send.deliver import sendables
from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.store.ledger import Ledger
from mura_batch.store.sends import Sends

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@pytest.fixture(scope="session")
def scored_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("send")
    make_phantoms(root / "studies", PhantomOptions(studies=3, small=True))
    done = run(
        "score", root / "studies", "--out", root / "out", "--settle", "0", "--device", "cpu", "--dicom", "sr,gsps,sc"
    )
    assert done.returncode in {0, 3}, done.stderr
    return root / "out"


@pytest.fixture
def out(scored_once: Path, tmp_path: Path) -> Path:
    """OUT of a run with objects, to be changed."""
    return Path(shutil.copytree(scored_once, tmp_path / "out", symlinks=True))


@pytest.fixture
def items(out: Path) -> list[Sendable]:
    return sendables((out / "latest" / "dicom").resolve())


@pytest.fixture
def sends(out: Path) -> Iterator[Sends]:
    with Ledger(out / "ledger.sqlite") as ledger:
        yield ledger.sends("test")


@pytest.fixture
def mura_batch() -> Callable[..., subprocess.CompletedProcess[str]]:
    return run


def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mura_batch", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Orthanc:
    """Debian's Orthanc with DICOMweb, its data in a folder of the test's. Its defaults: OverwriteInstances is off."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.dicom, self.http, self.listen = folder, free_port(), free_port(), free_port()
        us = {"AET": "MURA_BATCH", "Host": "127.0.0.1", "Port": self.listen, "AllowStorageCommitment": True}
        folder.mkdir()
        (folder / "orthanc.json").write_text(
            json.dumps({
                "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"), "DicomAet": "ORTHANC",
                "DicomPort": self.dicom, "HttpPort": self.http, "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False, "Plugins": [str(PLUGIN)], "DicomModalities": {"us": us},
            })
        )  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def to(self) -> str:
        return f"ORTHANC@127.0.0.1:{self.dicom}"

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.http}/dicom-web"

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = ["Orthanc", str(self.folder / "orthanc.json")]
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        for _ in range(300):
            with contextlib.suppress(OSError):
                self.get("/system")
                return
            assert self._process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=10) as answer:
            return json.load(answer)

    def instances(self) -> set[str]:
        """SOP Instance UIDs that it holds, as it says itself."""
        return {self.get(f"/instances/{name}/simplified-tags")["SOPInstanceUID"] for name in self.get("/instances")}

    def put(self, data: bytes) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}/instances", data, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer)["Status"] == "Success"


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    if shutil.which("Orthanc") is None or not PLUGIN.exists():
        pytest.skip("Orthanc is not installed (apt-get install orthanc orthanc-dicomweb)")
    server = Orthanc(tmp_path / "orthanc")
    server.start()
    yield server
    server.stop()


@dataclass
class Peer:
    """answer(n): the status of the n-th C-STORE request, from 0, or 'abort'. The rest is what a test looks at."""

    answer: Callable[[int], int | str] = lambda _: 0x0000
    finds: bool = True
    port: int = 0
    requests: list[str] = field(default_factory=list)  # SOP Instance UIDs, each time one came in
    held: dict[str, Dataset] = field(default_factory=dict)

    def store(self, event: Any) -> int:
        number = len(self.requests)
        uid = str(event.request.AffectedSOPInstanceUID)
        self.requests.append(uid)
        status = self.answer(number)
        if status == "abort":
            event.assoc.abort()
            return 0xC001
        if int(status) in {0x0000, 0xB000}:
            self.held[uid] = event.dataset
        return int(status)

    def find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        held = self.held.get(str(event.identifier.SOPInstanceUID))
        if not self.finds:
            yield 0xA900, None
        elif held is not None:
            reply = Dataset()
            for element in event.identifier:
                reply[element.tag] = held.get(element.tag, element)
            yield 0xFF00, reply


@pytest.fixture
def start_peer() -> Iterator[Callable[..., Peer]]:
    """start_peer(answer=..., finds=..., tls=...) -> Peer, listening on loopback until the test ends."""
    servers = []

    def start(tls: Any = None, **settings: Any) -> Peer:
        peer = Peer(**settings)
        entity = AE(ae_title="PEER")
        entity.supported_contexts = AllStoragePresentationContexts
        entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        handlers = [(evt.EVT_C_STORE, peer.store), (evt.EVT_C_FIND, peer.find)]
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=tls)
        peer.port = server.socket.getsockname()[1]
        servers.append(server)
        return peer

    yield start
    for server in servers:
        server.shutdown()
