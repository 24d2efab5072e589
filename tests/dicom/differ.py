"""Our reader beside pydicom, DCMTK and GDCM: `python tests/dicom/differ.py --variants 5000` (make differ).

Each input is a radiograph written in another way (VRs, lengths, order, sequences, VR UN, private blocks, icons,
encapsulation, padding), or a real file or a case of the shared folder. Where two of the three others read the same
stored pixels, we must show the picture that these pixels give by our own rules, or skip the file for what it is. Exit
code 1 where a disagreement is not argued in ARGUED and docs/intake.md.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.header.reader import read_header
from mura_batch.dicom.pixels.decode import decode
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.refused import Refused
from mura_batch.dicom.write.radiograph import encode_frame
from mura_batch.records import UNREADABLE, Instance, Reason, SourceFile

SHARED = Path(os.environ.get("MURA_BATCH_SHARED", Path(__file__).resolve().parents[3] / "shared"))
POLICY = IntakePolicy(settle_seconds=0, score_unknown_region=True)
LARGEST = 2_000_000  # bytes of a shared file
SYNTAXES = (
    syntaxes.EXPLICIT_LE, syntaxes.EXPLICIT_LE, syntaxes.IMPLICIT_LE, syntaxes.RLE, syntaxes.JPEG_2000_LOSSLESS,
    syntaxes.JPEG_LS_LOSSLESS, syntaxes.JPEG_LOSSLESS_SV1,
)  # fmt: skip
# What may differ, by the kind of a variant, and why: docs/intake.md has the table.
ARGUED: dict[str, str] = {
    "case t10/high15.dcm": "the others drop bits above Bits Stored, though High Bit says that values are shifted",
    "case t10/stored10_has12.dcm": "the others drop bits above Bits Stored, though neighbours show them to be values",
    "case t2/bits32/c.dcm": "Bits Allocated is 8 or 16 in DX, and in every CR that was seen",
    "case t2/nosop/c.dcm": "an instance without a SOP Instance UID cannot be told from its copies",
}
Pixels = NDArray[Any]
Element = tuple[int, bytes, bytes]  # tag, VR, value
Writer = Callable[[Element], bytes]
LONG = frozenset({b"OB", b"OW", b"SQ", b"UN", b"UT"})
NUMBERS = {0x00280002, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103}


# Writing


def explicit(element: Element) -> bytes:
    tag, vr, value = element
    length = b"\0\0" + struct.pack("<L", len(value)) if vr in LONG else struct.pack("<H", len(value))
    return tag_bytes(tag) + vr + length + value


def implicit(element: Element) -> bytes:
    return tag_bytes(element[0]) + struct.pack("<L", len(element[2])) + element[2]


def tag_bytes(tag: int) -> bytes:
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF)


def item(content: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def delimited(content: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + content + struct.pack("<HHL", 0xFFFE, 0xE00D, 0)


def undefined(tag: int, vr: bytes, content: bytes) -> bytes:
    return tag_bytes(tag) + vr + b"\0\0\xff\xff\xff\xff" + content + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def even(value: bytes, pad: bytes = b"\0") -> bytes:
    return value + pad * (len(value) % 2)


def radiograph(rng: random.Random) -> tuple[list[Element], Pixels]:
    """The elements of a hand of 24 x 20 pixels before Pixel Data, in order, and its stored values."""
    pixels = np.random.default_rng(rng.randrange(1 << 30)).integers(0, 4096, (24, 20)).astype(np.uint16)
    texts = (
        (0x00080016, b"UI", "1.2.840.10008.5.1.4.1.1.1"), (0x00080018, b"UI", "2.25.1"), (0x00080060, b"CS", "CR"),
        (0x00081030, b"LO", "XR HAND"), (0x00100020, b"LO", "P1"), (0x00180015, b"CS", "HAND"),
        (0x0020000D, b"UI", "2.25.2"), (0x0020000E, b"UI", "2.25.3"), (0x00280004, b"CS", "MONOCHROME2"),
    )  # fmt: skip
    values = (1, 24, 20, 16, 12, 11, 0)
    elements = [(tag, vr, even(text.encode(), b"\0" if vr == b"UI" else b" ")) for tag, vr, text in texts]
    elements += [(tag, b"US", struct.pack("<H", n)) for tag, n in zip(sorted(NUMBERS), values, strict=True)]
    if rng.random() < 0.5:
        elements += [(0x00281050, b"DS", b"2048"), (0x00281051, b"DS", b"4096")]
    return sorted(elements), pixels


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of writing. kind: its name. data: the file. stored: the pixels that it holds."""

    kind: str
    data: bytes
    stored: Pixels | None


def variant(rng: random.Random) -> Variant:
    elements, pixels = radiograph(rng)
    syntax = rng.choice(SYNTAXES)
    bits = 16 if syntax == syntaxes.JPEG_LS_LOSSLESS else 12  # its encoder writes the sample size as precision
    if bits == 16:
        elements = [(t, vr, struct.pack("<H", {0x00280101: 16, 0x00280102: 15}[t])) if t in {0x00280101, 0x00280102}
                    else (t, vr, value) for t, vr, value in elements]  # fmt: skip
    write = implicit if syntax == syntaxes.IMPLICIT_LE else explicit
    kind, body = rng.choice(_BODIES)(elements, write, rng)
    frame, tail = _pixel_data(pixels, syntax, bits, write, rng)
    uid = even(syntax.encode())
    meta = explicit((0x00020010, b"UI", uid))
    meta = explicit((0x00020000, b"UL", struct.pack("<L", len(meta)))) + meta
    name = f"{kind}, {tail}" if tail else kind
    return Variant(name, b"\0" * 128 + b"DICM" + meta + body + frame, pixels)


def _pixel_data(pixels: Pixels, syntax: str, bits: int, write: Writer, rng: random.Random) -> tuple[bytes, str]:
    if syntax not in syntaxes.ENCAPSULATED:
        value = (0x7FE00010, b"OW", pixels.tobytes())
        tail = rng.choice(["", "", "trailing padding"])
        padding = (
            explicit((0xFFFCFFFC, b"OB", b"\0" * 32)) if write is explicit else implicit((0xFFFCFFFC, b"", b"\0" * 32))
        )
        return write(value) + padding * bool(tail), tail
    frame = even(encode_frame(pixels, syntax, bits))
    half = len(frame) // 4 * 2
    tail = rng.choice(["", "two fragments", "offset table", "no sequence delimiter"])
    table = item(struct.pack("<L", 0)) if tail == "offset table" else item(b"")
    fragments = item(frame[:half]) + item(frame[half:]) if tail == "two fragments" else item(frame)
    whole = undefined(0x7FE00010, b"OB", table + fragments)
    return (whole[:-8] if tail == "no sequence delimiter" else whole), tail


def _plain(elements: list[Element], write: Writer, _: random.Random) -> tuple[str, bytes]:
    return "plain", b"".join(map(write, elements))


def _under_un(elements: list[Element], write: Writer, rng: random.Random) -> tuple[str, bytes]:
    chosen = {rng.choice(elements)[0], rng.choice(elements)[0]}
    return "VR UN", b"".join(write((t, b"UN" if t in chosen else vr, value)) for t, vr, value in elements)


def _inserted(kind: str, blob: bytes, before: int, elements: list[Element], write: Writer) -> tuple[str, bytes]:
    ahead = b"".join(write(e) for e in elements if e[0] < before)
    return kind, ahead + blob + b"".join(write(e) for e in elements if e[0] >= before)


def _unknown_vr(elements: list[Element], write: Writer, rng: random.Random) -> tuple[str, bytes]:
    vr, value = rng.choice([b"--", b"UK", b"??", b"  ", b"XX"]), bytes(rng.randrange(32, 90) for _ in range(40))
    short, wide = vr + struct.pack("<H", len(value)), vr + b"\0\0" + struct.pack("<L", len(value))
    head = implicit((0x001021B0, b"", value))[4:8] if write is implicit else rng.choice([short, wide])
    return _inserted("unknown VR", tag_bytes(0x001021B0) + head + value, 0x00180000, elements, write)


def _sequence(elements: list[Element], write: Writer, rng: random.Random) -> tuple[str, bytes]:
    own = [(0x00080100, b"SH", b"85562004"), (0x00080102, b"SH", b"SCT "), (0x00080104, b"LO", b"Hand")]
    inner = b"".join(map(rng.choice([explicit, implicit, write]), own))
    content = rng.choice([item, delimited])(inner) * rng.randrange(1, 3)
    vr = rng.choice([b"SQ", b"SQ", b"UN"])
    if write is implicit:
        blob = implicit((0x00082218, b"", content))
    else:
        blob = rng.choice([explicit((0x00082218, vr, content)), undefined(0x00082218, vr, content)])
    return _inserted(f"sequence under {vr.decode()}", blob, 0x00082219, elements, write)


def _private(elements: list[Element], write: Writer, rng: random.Random) -> tuple[str, bytes]:
    block = write((0x00290010, b"LO", b"VENDOR 1")) + write((0x00291001, b"OB", rng.randbytes(2 * rng.randrange(900))))
    block += write((0x00291002, b"UN", item(write((0x00291003, b"LO", b"text")))))
    return _inserted("private block", block, 0x00290000, elements, write)


def _icon(elements: list[Element], write: Writer, rng: random.Random) -> tuple[str, bytes]:
    small = np.random.default_rng(1).integers(0, 256, (16, 16)).astype(np.uint8)
    numbers = b"".join(write((tag, b"US", struct.pack("<H", n))) for tag, n in ((0x00280010, 16), (0x00280011, 16)))
    if write is implicit:
        return _inserted(
            "native icon",
            implicit((0x00880200, b"", item(numbers + implicit((0x7FE00010, b"", small.tobytes()))))),
            0x00890000,
            elements,
            write,
        )
    stream = item(b"") + item(even(bytes(imagecodecs.jpeg8_encode(small))))
    content = numbers + undefined(0x7FE00010, b"OB", stream)
    blob = rng.choice([explicit((0x00880200, b"SQ", item(content))), undefined(0x00880200, b"SQ", delimited(content)),
                       undefined(0x00880200, b"SQ", item(content))])  # fmt: skip
    return _inserted("compressed icon", blob, 0x00890000, elements, write)


def _group_lengths(elements: list[Element], write: Writer, rng: random.Random) -> tuple[str, bytes]:
    body = b""
    for group in sorted({tag >> 16 for tag, _, _ in elements}):
        part = b"".join(write(e) for e in elements if e[0] >> 16 == group)
        length = len(part) if rng.random() < 0.7 else rng.randrange(1 << 16)  # a retired element, often wrong
        body += write((group << 16, b"UL", struct.pack("<L", length))) + part
    return "group lengths", body


def _swapped(elements: list[Element], write: Writer, rng: random.Random) -> tuple[str, bytes]:
    elements = list(elements)
    at = rng.randrange(len(elements) - 1)
    elements[at], elements[at + 1] = elements[at + 1], elements[at]
    return "two elements swapped", b"".join(map(write, elements))


_BODIES = (_plain, _under_un, _unknown_vr, _sequence, _sequence, _private, _icon, _group_lengths, _swapped)


# Reading


def read_ours(path: Path) -> tuple[Reason | None, Pixels | None]:
    """(why it would not be scored, the display image): as a run and its workers judge a file."""
    info = path.stat()
    source = SourceFile(path.name, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    record = read_header(path.parent, source, POLICY)
    if not isinstance(record, Instance):
        return record.reason, None
    try:
        return None, decode(path.read_bytes(), POLICY, 0)[0]
    except Refused as refused:
        return refused.reason, None


def read_pydicom(path: Path) -> Pixels | None:
    from pydicom import dcmread

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _frame(dcmread(path).pixel_array)
        except Exception:  # noqa: BLE001 - whatever it raises, it does not read the file
            return None


def read_dcmtk(path: Path, scratch: Path) -> Pixels | None:
    out = scratch / f"{path.name}.dcmtk"
    for program in ("dcmconv", "dcmdjpeg", "dcmdjpls", "dcmdrle"):
        if _ran([program, "-q", *(["+te"] if program == "dcmconv" else []), str(path), str(out)]):
            return read_pydicom(out)
    return None


def read_gdcm(path: Path, scratch: Path) -> Pixels | None:
    out = scratch / f"{path.name}.gdcm"
    return read_pydicom(out) if _ran(["gdcmconv", "--raw", str(path), str(out)]) else None


def _ran(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _frame(pixels: Pixels) -> Pixels | None:
    return pixels if pixels.ndim == 2 else None


def shown(path: Path, stored: Pixels) -> Pixels | None:
    """The display image that our rules give for these stored values under this file's header, as pydicom reads it."""
    from pydicom import dcmread, dcmwrite
    from pydicom.uid import ExplicitVRLittleEndian

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = dcmread(path)
            kept = {0x00080016, 0x00080060, 0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x00283010, 0x00283000,
                    0x00281056, 0x20500020, 0x00280004, 0x00280120, 0x00280121, *NUMBERS}  # fmt: skip
            for tag in [tag for tag in data.keys() if tag not in kept]:  # noqa: SIM118 - its iterator converts values
                del data[tag]
            data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            data.PixelData = even(stored.astype(stored.dtype.newbyteorder("<")).tobytes())
            data["PixelData"].VR = "OW"
            dcmwrite(buffer, data, implicit_vr=False, little_endian=True)
            return decode(buffer.getvalue(), POLICY, 0)[0]
        except Exception:  # noqa: BLE001 - then there is nothing to hold our picture against
            return None


# Comparing


def agreed_pixels(path: Path, scratch: Path) -> Pixels | None:
    """What two of the three others read alike. The third is asked only where the first two differ."""
    read: list[Pixels] = []
    for reader in (lambda: read_pydicom(path), lambda: read_gdcm(path, scratch), lambda: read_dcmtk(path, scratch)):
        pixels = reader()
        if pixels is None:
            continue
        if any(pixels.shape == other.shape and (pixels == other).all() for other in read):
            return pixels
        read.append(pixels)
    return None


def judged(name: str, path: Path, scratch: Path) -> tuple[str, str]:
    """(the kind, how we and the others agree; a disagreement begins with 'DISAGREE')."""
    agreed = agreed_pixels(path, scratch)
    reason, picture = read_ours(path)
    if agreed is None:
        return name, "read by us, not by two others" if picture is not None else "read by fewer than two"
    if picture is None:
        return name, f"DISAGREE: {reason}" if reason in UNREADABLE else f"skipped by its kind ({reason})"
    expected = shown(path, agreed)
    if expected is None:
        return name, "read by all, pictures not compared"
    same = expected.shape == picture.shape and (expected == picture).all()
    return name, "the same picture" if same else "DISAGREE: another picture"


def case_files(folder: Path) -> list[Path]:
    """What the scripts of shared/cases write into their working folder; the program that they start is `true`."""
    for script in sorted((SHARED / "cases").glob("[A-Z]_*.py")):
        environment = {**os.environ, "MB": "true"}
        subprocess.run([sys.executable, script], cwd=folder, env=environment, capture_output=True, check=False)
    return sorted(p for p in (folder / "build/cases/in").rglob("*") if p.is_file())


def inputs(variants: int, seed: int) -> Iterator[Variant]:
    for path in sorted(p for p in (SHARED / "dicom").rglob("*") if p.is_file() and p.stat().st_size <= LARGEST):
        yield Variant(f"shared {path.name}", path.read_bytes(), None)
    with tempfile.TemporaryDirectory(prefix="mura-cases-") as folder:
        for path in case_files(Path(folder)):
            yield Variant(f"case {path.relative_to(Path(folder, 'build/cases/in'))}", path.read_bytes(), None)
    rng = random.Random(seed)
    for _ in range(variants):
        yield variant(rng)


def run(variants: int, seed: int) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory(prefix="mura-differ-") as folder, ThreadPoolExecutor(2) as pool:
        root = Path(folder)

        def one(numbered: tuple[int, Variant]) -> tuple[str, str]:
            number, made = numbered
            path = root / f"{number:06}"
            path.write_bytes(made.data)
            try:
                return judged(made.kind, path, root)
            finally:
                for left in root.glob(f"{path.name}*"):
                    left.unlink()

        counts.update(pool.map(one, enumerate(inputs(variants, seed))))
    return counts


def missing_programs() -> list[str]:
    return [name for name in ("dcmconv", "gdcmconv") if shutil.which(name) is None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--variants", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if missing := missing_programs():
        sys.stdout.write(f"{', '.join(missing)} not found: apt-get install dcmtk libgdcm-tools\n")
        return 1
    counts = run(given.variants, given.seed)
    fates = Counter[str]()
    for (kind, fate), count in sorted(counts.items()):
        fates[fate.partition(" (")[0]] += count
        if fate.startswith("DISAGREE"):
            sys.stdout.write(f"{count:>7}  {kind}: {fate}{' (argued)' if kind in ARGUED else ''}\n")
    for fate, count in sorted(fates.items()):
        sys.stdout.write(f"{count:>7}  {fate}\n")
    return int(any(fate.startswith("DISAGREE") and kind not in ARGUED for kind, fate in counts))


if __name__ == "__main__":
    sys.exit(main())
