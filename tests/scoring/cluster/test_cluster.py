"""`score --cluster` on a real Ray cluster of two nodes, and on a real S3 server, both on loopback."""

from __future__ import annotations

import csv
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mura_batch.dicom.policy import IntakePolicy
from mura_batch.errors import InputError
from mura_batch.model_card import read_model
from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.progress import Silent
from mura_batch.pseudonyms import SECRET_BYTES
from mura_batch.resources import engines_folder
from mura_batch.runtime.runner import RunnerOptions
from mura_batch.scoring.cluster import node_work, session
from mura_batch.scoring.pipeline import ScoreRequest, ScoreResult, run_score
from mura_batch.store.database import LEDGER_NAME
from mura_batch.store.secret import SECRET_NAME

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray 2.60: stay on the loopback address
ray = pytest.importorskip("ray", reason="Ray has no wheel for this machine: pip install 'mura-batch[cluster]'")
from ray.cluster_utils import Cluster  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]
NODE = {"num_cpus": 1, "object_store_memory": 100 << 20, "node_ip_address": "127.0.0.1"}
TABLES = ("studies.csv", "images.csv", "skipped.csv", "missing.csv")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 server's address; nodes that start later find it in their environment."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", address)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield address
    server.stop()


@pytest.fixture(scope="module")
def nodes(s3: str) -> Iterator[Any]:
    """Two nodes of one core."""
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    cluster.add_node(**NODE)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "studies"
    return make_phantoms(folder, PhantomOptions(studies=10, seed=5, small=True)).folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return fresh_out(tmp_path / "out")


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


@pytest.fixture(scope="module")
def local(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables of a run without a cluster."""
    out = fresh_out(tmp_path_factory.mktemp("local") / "out")
    assert subprocess.run(command(studies, out), check=False).returncode == 3  # a phantom is cut short
    return tables(out)


def scores_in(out: Path) -> int:
    if not (out / LEDGER_NAME).exists():
        return 0
    with closing(sqlite3.connect(f"file:{out / LEDGER_NAME}?mode=ro", uri=True)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM scores").fetchone()[0])
        except sqlite3.OperationalError:  # the tables are not there yet
            return 0


def started(studies: Path, out: Path, address: str) -> subprocess.Popen[bytes]:
    """A run on the cluster of which some pictures are scored."""
    process = subprocess.Popen(command(studies, out, "--cluster", address))
    while not scores_in(out) and process.poll() is None:
        time.sleep(0.05)
    return process


def test_a_cluster_writes_the_same_bytes_as_one_machine(
    nodes: Any, studies: Path, out: Path, local: dict[str, bytes]
) -> None:
    done = subprocess.run(
        command(studies, out, "--cluster", nodes.address), capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    assert tables(out) == local
    assert "on 2 nodes of a Ray cluster" in (out / "latest" / "run.json").read_text()


def test_a_killed_node_loses_nothing(nodes: Any, studies: Path, out: Path, local: dict[str, bytes]) -> None:
    extra = nodes.add_node(**NODE)
    process = started(studies, out, nodes.address)
    nodes.remove_node(extra, allow_graceful=False)
    assert process.wait(240) == 3
    assert tables(out) == local


def test_a_killed_driver_goes_on_from_the_ledger(nodes: Any, studies: Path, out: Path, local: dict[str, bytes]) -> None:
    process = started(studies, out, nodes.address)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    before = scores_in(out)
    assert before
    assert subprocess.run(command(studies, out, "--cluster", nodes.address), check=False).returncode == 3
    assert tables(out) == local


def test_object_storage_gives_the_same_bytes(
    nodes: Any, s3: str, studies: Path, out: Path, local: dict[str, bytes]
) -> None:
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="archive")
    for path in sorted(studies.rglob("*")):
        if path.is_file():
            client.upload_file(str(path), "archive", f"export/{path.relative_to(studies)}")
    done = subprocess.run(
        command("s3://archive/export", out, "--cluster", nodes.address), capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    assert tables(out) == local


@pytest.fixture
def run(nodes: Any, studies: Path, out: Path) -> Callable[[], ScoreResult]:
    def go(address: str = nodes.address) -> ScoreResult:
        policy, options = IntakePolicy(settle_seconds=0), RunnerOptions(device="cpu", precision="float32")
        request = ScoreRequest(
            studies, out, read_model(engines_folder() / "reference"), policy, options, None, None, False, {},
            cluster=address,
        )  # fmt: skip
        return run_score(request, Silent())

    return go


def losing(poison: str, tries: Path) -> Callable[..., Any]:
    """A decode task whose process ends at one file, as on a machine without memory."""

    def decode(storage: Any, instances: Any, policy: Any, spec: Any) -> Any:
        from mura_batch.scoring.cluster import node_work as unchanged

        if any(instance.source.path == poison for instance in instances):
            with tries.open("a") as file:
                file.write(f"{len(instances)}\n")
            os._exit(1)
        return unchanged.decode(storage, instances, policy, spec)

    return decode


def test_a_file_that_takes_its_process_along_twice_is_named(
    run: Callable[[], ScoreResult], out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: dict[str, bytes]
) -> None:
    images = list(csv.DictReader(local["images.csv"].decode("utf-8-sig").splitlines()))
    poison = images[len(images) // 2]["file"]
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(node_work, "decode", losing(poison, tmp_path / "tries"))
    result = run()
    assert result.manifest.counts["scored"] == len(images) - 1
    assert result.manifest.skipped_by_reason["pixels/worker_crashed"] == 1
    lost = list(csv.DictReader((out / "latest" / "skipped.csv").read_text("utf-8-sig").splitlines()))
    assert [row["file"] for row in lost if row["reason"] == "worker_crashed"] == [poison]
    assert (tmp_path / "tries").read_text().splitlines()[1:] == ["1"], "with its neighbours, then alone"


def test_a_node_that_does_not_see_the_studies_is_named(
    run: Callable[[], ScoreResult], monkeypatch: pytest.MonkeyPatch, out: Path
) -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(node_work, "sees", lambda storage, sample: "/export: No such file or directory")
    with pytest.raises(InputError, match=r"node .*127\.0\.0\.1\) cannot read the studies: /export: No such file"):
        run()
    assert not (out / "runs").exists() or not list((out / "runs").iterdir())


def test_a_node_of_another_version_is_named(run: Callable[[], ScoreResult], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session.node_work, "describe_node", Describe())
    with pytest.raises(InputError, match=r"node .* has mura-batch 0\.0, this machine 9\.9: install the same version"):
        run()


class Describe:
    """Another version on the driver than on the nodes."""

    def __call__(self) -> dict[str, str]:
        return {"mura-batch": "9.9", "Python": "3"}


def test_without_ray_one_line_says_what_to_install(
    studies: Path, out: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[[], ScoreResult]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'mura-batch\[cluster\]'"):
        run()


def test_a_head_that_is_not_there_is_one_line(studies: Path, out: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            command(studies, out, "--cluster", address), capture_output=True, text=True, check=False, timeout=200
        )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert address in done.stderr


def test_object_storage_without_a_cluster_is_refused(out: Path) -> None:
    done = subprocess.run(command("s3://archive/export", out), capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert "--cluster local" in done.stderr
