"""Keys: what studies, patients and files are called where their own names must not stand.

A key is an HMAC-SHA-256 (RFC 2104) of the name under the secret of OUT, cut to 16 hexadecimal digits: the same name has
the same key in every run of OUT, and nobody without the secret can find a name by trying all there are. The kind of
name is hashed with it: equal texts of two kinds have different keys.
"""

from __future__ import annotations

import hmac
from enum import StrEnum

from mura_batch.errors import InputError

SECRET_BYTES = 32  # as long as the digest: more adds nothing (RFC 2104, section 3)
# 64 bits: among a million studies, two share a key with probability 3e-8.
_DIGITS = 16


class Identifiers(StrEnum):
    """How much of the source's identity the outputs of a run hold."""

    KEY = "key"  # keys only: no path, text or UID of the source
    ACCESSION = "accession"  # UIDs, accession numbers and paths; text of the header only where a person needs it
    FULL = "full"  # and every text that a decision was made by


def require_identifiers(identifiers: str, output: str) -> None:
    """output: what names studies to somebody outside. Raises InputError where a run has keys only."""
    if identifiers == Identifiers.KEY:
        raise InputError(
            f"{output} needs study identifiers and the run has keys only: score with --identifiers accession"
        )


class Pseudonyms:
    """Keys under one secret."""

    def __init__(self, secret: bytes) -> None:
        kinds = ("study", "series", "instance", "accession", "patient", "issuer", "file", "check")
        # Keyed once: a copy costs a third of a new HMAC.
        self._keyed = {kind: hmac.new(secret, kind.encode() + b"\0", "sha256") for kind in kinds}

    def of(self, kind: str, name: str) -> str:
        """'' where there is no name."""
        if not name:
            return ""
        digest = self._keyed[kind].copy()
        digest.update(name.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:_DIGITS]

    def study(self, uid: str) -> str:
        """Of a Study Instance UID."""
        return self.of("study", uid)

    def file(self, path: str) -> str:
        """Of a path below the studies folder, as the file system spells it."""
        return self.of("file", path)

    def patient(self, stored: str) -> str:
        """stored: Instance.patient_key, two parts where the issuer is named; so has the key."""
        patient, _, issuer = stored.partition("-")
        return "-".join(filter(None, (self.of("patient", patient), self.of("issuer", issuer))))

    @property
    def check(self) -> str:
        """Names the secret and tells nothing of it."""
        return self.of("check", "check")
