"""Texts made comparable: case, accents, spaces."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_SEPARATORS = re.compile(r"[^\w]+|_|(?<=[^\W\d])(?=\d)|(?<=\d)(?=[^\W\d])")


def plain(value: str) -> str:
    """Upper case without accents."""
    if not value.isascii():
        apart = unicodedata.normalize("NFKD", value)
        value = "".join(c for c in apart if c in _VOICED or not unicodedata.combining(c))
        value = unicodedata.normalize("NFC", value)
    return value.upper()


_VOICED = "\u3099\u309a"  # marks of kana that make another letter: ゆび is a finger


@lru_cache(maxsize=4096)  # an export repeats its descriptions
def normal(value: str) -> str:
    """Upper case without accents, one space between words; punctuation and digits separate words."""
    return " ".join(_SEPARATORS.sub(" ", plain(value)).split())


def is_spaced(term: str) -> bool:
    """Whether the term's script puts spaces between words (Latin, Cyrillic)."""
    return all(ord(c) < 0x2E80 for c in term)  # the first block of East Asian scripts


def has_words(text: str, term: str) -> bool:
    """Whole words of normal text, except in scripts that write no spaces (Chinese, Japanese)."""
    return bool(term) and (f" {term} " in f" {text} " or (not is_spaced(term) and term in text))
