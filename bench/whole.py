"""End to end: `mura-batch score` beside the peer, as whole processes over the same studies, in turn."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.result import Figure, ratio
from mura_batch.model_card import load_model

COMMAND = [sys.executable, "-m", "mura_batch"]
SECTION = "End to end, whole processes"


def score_command(studies: Path, out: Path, model: Path) -> list[str]:
    options = {"--out": out, "--model": model, "--settle": 0, "--device": "cpu"}
    return [*COMMAND, "score", str(studies), *(str(word) for pair in options.items() for word in pair)]


def whole(studies: Path, count: int, model: Path, work: Path) -> tuple[list[Figure], dict[str, Any]]:
    """Figures, and run.json of the last run. Ours runs three times into one OUT whose scores are taken away between:
    the first measures bf16's parity, the others find it there, as every night but the first does. The median counts.
    The peer, whose single run takes longer than those three, runs once between them."""
    ours, peer, manifest, out = [], 0.0, {}, work / "out"
    size = str(load_model(model).card.input.size)
    peer_command = [sys.executable, "-m", "bench.peer", str(studies), "--out", str(work / "peer.csv"), "--size", size]
    for n in range(3):
        ours.append(_seconds(score_command(studies, out, model)))
        manifest = json.loads((out / "latest" / "run.json").read_text())
        if manifest["counts"]["scored"] != count:
            raise RuntimeError(f"{manifest['counts']} instead of {count} scored: the comparison would be unfair")
        for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
            (out / name).unlink(missing_ok=True)
        if n == 0:
            peer = _seconds(peer_command)
    shutil.rmtree(out)
    rates = (count / statistics.median(ours), count / peer)
    return [ratio(SECTION, f"score of {count} full-size pictures", rates, "img/s", ">= 6")], manifest


def bounds(manifest: dict[str, Any], inference: float, decode: float) -> list[Figure]:
    """What the stream took beside its bounds: seconds of inference alone and of decoding alone, each on all cores.

    Where the model runs on the cores that decode, the floor is the sum of both kinds of work, not the larger.
    """
    took = stream_seconds(manifest)
    idle = manifest["seconds"]["inference"]["waiting"]
    return [
        Figure(SECTION, "runner idle", idle, unit="s"),
        Figure(SECTION, "decoding, inference and storing", took, unit="s"),
        Figure(SECTION, "inference alone, all cores", inference, unit="s"),
        Figure(SECTION, "decoding alone, all cores", decode, unit="s"),
        Figure(SECTION, "ratio to their sum, the floor on shared cores", took / (inference + decode), "< 1.15"),
    ]


def stream_seconds(manifest: dict[str, Any]) -> float:
    store: dict[str, float] = manifest["seconds"]["store"]
    return store["busy"] + store["waiting"]


def _seconds(command: list[str]) -> float:
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own programs
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    return time.perf_counter() - begun
