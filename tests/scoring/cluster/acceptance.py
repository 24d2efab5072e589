"""`make cluster`: the long forms. Each prints one line and fails where the tables of a run are not those of a run
without a cluster.

    python tests/scoring/cluster/acceptance.py nodes     a node killed, and another added, at 20 points of a run
    python tests/scoring/cluster/acceptance.py driver    the driver killed at 10 points, one after the other
    python tests/scoring/cluster/acceptance.py real      the real files of ../shared/dicom, unknown regions too
    python tests/scoring/cluster/acceptance.py head      the head killed in the middle
    python tests/scoring/cluster/acceptance.py speed     two nodes against one, and one node against a run without Ray
    python tests/scoring/cluster/acceptance.py memory    the driver's memory with 10,000 and with 100,000 files
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "support"))
from cluster_runs import ENVIRONMENT, NODE, command, fresh_out, loopback_cluster, scores_in, tables

from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.resources import engines_folder

MANY = (10_000, 100_000)  # files
SHARED = Path(os.environ.get("MURA_BATCH_SHARED", Path(__file__).resolve().parents[4] / "shared"))


class Work:
    """A folder, with phantoms and the tables of a run of them without a cluster: made when they are first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def studies(self) -> Path:
        return make_phantoms(self.folder / "studies", PhantomOptions(studies=160, seed=5, small=True)).folder

    @cached_property
    def expected(self) -> dict[str, bytes]:
        return self.alone("alone", self.studies)

    @cached_property
    def total(self) -> int:
        """Images of the phantoms."""
        assert self.expected
        return scores_in(self.folder / "alone")

    def alone(self, name: str, studies: Path, *options: str) -> dict[str, bytes]:
        """The tables of a run without a cluster."""
        out = self.out(name)
        finished(command(studies, out, *options))
        return tables(out)

    def out(self, name: str) -> Path:
        return fresh_out(self.folder / name)


def finished(words: list[str]) -> None:
    done = subprocess.run(words, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 3):
        sys.exit(f"exit {done.returncode}: {done.stderr}")


def same(out: Path, expected: dict[str, bytes]) -> str:
    found = tables(out)
    if different := [name for name in expected if found[name] != expected[name]]:
        sys.exit(f"other bytes than without a cluster: {', '.join(different)} in {out}")
    return "same bytes"


def reached(out: Path, count: int, process: subprocess.Popen[bytes]) -> bool:
    """Waits for so many scores; whether the run was still going then."""
    while scores_in(out) < count and process.poll() is None:
        time.sleep(0.02)
    return process.poll() is None


def kill_nodes(work: Work, points: int) -> str:
    """The first three while the run starts; the head stays, and so there is always a node."""
    expected, total, killed = work.expected, work.total, 0
    out = work.out("nodes")
    with loopback_cluster() as cluster:
        node = cluster.add_node(**NODE)
        process = subprocess.Popen(command(work.studies, out, "--cluster", cluster.address))
        for point in range(points):
            if point < 3:
                time.sleep(2.0 + point)
            elif not reached(out, total * (point - 3) // (points - 3), process):
                break
            cluster.remove_node(node, allow_graceful=False)
            killed += 1
            node = cluster.add_node(**NODE)
        code = process.wait()
    return f"nodes: {killed} killed in a run of {total} images, exit {code}, {same(out, expected)}"


def kill_driver(work: Work, points: int) -> str:
    expected, total, killed = work.expected, work.total, []
    out = work.out("driver")
    with loopback_cluster() as cluster:
        cluster.add_node(**NODE)
        words = command(work.studies, out, "--cluster", cluster.address)
        for point in range(points):
            process = subprocess.Popen(words)
            if reached(out, 1 + total * point // points, process):
                process.send_signal(signal.SIGKILL)
                killed.append(scores_in(out))
            process.wait()
        finished(words)
    if scores_in(out) != total:
        sys.exit(f"{scores_in(out)} scores, not {total}")
    return f"driver: killed with {', '.join(map(str, killed))} of {total} images scored, {same(out, expected)}"


def real_files(work: Work) -> str:
    studies = SHARED / "dicom"
    options = ("--region-unknown", "score")  # most are of no region of MURA
    expected = work.alone("real-alone", studies, *options)
    out = work.out("real")
    with loopback_cluster() as cluster:
        cluster.add_node(**NODE)
        finished(command(studies, out, "--cluster", cluster.address, *options))
    return f"real: {scores_in(out)} images scored of {studies.name}, {same(out, expected)}"


def kill_head(work: Work) -> str:
    studies, expected = work.studies, work.expected
    out = work.out("head")
    with loopback_cluster() as cluster:
        process = subprocess.Popen(
            command(studies, out, "--cluster", cluster.address), stderr=subprocess.PIPE, text=True
        )
        reached(out, 10, process)  # type: ignore[arg-type]
        begun = time.monotonic()
        cluster.head_node.kill_gcs_server(check_alive=False)
        _, message = process.communicate(timeout=300)
        took = time.monotonic() - begun
    scored = scores_in(out)
    finished(command(studies, out))
    return (
        f"head: exit {process.returncode} after {took:.0f} s, {scored} scores kept, then {same(out, expected)}; it "
        f"said: {message.strip()}"
    )


def speed(work: Work) -> str:
    """By the clock and by CPU time, between a fifth and nine tenths of the images; each node is pinned to its cores,
    the driver to those of the first."""
    studies = work.studies
    words = command(studies, work.out("counted"), "--dry-run", "--json")
    total = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)["counts"]["score"]
    lines = [f"{total} images, load {os.getloadavg()[0]:.1f}"]
    for name, nodes in (
        ("without Ray", []),
        ("one node of 2", [{0, 1}]),
        ("one of 1", [{0}]),
        ("two of 1", [{0}, {1}]),
    ):
        os.sched_setaffinity(0, nodes[0] if nodes else {0, 1})
        out = work.out(name.replace(" ", "-"))
        if not nodes:
            lines.append(f"{name}: {steady(command(studies, out, '--workers', '2'), out, total)}")
            continue
        with loopback_cluster(num_cpus=len(nodes[0])) as cluster:
            for cores in nodes[1:]:
                os.sched_setaffinity(0, cores)
                cluster.add_node(**NODE)
            os.sched_setaffinity(0, nodes[0])
            lines.append(f"{name}: {steady(command(studies, out, '--cluster', cluster.address), out, total)}")
    return "\n".join(lines)


def steady(words: list[str], out: Path, total: int) -> str:
    """Images a second, and the CPU time of an image in all processes of the run."""
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    reached(out, total // 5, process)
    begun, count, used = time.monotonic(), scores_in(out), used_cpu()
    reached(out, total * 9 // 10, process)
    took, images, cpu = time.monotonic() - begun, scores_in(out) - count, used_cpu() - used
    process.wait()
    return (
        f"{images / took:.2f} images a second, {1000 * cpu / images:.0f} CPU-ms an image, {cpu / took:.2f} cores used"
    )


def memory(work: Work) -> str:
    """Small files and a network of two layers: what is left is what grows with the number of files, if anything."""
    from bench.many import make_model, make_tree

    model = make_model(engines_folder() / "reference", work.folder / "model")
    peaks = []
    for count in MANY:
        studies, out = make_tree(work.folder / f"{count}", count), work.out(f"{count}-out")
        with loopback_cluster() as cluster:
            cluster.add_node(**NODE)
            words = command(studies, out, "--cluster", cluster.address, "--model", str(model))
            process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
            _, _, used = os.wait4(process.pid, 0)
        if scores_in(out) != count:
            sys.exit(f"{scores_in(out)} scores of {count} files")
        peaks.append(f"{count:,} files {used.ru_maxrss / 1024:.0f} MB")
    return f"memory: peak of the driver: {', '.join(peaks)}"


def used_cpu() -> float:
    """Seconds, of all processes below this one that are still there."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


FORMS: dict[str, Callable[[Work], str]] = {
    "nodes": lambda work: kill_nodes(work, 20),
    "driver": lambda work: kill_driver(work, 10),
    "real": real_files,
    "head": kill_head,
    "speed": speed,
    "memory": memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("forms", nargs="*", help="all, where none is named")
    os.environ.update(ENVIRONMENT)
    with tempfile.TemporaryDirectory(prefix="mura-batch-cluster-") as folder:
        work = Work(Path(folder))
        for name in parser.parse_args().forms or FORMS:
            sys.stdout.write(f"{FORMS[name](work)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
