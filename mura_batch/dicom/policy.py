"""What is scored and how it is read: the decisions that a site may take, in one record."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from mura_batch.errors import InputError
from mura_batch.records import MURA_REGIONS, Region
from mura_batch.regular_files import read_regular


@dataclass(frozen=True, slots=True)
class IntakePolicy:
    """voi: 'auto' (window, else LUT, else percentiles), 'window', 'lut' or 'percentiles'. site_terms: (term, region),
    matched as whole words before anything else."""

    regions: tuple[Region, ...] = MURA_REGIONS
    score_unknown_region: bool = False
    voi: str = "auto"
    voi_check: bool = False  # score each picture by its window, its VOI LUT and its percentiles, too
    settle_seconds: float = 60.0
    max_pixels: int = 64_000_000  # the largest flat panels give 4300 x 4300 = 18.5 million
    max_file_bytes: int = 1 << 30
    decode_timeout: float = 60.0  # seconds a file; the slowest honest one (JPEG 2000, 18 Mpx) takes about 3
    worker_memory: int = 3 << 30  # bytes of address space
    site_terms: tuple[tuple[str, Region], ...] = ()


def load_site_terms(path: Path) -> tuple[tuple[str, Region], ...]:
    """TOML: a table `[terms]` with `"term" = "region"`. Raises InputError that names the wrong line."""
    try:
        terms = tomllib.loads(read_regular(path).decode("utf-8")).get("terms")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"--anatomy {path} cannot be read: {error}") from error
    if not isinstance(terms, dict):
        raise InputError(f'--anatomy {path}: write a table [terms] with lines like "HAND 2 EBENEN" = "hand"')
    known = {region.value for region in Region}
    for term, region in terms.items():
        if not isinstance(region, str) or region not in known:
            raise InputError(
                f"--anatomy {path}: {term!r} = {region!r}: the region is one of {', '.join(sorted(known))}"
            )
    return tuple((term, Region(region)) for term, region in terms.items())
