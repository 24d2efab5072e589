"""Decoder checks: each codec decodes a small picture, and is listed with its transfer syntaxes."""

from __future__ import annotations

from collections.abc import Iterator

from mura_batch.dicom.pixels.codec_self_test import decodes_what_it_encodes
from mura_batch.dicom.syntax import CODECS, NATIVE
from mura_batch.doctor.checks import Check

MEND = "Install it again: pip install --force-reinstall imagecodecs"


def decoders() -> Iterator[Check]:
    """One line for pixel data that need no decoder, one for each codec."""
    yield Check("decoder native", "ok", ", ".join(sorted(NATIVE)))
    for codec in dict.fromkeys(CODECS.values()):
        syntaxes = ", ".join(syntax for syntax, its in CODECS.items() if its == codec)
        try:
            works = decodes_what_it_encodes(codec)
        except Exception as error:  # noqa: BLE001  # a codec's own exceptions share no base; the message is shown
            yield Check(f"decoder {codec}", "fail", f"{syntaxes}: {error}", MEND)
            continue
        status, words = ("ok", syntaxes) if works else ("fail", f"{syntaxes}: gave other pixels than it was given")
        yield Check(f"decoder {codec}", status, words, "" if works else MEND)
