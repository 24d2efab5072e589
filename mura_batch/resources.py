"""Where `templates/` and `engines/` are: inside the installed package, or beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def templates_folder() -> Path:
    return _resource("templates")


def engines_folder() -> Path:
    return _resource("engines")


def _resource(name: str) -> Path:
    """The wheel carries the folder inside the package; an editable install and a bare checkout have it beside."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name
