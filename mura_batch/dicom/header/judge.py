"""Header -> Instance, or the reason why not. The order is that of interest to an operator: what the object is, whether
it is another part of the body, whether its pixels are there, whether region and identity are stated, whether it can be
read."""

from __future__ import annotations

import re

from mura_batch.dicom.header.described import CR, DX, Described, describe, describe_anew, source_words
from mura_batch.dicom.header.forms import UNDEFINED
from mura_batch.dicom.header.layout import Layout, read_layout
from mura_batch.dicom.header.parse import Header
from mura_batch.dicom.header.patient import age_in_years
from mura_batch.dicom.header.tags import Tags
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.refused import Refused, truncated, unsupported
from mura_batch.dicom.syntax import DEFLATED, KNOWN
from mura_batch.records import Instance, Laterality, Reason, Region, RegionFinding, SourceFile, short_key

DX_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
DICOMDIR = "1.2.840.10008.1.3.10"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # and its multi-frame kin, .7.1 to .7.4
PIXEL_DATA = 0x7FE00010
# Modalities of PS3.3 C.7.3.1.1.1 that are another kind of picture than a plain radiograph, whatever the SOP Class says.
# Others (OT, RG, the DR and XR of many devices, none) leave the SOP Class to decide.
_OTHER_MODALITIES = frozenset({
    "BI", "BMD", "CT", "DG", "ECG", "EPS", "ES", "GM", "HD", "IO", "IVOCT", "IVUS", "LS", "MG", "MR", "NM", "OCT", "OP",
    "OPM", "OPT", "OPV", "PT", "PX", "RF", "RTIMAGE", "SM", "SR", "TG", "US", "XA", "XC",
})  # fmt: skip
_ITEM = b"\xfe\xff\x00\xe0"  # (FFFE,E000), little endian where pixel data are encapsulated (PS3.5 A.4)
_RADIOGRAPHS, _RADIOGRAPHY = frozenset({CR, DX}), frozenset({"CR", "DX"})
_UID = re.compile(r"[0-9.]{1,64}")
_ALIKE = 1 << 14  # bytes of a header that is remembered in case that others say the same


def judge(header: Header, tags: Tags, source: SourceFile, policy: IntakePolicy) -> Instance:
    """Raises Refused; with region and side, if the radiograph belongs to a region that is scored."""
    _refuse_other_objects(tags)
    seen = (describe if header.elements.end <= _ALIKE else describe_anew)(tags, policy)
    study_uid, sop_uid, study_date = map(tags.text, ("StudyInstanceUID", "SOPInstanceUID", "StudyDate"))
    try:
        _refuse_missing_pixels(header)
        _refuse_unknown_regions(seen.region, policy)
        _refuse_missing_identity(study_uid, sop_uid)
        layout = check_pixels(header, tags, policy)
    except Refused as refused:
        refused.region, refused.laterality = seen.region.region, seen.laterality
        raise
    return Instance(
        source=source,
        sop_instance_uid=sop_uid,
        sop_class_uid=seen.sop_class_uid,
        study_uid=study_uid,
        series_uid=tags.text("SeriesInstanceUID"),
        patient_key=_patient_key(tags),
        accession=tags.text("AccessionNumber"),
        study_date=study_date,
        modality=seen.modality,
        region=seen.region,
        laterality=seen.laterality,
        view_position=seen.view_position,
        transfer_syntax=header.syntax,
        photometric=layout.photometric,
        rows=layout.rows,
        columns=layout.columns,
        bits_stored=layout.bits_stored,
        flags=_flags(header, tags, seen, (study_uid, sop_uid)),
        sex=seen.sex,
        age=age_in_years(tags.text("PatientAge"), tags.text("PatientBirthDate"), study_date),
        manufacturer=seen.manufacturer,
        manufacturer_model=seen.manufacturer_model,
        station_name=seen.station_name,
    )


def place_of_unreadable(tags: Tags, policy: IntakePolicy) -> tuple[Region, Laterality] | None:
    """Region and side of a radiograph whose header ends too early, by what was read of it; None where that does not
    show a radiograph that would be scored."""
    try:
        _refuse_other_objects(tags)
        seen = describe_anew(tags, policy)
    except Refused:
        return None
    return seen.region.region, seen.laterality


def _refuse_other_objects(tags: Tags) -> None:
    sop, modality = tags.text("SOPClassUID"), tags.text("Modality").upper()
    if sop == DICOMDIR or tags.has("DirectoryRecordSequence"):
        raise Refused(Reason.DICOMDIR, "a directory of a medium, not an image")
    if sop == DX_FOR_PROCESSING:
        raise Refused(Reason.FOR_PROCESSING, "Digital X-Ray Image Storage - For Processing: raw detector values")
    if sop in _RADIOGRAPHS and modality in _RADIOGRAPHY:  # nearly every file: no words are made for it
        return
    kind = f"SOP Class {sop or 'missing'}, modality {modality or 'missing'}"
    if sop not in _RADIOGRAPHS and not tags.has("Rows"):
        raise Refused(Reason.NOT_AN_IMAGE, kind)
    if sop.startswith(SECONDARY_CAPTURE) and modality in _RADIOGRAPHY:
        raise Refused(Reason.SCREEN_CAPTURE, f"a Secondary Capture object: {kind}")
    if modality in _OTHER_MODALITIES or not (
        sop in _RADIOGRAPHS or (_is_unknown_class(sop) and modality in _RADIOGRAPHY)
    ):
        raise Refused(Reason.NOT_A_RADIOGRAPH, kind)


def _is_unknown_class(sop: str) -> bool:
    """Missing, or a maker's own (Fuji's private CR, 1.2.392.200036.9125.1.1.2): only Modality tells what it is."""
    return not sop.startswith("1.2.840.10008.")


def _refuse_unknown_regions(found: RegionFinding, policy: IntakePolicy) -> None:
    if found.region is Region.UNKNOWN and not policy.score_unknown_region:
        raise Refused(Reason.UNKNOWN_REGION if found.source == "none" else Reason.AMBIGUOUS_REGION, source_words(found))


def _refuse_missing_pixels(header: Header) -> None:
    if header.elements.pixel_bytes is None:
        raise Refused(Reason.NO_PIXEL_DATA, "the file ends before Pixel Data (7FE0,0010), or never had it")


def _refuse_missing_identity(study_uid: str, sop_uid: str) -> None:
    if not study_uid:
        raise Refused(Reason.NO_STUDY_UID, "Study Instance UID (0020,000D) is missing or empty")
    if not sop_uid:
        raise Refused(Reason.NO_SOP_UID, "SOP Instance UID (0008,0018) is missing or empty")


def check_pixels(header: Header, tags: Tags, policy: IntakePolicy) -> Layout:
    """What the header and the length of the file tell of the pixels, without reading them."""
    elements = header.elements
    if header.syntax not in KNOWN and elements.pixel_bytes != UNDEFINED:  # of fragments the codestream decides
        raise unsupported(header.syntax)
    layout = read_layout(tags, policy.max_pixels)
    if elements.pixel_tag != PIXEL_DATA:
        raise Refused(Reason.BAD_PIXEL_DESCRIPTION, "floating-point pixel data, not Pixel Data (7FE0,0010)")
    claimed, encapsulated = elements.pixel_bytes or 0, is_encapsulated(header, layout)
    if not encapsulated and not _holds_one_frame(claimed, layout):
        detail = f"Pixel Data holds {claimed} bytes, Rows x Columns x Bits Allocated make {layout.frame_bytes}"
        raise Refused(Reason.PIXEL_SIZE_MISMATCH, detail)
    needed = 8 if encapsulated else layout.frame_bytes
    if header.syntax != DEFLATED and elements.end + needed > header.body.size:
        raise truncated("Pixel Data (7FE0,0010)")
    return layout


def is_encapsulated(header: Header, layout: Layout) -> bool:
    """Whether Pixel Data are a sequence of fragments (PS3.5 A.4): by the data, for some files are not written as their
    transfer syntax says."""
    elements = header.elements
    if elements.pixel_bytes == UNDEFINED or elements.pixel_bytes is None:
        return elements.pixel_bytes == UNDEFINED
    return not _holds_one_frame(elements.pixel_bytes, layout) and header.body.read(elements.end, 4) == _ITEM


def _holds_one_frame(claimed: int, layout: Layout) -> bool:
    """Whether a native frame of Rows x Columns lies in so many bytes. What follows it is padding (PS3.5 8.1.1; some
    devices write more than a byte) as long as it holds neither a row nor a column more: no other size fits then."""
    sample = layout.bits_allocated // 8
    return 0 <= claimed - layout.frame_bytes < max(2, sample * min(layout.rows, layout.columns))


def _patient_key(tags: Tags) -> str:
    patient, issuer = tags.text("PatientID"), _issuer(tags.text("IssuerOfPatientID"))
    if not patient:
        return ""
    return f"{short_key(patient)}-{short_key(issuer)}" if issuer else short_key(patient)


def _issuer(written: str) -> str:
    """One issuer is written in several ways: case and spaces do not count, nor do the universal ID and its type behind
    the local namespace (HL7 v2 HD, 'HOSPITAL&1.2.3&ISO')."""
    if not written:
        return ""
    local = written.partition("&")[0].strip() or written
    return " ".join(local.casefold().split())


def _flags(header: Header, tags: Tags, seen: Described, uids: tuple[str, str]) -> tuple[str, ...]:
    flags = [*header.flags, *seen.flags]
    if not all(map(_UID.fullmatch, uids)):
        flags.append("a UID holds more than digits and dots (PS3.5 9.1)")
    if seen.sides_differ:
        flags.append("Image Laterality (0020,0062) and Laterality (0020,0060) disagree")
    return (*flags, *(f"{keyword} cannot be read" for keyword in sorted(tags.broken)))
