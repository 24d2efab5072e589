"""Model inputs by their hashes: a change of pixels that forgets to raise PIXELS_VERSION would leave old scores beside
new ones, and is caught here.

When this fails because pixels changed on purpose: raise PIXELS_VERSION, and add the hashes that the message shows to
golden.json under the new number. Hashes of older versions stay.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.pixels.decode import decode
from mura_batch.dicom.pixels.pixels_version import PIXELS_VERSION
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.preprocess import InputSpec, preprocess

Write = Callable[..., Path]
GOLDEN: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("golden.json").read_text())
SIZE = 64
WINDOW = {"WindowCenter": 2000, "WindowWidth": 3000}


def picture(rows: int = 200, columns: int = 160) -> NDArray[np.uint16]:
    """12 bits: slopes, an edge and noise, by integers alone: the same on every machine."""
    y, x = np.mgrid[0:rows, 0:columns].astype(np.int64)
    noise = (y * 7919 + x * 104_729 + y * x * 31) % 61
    shaft = np.where(abs(2 * x - columns - y // 4) < columns // 3, 1800, 0)
    return np.clip(400 + y * 900 // rows + shaft + noise, 0, 4095).astype(np.uint16)


def lut() -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 12])
    item.add_new("LUTData", "US", [int(n * n / 4095) for n in range(4096)])
    return Sequence([item])


def cases() -> dict[str, dict[str, Any]]:
    """Arguments of `write`: each codec, each VOI rule, each reduction, and what stored bits may be."""
    twelve = picture()
    eight = (twelve >> 4).astype(np.uint8)
    large = picture(800, 640)
    found: dict[str, dict[str, Any]] = {
        syntax: {"syntax": syntax, "stored": eight if syntax == syntaxes.JPEG_BASELINE else twelve}
        for syntax in sorted(syntaxes.KNOWN - UNWRITTEN)
    }
    found |= {
        "window": WINDOW,
        "window exact": {**WINDOW, "VOILUTFunction": "LINEAR_EXACT"},
        "window sigmoid": {**WINDOW, "VOILUTFunction": "SIGMOID"},
        "window of 16 bits": {"WindowCenter": 32768, "WindowWidth": 65536},
        "window that shows nothing": {"WindowCenter": 100, "WindowWidth": 50},
        "lut": {"VOILUTSequence": lut()},
        "percentiles": {"stored": (twelve >> 2) + 700},
        "8 bits": {"stored": eight >> 2},
        "inverted": {"PhotometricInterpretation": "MONOCHROME1", **WINDOW},
        "rescaled": {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 3000, "WindowWidth": 6000},
        "signed": {"stored": twelve.astype(np.int16) - 2048, "WindowCenter": 0, "WindowWidth": 4000},
        "padded": {"stored": np.where(np.arange(160) < 30, 4095, twelve).astype(np.uint16), "PixelPaddingValue": 4095},
        "shifted": {"stored": twelve << 4, "HighBit": 15, **WINDOW},
        "more bits than stored": {"BitsStored": 10, "HighBit": 9, **WINDOW},
        "flat pixels": {"PixelAspectRatio": ["3", "2"], **WINDOW},
        "half": {"stored": large, **WINDOW},
        "jpeg 2000 at a quarter": {"stored": large, "syntax": syntaxes.JPEG_2000_LOSSLESS, **WINDOW},
        "jpeg at a quarter": {"stored": (large >> 4).astype(np.uint8), "syntax": syntaxes.JPEG_BASELINE},
    }
    return found


UNWRITTEN = frozenset({  # the fixture has no encoder for these; another one of the same codec stands for them
    syntaxes.JPEG_EXTENDED, syntaxes.JPEG_LOSSLESS, syntaxes.JPEG_LS_NEAR, syntaxes.JPEG_2000, syntaxes.HTJ2K,
    syntaxes.HTJ2K_LOSSLESS_RPCL, syntaxes.JPEG_XL, syntaxes.JPEG_XL_RECOMPRESSION,
})  # fmt: skip


def hashes(write: Write) -> dict[str, str]:
    found = {}
    for name, given in cases().items():
        path = write(name, **({"stored": picture()} | given))
        display, aspect, _ = decode(path.read_bytes(), IntakePolicy(), SIZE)
        model_input = preprocess(display, InputSpec(size=SIZE), aspect)
        found[name] = hashlib.sha256(model_input.tobytes()).hexdigest()[:16]
    return found


def test_model_inputs_change_with_their_version_only(write: Write) -> None:
    found = hashes(write)
    expected = GOLDEN.get(str(PIXELS_VERSION), {})
    changed = {name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)}
    if changed:
        pytest.fail(f"model inputs of {sorted(changed)} are not those of version {PIXELS_VERSION}: {json.dumps(found)}")


def test_each_version_has_hashes_of_its_own() -> None:
    assert str(PIXELS_VERSION) == max(GOLDEN, key=int)
    assert len({json.dumps(hashes, sort_keys=True) for hashes in GOLDEN.values()}) == len(GOLDEN)


def test_the_cases_distinguish_pictures() -> None:
    """Lossless syntaxes show one picture; every other case has a hash of its own."""
    golden = GOLDEN[str(PIXELS_VERSION)]
    ways = [value for name, value in golden.items() if name not in syntaxes.KNOWN]
    assert len(set(ways)) >= len(ways) - 2  # shifted, and more bits than stored, are the window's picture
