"""Records <-> JSON text, as the ledger keeps them."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from mura_batch.records import (
    Instance,
    Laterality,
    PixelDecisions,
    Reason,
    Region,
    RegionFinding,
    Skipped,
    SourceFile,
    Stage,
)


def dump_record(record: Instance | Skipped | PixelDecisions) -> str:
    return _dumps(_fields(record))


def _fields(record: Any) -> dict[str, Any]:
    """As dataclasses.asdict, but shallow: json asks again for what lies inside, in a tenth of the time."""
    return {name: getattr(record, name) for name in record.__slots__}


_dumps = json.JSONEncoder(separators=(",", ":"), default=_fields).encode


# Without json.loads's look at types and at white space, which takes a third of the time.
_loads = json.JSONDecoder().raw_decode


def load_instance(text: str) -> Instance:
    values, _ = _loads(text)
    region = values["region"]
    region["region"] = _REGIONS[region["region"]]
    values["source"] = SourceFile(**values["source"])
    values["region"] = RegionFinding(**region)
    values["laterality"] = _SIDES[values["laterality"]]
    values["flags"] = tuple(values["flags"])
    return Instance(**values)


_REGIONS = {region.value: region for region in Region}  # a look-up is a fifth of calling the Enum
_SIDES = {side.value: side for side in Laterality}


def load_skipped(text: str) -> Skipped:
    values, _ = _loads(text)
    values["source"] = SourceFile(**values["source"])
    values["stage"] = Stage(values["stage"])
    values["reason"] = Reason(values["reason"])
    values["region"] = Region(values["region"])
    values["laterality"] = Laterality(values.get("laterality", ""))  # absent in rows of version 0.1
    return Skipped(**values)


@lru_cache(maxsize=1024)  # the radiographs of one device differ in little but their windows
def load_decisions(text: str) -> PixelDecisions:
    values, _ = _loads(text)
    return PixelDecisions(**{**values, "flags": tuple(values["flags"])})
