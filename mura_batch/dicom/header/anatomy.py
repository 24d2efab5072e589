"""Region and side out of a header: first what is coded, then tags, then descriptions. Disagreement is a flag, not a
guess."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from mura_batch.dicom.header.terms import BODY_PART, CODES, SNOMED, side_words, words
from mura_batch.records import Laterality, Region, RegionFinding

_CONFIDENCE = {
    "site": "high", "code": "high", "body_part": "high", "procedure": "medium", "protocol": "medium",
    "study_description": "medium", "series_description": "medium",
}  # fmt: skip
_SIDE_CODES = {  # PS3.16 CID 244 Laterality, in SNOMED CT and SRT
    "7771000": Laterality.LEFT, "G-A101": Laterality.LEFT, "24028007": Laterality.RIGHT, "G-A100": Laterality.RIGHT,
    "51440002": Laterality.BOTH, "G-A102": Laterality.BOTH,
}  # fmt: skip

Told = tuple[str, Region, str]  # source, region, value


@dataclass(frozen=True, slots=True)
class AnatomyTags:
    """What a header says of the region. codes: (value, scheme, meaning) of Anatomic Region Sequence (0008,2218) and
    Primary Anatomic Structure Sequence (0008,2228). body_part: Body Part Examined (0018,0015). texts: (source, value)
    of the procedure, protocol, study and series descriptions, in the order in which they are believed."""

    codes: tuple[tuple[str, str, str], ...]
    body_part: str
    texts: tuple[tuple[str, str], ...]


def find_region(tags: AnatomyTags, site_terms: Sequence[tuple[str, Region]] = ()) -> RegionFinding:
    """The first source that names a region; another source that names another one is told in `disagreement`.

    Where none does, the region is UNKNOWN: with the source and value that were ambiguous ('EXTREMITY'), or with source
    'none' and the body part that was not understood.
    """
    told = [*_site(tags, site_terms), *_told(tags)]
    named = [(source, region, value) for source, region, value in told if region is not Region.UNKNOWN]
    if named:
        source, region, value = named[0]
        others = sorted({f"{s}: {v} ({r})" for s, r, v in named[1:] if r is not region})
        confidence = "low" if others else _CONFIDENCE[source]
        return RegionFinding(region, source, value, confidence, "; ".join(others))
    if told:
        source, _, value = told[0]
        return RegionFinding(Region.UNKNOWN, source, value)
    return RegionFinding(Region.UNKNOWN, "none", tags.body_part)


def _site(tags: AnatomyTags, site_terms: Sequence[tuple[str, Region]]) -> Iterator[Told]:
    """A site's own terms come before everything: whole words of any description, in the order of the site's file."""
    if not site_terms:
        return
    values = [tags.body_part, *(meaning for _, _, meaning in tags.codes), *(value for _, value in tags.texts)]
    for term, region in site_terms:
        for value in values:
            if value and _has_words(normal(value), normal(term)):
                yield "site", region, value


def _told(tags: AnatomyTags) -> Iterator[Told]:
    """What each source says; UNKNOWN where its words are ambiguous, nothing where they are not understood."""
    for value, scheme, meaning in tags.codes:
        if (found := _region_of_code(value, scheme, meaning)) is not None:
            yield "code", found, f"{value} {meaning}".strip()
    if tags.body_part and (found := region_of_body_part(tags.body_part)) is not None:
        yield "body_part", found, tags.body_part
    for source, value in tags.texts:
        if (found := region_of_text(value)) is not None:
            yield source, found, value


def _region_of_code(value: str, scheme: str, meaning: str) -> Region | None:
    """A SNOMED structure that is none of ours, by value or by meaning, is another part of the body."""
    believed = scheme in SNOMED or not scheme
    if believed and value in CODES:
        return CODES[value]
    return region_of_text(meaning) or (Region.OTHER if scheme in SNOMED else None)


@lru_cache(maxsize=4096)
def region_of_body_part(value: str) -> Region | None:
    """A defined term, else the words of a description; None where it is not understood."""
    return BODY_PART.get(normal(value)) or region_of_text(value)


@lru_cache(maxsize=4096)  # an export repeats its descriptions
def region_of_text(value: str) -> Region | None:
    """The one region a free text names; UNKNOWN where it names several of ours, or one of ours and another part of the
    body, or an ambiguous one; OTHER where it names other parts only; None where it names none."""
    exact, endings, pattern = _vocabulary()
    found: set[Region] = set()
    for match in pattern.finditer(normal(value)):
        term = match.group()
        region = exact[term] if term in exact else next(r for start, r in endings if start.fullmatch(term))
        if region is not None:
            found.add(region)
    named = found - {Region.UNKNOWN}
    if len(named) == 1:
        return named.pop()
    return Region.UNKNOWN if found else None


@cache
def _vocabulary() -> tuple[dict[str, Region | None], list[tuple[re.Pattern[str], Region | None]], re.Pattern[str]]:
    """Terms by their words, terms with an open ending, and one pattern that finds them: the longest first, so that
    'UPPER ARM' is not also 'ARM'."""
    terms = {_term(word): region for region, listed in words().items() for word in listed}
    exact = {term: region for term, region in terms.items() if "*" not in term}
    endings = [(re.compile(_pattern(term)), region) for term, region in terms.items() if "*" in term]
    ordered = sorted(terms, key=lambda term: (-len(term), term))
    spaced = "|".join(_pattern(term) for term in ordered if _spaced(term))
    unspaced = "|".join(term for term in ordered if not _spaced(term))
    return exact, endings, re.compile(rf"(?<!\w)(?:{spaced})(?!\w)|{unspaced}")


def _term(word: str) -> str:
    return " ".join(normal(part) + "*" * part.endswith("*") for part in word.split("_"))


def _pattern(term: str) -> str:
    return re.escape(term).replace(r"\*", r"\w*")


def find_laterality(tags: Sequence[str], codes: Iterable[str], texts: Iterable[str]) -> Laterality:
    """tags: Image Laterality (0020,0062), Laterality (0020,0060), Frame Laterality (0020,9072), believed in this order,
    then the codes of Anatomic Region Modifier Sequence (0008,2220), then the words of the descriptions where they name
    one side only."""
    for value in tags:
        if value.upper() in {"L", "R", "B", "U"}:
            return Laterality(value.upper())
    for code in codes:
        if code in _SIDE_CODES:
            return _SIDE_CODES[code]
    sides = {side for text in texts for side in _sides(text)}
    if Laterality.BOTH in sides:
        return Laterality.BOTH
    return sides.pop() if len(sides) == 1 else Laterality.UNKNOWN


@lru_cache(maxsize=4096)
def _sides(value: str) -> frozenset[Laterality]:
    text = normal(value)
    return frozenset(side for side, listed in side_words().items() if any(_has_words(text, normal(w)) for w in listed))


_SEPARATORS = re.compile(r"[^\w]+|_|(?<=[^\W\d])(?=\d)|(?<=\d)(?=[^\W\d])")


@lru_cache(maxsize=4096)
def normal(value: str) -> str:
    """Upper case without accents, one space between words; punctuation and digits separate words."""
    if not value.isascii():
        value = "".join(c for c in unicodedata.normalize("NFKD", value) if not unicodedata.combining(c))
    return " ".join(_SEPARATORS.sub(" ", value.upper()).split())


def _has_words(text: str, term: str) -> bool:
    """Whole words, except in scripts that write no spaces (Chinese, Japanese)."""
    return bool(term) and (f" {term} " in f" {text} " or (not _spaced(term) and term in text))


def _spaced(term: str) -> bool:
    """Whether the term's script puts spaces between words (Latin, Cyrillic)."""
    return all(ord(c) < 0x2E80 for c in term)  # the first block of East Asian scripts
