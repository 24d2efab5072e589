"""`python -m bench`: all benchmarks, a table on standard output and everything in a JSON file."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.result import Figure, table
from mura_batch.version import __version__

ROOT = Path(__file__).resolve().parents[1]
KNOWN = 20_000  # files; a million take ten minutes: python -m bench.known_archive
SECTIONS = ("limits", "decode", "inference", "whole", "fidelity", "startup", "many", "archive", "late", "report")


def main() -> None:
    chosen = _arguments()
    started, values = time.monotonic(), _about()
    figures: list[Figure] = []
    chosen.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=chosen.work) as folder:
        for name, part in _parts(chosen, Path(folder)):
            sys.stderr.write(f"{time.monotonic() - started:5.0f} s  {name}\n")
            found, more = part
            figures += found
            values |= more
    values |= {"seconds": round(time.monotonic() - started), "figures": [asdict(f) | {"met": f.met} for f in figures]}
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(values, indent=1) + "\n")
    sys.stdout.write(f"{values['machine']}, {values['at']}, {values['seconds']} s\n{table(figures)}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), help="JSON (build/bench.json)")
    parser.add_argument("--work", type=Path, default=Path("build"), help="folder for some 2 GB while it runs (build)")
    parser.add_argument(
        "--model", type=Path, default=ROOT / "engines" / "reference", help="model folder (the reference)"
    )
    parser.add_argument("--pictures", type=Path, default=None, help="folder of FracAtlas: without it no fidelity")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="sections (all)")
    parser.add_argument("--count", type=int, default=40, help="full-size pictures of each syntax, end to end (40)")
    parser.add_argument("--files", type=int, default=20_000, help="small files of the section `many` (20,000)")
    return parser.parse_args()


def _about() -> dict[str, Any]:
    processor = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    import os

    cores = len(os.sched_getaffinity(0))
    return {
        "version": __version__,
        "at": datetime.now(UTC).date().isoformat(),
        "machine": f"{cores} cores of {processor}, Python {platform.python_version()}",
    }


def _parts(chosen: argparse.Namespace, work: Path) -> Iterator[tuple[str, tuple[list[Figure], dict[str, Any]]]]:
    """Yields (name, (figures, more values for the JSON)); each is measured when it is requested."""
    from bench import decoding, fidelity, full_size, inference, limits, overlap, startup, whole
    from mura_batch.model_card import load_model

    model = load_model(chosen.model)
    size = model.card.input.size
    alone: list[Figure] = []  # inference
    if "limits" in chosen.only:
        yield "limits of the machine", (limits.limits(work, size), {})
    if {"decode", "whole"} & set(chosen.only):
        files = full_size.write_mix(work / "mix", full_size.phantoms(chosen.count))
    if "decode" in chosen.only:
        found = decoding.decoding({name: paths[:4] for name, paths in files.items()}, size)
        yield "decode and prepare", (found, {})
    if "inference" in chosen.only:
        alone = inference.inference(model)
        yield "inference", (alone, {})
    if "whole" in chosen.only:
        count = sum(map(len, files.values()))
        found, manifest = whole.whole(work / "mix", count, chosen.model, work)
        yield "end to end", (found, {"run": manifest})
        beside, decoding_alone = overlap.overlap(work / "mix", count, size)
        if alone:
            precision = manifest["runner"]["precision"]
            rate = next(f.ours for f in alone if f.ours and f.name.startswith(precision))
            yield "its bounds", (whole.bounds(manifest, count / rate, decoding_alone), {})
        yield "overlap", (beside, {})
    if "startup" in chosen.only:
        yield "start-up", (startup.startup(chosen.model, work / "startup"), {})
    if "fidelity" in chosen.only and chosen.pictures is not None:
        yield "fidelity", (fidelity.measured(chosen.pictures, work / "real", model), {})
    if "many" in chosen.only:
        from bench import many

        yield f"{chosen.files} small files", (many.many(chosen.model, work / "many", chosen.files), {})
    if "archive" in chosen.only:
        from bench import known_archive

        yield f"{KNOWN} known files", (known_archive.measure(work / "archive", KNOWN), {})
    if "late" in chosen.only:
        from bench import late_storage

        yield f"{KNOWN} files behind a late mount", (late_storage.measure((work / "late").resolve(), KNOWN), {})
    if "report" in chosen.only:
        from bench import report_page

        yield "report", (report_page.report_page(chosen.model, work / "report"), {})


if __name__ == "__main__":
    main()
