"""Transfer syntaxes that are read (PS3.5 section 10 and annex A), by what decodes them."""

from __future__ import annotations

IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
EXPLICIT_BE = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = frozenset({IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, DEFLATED})

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL = "1.2.840.10008.1.2.4.202"
HTJ2K = "1.2.840.10008.1.2.4.203"
JPEG_XL_LOSSLESS = "1.2.840.10008.1.2.4.110"
JPEG_XL_RECOMPRESSION = "1.2.840.10008.1.2.4.111"  # a JPEG baseline frame, repacked without loss
JPEG_XL = "1.2.840.10008.1.2.4.112"
RLE = "1.2.840.10008.1.2.5"
ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
DEFLATED_FRAME = "1.2.840.10008.1.2.8.1"

# Transfer syntax -> codec. JPEG frames may have any process (baseline, extended): one decoder reads them all.
CODECS: dict[str, str] = {
    JPEG_BASELINE: "jpeg", JPEG_EXTENDED: "jpeg", JPEG_LOSSLESS: "jpeg lossless", JPEG_LOSSLESS_SV1: "jpeg lossless",
    JPEG_LS_LOSSLESS: "jpeg-ls", JPEG_LS_NEAR: "jpeg-ls", JPEG_2000_LOSSLESS: "jpeg 2000", JPEG_2000: "jpeg 2000",
    HTJ2K_LOSSLESS: "htj2k", HTJ2K_LOSSLESS_RPCL: "htj2k", HTJ2K: "htj2k", JPEG_XL_LOSSLESS: "jpeg xl",
    JPEG_XL_RECOMPRESSION: "jpeg xl", JPEG_XL: "jpeg xl", RLE: "rle", DEFLATED_FRAME: "deflate",
    ENCAPSULATED_UNCOMPRESSED: "uncompressed",
}  # fmt: skip
ENCAPSULATED = frozenset(CODECS)
KNOWN = NATIVE | ENCAPSULATED
