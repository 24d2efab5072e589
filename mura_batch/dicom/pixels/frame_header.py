"""What a compressed frame says of itself."""

from __future__ import annotations

from dataclasses import dataclass

MAX_BOXES = 64  # of a JP2 or JPEG XL file before its codestream; honest files have 3 to 6


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What a frame says of itself.

    codec: a value of syntax.CODECS, by the frame's own markers. bits: precision of a sample. levels: wavelet
    decompositions of a JPEG 2000 frame, how often it can be halved; 0 for other codecs. reversible: by the 5/3 wavelet,
    not the 9/7. start: where the codestream begins inside its file format.
    """

    codec: str
    rows: int
    columns: int
    components: int
    bits: int
    signed: bool = False
    levels: int = 0
    reversible: bool = False
    start: int = 0
