"""Grouping instances into studies, settling conflicts of identity, and aggregating scores: pure functions.

Rules, in the order in which they apply:
1. Same SOP Instance UID, same instance (bytes, data set, or identity and picture): one is kept, the others are
   duplicates.
2. Same SOP Instance UID, another content: one that an earlier run scored is kept; else all are set aside, for nobody
   can know which one is the radiograph.
3. One Study Instance UID under two patients: all its radiographs are set aside; a mean over two people is no score.
4. A study of several regions gets a row for each region; a region imaged on both sides gets a row for each side.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from itertools import groupby
from operator import itemgetter

from mura_batch.pseudonyms import Pseudonyms
from mura_batch.records import (
    UNREADABLE,
    Instance,
    InstanceScore,
    Laterality,
    Reason,
    Region,
    Skipped,
    Stage,
    StudyFiles,
    StudyScore,
    StudyStatus,
    skip_instance,
)

Part = tuple[Region, Laterality]  # what separates the rows of one study
Placed = tuple[str, Region, Laterality]  # path, region and side of a radiograph
NO_ORIGINAL = "no original image in the study"
_SET_ASIDE = frozenset({Reason.CONFLICTING_DUPLICATE, Reason.CONFLICTING_PATIENT})


def settle_same_sop(
    copies: Sequence[tuple[Instance, str]], names: Pseudonyms, scored: Container[str] = ()
) -> tuple[Skipped, ...]:
    """copies: instances of one SOP Instance UID, with equal texts for equal copies. scored: paths of those that an
    earlier run scored: one that was scored is kept, so that a second export costs no study its score. names: makes the
    key of the file that is kept. Returns the ones not to score."""
    ordered = sorted(copies, key=lambda copy: (copy[0].source.path not in scored, copy[0].source.path))
    contents = {content for _, content in ordered}
    known = {content for i, content in ordered if i.source.path in scored}
    if len(contents) > 1 and len(known) != 1:
        detail = f"{len(ordered)} files with {len(contents)} different contents share SOP Instance UID (0008,0018)"
        return tuple(skip_instance(i, Stage.STUDY, Reason.CONFLICTING_DUPLICATE, detail) for i, _ in ordered)
    first, content = ordered[0]
    kept = names.file(first.source.path)
    return tuple(_copy(i, of=kept, same=other == content) for i, other in ordered[1:])


def _copy(instance: Instance, of: str, *, same: bool) -> Skipped:
    """of: key of the file that is kept."""
    if same:
        return skip_instance(instance, Stage.STUDY, Reason.DUPLICATE, f"the same instance as file {of}")
    detail = f"another content than file {of}, which was scored under this SOP Instance UID (0008,0018)"
    return skip_instance(instance, Stage.STUDY, Reason.CONFLICTING_DUPLICATE, detail)


def settle_patients(instances: Sequence[Instance]) -> tuple[Skipped, ...]:
    """instances: of one study. Returns all of them when they name more than one patient, else none. An image that does
    not name the issuer of its Patient ID contradicts none: the issuer is optional (PS3.3 C.2.2, Type 3)."""
    keys = [i.patient_key.partition("-") for i in instances if i.patient_key]
    patients, issuers = {key[0] for key in keys}, {key[2] for key in keys if key[2]}
    if len(patients) > 1:
        several = f"{len(patients)} Patient IDs (0010,0020)"
    elif len(issuers) > 1:
        several = f"{len(issuers)} Issuers of Patient ID (0010,0021)"
    else:
        return ()
    detail = f"Study Instance UID (0020,000D) stands under {several}"
    return tuple(skip_instance(i, Stage.STUDY, Reason.CONFLICTING_PATIENT, detail) for i in instances)


def aggregate(study: StudyFiles, threshold: float) -> tuple[tuple[StudyScore, tuple[InstanceScore, ...]], ...]:
    """The rows of one study, each with the images that its score is the mean of: one row for each region (and side)
    with radiographs, or one without images that says why there is none. Every scored image is in exactly one row.

    A radiograph that its header shows to be unreadable counts in the row of its region; where that is not known, in the
    only row there is, else in a row of its own. The rest of a broken transfer beside the whole file is none.
    """
    placed = [_placed(score.instance) for score in study.scored] + [_placed(instance) for instance, _ in study.failed]
    scored = {score.instance.sop_instance_uid for score in study.scored}
    lost = [s for s in study.skipped if s.reason in UNREADABLE and not _is_rest(s, scored)]
    only = _only({region for _, region, _ in placed} | {skip.region for skip in lost})
    placed += [
        (skip.source.path, only if skip.region is Region.UNKNOWN else skip.region, skip.laterality) for skip in lost
    ]
    threshold = study.earlier.threshold if study.earlier is not None else threshold
    if not placed:
        return ((_row_without_radiographs(study, threshold), ()),)
    parts = _parts(placed)
    return tuple(_row(study, part, parts, threshold) for part in sorted(set(parts.values())))


def _is_rest(skip: Skipped, scored: Container[str]) -> bool:
    """Whether it is a copy that was cut short, as an aborted transfer leaves it, of an instance that is scored."""
    return skip.reason is Reason.TRUNCATED and skip.sop_instance_uid in scored


def _placed(instance: Instance) -> Placed:
    return instance.source.path, instance.region.region, instance.laterality


def _only(regions: set[Region]) -> Region:
    """The one that is known, if there is one alone."""
    known = regions - {Region.UNKNOWN}
    return known.pop() if len(known) == 1 else Region.UNKNOWN


def _parts(radiographs: Sequence[Placed]) -> dict[str, Part]:
    """path -> (region, side): the side separates rows only where a region was imaged on both sides."""
    kinds = {(region, side) for _, region, side in radiographs}
    if len(kinds) == 1:  # most studies
        return dict.fromkeys((path for path, _, _ in radiographs), kinds.pop())
    parts: dict[str, Part] = {}
    for region, group in groupby(sorted(radiographs, key=itemgetter(1)), key=itemgetter(1)):
        members = list(group)
        sides = {side for _, _, side in members}
        both = {Laterality.LEFT, Laterality.RIGHT} <= sides
        common = _common_side(sides)
        for path, _, side in members:
            parts[path] = (region, side if both else common)
    return parts


def _common_side(sides: set[Laterality]) -> Laterality:
    known = sides - {Laterality.UNKNOWN}
    return known.pop() if len(known) == 1 else Laterality.UNKNOWN


def _row(
    study: StudyFiles, part: Part, parts: dict[str, Part], threshold: float
) -> tuple[StudyScore, tuple[InstanceScore, ...]]:
    scored = tuple(s for s in study.scored if parts[s.instance.source.path] == part)
    failed = [pair for pair in study.failed if parts[pair[0].source.path] == part]
    lost = [skip for _, skip in failed if skip.reason is not Reason.DUPLICATE]
    lost += [skip for skip in study.skipped if parts.get(skip.source.path) == part]
    # MURA's rule: the arithmetic mean over the study's images (arXiv 1712.06957, section 3).
    score = sum(s.probability for s in scored) / len(scored) if scored else None
    radiographs = [s.instance for s in scored] + [instance for instance, _ in failed]
    first = radiographs[0] if radiographs else None
    row = StudyScore(
        study_uid=study.study_uid,
        accession=first.accession if first else _accession(lost),
        patient_key=max((i.patient_key for i in radiographs), key=len, default=""),  # the one with the issuer
        study_date=first.study_date if first else "",
        region=part[0],
        laterality=part[1],
        instances=len(scored) + len(lost),
        scored=len(scored),
        score=score,
        abnormal=None if score is None else score > threshold,
        threshold=threshold,
        status=_status(scored, lost),
        reason=_reasons(lost),
        earlier_model=str(study.earlier) if study.earlier is not None and scored else "",
    )
    return row, scored


def _accession(skips: Iterable[Skipped]) -> str:
    return next((skip.accession for skip in skips if skip.accession), "")


def _status(scored: Sequence[InstanceScore], lost: Sequence[Skipped]) -> StudyStatus:
    if any(skip.reason in _SET_ASIDE for skip in lost) and not scored:
        return StudyStatus.SET_ASIDE
    if not scored:
        unreadable = any(skip.reason in UNREADABLE for skip in lost)
        return StudyStatus.FAILED if unreadable else StudyStatus.SKIPPED
    if any(skip.reason in UNREADABLE for skip in lost):
        return StudyStatus.PARTIAL
    return StudyStatus.UNCHANGED if all(s.reused for s in scored) else StudyStatus.SCORED


def _row_without_radiographs(study: StudyFiles, threshold: float) -> StudyScore:
    """No file of the study is a radiograph that should have been readable."""
    return StudyScore(
        study_uid=study.study_uid,
        accession=_accession(study.skipped),
        patient_key="",
        study_date="",
        region=_only({skip.region for skip in study.skipped}),
        laterality=Laterality.UNKNOWN,
        instances=0,
        scored=0,
        score=None,
        abnormal=None,
        threshold=threshold,
        status=StudyStatus.SKIPPED,
        reason=_reasons(study.skipped) + _missing_original(study),
    )


def _missing_original(study: StudyFiles) -> str:
    """A flag for a study whose only pictures were derived from others."""
    return f";{NO_ORIGINAL}" if any(skip.reason is Reason.DERIVED for skip in study.skipped) else ""


def _reasons(skips: Iterable[Skipped]) -> str:
    return ";".join(sorted({skip.reason.value for skip in skips}))
