"""What a header says of its picture, apart from what names the one file: of which kind it is, which region and side it
shows. The files of an export say the same again and again: each wording is judged once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from mura_batch.dicom.header.anatomy import AnatomyTags, find_region
from mura_batch.dicom.header.elements import Elements
from mura_batch.dicom.header.forms import Form
from mura_batch.dicom.header.laterality import find_laterality
from mura_batch.dicom.header.patient import sex_of
from mura_batch.dicom.header.tags import Raw, Tags, tags_of
from mura_batch.dicom.header.text import normal
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.refused import Refused
from mura_batch.records import Laterality, Reason, Region, RegionFinding, Sex

CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
_READ = tags_of((
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "Modality", "PresentationIntentType", "Manufacturer",
    "StationName", "StudyDescription", "ProcedureCodeSequence", "SeriesDescription", "ManufacturerModelName",
    "AnatomicRegionSequence", "PrimaryAnatomicStructureSequence", "PatientSex", "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence", "PatientBreedDescription", "BodyPartExamined", "ProtocolName",
    "AcquisitionDeviceProcessingDescription", "ViewPosition", "Laterality", "ImageLaterality", "FrameLaterality",
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "QualityControlImage", "BurnedInAnnotation",
    "RequestedProcedureDescription", "PerformedProcedureStepDescription", "RequestAttributesSequence",
))  # fmt: skip
_SCREEN = re.compile(r"\bSCREEN(?!ING)")  # SCREEN SAVE, SCREENSHOT; a screening image is a radiograph
_HUMAN_CODES = {"337915000", "L-85B00"}  # Homo sapiens, PS3.16 CID 7454, in SNOMED CT and SRT
_HUMAN_WORDS = {"HUMAN", "HOMO SAPIENS", "HOMO SAPIEN"}


@dataclass(frozen=True, slots=True)
class Described:
    """What a record takes over. flags: what is odd, in words. sides_differ: whether Image Laterality and Laterality
    contradict each other. broken: keywords whose values cannot be read."""

    region: RegionFinding
    laterality: Laterality
    sop_class_uid: str
    modality: str
    view_position: str
    sex: Sex
    manufacturer: str
    manufacturer_model: str
    station_name: str
    flags: tuple[str, ...]
    sides_differ: bool
    broken: frozenset[str]


def describe(tags: Tags, policy: IntakePolicy) -> Described:
    """tags: of a header of a few kB. Raises Refused: another kind of picture, or another part of the body."""
    found = _judged_once(tags.raw_values(_READ), tags.form, policy)
    if isinstance(found, Described):
        tags.broken |= found.broken
        return found
    raise Refused(*found)


@lru_cache(maxsize=512)
def _judged_once(
    raw: tuple[Raw | None, ...], form: Form, policy: IntakePolicy
) -> Described | tuple[Reason, str, Region]:
    values = {tag: value for tag, value in zip(_READ, raw, strict=True) if value is not None}
    try:
        return describe_anew(Tags(Elements(form, values)), policy)
    except Refused as refused:
        return refused.reason, refused.detail, refused.region


def describe_anew(tags: Tags, policy: IntakePolicy) -> Described:
    """The same, of any header."""
    _refuse_other_pictures(tags)
    texts = _descriptions(tags)
    region = _find_region(tags, texts, policy)
    laterality = _laterality(tags, texts)
    sides = {side for side in (tags.text("ImageLaterality"), tags.text("Laterality")) if side}
    view, flags = tags.text("ViewPosition"), tuple(_flags(tags, region))
    return Described(
        region=region,
        laterality=laterality,
        sop_class_uid=tags.text("SOPClassUID"),
        modality=tags.text("Modality"),
        view_position=view,
        flags=flags,
        sides_differ=len(sides) > 1,
        broken=frozenset(tags.broken),  # before values are read that nothing depends on
        sex=sex_of(tags.text("PatientSex")),
        manufacturer=tags.text("Manufacturer"),
        manufacturer_model=tags.text("ManufacturerModelName"),
        station_name=tags.text("StationName"),
    )


def _find_region(tags: Tags, texts: tuple[tuple[str, str], ...], policy: IntakePolicy) -> RegionFinding:
    """Raises Refused where it is another part of the body, or one that --regions leaves out."""
    region = find_region(AnatomyTags(_codes(tags), tags.text("BodyPartExamined"), texts), policy.site_terms)
    _refuse_other_regions(region, policy)
    return region


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
        raise Refused(Reason.OTHER_REGION, source_words(found), found.region)
    if found.region is not Region.UNKNOWN and found.region not in policy.regions:
        raise Refused(
            Reason.REGION_NOT_CHOSEN, f"{found.region} is not among --regions ({source_words(found)})", found.region
        )


def source_words(found: RegionFinding) -> str:
    if not found.evidence:
        return "no code, tag or description names a region"
    if found.source == "none":
        return f"Body Part Examined (0018,0015) {found.evidence!r} is not understood, and no description names a region"
    also = f"; also {found.disagreement}" if found.disagreement else ""
    return f"{found.source}: {found.evidence}{also}"


def _laterality(tags: Tags, described: tuple[tuple[str, str], ...]) -> Laterality:
    sides = (tags.text("ImageLaterality"), tags.text("Laterality"), tags.text("FrameLaterality"))
    modifiers = [
        modifier.text("CodeValue")
        for item in tags.items("AnatomicRegionSequence")
        for modifier in item.items("AnatomicRegionModifierSequence")
    ]
    texts = (tags.text("BodyPartExamined"), *(text for _, text in described))
    return find_laterality(sides, modifiers, texts)


def _flags(tags: Tags, region: RegionFinding) -> Iterator[str]:
    if (sop := tags.text("SOPClassUID")) not in {CR, DX}:
        yield f"SOP Class UID (0008,0016) is {sop or 'missing'}: Modality (0008,0060) decides"
    elif (modality := tags.text("Modality")) not in {"CR", "DX"}:
        yield f"Modality (0008,0060) is {modality[:16]!r}: the SOP Class decides"
    if region.disagreement:
        yield f"region also named {region.disagreement}"
