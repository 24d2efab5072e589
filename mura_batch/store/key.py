"""What a score depends on besides the file's content."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """The model's hash and the settings' hash."""

    model: str
    settings: str

    @property
    def values(self) -> dict[str, str]:
        """As named parameters of a query."""
        return {"model": self.model, "settings": self.settings}
