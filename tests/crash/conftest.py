"""The library that kills processes and plays file systems."""

from __future__ import annotations

from faults_library import preloaded

__all__ = ["preloaded"]
