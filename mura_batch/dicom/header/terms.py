"""The codes and words for regions; the words of descriptions stand in terms.toml; docs/intake.md tells the sources and
the decisions.

Decisions: clavicle, scapula and acromioclavicular joint count as shoulder (MURA's shoulder studies show them); thumb as
finger; radius and ulna as forearm; carpal bones as wrist; metacarpals as hand. In German, 'U ARM' is the Unterarm, the
forearm.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from mura_batch.records import Laterality, Region

_R = Region

# DICOM PS3.16 CID 4031 Common Anatomic Regions and parts of its concepts: SNOMED CT, and the SRT values of before.
CODES: dict[str, Region] = {
    "7569003": _R.FINGER, "T-D8800": _R.FINGER, "76505004": _R.FINGER, "T-D8810": _R.FINGER,
    "125682004": _R.FINGER, "T-15516": _R.FINGER,
    "85562004": _R.HAND, "T-D8700": _R.HAND, "36455000": _R.HAND, "T-12540": _R.HAND, "24097009": _R.HAND,
    "T-12600": _R.HAND,
    "74670003": _R.WRIST, "T-15460": _R.WRIST, "8205005": _R.WRIST, "T-D8600": _R.WRIST, "30518006": _R.WRIST,
    "T-12450": _R.WRIST,
    "14975008": _R.FOREARM, "T-D8500": _R.FOREARM, "55797009": _R.FOREARM, "T-12402": _R.FOREARM,
    "62413002": _R.FOREARM, "T-12420": _R.FOREARM, "23416004": _R.FOREARM, "T-12430": _R.FOREARM,
    "110535000": _R.FOREARM, "T-12403": _R.FOREARM,
    "16953009": _R.ELBOW, "T-15430": _R.ELBOW, "76248009": _R.ELBOW, "T-D8300": _R.ELBOW,
    "85050009": _R.HUMERUS, "T-12410": _R.HUMERUS, "40983000": _R.HUMERUS, "T-D8200": _R.HUMERUS,
    "16982005": _R.SHOULDER, "T-D2220": _R.SHOULDER, "26444007": _R.SHOULDER, "T-12200": _R.SHOULDER,
    "51299004": _R.SHOULDER, "T-12310": _R.SHOULDER, "79601000": _R.SHOULDER, "T-12280": _R.SHOULDER,
    "85856004": _R.SHOULDER, "T-15420": _R.SHOULDER, "85537004": _R.SHOULDER, "31934006": _R.SHOULDER,
    "T-12281": _R.SHOULDER,
    "66019005": _R.UNKNOWN, "T-D0300": _R.UNKNOWN, "53120007": _R.UNKNOWN, "T-D8000": _R.UNKNOWN,
    "371195002": _R.UNKNOWN, "T-D0821": _R.UNKNOWN, "38266002": _R.UNKNOWN, "T-D0010": _R.UNKNOWN,
}  # fmt: skip
SNOMED = frozenset(
    {"SCT", "SRT", "SNM3", "99SDM", "SNM"}
)  # designators under which these values are believed (PS3.16 8)

# Body Part Examined (0018,0015): PS3.16 Annex L, and what devices write instead.
BODY_PART: dict[str, Region] = {
    "FINGER": _R.FINGER, "THUMB": _R.FINGER, "HAND": _R.HAND, "METACARPUS": _R.HAND, "WRIST": _R.WRIST,
    "CARPUS": _R.WRIST, "FOREARM": _R.FOREARM, "RADIUS": _R.FOREARM, "ULNA": _R.FOREARM, "RADIUSULNA": _R.FOREARM,
    "LOWER ARM": _R.FOREARM, "LOWERARM": _R.FOREARM, "ELBOW": _R.ELBOW, "HUMERUS": _R.HUMERUS, "ARM": _R.HUMERUS,
    "UPPERARM": _R.HUMERUS, "UPPER ARM": _R.HUMERUS, "SHOULDER": _R.SHOULDER, "CLAVICLE": _R.SHOULDER,
    "SCAPULA": _R.SHOULDER, "ACJOINT": _R.SHOULDER,
    "UP EXM": _R.UNKNOWN, "UPEXM": _R.UNKNOWN, "EXTREMITY": _R.UNKNOWN, "EXTREMETY": _R.UNKNOWN, "LIMB": _R.UNKNOWN,
    "UPPER EXTREMITY": _R.UNKNOWN, "UPPER LIMB": _R.UNKNOWN, "UPPERLIMB": _R.UNKNOWN, "WHOLEBODY": _R.UNKNOWN,
    "LOW EXM": _R.OTHER, "LOWEXM": _R.OTHER,
}  # fmt: skip
# The other defined terms of Annex L that a radiograph may carry.
BODY_PART |= dict.fromkeys(
    [
        "ABDOMEN", "ABDOMENPELVIS", "ANKLE", "ANKLEJOINT", "AORTA", "BACK", "BLADDER", "BRAIN", "BREAST", "CALCANEUS",
        "CALF", "CERVIX", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "COCCYX", "COLON", "CSPINE", "CTSPINE",
        "DUODENUM", "EAR", "ESOPHAGUS", "EYE", "FACE", "FEMUR", "FIBULA", "FOOT", "GALLBLADDER", "HEAD", "HEADNECK",
        "HEART", "HIP", "IAC", "ILIUM", "INTESTINE", "JAW", "KIDNEY", "KNEE", "LARYNX", "LEG", "LIVER", "LOWERLEG",
        "LSPINE", "LSSPINE", "LUNG", "MANDIBLE", "MASTOID", "MAXILLA", "MEDIASTINUM", "NASALBONE", "NECK",
        "NECKCHEST", "NOSE", "OPTICCANAL", "ORBIT", "PANCREAS", "PATELLA", "PELVIS", "PROSTATE", "RECTUM", "RIB",
        "SACRUM", "SCJOINT", "SELLA", "SIJOINT", "SINUS", "SKULL", "SPINE", "SPLEEN", "SSPINE", "STERNUM", "STOMACH",
        "TARSUS", "TEETH", "THIGH", "THORAX", "TIBIA", "TIBIAFIBULA", "TLSPINE", "TMJ", "TOE", "TRACHEA", "TSPINE",
        "URETER", "URETHRA", "UTERUS", "ZYGOMA",
    ],
    _R.OTHER,
)  # fmt: skip


@cache
def words() -> dict[Region | None, tuple[str, ...]]:
    """Words of descriptions by region, from terms.toml; None for phrases that say nothing."""
    regions: dict[str, Region | None] = {region.value: region for region in Region} | {"nothing": None}
    return {region: _all(name) for name, region in regions.items()}


def in_context(term: str, text: str) -> bool:
    """Whether a word that is also English means its own language's: beside words of that language, or beside none but
    those of every language. text: normal."""
    shared = _tables()["also_english"]
    if term not in shared["words"].split():
        return True
    others = set(text.split()) - {term}
    native, neutral = set(shared["native"].split()), set(shared["neutral"].split())
    return bool(others & native) or all(word in neutral or word.isdigit() for word in others)


@cache
def guards() -> tuple[str, str]:
    """The signs that may stand before and after a region's single sign."""
    signs = _tables()["signs"]
    return signs["before"], signs["after"]


@cache
def two_of() -> str:
    """The signs that may stand after a sign for two where it means two sides."""
    return _tables()["signs"]["two_of"]


@cache
def side_words() -> dict[Laterality, tuple[str, ...]]:
    """Words of descriptions by side."""
    names = {"side_left": Laterality.LEFT, "side_right": Laterality.RIGHT, "side_both": Laterality.BOTH}
    return {side: _all(name) for name, side in names.items()}


@cache
def side_context(name: str) -> frozenset[str]:
    """The words by which the meaning of a side's short word is judged: see [side_context] in terms.toml."""
    return frozenset(_tables()["side_context"][name].split())


def _all(name: str) -> tuple[str, ...]:
    return tuple(word for language in _tables()[name].values() for word in language.split())


@cache
def _tables() -> dict[str, dict[str, str]]:
    return tomllib.loads(files("mura_batch.dicom.header").joinpath("terms.toml").read_text(encoding="utf-8"))
