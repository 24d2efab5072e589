"""The side out of what a header says."""

from __future__ import annotations

import pytest

from mura_batch.dicom.header.laterality import find_laterality
from mura_batch.records import Laterality

L = Laterality


def side_of(text: str) -> Laterality:
    return find_laterality(("", "", ""), (), (text,))


# Abbreviations of orders and series descriptions, as radiology departments publish them in their lists of exam names.
@pytest.mark.parametrize(
    "text",
    [
        "XR HAND R/O FX", "R/O FX HAND", "HAND R O SCAPHOID FX", "HAND R.O. FX",  # rule out
        "R.X. MANO", "R X MANO", "C.R. HAND", "HAND D.R.",  # radiograph, computed and digital radiography
        "HAND RE-TAKE", "HAND RE DO", "RE: HAND", "RE REDUCTION",
        "WRIST LI-TIDE", "WRIST PA/L", "HAND A.P./L.", "HAND AP + L", "HAND L/LAT", "POST OP L1", "HAND PAT. R. SMITH",
        "HAND DX", "HAND SX", "HAND RT STUDENT", "HAND RIGHT OR LEFT",
        "R A HAND", "REF DR L JONES HAND", "HAND AP, L", "HAND PA AND L", "HAND L.DX",  # arthritis, a name, lateral
        "LEFT HANDED, HAND PA", "RIGHT HAND DOMINANT WRIST", "WRIST UP RIGHT", "HAND: PT LEFT", "右利き 手関節",
        "BOTH BONE FX FOREARM", "les deux os avant-bras", "deux doigts", "BOTH OBLIQUES HAND", "ambos huesos antebrazo",
        "beide Unterarmknochen", "尺桡骨双骨折", "前腕両骨骨折", "手两斜位",  # two bones, fingers, views
        "main deux incidences", "Hand beide Ebenen", "mano ambas proyecciones", "双能 手",
    ],
)  # fmt: skip
def test_letters_of_other_words_are_no_side(text: str) -> None:
    assert side_of(text) is L.UNKNOWN


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("XR HAND L", L.LEFT), ("XR HAND (R)", L.RIGHT), ("HAND_R", L.RIGHT), ("R-HAND", L.RIGHT), ("L. WRIST", L.LEFT),
        ("HAND CR R", L.RIGHT), ("HAND 3 VIEWS R", L.RIGHT), ("L HAND R/O FX", L.LEFT), ("RX R MANO", L.RIGHT),
        ("Hand re.", L.RIGHT), ("Re Hand ap", L.RIGHT), ("HAND LI 2E", L.LEFT), ("RX MANO DCHA", L.RIGHT),
        ("Hand re. 2 Eb.", L.RIGHT), ("Unterarm li. a.p.", L.LEFT), ("MRS L HAND", L.LEFT), ("Coude gche", L.LEFT),
        ("RX MANO DERECHA AP Y L", L.RIGHT), ("Mão esq", L.LEFT), ("BOTH BONE FX L FOREARM", L.LEFT),
        ("MANO DX", L.RIGHT), ("GOMITO SX 2 PROIEZIONI", L.LEFT), ("左手正位", L.LEFT),
    ],
)  # fmt: skip
def test_short_words_for_a_side_are_read(text: str, side: Laterality) -> None:
    assert side_of(text) is side


@pytest.mark.parametrize(
    "text",
    [
        "MANO DX E SX", "HAND R+L", "HAND R/L", "HAND LT & RT", "LEFT AND RIGHT HAND", "MANI DX-SX", "左右手",
        "Handgelenk re./li.", "BOTH HANDS", "HANDS BOTH", "BOTH THUMBS", "WRISTS BOTH SIDES", "les deux mains",
        "beide Hände", "Hand beids.", "обе кисти", "双手正位", "両側手関節", "手(両)", "两手",
    ],
)  # fmt: skip
def test_left_joined_with_right_is_both(text: str) -> None:
    assert side_of(text) is L.BOTH


@pytest.mark.parametrize(
    ("value", "side"), [("LEFT", L.LEFT), ("Right", L.RIGHT), ("rechts", L.RIGHT), ("?", L.UNKNOWN)]
)
def test_a_side_tag_may_hold_a_word(value: str, side: Laterality) -> None:
    assert find_laterality(("", value, ""), (), ()) is side
