"""TensorRT's timing cache: measured kernel times that make the next build quicker. TensorRT-RTX has none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mura_batch.errors import PlanError
from mura_batch.runtime.nvidia.library import Library
from mura_batch.runtime.nvidia.log import logger_of
from mura_batch.runtime.nvidia.plans import PlanOptions

if TYPE_CHECKING:
    import tensorrt as trt


class Timings:
    """Used on the GPU thread, from `attach` to `close`. measured: what the file should hold from now on."""

    def __init__(self, library: Library, path: Path, options: PlanOptions) -> None:
        self.path = path
        self.measured = b""
        self._library = library
        self._options = options
        self._cache: trt.ITimingCache | None = None

    def attach(self, config: trt.IBuilderConfig) -> None:
        """The cache of earlier builds, or a new one where there is none or it is another GPU's or TensorRT's. Raises
        PlanError."""
        if self._options.version_compatible:
            config.set_flag(self._library.BuilderFlag.VERSION_COMPATIBLE)
        known = self.path.read_bytes() if self.path.is_file() else b""
        cache = config.create_timing_cache(known)
        if not config.set_timing_cache(cache, ignore_mismatch=False):
            cache = config.create_timing_cache(b"")
            if not config.set_timing_cache(cache, ignore_mismatch=False):
                raise PlanError(f"no timing cache is taken: {logger_of(self._library).take()}")
        self._cache = cache

    def read(self) -> None:
        content = self._cache.serialize() if self._cache is not None else None
        self.measured = bytes(memoryview(content)) if content is not None else b""

    def close(self) -> None:
        self._cache = None
