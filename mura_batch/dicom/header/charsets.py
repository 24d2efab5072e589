"""Texts in the character sets of PS3.3 C.12.1.1.2, by pydicom's tables."""

from __future__ import annotations

import warnings

from pydicom.charset import convert_encodings, decode_bytes

_DELIMITERS = {0x09, 0x0A, 0x0C, 0x0D, 0x5C}  # PS3.5 6.1.2.5.3: code extensions end at control characters and backslash


def decode_text(raw: bytes, declared: tuple[str, ...]) -> tuple[str, bool]:
    """The text, and whether it is what was written: False where the character set is not known or does not fit."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # pydicom warns where it replaces a character set or a character
        try:
            text = decode_bytes(raw, convert_encodings(list(declared)), _DELIMITERS)
        except (LookupError, ValueError, AttributeError, TypeError):
            return raw.decode("ascii", "replace"), False
    return text, not caught
