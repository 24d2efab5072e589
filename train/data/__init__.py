"""Labelled radiographs: a folder -> Dataset of Examples (no pixels) -> a cache of model inputs."""

from __future__ import annotations
