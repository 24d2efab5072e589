"""The decode worker's process: `python -m mura_batch.dicom.worker.child FD`. It may crash, hang or run out of memory.

Protocol over one socket. From the parent: the settings, then one Instance or Question after another (pickled: the
parent is trusted). To the parent: b'ready', then for each either a JSON object with `reason` and `detail`, or one with
the answer, followed by raw bytes: for an instance `hash`, `size` and a list of `decisions`, and size x size bytes for
each of these, the picture first, then its alternatives (--voi-check). The parent unpickles nothing that this process
sends.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.refused import Refused
from mura_batch.preprocess import InputSpec, preprocess
from mura_batch.records import Instance, PixelDecisions, Reason, SourceFile
from mura_batch.regular_files import open_regular

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REUSED = 64 << 20  # bytes of the buffer that is reused: radiographs have 5 to 40 MB; larger ones get their own
READY = b"ready"
HEADER_BYTES = 32 << 20  # of a file that pydicom read: what a header may have (byte_sources.MAX_INFLATED_HEADER)
Settings = tuple[Path, IntakePolicy, InputSpec]
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class Question:
    """What a worker is asked of a file besides its model input. about: 'header', the header as pydicom reads it; or
    'picture', a digest of what a reader sees."""

    about: Literal["header", "picture"]
    source: SourceFile


def main() -> None:
    pipe = Connection(int(sys.argv[1]))
    settings: Settings = pipe.recv()
    buffer = Buffer()
    _confine(settings[1].worker_memory)
    pipe.send_bytes(READY)
    while True:
        try:
            request: Instance | Question = pipe.recv()
        except EOFError:
            return
        reason = _reply(pipe, request, settings, buffer)
        if reason is Reason.WORKER_MEMORY:
            return  # heap fragmented: exit, and the pool starts a new worker


def _confine(memory: int) -> None:
    """This process dies with the parent, ignores Ctrl-C, writes nothing to the terminal, and may take `memory` bytes
    of address space beyond its libraries."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    _load_codecs()  # before the limit: libraries reserve address space as they load
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    limit = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file holds patient data


def _load_codecs() -> None:
    import imagecodecs
    from PIL import Image, Jpeg2KImagePlugin, JpegImagePlugin

    Image.MAX_IMAGE_PIXELS = None  # the header's size was checked, and the codestream's against it
    assert Jpeg2KImagePlugin, JpegImagePlugin  # noqa: S101 - named, so that they are imported
    for name in ("jpeg2k", "htj2k", "jpegls", "jpeg8", "jpegxl", "packbits"):
        getattr(imagecodecs, f"{name}_decode")


def _reply(pipe: Connection, request: Instance | Question, settings: Settings, buffer: Buffer) -> Reason | None:
    """Sends the answer to one request; returns the reason where there is none."""
    policy = settings[1]
    try:
        answer, payloads = _answer(request, settings, buffer)
    except Refused as refused:
        return _refuse(pipe, refused.reason, refused.detail)
    except MemoryError:
        return _refuse(pipe, Reason.WORKER_MEMORY, f"decoding takes more than {policy.worker_memory >> 20} MiB")
    except Exception as error:  # noqa: BLE001 - a hostile file may raise anything; it becomes this file's reason
        return _refuse(pipe, Reason.UNDECODABLE_PIXELS, f"{type(error).__name__} while the pixels were read")
    pipe.send_bytes(json.dumps(answer).encode())
    for payload in payloads:
        pipe.send_bytes(payload)
    return None


def _answer(request: Instance | Question, settings: Settings, buffer: Buffer) -> tuple[dict[str, Any], list[bytes]]:
    """(a JSON object, what follows it). Raises Refused, and whatever a hostile file makes a library raise."""
    root, policy, spec = settings
    if isinstance(request, Instance):
        content_hash, decoded = _decode_each(root, request, policy, spec, buffer)
        decisions = [asdict(choices) for choices, _ in decoded]
        answer = {"hash": content_hash, "size": spec.size, "decisions": decisions}
        return answer, [picture.tobytes() for _, picture in decoded]
    data = _read(root / request.source.path, request.source, buffer)
    if request.about == "header":
        from mura_batch.dicom.header.second_reading import rewritten

        again = rewritten(data)
        return {"size": len(again)}, [again[:HEADER_BYTES]]
    return {"picture": _digest(data, policy)}, [b""]


def _digest(data: memoryview, policy: IntakePolicy) -> str:
    """Names what a reader sees of a file, whatever its transfer syntax: the display image in full resolution, and every
    decision but how it was decoded."""
    from mura_batch.dicom.pixels.decode import decode

    display, aspect, decisions = decode(data, policy, 0)
    shown = asdict(replace(decisions, decoder="", reduction=1)) | {"aspect": aspect, "shape": display.shape}
    return hashlib.sha256(display.tobytes() + json.dumps(shown, sort_keys=True).encode()).hexdigest()


def _refuse(pipe: Connection, reason: Reason, detail: str) -> Reason:
    pipe.send_bytes(json.dumps({"reason": reason.value, "detail": detail}).encode())
    return reason


class Buffer:
    """Memory for a whole file, reused for the next one: fresh memory costs as much as reading into it."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def of(self, size: int) -> memoryview:
        """size bytes; the bytes returned before are overwritten."""
        if size > REUSED:
            return memoryview(bytearray(size))
        if len(self._bytes) < size:
            self._bytes = bytearray(size)
        return memoryview(self._bytes)[:size]


def decode_file(
    root: Path, instance: Instance, policy: IntakePolicy, spec: InputSpec, buffer: Buffer | None = None
) -> tuple[str, PixelDecisions, NDArray[np.uint8]]:
    """(SHA-256 of the file in hex, decisions, model input [S, S] uint8). Raises Refused."""
    content_hash, decoded = _decode_each(root, instance, policy, spec, buffer or Buffer())
    return content_hash, *decoded[0]


def _decode_each(
    root: Path, instance: Instance, policy: IntakePolicy, spec: InputSpec, buffer: Buffer
) -> tuple[str, list[tuple[PixelDecisions, NDArray[np.uint8]]]]:
    """(content hash, the picture and, with policy.voi_check, its alternatives)."""
    from mura_batch.dicom.pixels.decode import decode, decode_each_voi

    data = _read(root / instance.source.path, instance.source, buffer)
    size = spec.decode_size
    shown = decode_each_voi(data, policy, size) if policy.voi_check else [decode(data, policy, size)]
    inputs = [(decisions, preprocess(display, spec, aspect)) for display, aspect, decisions in shown]
    return hashlib.sha256(data).hexdigest(), inputs


def _read(path: Path, source: SourceFile, buffer: Buffer) -> memoryview:
    try:
        with open_regular(path) as file:
            info = os.fstat(file.fileno())
            if (info.st_size, info.st_mtime_ns) != (source.size, source.mtime_ns):
                raise Refused(Reason.CHANGED_WHILE_READ, "the file changed since its header was read")
            data, at = buffer.of(info.st_size), 0
            while at < len(data):
                count = file.readinto(data[at:])
                if not count:
                    raise Refused(Reason.CHANGED_WHILE_READ, "the file became shorter while it was read")
                at += count
            return data
    except OSError as error:
        raise Refused(Reason.UNREADABLE_FILE, error.strerror or "cannot be read") from error


if __name__ == "__main__":
    main()
