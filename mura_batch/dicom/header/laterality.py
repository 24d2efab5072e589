"""The side out of a header: tags, then codes, then the words of the descriptions where they leave no doubt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise

from mura_batch.dicom.header.anatomy import region_of_text
from mura_batch.dicom.header.terms import side_context, side_words, two_of
from mura_batch.dicom.header.text import is_spaced, plain
from mura_batch.records import MURA_REGIONS, Laterality, Region

_CODES = {  # PS3.16 CID 244 Laterality, in SNOMED CT and SRT
    "7771000": Laterality.LEFT, "G-A101": Laterality.LEFT, "24028007": Laterality.RIGHT, "G-A100": Laterality.RIGHT,
    "51440002": Laterality.BOTH, "G-A102": Laterality.BOTH,
}  # fmt: skip
# An abbreviation with points (R.X., C.R.), a word, a number: none of the letters of the first is a word.
_TOKEN = re.compile(r"(?<![^\W\d_])(?:[^\W\d_]\.){2,}[^\W\d_]?(?![^\W\d_])|[^\W\d_]+|\d+")


def find_laterality(tags: Sequence[str], codes: Iterable[str], texts: Iterable[str]) -> Laterality:
    """tags: Image Laterality (0020,0062), Laterality (0020,0060), Frame Laterality (0020,9072), believed in this order,
    then the codes of Anatomic Region Modifier Sequence (0008,2220), then the words of the descriptions where they name
    one side only."""
    for value in tags:
        if value.upper() in {"L", "R", "B", "U"}:
            return Laterality(value.upper())
        if value and len(written := sides_of_text(value)) == 1:  # LEFT, or the device's language
            return next(iter(written))
    for code in codes:
        if code in _CODES:
            return _CODES[code]
    sides = {side for text in texts for side in sides_of_text(text)}
    if Laterality.BOTH in sides:
        return Laterality.BOTH
    return sides.pop() if len(sides) == 1 else Laterality.UNKNOWN


@dataclass(frozen=True, slots=True)
class _Token:
    """A word with what stands between it and its neighbours: punctuation and spaces."""

    word: str
    before: str
    after: str


@lru_cache(maxsize=4096)  # an export repeats its descriptions
def sides_of_text(value: str) -> frozenset[Laterality]:
    """The sides that a description names; BOTH where it joins left and right ('R+L', 'DX E SX')."""
    text = _without_phrases(plain(value).replace("_", " "))
    tokens = list(_tokens(text))
    found = [(n, side) for n, token in enumerate(tokens) if (side := _side(tokens, n)) is not None]
    sides = {side for _, side in found} | _unspaced_sides(text)
    if {Laterality.LEFT, Laterality.RIGHT} <= sides and (_joined(tokens, found) or re.search("左右|右左", text)):
        return frozenset({Laterality.BOTH})
    return frozenset(sides)


def _tokens(text: str) -> Iterator[_Token]:
    matches = list(_TOKEN.finditer(text))
    ends = [0, *(match.end() for match in matches)]
    starts = [*(match.start() for match in matches), len(text)]
    for n, match in enumerate(matches):
        yield _Token(match.group(), text[ends[n] : starts[n]], text[ends[n + 1] : starts[n + 1]])


def _side(tokens: list[_Token], n: int) -> Laterality | None:
    token = tokens[n]
    side = _spaced_sides().get(token.word)
    previous = tokens[n - 1].word if n else ""
    following = tokens[n + 1].word if n + 1 < len(tokens) else ""
    if side is Laterality.BOTH and token.word in side_context("count"):
        return side if _counts_sides(following) else None
    if side is None or token.word not in side_context("short"):
        return side
    if not (_stands_alone(token, previous, following) and _is_meant(token, previous, following)):
        return None
    return None if token.word == "L" and _is_lateral(tokens[: n + 1]) else side


def _stands_alone(token: _Token, previous: str, following: str) -> bool:
    """Whether a short word is no part of another abbreviation: 'R/O', 'RE-TAKE', 'L1', 'R. SMITH'."""
    if (following.isdigit() and not token.after) or (token.after[:1] == ":" and len(token.word) > 1):
        return False
    if token.after[:1] == "." and following and not _may_follow(following):
        return False
    for mark, neighbour in ((token.before[-1:], previous), (token.after[:1], following)):
        if mark == "/" and neighbour and neighbour not in _spaced_sides():
            return False
        if mark == "-" and neighbour and not _is_anatomy(neighbour) and neighbour not in _spaced_sides():
            return False
    return True


def _is_meant(token: _Token, previous: str, following: str) -> bool:
    """Whether the words beside a short word allow that it is a side."""
    if token.word in {"R", "L"}:
        if previous in side_context("titles"):  # 'DR R SMITH'; DR is a modality too
            return _may_follow(following)
        # 'R O' rule out, 'R X' radiograph, 'R A' rheumatoid arthritis
        return len(following) != 1 or _may_follow(following) or bool(token.after.strip())
    if token.word in {"DX", "SX"}:  # Italian; in English and Spanish a modality, a diagnosis, symptoms
        return previous in side_context("italian") or previous in {"DX", "SX", "E"}
    return token.after[:1] in {",", ";", ")", "."} or _may_follow(following)


def _may_follow(word: str) -> bool:
    """Whether a word, or the end of the text, may stand behind a side's short word."""
    is_view = word.replace(".", "") in side_context("views")
    return not word or word.isdigit() or is_view or _is_anatomy(word) or word in _spaced_sides()


def _is_lateral(tokens: list[_Token]) -> bool:
    """Whether the L at the end of the tokens is the last of several views: 'AP + L', 'AP, L', 'AP Y L'."""
    joined = tokens[-1].before.strip()
    before = [token.word for token in tokens[:-1]]
    if before and before[-1] in side_context("and"):
        before, joined = before[:-1], joined or "+"
    return bool(before) and before[-1].replace(".", "") in side_context("views") and joined in {"+", "&", ","}


def _counts_sides(following: str) -> bool:
    """Whether a word for two means two sides: 'both hands', and not both bones, views or fingers."""
    region = region_of_text(following)
    thumbs = following in side_context("thumbs")
    return (
        not following
        or thumbs
        or following in side_context("sides")
        or (region in MURA_REGIONS and region is not Region.FINGER)
    )


def _is_anatomy(word: str) -> bool:
    return region_of_text(word) in MURA_REGIONS


def _joined(tokens: list[_Token], found: list[tuple[int, Laterality]]) -> bool:
    """Whether a left and a right stand side by side, or with 'and' between them."""
    for (n, side), (m, other) in pairwise(found):
        between = {token.word for token in tokens[n + 1 : m]}
        marks = "".join(token.after for token in tokens[n:m])
        if side is not other and between <= side_context("and") and not marks.strip(" .+&/,-"):
            return True
    return False


def _unspaced_sides(text: str) -> set[Laterality]:
    """In scripts that write no spaces. A sign for two counts before the sign of a region or of a side alone: not in
    'both bones' and 'two views'."""
    found = {side for side, listed in side_words().items() for word in listed if not is_spaced(word) and word in text}
    return found if _two_sides().search(text) else found - {Laterality.BOTH}


@cache
def _two_sides() -> re.Pattern[str]:
    words = "|".join(word for word in side_words()[Laterality.BOTH] if not is_spaced(word))
    return re.compile(rf"(?:{words})(?=[{two_of()}]|\W|$)")


@cache
def _spaced_sides() -> dict[str, Laterality]:
    return {plain(word): side for side, listed in side_words().items() for word in listed if is_spaced(word)}


def _without_phrases(text: str) -> str:
    """Phrases that hold a side's word and name no side ('DEUX INCIDENCES') are taken out."""
    return _phrases().sub(" ", text)


@cache
def _phrases() -> re.Pattern[str]:
    phrases = [phrase.replace("_", " ") for phrase in side_context("nothing")]
    spaced = "|".join(re.escape(phrase).replace(r"\ ", r"\W+") for phrase in phrases if is_spaced(phrase))
    return re.compile(rf"(?<!\w)(?:{spaced})(?!\w)|{'|'.join(p for p in phrases if not is_spaced(p))}")
