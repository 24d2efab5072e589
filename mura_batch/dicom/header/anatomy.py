"""The region out of a header: first what is coded, then tags, then descriptions. Sources that disagree are flagged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from mura_batch.dicom.header.terms import BODY_PART, CODES, SNOMED, guards, in_context, words
from mura_batch.dicom.header.text import has_words, is_spaced, normal
from mura_batch.records import Region, RegionFinding

_CONFIDENCE = {
    "site": "high", "code": "high", "body_part": "high", "procedure": "medium", "protocol": "medium",
    "study_description": "medium", "series_description": "medium",
}  # fmt: skip

Named = tuple[str, Region, str]  # source, region, value


@dataclass(frozen=True, slots=True)
class AnatomyTags:
    """What a header says of the region. codes: (value, scheme, meaning) of Anatomic Region Sequence (0008,2218) and
    Primary Anatomic Structure Sequence (0008,2228). body_part: Body Part Examined (0018,0015). texts: (source, value)
    of the procedure, protocol, study and series descriptions, in the order in which they are believed."""

    codes: tuple[tuple[str, str, str], ...]
    body_part: str
    texts: tuple[tuple[str, str], ...]


def find_region(tags: AnatomyTags, site_terms: Sequence[tuple[str, Region]] = ()) -> RegionFinding:
    """The first source that names a region; another source that names another one is recorded in `disagreement`.

    Where none does, the region is UNKNOWN: with the source and value that were ambiguous ('EXTREMITY'), or with source
    'none' and the body part that was not understood.
    """
    named_by = [*_site(tags, site_terms), *_by_standard_tags(tags)]
    named = [(source, region, value) for source, region, value in named_by if region is not Region.UNKNOWN]
    if named:
        source, region, value = named[0]
        others = sorted({f"{s}: {v} ({r})" for s, r, v in named[1:] if r is not region})
        confidence = "low" if others else _CONFIDENCE[source]
        return RegionFinding(region, source, value, confidence, "; ".join(others))
    if named_by:
        source, _, value = named_by[0]
        return RegionFinding(Region.UNKNOWN, source, value)
    return RegionFinding(Region.UNKNOWN, "none", tags.body_part)


def _site(tags: AnatomyTags, site_terms: Sequence[tuple[str, Region]]) -> Iterator[Named]:
    """A site's own terms come before everything: whole words of any description, in the order of the site's file."""
    if not site_terms:
        return
    values = [tags.body_part, *(meaning for _, _, meaning in tags.codes), *(value for _, value in tags.texts)]
    for term, region in site_terms:
        for value in values:
            if value and has_words(normal(value), normal(term)):
                yield "site", region, value


def _by_standard_tags(tags: AnatomyTags) -> Iterator[Named]:
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
    exact, endings = _vocabulary()
    text = normal(value)
    found: set[Region] = set()
    for match in _finder(is_spaced(text)).finditer(text):
        term = match.group()
        region = exact[term] if term in exact else next(r for start, r in endings if start.fullmatch(term))
        if region is not None and in_context(term, text):
            found.add(region)
    named = found - {Region.UNKNOWN}
    if len(named) == 1:
        return named.pop()
    return Region.UNKNOWN if found else None


@cache
def _vocabulary() -> tuple[dict[str, Region | None], list[tuple[re.Pattern[str], Region | None]]]:
    """Terms by their words, and terms with an open ending."""
    terms = {_term(word): region for region, listed in words().items() for word in listed}
    exact = {term: region for term, region in terms.items() if "*" not in term}
    return exact, [(re.compile(_pattern(term)), region) for term, region in terms.items() if "*" in term]


@cache
def _finder(is_spaced_text: bool) -> re.Pattern[str]:
    """Finds terms: the longest first, so that 'UPPER ARM' is not also 'ARM'. A single East Asian sign counts only where
    its neighbours allow it. Most archives hold no such text, and their pattern takes half the time to make."""
    terms = {_term(word) for listed in words().values() for word in listed}
    ordered = sorted(terms, key=lambda term: (-len(term), term))
    spaced = "|".join(_pattern(term) for term in ordered if is_spaced(term))
    found = rf"(?<!\w)(?:{spaced})(?!\w)"
    if is_spaced_text:
        return re.compile(found)
    unspaced = "|".join(_guarded(term) for term in ordered if not is_spaced(term))
    return re.compile(f"{found}|{unspaced}")


def _guarded(term: str) -> str:
    """A sign alone may be part of another word: that of hand in those for operation, manual and portable. So may the
    name of a finger, whose second sign also is that of pointing (術中指示, 表示指定), and a word in hiragana."""
    if len(term) > 1 and not term.endswith(_POINTING) and not re.fullmatch(f"[{_HIRAGANA}]+", term):
        return term
    before, after = guards()
    start = rf"(?:(?<![{_SIGNS}{_HIRAGANA}])|(?<=[{before}]))"
    return rf"{start}{term}(?:(?![{_SIGNS}{_HIRAGANA}])|(?=[{after}]))"


_SIGNS = r"\u4E00-\u9FFF"
_HIRAGANA = r"\u3041-\u3096"  # 手ぶれ is camera shake; the particles that end a noun stand in terms.toml
_POINTING = "指"


def _term(word: str) -> str:
    return " ".join(normal(part) + "*" * part.endswith("*") for part in word.split("_"))


def _pattern(term: str) -> str:
    return re.escape(term).replace(r"\*", r"\w*")
