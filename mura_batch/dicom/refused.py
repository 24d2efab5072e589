"""The exception that never leaves this package: it becomes a `Skipped` record."""

from __future__ import annotations

from mura_batch.records import Laterality, Reason, Region


class Refused(Exception):  # noqa: N818 - it is no error: most of what an export holds is refused
    """Why a file, its header or its pixels cannot be used. region, laterality: of the radiograph, where it was judged
    so far."""

    def __init__(self, reason: Reason, detail: str, region: Region = Region.UNKNOWN) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.region = region
        self.laterality = Laterality.UNKNOWN


class OutOfBounds(Refused):
    """A header that breaks one of the bounds that keep a hostile file from costing time or memory: no other reader is
    asked."""


def out_of_bounds(detail: str) -> OutOfBounds:
    return OutOfBounds(Reason.DAMAGED_HEADER, detail)


def damaged(detail: str) -> Refused:
    return Refused(Reason.DAMAGED_HEADER, detail)


def truncated(where: str) -> Refused:
    return Refused(Reason.TRUNCATED, f"the file ends inside {where}")


def unsupported(syntax: str) -> Refused:
    return Refused(Reason.UNSUPPORTED_SYNTAX, f"Transfer Syntax (0002,0010) {syntax[:64]} is not read")
