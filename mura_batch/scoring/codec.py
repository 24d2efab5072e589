"""Records <-> JSON text, as the ledger keeps them."""

from __future__ import annotations

import json
from dataclasses import asdict
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
    return json.dumps(asdict(record), separators=(",", ":"))


def load_instance(text: str) -> Instance:
    values = json.loads(text)
    region = values["region"]
    return Instance(
        **{
            **values,
            "source": SourceFile(**values["source"]),
            "region": RegionFinding(**{**region, "region": Region(region["region"])}),
            "laterality": Laterality(values["laterality"]),
            "flags": tuple(values["flags"]),
        }
    )


def load_skipped(text: str) -> Skipped:
    values = json.loads(text)
    return Skipped(
        **{
            **values,
            "source": SourceFile(**values["source"]),
            "stage": Stage(values["stage"]),
            "reason": Reason(values["reason"]),
            "region": Region(values["region"]),
        }
    )


def load_decisions(text: str) -> PixelDecisions:
    values: dict[str, Any] = json.loads(text)
    return PixelDecisions(**{**values, "flags": tuple(values["flags"])})
