"""Region and side out of what a header says."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.sr._concepts_dict import concepts
from pydicom.sr._snomed_dict import mapping

from mura_batch.dicom.header.anatomy import (
    AnatomyTags,
    find_region,
    region_of_body_part,
    region_of_text,
)
from mura_batch.dicom.header.laterality import find_laterality
from mura_batch.dicom.header.terms import BODY_PART, CODES, words
from mura_batch.dicom.policy import IntakePolicy, load_site_terms
from mura_batch.errors import InputError
from mura_batch.records import Laterality, Region

R, L = Region, Laterality


def finding(
    codes: tuple[tuple[str, str, str], ...] = (), body_part: str = "", **texts: str
) -> tuple[Region, str, str, str]:
    found = find_region(AnatomyTags(codes, body_part, tuple(texts.items())))
    return found.region, found.source, found.confidence, found.disagreement


# Words of each language as its radiology departments write them; the expected region is what a dictionary says.
@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("XR HAND 2 VIEWS LEFT", R.HAND),
        ("Thumb", R.FINGER),
        ("XR FINGER(S) RT", R.FINGER),
        ("wrist, scaphoid views", R.WRIST),
        ("RADIUS/ULNA", R.FOREARM),
        ("Humerus AP/LAT", R.HUMERUS),
        ("UPPER ARM", R.HUMERUS),
        ("AC JOINTS", R.SHOULDER),
        ("Handgelenk links", R.WRIST),
        ("Handgelenksaufnahme", R.WRIST),
        ("U ARM", R.FOREARM),
        ("U-Arm re.", R.FOREARM),
        ("Unterarm", R.FOREARM),
        ("O ARM", R.HUMERUS),
        ("Oberarm bds", R.HUMERUS),
        ("Ellenbogen", R.ELBOW),
        ("Schulter a.p.", R.SHOULDER),
        ("Mittelhand", R.HAND),
        ("Daumen", R.FINGER),
        ("Unterschenkel", R.OTHER),
        ("Poignet gauche F+P", R.WRIST),
        ("Main droite", R.HAND),
        ("Avant-bras", R.FOREARM),
        ("Coude", R.ELBOW),
        ("Épaule", R.SHOULDER),
        ("Doigt", R.FINGER),
        ("Bras", R.HUMERUS),
        ("Genou", R.OTHER),
        ("Muñeca", R.WRIST),
        ("Mano izquierda", R.HAND),
        ("Codo", R.ELBOW),
        ("Antebrazo", R.FOREARM),
        ("Hombro", R.SHOULDER),
        ("Húmero", R.HUMERUS),
        ("Dedo de la mano", R.FINGER),
        ("Rodilla", R.OTHER),
        ("dedo del pie", R.OTHER),
        ("Polso dx", R.WRIST),
        ("Gomito", R.ELBOW),
        ("Avambraccio", R.FOREARM),
        ("Spalla", R.SHOULDER),
        ("Omero", R.HUMERUS),
        ("Punho", R.WRIST),
        ("Mão", R.HAND),
        ("Cotovelo", R.ELBOW),
        ("Antebraço", R.FOREARM),
        ("Ombro", R.SHOULDER),
        ("Pols links", R.WRIST),
        ("Elleboog", R.ELBOW),
        ("Onderarm", R.FOREARM),
        ("Bovenarm", R.HUMERUS),
        ("Schouder", R.SHOULDER),
        ("Vinger", R.FINGER),
        ("Enkel", R.OTHER),
        ("Кисть", R.HAND),
        ("Локоть LAT", R.ELBOW),
        ("лучезапястный сустав", R.WRIST),
        ("плечевой сустав", R.SHOULDER),
        ("плечевая кость", R.HUMERUS),
        ("Предплечья", R.FOREARM),
        ("коленный сустав", R.OTHER),
        ("左手関節", R.WRIST),
        ("右手", R.HAND),
        ("肩関節", R.SHOULDER),
        ("肘関節", R.ELBOW),
        ("前腕", R.FOREARM),
        ("上腕骨", R.HUMERUS),
        ("母指", R.FINGER),
        ("膝関節", R.OTHER),
        ("腕关节正侧位", R.WRIST),
        ("左肩关节", R.SHOULDER),
        ("肘关节", R.ELBOW),
        ("前臂", R.FOREARM),
        ("肱骨", R.HUMERUS),
        ("拇指", R.FINGER),
        ("膝关节", R.OTHER),
        ("HAND2V", R.HAND),
        ("HAND 42-03B", R.HAND),
        ("XR CHEST MAIN HOSPITAL", R.OTHER),
        ("upper extremity: elbow", R.ELBOW),
    ],
)
def test_a_description_in_ten_languages_names_its_region(text: str, region: Region) -> None:
    assert (region_of_text(text) or R.UNKNOWN) is region


@pytest.mark.parametrize("text", ["Hand and wrist", "CHEST + LEFT HAND", "Shoulder/Humerus", "Extremity", "上肢"])
def test_several_regions_or_an_ambiguous_word_are_no_region(text: str) -> None:
    assert region_of_text(text) is R.UNKNOWN


@pytest.mark.parametrize("text", ["", "PORTABLE", "Handover protocol", "Armada Clinic", "shorthand", "Rippled"])
def test_words_that_only_look_alike_name_nothing(text: str) -> None:
    assert region_of_text(text) is None


@pytest.mark.parametrize(
    ("value", "region"),
    [
        ("HAND", R.HAND),
        ("hand ", R.HAND),
        ("ARM", R.HUMERUS),
        ("RADIUSULNA", R.FOREARM),
        ("CLAVICLE", R.SHOULDER),
        ("UP_EXM", R.UNKNOWN),
        ("EXTREMITY", R.UNKNOWN),
        ("Extremety", R.UNKNOWN),
        ("LOW_EXM", R.OTHER),
        ("CHEST", R.OTHER),
        ("ABDOMEN DEVO", R.OTHER),
        ("Handgelenk", R.WRIST),
        ("B?cken", None),
        ("STANDARD", None),
    ],
)
def test_body_part_examined_is_read_as_term_or_words(value: str, region: Region | None) -> None:
    assert region_of_body_part(value) is region


def test_anatomy_codes_precede_the_tag_and_free_text() -> None:
    hand = (("85562004", "SCT", "Hand"),)
    assert finding(hand, "WRIST", procedure="elbow")[:3] == (R.HAND, "code", "low")
    assert finding((), "WRIST", procedure="elbow")[:3] == (R.WRIST, "body_part", "low")
    texts = {"procedure": "elbow", "protocol": "hand", "study_description": "wrist", "series_description": "finger"}
    for source, text in list(texts.items()):
        assert finding(**texts)[:2] == (region_of_text(text), source)
        del texts[source]
    assert finding() == (R.UNKNOWN, "none", "none", "")


def test_disagreement_is_reported_and_costs_confidence() -> None:
    region, _, confidence, disagreement = finding((), "HAND", study_description="XR WRIST")
    assert (region, confidence, disagreement) == (R.HAND, "low", "study_description: XR WRIST (wrist)")
    assert finding((), "HAND", study_description="XR HAND") == (R.HAND, "body_part", "high", "")


def test_an_ambiguous_tag_leaves_the_word_to_the_descriptions() -> None:
    assert finding((), "EXTREMITY", protocol="LOWER LEG")[:2] == (R.OTHER, "protocol")
    assert finding((), "EXTREMITY", series_description="Локоть")[:2] == (
        R.ELBOW,
        "series_description",
    )
    assert finding((), "UP_EXM")[:2] == (R.UNKNOWN, "body_part")
    assert finding((), "STANDARD")[:2] == (R.UNKNOWN, "none")


def test_a_code_of_another_scheme_is_judged_by_its_meaning() -> None:
    assert finding((("85562004", "99LOCAL", "Left wrist"),))[0] is R.WRIST
    assert finding((("HD", "99LOCAL", ""),), "HAND")[:2] == (R.HAND, "body_part")
    assert finding((("85151006", "SCT", "Structure of left hand"),))[:2] == (R.HAND, "code")
    assert finding((("816094009", "SCT", "Chest"),), "HAND")[0] is R.OTHER
    assert finding((("T-D8700", "SRT", ""),))[0] is R.HAND


def test_our_codes_mean_what_dicom_says_they_mean() -> None:
    """pydicom 3.0.2 carries PS3.16's SNOMED CT concepts and the table from SRT to SNOMED CT."""
    meaning = {code: text for entry in concepts["SCT"].values() for code, (text, _) in entry.items()}
    to_sct = mapping["SRT"]
    checked = 0
    for code, region in CODES.items():
        text = meaning.get(to_sct.get(code, code))
        if text is None:
            continue
        checked += 1
        said = region_of_text(text)
        assert said in {region, None} or region is R.UNKNOWN, (code, text, said)
    assert checked > 35
    for srt, sct in to_sct.items():
        if srt in CODES and sct in CODES:
            assert CODES[srt] is CODES[sct], (srt, sct)


# Seen in descriptions of East Asian and English exports: a sign or a word for a region inside another word.
@pytest.mark.parametrize(
    "text",
    [
        "手术室床旁摄影", "手动曝光", "手提X光机",  # operating room, manual, portable
        "手足口病", "手機",  # a disease, a telephone
        "手術後", "手動撮影", "術中指示", "助手",  # after surgery, manual exposure, orders in surgery, an assistant
        "MAIN ER", "MAIN OR PORTABLE", "XR PORTABLE ER MAIN", "MAIN LOBBY",
        "HAND HELD", "HAND-HELD", "BY HAND", "ARM OUT", "ARMS UP", "ROBOTIC ARM", "HAND HYGIENE",
        "手ぶれ補正", "手推车", "表示指定", "集中指导", "手指消毒", "ひじょう口",  # camera, cart, settings, exit
        "A mano alzada", "mano de obra", "mani libere", "MAIN CAMPUS", "FRANKFURT AM MAIN",
    ],
)  # fmt: skip
def test_a_word_inside_another_one_is_no_region(text: str) -> None:
    assert region_of_text(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "右手",
        "手正面",
        "両手2R",
        "手X線",
        "左手正侧位",
        "手の骨",
        "MAIN",
        "MAIN DROITE",
        "RX MAIN",
        "MAIN F/P",
        "MAIN AP",
    ],
)
def test_the_same_word_by_itself_is_a_region(text: str) -> None:
    assert region_of_text(text) is R.HAND


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("HUMERAL HEAD", R.SHOULDER), ("SHOULDER HUMERAL HEAD FX", R.SHOULDER), ("HUMERUS NECK FX", R.HUMERUS),
        ("SUPRACONDYLAR HUMERAL FX ELBOW", R.ELBOW), ("5TH METACARPAL HEAD", R.HAND), ("RADIAL NECK", R.ELBOW),
        ("SPINE OF SCAPULA", R.SHOULDER), ("ULNAR HEAD", R.WRIST),  # parts of bones are named as others of the body
        ("OMBRO EM PE", R.SHOULDER), ("HOMBRO EN PIE", R.SHOULDER), ("SPALLA IN PIEDI", R.SHOULDER),  # standing
        ("EPAULE DES DEUX COTES", R.SHOULDER), ("THORAX BRAS LEVES", R.OTHER), ("TORAX BRAZOS ARRIBA", R.OTHER),
        ("RIGHT HAND DOMINANT WRIST", R.WRIST), ("LEFT HANDED, ELBOW", R.ELBOW), ("右手小指", R.FINGER),
    ],
)  # fmt: skip
def test_words_of_other_parts_around_a_region_are_understood(text: str, region: Region) -> None:
    assert region_of_text(text) is region


def test_every_region_has_words_in_all_ten_languages() -> None:
    import tomllib

    path = Path(__file__).parents[3] / "mura_batch" / "dicom" / "header" / "terms.toml"
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    for region in (*MURA, R.OTHER):
        assert list(tables[region]) == ["en", "de", "fr", "es", "it", "pt", "nl", "ru", "ja", "zh"]


MURA = (R.ELBOW, R.FINGER, R.FOREARM, R.HAND, R.HUMERUS, R.SHOULDER, R.WRIST)


def test_each_word_of_the_tables_names_its_own_region() -> None:
    for region, listed in words().items():
        for word in listed:
            said = region_of_text(word.replace("_", " ").replace("*", ""))
            assert said is region, (word, said)
    assert {region_of_body_part(term) for term in BODY_PART} == {*MURA, R.OTHER, R.UNKNOWN}


@pytest.mark.parametrize(
    ("tags", "codes", "texts", "side"),
    [
        (("L", "R", ""), (), (), L.LEFT),
        (("", "R", "L"), (), (), L.RIGHT),
        (("", "", "B"), (), (), L.BOTH),
        (("U", "", ""), (), ("left hand",), L.UNPAIRED),
        (("", "", ""), ("24028007",), (), L.RIGHT),
        (("", "", ""), ("G-A101",), ("right",), L.LEFT),
        (("", "", ""), (), ("HAND LI", "Hand"), L.LEFT),
        (("", "", ""), (), ("left hand", "right wrist"), L.UNKNOWN),
        (("", "", ""), (), ("both hands",), L.BOTH),
        (("", "", ""), (), ("main droite",), L.RIGHT),
        (("", "", ""), (), ("左手",), L.LEFT),
        (("X", "", ""), (), (), L.UNKNOWN),
        (("", "", ""), (), (), L.UNKNOWN),
    ],
)
def test_the_side_is_believed_in_the_order_of_the_standard(
    tags: tuple[str, str, str], codes: tuple[str, ...], texts: tuple[str, ...], side: Laterality
) -> None:
    assert find_laterality(tags, codes, texts) is side


def test_a_sites_own_terms_come_before_everything(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text('[terms]\n"HD 2E" = "hand"\n"Schockraum" = "other"\n"手骨" = "hand"\n', encoding="utf-8")
    terms = load_site_terms(path)
    tags = AnatomyTags((("816094009", "SCT", "Chest"),), "CHEST", (("study_description", "Rö HD 2E links"),))
    found = find_region(tags, terms)
    assert (found.region, found.source, found.confidence) == (R.HAND, "site", "low")
    assert find_region(AnatomyTags((), "HAND", (("protocol", "Schockraum HAND"),)), terms).region is R.OTHER
    assert find_region(AnatomyTags((), "", (("protocol", "左手骨X"),)), terms).source == "site"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[terms]\nx = 'toe'\n", "'x' = 'toe'"),
        ("x = 'hand'\n", "write a table [terms]"),
        ("[terms", "cannot be read"),
        ("[terms]\nx = ['hand']\n", "the region is one of"),
    ],
)
def test_an_error_names_the_wrong_line_of_site_terms(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "site.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message.replace("[", r"\[")):
        load_site_terms(path)


def test_a_site_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_site_terms(tmp_path / "none.toml")


@given(st.text(max_size=300))
def test_no_text_slows_or_breaks_the_search(text: str) -> None:
    start = time.perf_counter()
    assert region_of_text(text) in {*Region, None}
    assert find_laterality((text, "", ""), (text,), (text,)) in Laterality
    assert time.perf_counter() - start < 0.5


def test_the_policy_scores_the_seven_regions_of_mura() -> None:
    assert IntakePolicy().regions == MURA
