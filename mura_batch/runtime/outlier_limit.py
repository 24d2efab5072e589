"""The limit of distance in `features.npz`, read without numpy: a night without news loads no arrays."""

from __future__ import annotations

import struct
import zipfile

from mura_batch.errors import ModelError
from mura_batch.model_card import FEATURES_NAME, Model


def outlier_limit(model: Model) -> float | None:
    """None where the model folder has no statistics. Raises ModelError where they cannot be read."""
    if not model.has_feature_statistics:
        return None
    path = model.folder / FEATURES_NAME
    try:
        with zipfile.ZipFile(path) as archive:
            stored = archive.read("limit.npy")  # a header, then one float64
        (limit,) = struct.unpack("<d", stored[-8:])
        return float(limit)
    except (OSError, KeyError, struct.error, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} cannot be read ({error}): make it again with python -m train features") from error
