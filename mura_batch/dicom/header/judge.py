"""Header -> Instance, or the reason why not. The order is that of interest to an operator: what the object is, whether
it is another part of the body, whether its pixels are there, whether region and identity are stated, whether it can be
read."""

from __future__ import annotations

import re

from mura_batch.dicom.header.anatomy import AnatomyTags, find_region
from mura_batch.dicom.header.elements import UNDEFINED
from mura_batch.dicom.header.laterality import find_laterality
from mura_batch.dicom.header.layout import Layout, read_layout
from mura_batch.dicom.header.parse import Header
from mura_batch.dicom.header.patient import age_in_years, sex_of
from mura_batch.dicom.header.tags import Tags
from mura_batch.dicom.header.text import normal
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.refused import Refused, truncated, unsupported
from mura_batch.dicom.syntax import DEFLATED, KNOWN
from mura_batch.records import Instance, Laterality, Reason, Region, RegionFinding, SourceFile, short_key

CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
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
_UID = re.compile(r"[0-9.]{1,64}")
_SCREEN = re.compile(r"\bSCREEN(?!ING)")  # SCREEN SAVE, SCREENSHOT; a screening image is a radiograph
_HUMAN_CODES = {"337915000", "L-85B00"}  # Homo sapiens, PS3.16 CID 7454, in SNOMED CT and SRT
_HUMAN_WORDS = {"HUMAN", "HOMO SAPIENS", "HOMO SAPIEN"}


def judge(header: Header, tags: Tags, source: SourceFile, policy: IntakePolicy) -> Instance:
    """Raises Refused; with region and side, if the radiograph belongs to a region that is scored."""
    _refuse_other_objects(tags)
    _refuse_other_pictures(tags)
    texts = _descriptions(tags)
    region = _find_region(tags, texts, policy)
    side = _laterality(tags, texts)
    try:
        _refuse_missing_pixels(header)
        _refuse_unknown_regions(region, policy)
        _refuse_missing_identity(tags)
        layout = check_pixels(header, tags, policy)
    except Refused as refused:
        refused.region, refused.laterality = region.region, side
        raise
    return Instance(
        source=source,
        sop_instance_uid=tags.text("SOPInstanceUID"),
        sop_class_uid=tags.text("SOPClassUID"),
        study_uid=tags.text("StudyInstanceUID"),
        series_uid=tags.text("SeriesInstanceUID"),
        patient_key=_patient_key(tags),
        accession=tags.text("AccessionNumber"),
        study_date=tags.text("StudyDate"),
        modality=tags.text("Modality"),
        region=region,
        laterality=side,
        view_position=tags.text("ViewPosition"),
        transfer_syntax=header.syntax,
        photometric=layout.photometric,
        rows=layout.rows,
        columns=layout.columns,
        bits_stored=layout.bits_stored,
        flags=_flags(header, tags, region),
        sex=sex_of(tags.text("PatientSex")),
        age=age_in_years(tags.text("PatientAge"), tags.text("PatientBirthDate"), tags.text("StudyDate")),
        manufacturer=tags.text("Manufacturer"),
        manufacturer_model=tags.text("ManufacturerModelName"),
        station_name=tags.text("StationName"),
    )


def place_of_unreadable(tags: Tags, policy: IntakePolicy) -> tuple[Region, Laterality] | None:
    """Region and side of a radiograph whose header ends too early, by what was read of it; None where that does not
    show a radiograph that would be scored."""
    try:
        _refuse_other_objects(tags)
        _refuse_other_pictures(tags)
        texts = _descriptions(tags)
        return _find_region(tags, texts, policy).region, _laterality(tags, texts)
    except Refused:
        return None


def _find_region(tags: Tags, texts: tuple[tuple[str, str], ...], policy: IntakePolicy) -> RegionFinding:
    """Raises Refused where it is another part of the body, or one that --regions leaves out."""
    region = find_region(AnatomyTags(_codes(tags), tags.text("BodyPartExamined"), texts), policy.site_terms)
    _refuse_other_regions(region, policy)
    return region


def _refuse_other_objects(tags: Tags) -> None:
    sop, modality = tags.text("SOPClassUID"), tags.text("Modality").upper()
    if sop == DICOMDIR or tags.has("DirectoryRecordSequence"):
        raise Refused(Reason.DICOMDIR, "a directory of a medium, not an image")
    if sop == DX_FOR_PROCESSING:
        raise Refused(Reason.FOR_PROCESSING, "Digital X-Ray Image Storage - For Processing: raw detector values")
    kind = f"SOP Class {sop or 'missing'}, modality {modality or 'missing'}"
    if sop not in {CR, DX} and not tags.has("Rows"):
        raise Refused(Reason.NOT_AN_IMAGE, kind)
    if sop.startswith(SECONDARY_CAPTURE) and modality in {"CR", "DX"}:
        raise Refused(Reason.SCREEN_CAPTURE, f"a Secondary Capture object: {kind}")
    if modality in _OTHER_MODALITIES or not (sop in {CR, DX} or (_is_unknown_class(sop) and modality in {"CR", "DX"})):
        raise Refused(Reason.NOT_A_RADIOGRAPH, kind)


def _is_unknown_class(sop: str) -> bool:
    """Missing, or a maker's own (Fuji's private CR, 1.2.392.200036.9125.1.1.2): only Modality tells what it is."""
    return not sop.startswith("1.2.840.10008.")


def _refuse_other_pictures(tags: Tags) -> None:
    if _is_animal(tags):
        raise Refused(Reason.ANIMAL, "Patient Species (0010,2201), (0010,2202) or breed (0010,2292) is not human")
    if tags.text("PresentationIntentType").upper() == "FOR PROCESSING":
        raise Refused(Reason.FOR_PROCESSING, "Presentation Intent Type (0008,0068) is FOR PROCESSING")
    image_type = tuple(part.upper() for part in tags.texts("ImageType"))
    detail = f"Image Type (0008,0008) is {chr(92).join(image_type)}"
    if "LOCALIZER" in image_type:
        raise Refused(Reason.LOCALIZER, detail)
    if any(_SCREEN.search(part) for part in image_type):
        raise Refused(Reason.SCREEN_CAPTURE, detail)
    if image_type[:2] == ("DERIVED", "SECONDARY"):
        raise Refused(Reason.DERIVED, detail)
    if tags.text("BurnedInAnnotation").upper() == "YES":
        raise Refused(Reason.BURNED_IN_ANNOTATION, "Burned In Annotation (0028,0301) is YES")
    if tags.text("QualityControlImage").upper() == "YES":
        raise Refused(Reason.QUALITY_CONTROL, "Quality Control Image (0028,0300) is YES")
    photometric, samples = tags.text("PhotometricInterpretation").upper(), tags.number("SamplesPerPixel", 1)
    if samples > 1 or photometric.startswith(("RGB", "YBR", "PALETTE")):
        raise Refused(Reason.COLOUR, f"Photometric Interpretation (0028,0004) {photometric}, {samples} samples a pixel")
    if (frames := tags.number("NumberOfFrames", 1)) > 1:
        raise Refused(Reason.MULTI_FRAME, f"Number of Frames (0028,0008) is {frames}")


_SPECIES = ("PatientSpeciesCodeSequence", "PatientSpeciesDescription", "PatientBreedDescription")


def _is_animal(tags: Tags) -> bool:
    if not any(map(tags.has, _SPECIES)):  # nearly every file
        return False
    codes = {item.text("CodeValue") for item in tags.items("PatientSpeciesCodeSequence")} - {""}
    if codes and not codes & _HUMAN_CODES:
        return True
    texts = (normal(tags.text(keyword)) for keyword in _SPECIES[1:])
    return any(text and text not in _HUMAN_WORDS for text in texts)


def _codes(tags: Tags) -> tuple[tuple[str, str, str], ...]:
    sequences = ("AnatomicRegionSequence", "PrimaryAnatomicStructureSequence")
    items = (item for keyword in sequences if tags.has(keyword) for item in tags.items(keyword))
    return tuple((i.text("CodeValue"), i.text("CodingSchemeDesignator"), i.text("CodeMeaning")) for i in items)


_DESCRIPTIONS = (
    ("procedure", "RequestedProcedureDescription"), ("procedure", "PerformedProcedureStepDescription"),
    ("protocol", "ProtocolName"), ("protocol", "AcquisitionDeviceProcessingDescription"),
    ("study_description", "StudyDescription"), ("series_description", "SeriesDescription"),
)  # fmt: skip


def _descriptions(tags: Tags) -> tuple[tuple[str, str], ...]:
    """(source, text) of every description, in the order in which they are believed."""
    found = [("procedure", item.text("CodeMeaning")) for item in tags.items("ProcedureCodeSequence")]
    for item in tags.items("RequestAttributesSequence"):
        found += [("procedure", item.text("RequestedProcedureDescription"))]
        found += [("procedure", item.text("ScheduledProcedureStepDescription"))]
    found += [(source, tags.text(keyword)) for source, keyword in _DESCRIPTIONS]
    return tuple((source, text) for source, text in found if text)


def _refuse_other_regions(found: RegionFinding, policy: IntakePolicy) -> None:
    if found.region is Region.OTHER:
        raise Refused(Reason.OTHER_REGION, _source_words(found), found.region)
    if found.region is not Region.UNKNOWN and found.region not in policy.regions:
        raise Refused(
            Reason.REGION_NOT_CHOSEN, f"{found.region} is not among --regions ({_source_words(found)})", found.region
        )


def _refuse_unknown_regions(found: RegionFinding, policy: IntakePolicy) -> None:
    if found.region is Region.UNKNOWN and not policy.score_unknown_region:
        raise Refused(
            Reason.UNKNOWN_REGION if found.source == "none" else Reason.AMBIGUOUS_REGION, _source_words(found)
        )


def _source_words(found: RegionFinding) -> str:
    if not found.evidence:
        return "no code, tag or description names a region"
    if found.source == "none":
        return f"Body Part Examined (0018,0015) {found.evidence!r} is not understood, and no description names a region"
    also = f"; also {found.disagreement}" if found.disagreement else ""
    return f"{found.source}: {found.evidence}{also}"


def _refuse_missing_pixels(header: Header) -> None:
    if header.elements.pixel_bytes is None:
        raise Refused(Reason.NO_PIXEL_DATA, "the file ends before Pixel Data (7FE0,0010), or never had it")


def _refuse_missing_identity(tags: Tags) -> None:
    if not tags.text("StudyInstanceUID"):
        raise Refused(Reason.NO_STUDY_UID, "Study Instance UID (0020,000D) is missing or empty")
    if not tags.text("SOPInstanceUID"):
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


def _laterality(tags: Tags, described: tuple[tuple[str, str], ...]) -> Laterality:
    sides = (tags.text("ImageLaterality"), tags.text("Laterality"), tags.text("FrameLaterality"))
    modifiers = [
        modifier.text("CodeValue")
        for item in tags.items("AnatomicRegionSequence")
        for modifier in item.items("AnatomicRegionModifierSequence")
    ]
    texts = (tags.text("BodyPartExamined"), *(text for _, text in described))
    return find_laterality(sides, modifiers, texts)


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


def _flags(header: Header, tags: Tags, region: RegionFinding) -> tuple[str, ...]:
    flags = list(header.flags)
    if (sop := tags.text("SOPClassUID")) not in {CR, DX}:
        flags.append(f"SOP Class UID (0008,0016) is {sop or 'missing'}: Modality (0008,0060) decides")
    elif (modality := tags.text("Modality")) not in {"CR", "DX"}:
        flags.append(f"Modality (0008,0060) is {modality[:16]!r}: the SOP Class decides")
    if region.disagreement:
        flags.append(f"region also named {region.disagreement}")
    if not all(_UID.fullmatch(tags.text(keyword)) for keyword in ("StudyInstanceUID", "SOPInstanceUID")):
        flags.append("a UID holds more than digits and dots (PS3.5 9.1)")
    sides = {side for side in (tags.text("ImageLaterality"), tags.text("Laterality")) if side}
    if len(sides) > 1:
        flags.append("Image Laterality (0020,0062) and Laterality (0020,0060) disagree")
    return (*flags, *(f"{keyword} cannot be read" for keyword in sorted(tags.broken)))
