"""Builds the records that travel through a run; every keyword replaces a field. On sys.path of all tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mura_batch.agreement.truth_file import Said, Truth, TruthFile, TruthKind, TruthLine
from mura_batch.outputs.disclosure import Disclosure
from mura_batch.pseudonyms import Identifiers, Pseudonyms
from mura_batch.records import (
    Decoded,
    Instance,
    InstanceScore,
    Laterality,
    PixelDecisions,
    Region,
    RegionFinding,
    SourceFile,
)

NAMES = Pseudonyms(b"the secret of the tests")
FULL = Disclosure(Identifiers.FULL, NAMES)


def build_instance(path: str = "a", study: str = "1.2", **fields: Any) -> Instance:
    """A DX radiograph of a hand."""
    values: dict[str, Any] = {
        "source": SourceFile(path, 1000, 1_700_000_000_000_000_000, 1),
        "sop_instance_uid": f"1.2.3.{path}",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.1",
        "study_uid": study,
        "series_uid": "1.2.9",
        "patient_key": "p1",
        "accession": "A1",
        "study_date": "20260101",
        "modality": "DX",
        "region": RegionFinding(Region.HAND, "code", "85562004", "high"),
        "laterality": Laterality.UNKNOWN,
        "view_position": "PA",
        "transfer_syntax": "1.2.840.10008.1.2.1",
        "photometric": "MONOCHROME2",
        "rows": 2000,
        "columns": 1600,
        "bits_stored": 12,
    }
    return Instance(**{**values, **fields})


def build_decisions(**fields: Any) -> PixelDecisions:
    """Of a native frame shown in its full range."""
    values: dict[str, Any] = {
        "decoder": "native",
        "reduction": 1,
        "modality_transform": "none",
        "voi": "full range",
        "window_center": None,
        "window_width": None,
        "polarity": "as stored",
        "polarity_reason": "Photometric Interpretation MONOCHROME2",
        "pixel_aspect": 1.0,
    }
    return PixelDecisions(**{**values, **fields})


def build_score(
    instance: Instance, probability: float, *, reused: bool = False, content: str = "", **decisions: Any
) -> InstanceScore:
    """content: hash of the file; by default one for each path. decisions: fields of its PixelDecisions."""
    decoded = Decoded(instance, content or f"hash-of-{instance.source.path}", build_decisions(**decisions))
    return InstanceScore(decoded, probability, reused)


def build_truth(labels: Mapping[str, int], readers: Mapping[str, Mapping[str, int]] | None = None) -> Truth:
    """Of one file truth.csv with a line for each study. labels, and those of each reader: study UID -> 0 or 1."""
    of = readers or {}
    lines = tuple(
        TruthLine(n, study, said=_said(label), readers=tuple(_said(given.get(study)) for given in of.values()))
        for n, (study, label) in enumerate(labels.items(), start=2)
    )
    return Truth((TruthFile("truth.csv", "ab" * 32, "study_uid", TruthKind.REPORT, lines, readers=tuple(of)),))


def _said(label: int | None) -> Said:
    return Said.BLANK if label is None else Said(str(label))
