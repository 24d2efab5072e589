"""The 200 shared files of public projects: each on its whole way, each outcome held against the manifest's
`expected`."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mura_batch.dicom.discover import discover
from mura_batch.dicom.inspect import stand_in
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.worker.pool import DecodePool
from mura_batch.preprocess import InputSpec
from mura_batch.records import UNREADABLE, Reason, Skipped, SourceFile

R = Reason
KIND = {R.NOT_A_RADIOGRAPH, R.NOT_AN_IMAGE}
ANY = set(Reason)
# What the words of the manifest mean in reasons; the first that stands in `expected` counts.
EXPECTED: tuple[tuple[str, set[Reason]], ...] = (
    ("score-or-refuse by policy", {R.BLANK_IMAGE}),
    ("skip (CT) or unreadable", ANY),
    ("skip or unreadable", ANY),
    ("unreadable / not DICOM", {R.NOT_DICOM}),
    ("or skip by body part first", {R.OTHER_REGION, R.UNDECODABLE_PIXELS}),
    ("unreadable", set(UNREADABLE)),
    ('"DICM" appears inside', {R.NOT_DICOM, R.TRUNCATED}),
    ("DICOMDIR", {R.DICOMDIR}),
    ("secondary capture", {R.SCREEN_CAPTURE, R.NOT_A_RADIOGRAPH}),
    ("EXTREMITY is not one of the 7", {R.OTHER_REGION, R.AMBIGUOUS_REGION}),
    ("CHEST / no pixel data", {R.OTHER_REGION, R.NO_PIXEL_DATA}),
    ("CR CHEST without pixel data", {R.OTHER_REGION, R.NO_PIXEL_DATA}),
    ("no pixel data", {R.NO_PIXEL_DATA}),
    ("body part unknown", {R.UNKNOWN_REGION, R.OTHER_REGION}),
    ("free-text body part", {R.OTHER_REGION, R.UNKNOWN_REGION}),
    ("CHEST", {R.OTHER_REGION}),
    ("THORAX", {R.OTHER_REGION}),
    ("CSPINE", {R.OTHER_REGION}),
    ("skip", KIND),
)
# Where the outcome is another one, and why: docs/intake.md has the words.
ARGUED = {
    "hostile/oob-monochrome-65535.dcm": R.NOT_A_RADIOGRAPH,
    "malformed/genFile.dcm": R.NOT_A_RADIOGRAPH,
    "no_pixel_data/dx_elbow_cyrillic_nopixels_DEID.dcm": R.ANIMAL,
    "radiograph_skip_bodypart/cr_chest_jpegbaseline.dcm": R.SCREEN_CAPTURE,
    "radiograph_skip_bodypart/cr_chest_jpegbaseline_fake_mono1.dcm": R.SCREEN_CAPTURE,
}


@pytest.fixture(scope="module")
def manifest(shared_dicom: Path) -> dict[str, str]:
    with (shared_dicom / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row["expected"] for row in csv.DictReader(file)}


def test_every_outcome_agrees_with_the_manifest_or_is_argued(
    shared_dicom: Path, manifest: dict[str, str], intake: Callable[..., dict[str, Any]]
) -> None:
    found = intake(root=shared_dicom)
    assert set(found) == {*manifest, "README.md", "manifest.csv"}
    assert len(manifest) == 200
    disagree = {}
    for name, expected in manifest.items():
        allowed = next(reasons for words, reasons in EXPECTED if words in expected)
        assert isinstance(found[name], Skipped), f"{name} was scored"
        if found[name].reason not in allowed:
            disagree[name] = found[name].reason
    assert disagree == ARGUED
    doc = (Path(__file__).parents[2] / "docs" / "intake.md").read_text(encoding="utf-8")
    assert all(name.rsplit("/", 1)[1] in doc for name in ARGUED)


def test_no_shared_file_crashes_a_decode_worker(shared_dicom: Path, manifest: dict[str, str]) -> None:
    """Also of what a run would skip by its header: 200 more ways to crash a decoder."""
    policy = IntakePolicy(settle_seconds=0)
    sources = [item for item in discover(shared_dicom, policy) if isinstance(item, SourceFile)]
    with DecodePool(shared_dicom, policy, InputSpec(size=64), 2) as pool:
        answers = list(pool.decode(stand_in(source) for source in sources))
    assert len(answers) == len(manifest) + 2
    decoded = {a[0].instance.source.path: a[0].decisions for a in answers if not isinstance(a, Skipped)}
    lost = {a.source.path: a.reason for a in answers if isinstance(a, Skipped) and a.reason.value.startswith("worker_")}
    assert not lost
    assert {name.rsplit("/", 1)[1] for name in decoded} >= {
        "mlut_18.dcm",
        "vlut_10.dcm",
        "image_dfl.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "JPGExtended.dcm",
        "JLSL_16_15_1_1F.dcm",
        "JLSL_08_07_0_1F.dcm",
        "cr_tibia_RG3_JPLL",
        "CR-MONO1-10-chest",
        "J2K_pixelrep_mismatch.dcm",
        "rf_shoulder_kwire_xrf_modality_lut.dcm",
        "cr_teeth_modality_lut_sequence.dcm",
        "dx_thorax_mono1_8bit.dcm",
    }
    assert decoded["radiograph_odd/rf_shoulder_kwire_xrf_modality_lut.dcm"].modality_transform.startswith("ignored")
    assert decoded["radiograph_odd/cr_teeth_modality_lut_sequence.dcm"].modality_transform == "lut"
    refused = {a.source.path: a.reason for a in answers if isinstance(a, Skipped)}
    assert refused["radiograph_odd/cr_agfa_hand_blank_rle.dcm"] is R.BLANK_IMAGE
    assert refused["hostile/oob-monochrome-65535.dcm"] is R.TOO_LARGE
    assert refused["malformed/MR_truncated.dcm"] is R.TRUNCATED
    assert refused["malformed/JPEG2000-embedded-sequence-delimiter.dcm"] is R.UNDECODABLE_PIXELS
