"""The words of a model card, read from a TOML of train/cards: licence, attribution, use and limits."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mura_batch.errors import InputError
from mura_batch.records import MURA_REGIONS


@dataclass(frozen=True, slots=True)
class CardText:
    data_set: str
    licence: str
    attribution: str
    intended_use: str
    regions: tuple[str, ...]  # of MURA's seven, those that the data supports
    limits: tuple[str, ...]
    pictures: int | None = None  # of the whole data set, where the words state it: `export` holds the data to it


def read_card_text(path: Path) -> CardText:
    """Raises InputError that names what is missing, unknown or not one of MURA's regions."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    known = {f.name for f in fields(CardText)}
    needed = known - {"pictures"}
    if wrong := sorted((needed - values.keys()) | (values.keys() - known)):
        raise InputError(f"{path}: {', '.join(wrong)} missing or unknown; it needs {', '.join(sorted(needed))}")
    if foreign := [r for r in values["regions"] if r not in MURA_REGIONS]:
        raise InputError(f"{path}: {foreign[0]!r} is not one of {', '.join(MURA_REGIONS)}")
    return CardText(**{key: _plain(value) for key, value in values.items()})


def _plain(value: Any) -> Any:
    """Lists as tuples, words on one line."""
    if isinstance(value, str):
        return " ".join(value.split())
    return tuple(value) if isinstance(value, list) else value
