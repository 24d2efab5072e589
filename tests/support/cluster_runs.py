"""Runs of `mura-batch score --cluster` on Ray nodes of this machine, which listen on loopback alone."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from mura_batch.pseudonyms import SECRET_BYTES
from mura_batch.store.database import LEDGER_NAME
from mura_batch.store.secret import SECRET_NAME

NODE = {"num_cpus": 1, "object_store_memory": 100 << 20, "node_ip_address": "127.0.0.1"}
TABLES = ("studies.csv", "images.csv", "skipped.csv", "missing.csv")
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Else Ray 2.60 replaces 127.0.0.1 by the machine's own address: see findings/ray_loopback_address.sh.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
# A killed node is known to be gone after seconds, not half a minute.
QUICK = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
    "worker_niceness": 0,  # Ray starts workers with 15: on a busy machine they get nothing
}


@contextmanager
def loopback_cluster(**head: Any) -> Iterator[Any]:
    """A ray.cluster_utils.Cluster of one node of one core; head: other arguments of it."""
    os.environ.update(ENVIRONMENT)
    from ray.cluster_utils import Cluster

    (Path(tempfile.gettempdir()) / "ray").mkdir(exist_ok=True)  # Ray 2.60 notes the address there, not in temp_dir
    folder = tempfile.mkdtemp(prefix="ray-")  # short: Ray's sockets lie in it
    arguments = {**NODE, "include_dashboard": False, "_system_config": QUICK, "temp_dir": folder, **head}
    cluster = Cluster(initialize_head=True, head_node_args=arguments)
    try:
        yield cluster
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
        for name in ENVIRONMENT:
            del os.environ[name]


def fresh_out(folder: Path) -> Path:
    """All have one secret, so that their keys are comparable."""
    folder.mkdir(mode=0o700)
    (folder / SECRET_NAME).touch(0o600)
    (folder / SECRET_NAME).write_text("00" * SECRET_BYTES)
    return folder


def command(studies: Path | str, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "mura_batch", "score", str(studies), "--out", str(out), "--settle", "0",
            "--device", "cpu", "--precision", "float32", *options]  # fmt: skip


def tables(out: Path) -> dict[str, bytes]:
    return {name: (out / "latest" / name).read_bytes() for name in TABLES}


def scores_in(out: Path) -> int:
    """Committed so far."""
    if not (out / LEDGER_NAME).exists():
        return 0
    with closing(sqlite3.connect(f"file:{out / LEDGER_NAME}?mode=ro", uri=True)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM scores").fetchone()[0])
        except sqlite3.OperationalError:  # the tables are not there yet
            return 0
