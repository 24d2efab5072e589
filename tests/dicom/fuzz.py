"""Damaged DICOM in, a record for each out: `python tests/dicom/fuzz.py --inputs 20000` (make fuzz).

Each input is a shared file (where they are) or one made here, changed at a few bytes, cut, grown or spliced with
another. All go through discover, read_header and DecodePool, a folder of a few hundred at a time; those that their
header skips are decoded all the same, as `mura-batch inspect` does. It ends with exit code 1 where an input has no
record or two, where the parent or a worker takes more memory than it may, or where a file takes longer than its time
limit. A crashed or a lost worker is allowed, and counted: that is what the workers are for.
"""

from __future__ import annotations

import argparse
import os
import random
import struct
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import psutil
from numpy.typing import NDArray

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.discover import discover
from mura_batch.dicom.header.reader import read_header
from mura_batch.dicom.inspect import stand_in
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.worker.pool import DecodePool
from mura_batch.dicom.write.radiograph import encode_frame
from mura_batch.preprocess import InputSpec
from mura_batch.records import Instance, Skipped, SourceFile

Pixels = NDArray[Any]
SHARED = Path(os.environ.get("MURA_BATCH_SHARED", Path(__file__).resolve().parents[3] / "shared")) / "dicom"
BATCH = 250  # files in a folder at once
LARGEST = 300_000  # bytes of a seed: larger ones cost time and add no other way to fail
PARENT_MB = 600
POLICY = IntakePolicy(settle_seconds=0, decode_timeout=10.0, worker_memory=1 << 30)
WORKER_MB = (POLICY.worker_memory >> 20) + 300  # and what its libraries take before the limit counts


def element(group: int, number: int, vr: str, value: bytes) -> bytes:
    value += (b"\0" if vr in {"UI", "OB"} else b" ") * (len(value) % 2)
    if vr in {"OB", "OW", "SQ"}:
        return struct.pack("<HH2sHL", group, number, vr.encode(), 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, vr.encode(), len(value)) + value


def deflated(stored: Pixels) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(stored.tobytes()) + packer.flush()


# Syntaxes that the package reads and does not write.
NEW: dict[str, Callable[[Pixels], bytes]] = {
    syntaxes.HTJ2K_LOSSLESS: lambda stored: imagecodecs.htj2k_encode(stored, reversible=True),
    syntaxes.JPEG_XL_LOSSLESS: lambda stored: imagecodecs.jpegxl_encode(stored, lossless=True, bitspersample=16),
    syntaxes.JPEG_XL: lambda stored: imagecodecs.jpegxl_encode(stored, level=90, usecontainer=True),
    syntaxes.DEFLATED_FRAME: deflated,
    syntaxes.ENCAPSULATED_UNCOMPRESSED: lambda stored: stored.tobytes(),
}


def small_radiograph(syntax: str, rng: random.Random) -> bytes:
    """A hand of 48 x 40 pixels; raw bytes, so that the changes reach every part of a file."""
    stored = np.frombuffer(rng.randbytes(48 * 40 * 2), "<u2").reshape(48, 40) & 0xFFFF
    words = (
        ("1.2.840.10008.5.1.4.1.1.1", 0x08, 0x16, "UI"),
        ("1.2.3", 0x08, 0x18, "UI"),
        ("CR", 0x08, 0x60, "CS"),
        ("XR HAND", 0x08, 0x1030, "LO"),
        ("P", 0x10, 0x20, "LO"),
        ("HAND", 0x18, 0x15, "CS"),
        ("1.2", 0x20, 0x0D, "UI"),
    )
    code = element(0x08, 0x100, "SH", b"85562004") + element(0x08, 0x102, "SH", b"SCT")
    region = struct.pack("<HHL", 0xFFFE, 0xE000, len(code)) + code
    body = b"".join(element(g, n, vr, text.encode()) for text, g, n, vr in words[:4])
    body += element(0x08, 0x2218, "SQ", region) + b"".join(
        element(g, n, vr, text.encode()) for text, g, n, vr in words[4:]
    )
    body += element(0x28, 0x04, "CS", rng.choice([b"MONOCHROME1", b"MONOCHROME2"]))
    numbers = ((0x02, 1), (0x10, 48), (0x11, 40), (0x100, 16), (0x101, 16), (0x102, 15), (0x103, rng.randrange(2)))
    body = body + b"".join(element(0x28, n, "US", struct.pack("<H", value)) for n, value in sorted(numbers))
    body += element(0x28, 0x1050, "DS", b"32000") + element(0x28, 0x1051, "DS", b"60000")
    if syntax in syntaxes.ENCAPSULATED:
        frame = bytes(NEW[syntax](stored)) if syntax in NEW else encode_frame(stored, syntax, 16)
        frame += b"\0" * (len(frame) % 2)
        parts = struct.pack("<HHL", 0xFFFE, 0xE000, 0) + struct.pack("<HHL", 0xFFFE, 0xE000, len(frame)) + frame
        body += (
            struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + parts + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
        )
    else:
        body += element(0x7FE0, 0x10, "OW", stored.tobytes())
    return b"\0" * 128 + b"DICM" + element(0x02, 0x10, "UI", syntax.encode()) + body


def seeds(rng: random.Random) -> tuple[list[bytes], list[bytes]]:
    """(made here, of other projects); the former where the latter are not there."""
    made = [
        syntaxes.EXPLICIT_LE,
        syntaxes.RLE,
        syntaxes.JPEG_2000_LOSSLESS,
        syntaxes.JPEG_LS_LOSSLESS,
        syntaxes.JPEG_LOSSLESS_SV1,
        *NEW,
    ]
    ours = [small_radiograph(syntax, rng) for syntax in made for _ in range(8)]
    paths = sorted(path for path in SHARED.rglob("*") if path.is_file() and path.stat().st_size <= LARGEST)
    return ours, [path.read_bytes() for path in paths] or ours


INTERESTING = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]


def damaged(seed: bytes, other: bytes, rng: random.Random) -> bytes:
    """A few of: bytes changed, a number replaced by an extreme one, a piece cut out, doubled, or taken from another
    file."""
    data = bytearray(seed)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at = rng.randrange(132 if rng.random() < 0.9 and len(data) > 140 else 0, max(len(data), 1)) if data else 0
        match rng.randrange(12):
            case 0 | 1 | 2 | 3 | 4:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 5 | 6 | 7:
                size = rng.choice([1, 2, 4])
                data[at : at + size] = (rng.choice(INTERESTING) & (1 << 8 * size) - 1).to_bytes(
                    size, rng.choice(["little", "big"])
                )
            case 8:
                del data[at : at + rng.choice([1, 2, 8, 64, 4096])]
            case 9:
                data[at:at] = data[at : at + rng.choice([4, 64, 1024])]
            case 10:
                start = rng.randrange(max(len(other), 1))
                data[at : at + 64] = other[start : start + rng.choice([4, 64, 1024])]
            case _:
                del data[max(at, 200) :]
    return bytes(data)


class Watch(threading.Thread):
    """The largest memory of a worker, looked at ten times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.worker_mb = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.1):
            for child in psutil.Process().children():
                try:
                    self.worker_mb = max(self.worker_mb, child.memory_info().rss >> 20)
                except psutil.Error:
                    continue


def fates(root: Path, records: Counter[str]) -> Iterator[str]:
    """The path of each record that comes out; counts what became of it."""
    waiting = []
    for item in discover(root, POLICY):
        record = item if isinstance(item, Skipped) else read_header(root, item, POLICY)
        if isinstance(record, Skipped):
            records[f"header {record.reason}"] += 1
            yield record.source.path
        waiting.append(
            record if isinstance(record, Instance) else stand_in(item) if isinstance(item, SourceFile) else None
        )
    judged = {record.source.path for record in waiting if record is not None and record.study_uid}
    with DecodePool(root, POLICY, InputSpec(size=64), 2) as pool:
        for answer in pool.decode(record for record in waiting if record is not None):
            records[f"pixels {answer.reason}" if isinstance(answer, Skipped) else "decoded"] += 1
            path = answer.source.path if isinstance(answer, Skipped) else answer[0].instance.source.path
            if path in judged:
                yield path


def run(inputs: int, seed: int) -> tuple[Counter[str], list[str]]:
    """(what became of the inputs, what is wrong)."""
    rng, records, wrong, watch = random.Random(seed), Counter[str](), [], Watch()
    sown = seeds(rng)
    watch.start()
    for first in range(0, inputs, BATCH):
        with tempfile.TemporaryDirectory(prefix="mura-fuzz-") as folder:
            root = Path(folder)
            names = [f"{number:06}" for number in range(first, min(first + BATCH, inputs))]
            for name in names:
                (root / name).write_bytes(damaged(rng.choice(rng.choice(sown)), rng.choice(rng.choice(sown)), rng))
            start = time.perf_counter()
            recorded = Counter(fates(root, records))
            seconds = time.perf_counter() - start
        if recorded != Counter(names):
            wrong.append(
                f"inputs {first}...: not one record each: "
                f"{dict((recorded - Counter(names)) | (Counter(names) - recorded))}"
            )
        if seconds > 120 + POLICY.decode_timeout * records["pixels worker_timeout"]:
            wrong.append(f"inputs {first}...: {seconds:.0f} s")
    watch.done.set()
    parent_mb = peak_mb()
    if parent_mb > PARENT_MB:
        wrong.append(f"the parent took {parent_mb} MB, more than {PARENT_MB}")
    if watch.worker_mb > WORKER_MB:
        wrong.append(f"a worker took {watch.worker_mb} MB, more than {WORKER_MB}")
    records["(parent, peak MB)"], records["(worker, peak MB)"] = parent_mb, watch.worker_mb
    return records, wrong


def peak_mb() -> int:
    """Of this process alone: ru_maxrss counts the memory of the process that started it, too."""
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) >> 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    records, wrong = run(given.inputs, given.seed)
    for fate, count in sorted(records.items()):
        sys.stdout.write(f"{count:>8}  {fate}\n")
    for line in wrong:
        sys.stdout.write(f"WRONG: {line}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
