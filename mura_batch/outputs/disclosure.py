"""What of the source's identity the outputs of a run hold: `--identifiers`. Records pass through it on their way to
every output, so an output cannot hold more.

With `key` a record is built anew out of what is known to identify nobody: a field that is not named here stays empty.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mura_batch.agreement.truth_file import Truth, TruthFile
from mura_batch.outputs.new_tonight import NOT_STATED
from mura_batch.pseudonyms import Identifiers, Pseudonyms
from mura_batch.records import (
    Instance,
    InstanceScore,
    MissingStudy,
    Reason,
    RegionFinding,
    Skipped,
    SourceFile,
    StudyScore,
)

# Defined Terms and Enumerated Values that may pass with `key`; a header may hold any text in their place.
_MODALITIES = frozenset({"CR", "DX", "DR", "RG", "OT"})  # PS3.3 C.7.3.1.1.1
_PHOTOMETRIC = frozenset({"MONOCHROME1", "MONOCHROME2"})  # PS3.3 C.7.6.3.1.2
_VIEWS = frozenset({"AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "LATERAL", "OBLIQUE"})  # PS3.3 C.8.1.2, in use
_TEXTS = frozenset({"site", "procedure", "protocol", "study_description", "series_description"})  # free text
_QUOTED = re.compile(rf"\b({'|'.join(sorted(_TEXTS))}): .*", re.DOTALL)
_NAMED_BY = frozenset({Reason.OTHER_REGION, Reason.REGION_NOT_CHOSEN})  # their details quote what named the region
_UID = re.compile(r"[0-9.]{1,64}")
_PATHS = frozenset({"studies", "out", "model", "truth", "anatomy"})  # options whose values are paths
FLAGGED = "flagged"  # stands for flags, which may quote the header


@dataclass(frozen=True, slots=True)
class Disclosure:
    """identifiers: how much is disclosed. names: makes keys."""

    identifiers: Identifiers
    names: Pseudonyms

    @property
    def by_key(self) -> bool:
        return self.identifiers is Identifiers.KEY

    def study_key(self, study_uid: str) -> str:
        """study_uid: as it was disclosed."""
        return study_uid if self.by_key else self.names.study(study_uid)

    def file_key(self, path: str) -> str:
        """path: as it was disclosed."""
        return path if self.by_key else self.names.file(path)

    def row(self, row: StudyScore) -> StudyScore:
        patient = self.names.patient(row.patient_key)
        if not self.by_key:
            return replace(row, patient_key=patient)
        return replace(
            row,
            study_uid=self.names.study(row.study_uid),
            accession=self.names.of("accession", row.accession),
            patient_key=patient,
            study_date=_month(row.study_date),
        )

    def images(self, images: Sequence[InstanceScore]) -> Sequence[InstanceScore]:
        return [self._image(image) for image in images] if self.by_key else images

    def instance(self, instance: Instance) -> Instance:
        return self._instance(instance) if self.by_key else instance

    def _image(self, image: InstanceScore) -> InstanceScore:
        decisions = image.decoded.decisions
        decoded = replace(
            image.decoded,
            instance=self._instance(image.instance),
            decisions=replace(decisions, flags=_flags(decisions.flags)),
        )
        return replace(image, decoded=decoded)

    def _instance(self, i: Instance) -> Instance:
        names = self.names
        return Instance(
            source=self._source(i.source),
            sop_instance_uid=names.of("instance", i.sop_instance_uid),
            sop_class_uid=i.sop_class_uid,
            study_uid=names.study(i.study_uid),
            series_uid=names.of("series", i.series_uid),
            patient_key=names.patient(i.patient_key),
            accession=names.of("accession", i.accession),
            study_date=_month(i.study_date),
            modality=_one_of(i.modality, _MODALITIES),
            region=RegionFinding(i.region.region, i.region.source, "", i.region.confidence),
            laterality=i.laterality,
            view_position=_one_of(i.view_position, _VIEWS),
            transfer_syntax=i.transfer_syntax,
            photometric=_one_of(i.photometric, _PHOTOMETRIC),
            rows=i.rows,
            columns=i.columns,
            bits_stored=i.bits_stored,
            flags=_flags(i.flags),
            sex=i.sex,
            age=i.age,
        )

    def _source(self, source: SourceFile) -> SourceFile:
        return replace(source, path=self.names.file(source.path))

    def skip(self, skip: Skipped) -> Skipped:
        match self.identifiers:
            case Identifiers.FULL:
                return skip
            case Identifiers.ACCESSION:
                named = skip.reason in _NAMED_BY
                return replace(skip, detail=_QUOTED.sub(r"\1", skip.detail)) if named else skip
        return Skipped(
            source=self._source(skip.source),
            stage=skip.stage,
            reason=skip.reason,
            study_uid=self.names.study(skip.study_uid),
            sop_instance_uid=self.names.of("instance", skip.sop_instance_uid),
            accession=self.names.of("accession", skip.accession),
            region=skip.region,
            laterality=skip.laterality,
        )

    def evidence(self, finding: RegionFinding) -> str:
        """What named the region. Free text is needed where a person should look: sources that disagree, no region."""
        if self.identifiers is Identifiers.FULL or finding.confidence in {"low", "none"}:
            return finding.evidence
        return "" if finding.source in _TEXTS else finding.evidence

    def missing(self, studies: Iterable[MissingStudy]) -> Iterable[MissingStudy]:
        if not self.by_key:
            return studies
        return (
            MissingStudy(
                self.names.study(study.study_uid),
                self.names.of("accession", study.accession),
                _month(study.study_date),
                study.files,
            )
            for study in studies
        )

    def truth(self, truth: Truth) -> Truth:
        """Its studies under the names that they have in the outputs."""
        return replace(truth, files=tuple(map(self._truth_file, truth.files))) if self.by_key else truth

    def _truth_file(self, file: TruthFile) -> TruthFile:
        kind = "study" if file.by == "study_uid" else "accession"
        return replace(
            file,
            name=self.names.file(file.name),
            lines=tuple(replace(line, study=self.names.of(kind, line.study)) for line in file.lines),
        )

    def kinds(self, mix: str, counts: Mapping[str, int]) -> Mapping[str, int]:
        """Counts of a mix of a night (new_tonight.MIXES) by kind, which an earlier run wrote under its own policy."""
        if not self.by_key or mix not in {"devices", "formats"}:
            return counts
        known: Counter[str] = Counter()
        for kind, count in counts.items():
            known[NOT_STATED if mix == "devices" else _format(kind)] += count
        return known

    def folder(self, path: str) -> str:
        """The studies folder, for the manifest."""
        return self.names.file(path) if self.by_key else path

    def options(self, options: Mapping[str, str]) -> dict[str, str]:
        """Options as given, for the manifest: with `key`, a path is named by its key."""
        if not self.by_key:
            return dict(options)
        return {
            name: self.names.file(value) if name in _PATHS or "/" in value else value for name, value in options.items()
        }


def _month(date: str) -> str:
    """YYYYMMDD -> YYYYMM01: agreement is shown by month, and a day identifies."""
    return f"{date[:6]}01" if len(date) == 8 and date.isdecimal() else ""


def _format(kind: str) -> str:
    """Modality, transfer syntax and photometric interpretation, as drift.json has them."""
    modality, syntax, photometric = parts if len(parts := kind.rsplit(" ", 2)) == 3 else ("", "", "")
    known = syntax if _UID.fullmatch(syntax) else ""
    return " ".join((_one_of(modality, _MODALITIES), known, _one_of(photometric, _PHOTOMETRIC)))


def _one_of(value: str, known: frozenset[str]) -> str:
    return value if value in known else ""


def _flags(flags: tuple[str, ...]) -> tuple[str, ...]:
    return (FLAGGED,) if flags else ()
