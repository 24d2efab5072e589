"""The bytes of a file -> its header. A file is sniffed, never forced, and read only as far as its pixel data."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mura_batch.dicom.header.byte_sources import Bytes, InflatedBytes
from mura_batch.dicom.header.elements import Elements, scan
from mura_batch.dicom.header.forms import EXPLICIT, IMPLICIT, VRS, Form, wanted
from mura_batch.dicom.header.tags import ALL_TAGS, HEADER_TAGS, Tags
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.refused import Refused, truncated
from mura_batch.dicom.syntax import DEFLATED, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE
from mura_batch.records import Reason

_META_GROUP = 0x0002
_META_CLASS, _SOP_CLASS = 0x00020002, 0x00080016
_META_TAGS = wanted({_META_CLASS, 0x00020010})
_NO_TAGS = wanted(())
_HEADER, _ALL = wanted(HEADER_TAGS), wanted(ALL_TAGS)
_NOTHING = (b"", b"")
_ARCHIVES = {  # how files of these formats begin
    b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz",
    b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "RAR", b"\x28\xb5\x2f\xfd": "Zstandard",
}  # fmt: skip
_MAGIC = tuple(_ARCHIVES)
_BIG = Form(implicit=False, big=True)
_NAMES = {EXPLICIT: EXPLICIT_LE, IMPLICIT: IMPLICIT_LE, _BIG: EXPLICIT_BE}


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed header. body: where its positions count, the file or the inflated data set. syntax: the Transfer Syntax
    UID, or where none is named the one that the data set is written in. flags: what is odd about the file, in words."""

    elements: Elements
    body: Bytes
    syntax: str
    flags: tuple[str, ...]


def parse_header(file: Bytes, policy: IntakePolicy, whole: bool) -> Header:
    """Raises Refused. whole: also the elements that only the pixels need."""
    start = _sniff(file, policy)
    meta = scan(file, start, _form_of(file.read(start, 8), ""), _META_TAGS, last_group=_META_GROUP)
    syntax = Tags(meta, ()).text("TransferSyntaxUID")
    flags = () if syntax else ("no Transfer Syntax UID (0002,0010): taken from the data",)
    if syntax == DEFLATED and _plausible(file.read(meta.end, 16)):
        syntax, flags = "", ("the Transfer Syntax UID (0002,0010) says deflated, the data set is not",)
    body: Bytes = InflatedBytes(file, meta.end) if syntax == DEFLATED else file
    at = 0 if syntax == DEFLATED else meta.end
    first = body.read(at, 8)
    if len(first) < 8:
        raise truncated("its header: there is no data set")
    form = _form_of(first, syntax)
    elements = scan(body, at, form, _ALL if whole else _HEADER)
    if not elements.values.get(_SOP_CLASS, _NOTHING)[1] and meta.values.get(_META_CLASS, _NOTHING)[1]:
        elements.values[_SOP_CLASS] = b"UI", meta.values[_META_CLASS][1]
        flags = (*flags, "no SOP Class UID (0008,0016): taken from the File Meta Information (0002,0002)")
    return Header(
        elements, body, syntax or _NAMES[form], (*flags, *sorted(elements.flags)) if elements.flags else flags
    )


def data_set_start(file: Bytes, policy: IntakePolicy) -> int:
    """Where the File Meta Information (group 0002) ends. Raises Refused."""
    start = _sniff(file, policy)
    return scan(file, start, _form_of(file.read(start, 8), ""), _NO_TAGS, last_group=_META_GROUP).end


def with_flag(header: Header, flag: str) -> Header:
    return replace(header, flags=(*header.flags, flag))


def second_reading(refused: Refused) -> str:
    """The flag of a file whose header pydicom had to read."""
    return f"the header is read by pydicom: {refused.detail}"


def _sniff(file: Bytes, policy: IntakePolicy) -> int:
    """Where the File Meta Information starts, or the data set where there is none."""
    if file.size == 0:
        raise Refused(Reason.EMPTY_FILE, "the file is empty")
    if file.size > policy.max_file_bytes:
        raise Refused(Reason.TOO_LARGE, f"{file.size} bytes, more than {policy.max_file_bytes}")
    head = file.read(0, 132)
    if head[128:132] == b"DICM":
        return 132
    if archive := _archive(head, file):
        raise Refused(Reason.ARCHIVE, f"{archive} data, which are not looked into")
    if not _plausible(head):
        raise Refused(Reason.NOT_DICOM, "no DICM at byte 128, and no DICOM data set at byte 0")
    return 0


def _archive(head: bytes, file: Bytes) -> str:
    """The format of an archive or a compressed file, by its first bytes; '' for another file."""
    if file.read(257, 5) == b"ustar":  # POSIX.1-1988 10.1.1
        return "tar"
    if not head.startswith(_MAGIC):  # nearly every file
        return ""
    return next(name for magic, name in _ARCHIVES.items() if head.startswith(magic))


def _plausible(head: bytes) -> bool:
    """A data set that starts at byte 0 (PS3.10 7.1 allows no such file, exports write them): an element of group 0002
    or 0008, in either byte order, of low number, and either with a known VR or with a small length."""
    if len(head) < 16:
        return False
    little = int.from_bytes(head[0:2], "little"), int.from_bytes(head[2:4], "little")
    big = int.from_bytes(head[0:2], "big"), int.from_bytes(head[2:4], "big")
    if head[4:6] in VRS:
        return any(group in {0x0002, 0x0008} and element <= 0x0070 for group, element in (little, big))
    return little[0] in {0x0002, 0x0008} and little[1] <= 0x0070 and int.from_bytes(head[4:8], "little") <= 64


def _form_of(first: bytes, syntax: str) -> Form:
    """By what the first element looks like: some files are not written as their transfer syntax says."""
    if first[4:6] not in VRS:
        return IMPLICIT
    if syntax == EXPLICIT_BE or (not syntax and first[0] == 0 and first[1] in {0x02, 0x08}):
        return _BIG
    return EXPLICIT
