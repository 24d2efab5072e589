"""Decoder checks: each codec decodes a small picture, and is listed with its transfer syntaxes."""

from __future__ import annotations

from collections.abc import Iterator

from mura_batch.dicom.pixels.codec_self_test import decodes_what_it_encodes
from mura_batch.dicom.syntax import CODECS, NATIVE
from mura_batch.runtime.backend import Check

FIX = "Install it again: pip install --force-reinstall imagecodecs"


def decoders() -> Iterator[Check]:
    """One line for pixel data that needs no decoder, one for each codec."""
    yield Check("decoder native", "ok", ", ".join(sorted(NATIVE)))
    for codec in dict.fromkeys(CODECS.values()):
        syntaxes = ", ".join(syntax for syntax, its in CODECS.items() if its == codec)
        try:
            works = decodes_what_it_encodes(codec)
        except Exception as error:  # noqa: BLE001  # codecs' exceptions share no base class; the line reports it
            yield Check(f"decoder {codec}", "fail", f"{syntaxes}: {error}", FIX)
            continue
        detail = syntaxes if works else f"{syntaxes}: decoded to other pixels than were encoded"
        yield Check(f"decoder {codec}", "ok" if works else "fail", detail, "" if works else FIX)
