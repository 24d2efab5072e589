"""`score --cluster` on a real Ray cluster of two nodes, and on a real S3 server, both on loopback. The long forms are
in acceptance.py (make cluster)."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
import pytest
from cluster_runs import NODE, command, fresh_out, loopback_cluster, scores_in, tables

from mura_batch.dicom.policy import IntakePolicy
from mura_batch.errors import ClusterError, RunnerError
from mura_batch.model_card import read_model
from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.preprocess import InputSpec
from mura_batch.progress import Silent
from mura_batch.resources import engines_folder
from mura_batch.runtime.runner import RunnerInfo, RunnerOptions
from mura_batch.scoring.cluster import node_work
from mura_batch.scoring.cluster.deliveries import MOVES, Deliveries, Job, _sent_again
from mura_batch.scoring.cluster.nodes import Nodes
from mura_batch.scoring.pipeline import ScoreRequest, ScoreResult, run_score
from mura_batch.scoring.score_commits import Committer
from mura_batch.scoring.storage import Folder
from mura_batch.store.secret import SECRET_NAME

if find_spec("ray") is None:
    pytest.skip("Ray has no wheel for this machine: pip install 'mura-batch[cluster]'", allow_module_level=True)

# The first test pays for the cluster, the phantoms and the run without a cluster.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An S3 server's address; nodes that start later find it in their environment."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # else credentials are asked of 169.254.169.254
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def nodes(s3: str) -> Iterator[Any]:
    """Two nodes of one core."""
    with loopback_cluster() as cluster:
        cluster.add_node(**NODE)
        yield cluster


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "studies"
    return make_phantoms(folder, PhantomOptions(studies=10, seed=5, small=True)).folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return fresh_out(tmp_path / "out")


@pytest.fixture(scope="module")
def local(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables of a run without a cluster, which imports nothing of one."""
    out = fresh_out(tmp_path_factory.mktemp("local") / "out")
    words = command(studies, out)
    done = subprocess.run([words[0], "-X", "importtime", *words[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr  # a phantom is cut short
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "mura_batch.scoring.pipeline" in imported
    assert not imported & {"ray", "fsspec", "mura_batch.scoring.cluster"}
    return tables(out)


def started(studies: Path | str, out: Path, address: str) -> subprocess.Popen[bytes]:
    """A run on the cluster of which some pictures are scored."""
    process = subprocess.Popen(
        command(studies, out, "--cluster", address), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while not scores_in(out) and process.poll() is None:
        time.sleep(0.05)
    return process


def test_a_cluster_that_loses_a_node_writes_the_same_bytes(
    nodes: Any, studies: Path, out: Path, local: dict[str, bytes]
) -> None:
    extra = nodes.add_node(**NODE)
    process = started(studies, out, nodes.address)
    sockets = [c for p in psutil.Process().children(recursive=True) for c in p.net_connections("inet")]
    nodes.remove_node(extra, allow_graceful=False)
    stdout, stderr = process.communicate(timeout=240)
    assert (process.returncode, stdout) == (3, b"")
    assert len(stderr.splitlines()) == 1, stderr
    assert tables(out) == local
    assert "nodes of a Ray cluster" in (out / "latest" / "run.json").read_text()
    places = {place.ip.removeprefix("::ffff:") for c in sockets for place in (c.laddr, c.raddr) if place}
    assert places == {"127.0.0.1"}


@pytest.fixture(scope="module")
def archive(s3: str, studies: Path) -> str:
    """The studies in object storage."""
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="archive")
    for path in studies.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), "archive", f"export/{path.relative_to(studies)}")
    return "s3://archive/export"


def test_object_storage_gives_the_same_bytes_after_a_killed_driver(
    nodes: Any, archive: str, out: Path, local: dict[str, bytes]
) -> None:
    process = started(archive, out, nodes.address)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    before = scores_in(out)
    assert subprocess.run(command(archive, out, "--cluster", nodes.address), check=False).returncode == 3
    assert tables(out) == local
    assert 0 < before <= scores_in(out)
    spooled = [path for folder in Path("/dev/shm").glob("mura-batch-spool-*") for path in folder.rglob("*")]
    assert not spooled, "no picture stays in memory"


def test_object_storage_without_credentials_is_one_line(nodes: Any, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    done = subprocess.run(
        command("s3://archive/export", out, "--cluster", nodes.address), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "credentials" in done.stderr


def test_a_dry_run_estimates_by_a_sample(nodes: Any, studies: Path, out: Path, local: dict[str, bytes]) -> None:
    words = command(studies, out, "--cluster", nodes.address, "--dry-run", "--json")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["cluster"]
    images = csv.DictReader(local["images.csv"].decode("utf-8-sig").splitlines())
    sizes = [(studies / row["file"]).stat().st_size for row in images]
    assert (found["files"], found["bytes"], found["sample"]) == (len(sizes), sum(sizes), len(sizes))
    assert (found["cores"], found["engines"]) == (2, 2)
    for part in ("decode", "engine"):
        assert 0 < found[part]["low"] < found[part]["mean"] < found[part]["high"] < 1
    assert [path.name for path in out.iterdir()] == [SECRET_NAME], "nothing is written"


Run = Callable[..., ScoreResult]


@pytest.fixture(scope="module")
def run(nodes: Any, studies: Path) -> Run:
    """A run in this process, whose functions a test may replace."""

    def go(out: Path) -> ScoreResult:
        policy, options = IntakePolicy(settle_seconds=0), RunnerOptions(device="cpu", precision="float32")
        model = read_model(engines_folder() / "reference")
        request = ScoreRequest(studies, out, model, policy, options, None, None, False, {}, cluster=nodes.address)
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


@pytest.fixture
def by_value() -> None:
    """Functions of this file travel as they are: nodes cannot import it."""
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


# Fills the object store of each node, nearly; ends when its standard input does.
BALLAST = """
import sys
import numpy, ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as Only
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
fill = ray.remote(num_cpus=0)(lambda: numpy.zeros(90_000_000, numpy.uint8))
held = [fill.options(scheduling_strategy=Only(n["NodeID"], soft=False)).remote() for n in ray.nodes() if n["Alive"]]
ray.wait(held, num_returns=len(held), fetch_local=False)
print("full", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def full_object_store(nodes: Any) -> Iterator[None]:
    words = [sys.executable, "-c", BALLAST, nodes.address]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "full\n"
        yield
        process.communicate()


@pytest.mark.usefixtures("by_value", "full_object_store")
def test_poison_is_named_and_a_full_object_store_is_said(
    run: Run, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: dict[str, bytes]
) -> None:
    images = list(csv.DictReader(local["images.csv"].decode("utf-8-sig").splitlines()))
    poison = images[len(images) // 2]["file"]
    monkeypatch.setattr(node_work, "decode", losing(poison, tmp_path / "tries"))
    result = run(out)
    assert result.manifest.counts["scored"] == len(images) - 1
    assert result.manifest.skipped_by_reason["pixels/worker_crashed"] == 1
    lost = list(csv.DictReader((out / "latest" / "skipped.csv").open(encoding="utf-8-sig")))
    assert [row["file"] for row in lost if row["reason"] == "worker_crashed"] == [poison]
    assert (tmp_path / "tries").read_text().splitlines()[1:] == ["1"], "with its neighbours, then alone"
    assert [line for line in result.warnings if "object store was full" in line]


@pytest.mark.usefixtures("by_value")
def test_a_node_that_does_not_see_the_studies_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    monkeypatch.setattr(node_work, "sees", lambda storage, sample: "/export: No such file or directory")
    with pytest.raises(ClusterError, match=r"node .*127\.0\.0\.1\) cannot read the studies: /export: No such file"):
        run(out)
    assert not (out / "runs").exists() or not list((out / "runs").iterdir())


@pytest.mark.usefixtures("by_value")
def test_a_node_of_another_version_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    ours = node_work.describe_node()
    there = {**ours, "mura-batch": "0.1"}

    def describe() -> dict[str, str]:
        return ours if os.getpid() == here else there

    here = os.getpid()
    monkeypatch.setattr(node_work, "describe_node", describe)
    with pytest.raises(ClusterError, match=r"node .* has mura-batch 0\.1, this machine .*: install the same version"):
        run(out)


def int8_except_on(head: str) -> type[node_work.Engine]:
    """An engine that says int8 on each node but one, as where only some processors have the instructions for it."""

    class Engine(node_work.Engine):
        def info(self) -> RunnerInfo:
            import ray

            info = super().info()
            return info if ray.get_runtime_context().get_node_id() == head else replace(info, precision="int8")

    return Engine


def unreachable(*_: Any, **__: Any) -> Any:
    raise RuntimeError("failed to connect to all addresses")


@pytest.mark.parametrize(
    ("sent", "with_node", "again"),
    [
        ((["a", "b"], 0, 0), True, [(["a", "b"], 0, 1)]),
        ((["a", "b"], 0, 3), False, [(["a"], 1, 3), (["b"], 1, 3)]),
        ((["a"], 1, 0), True, [(["a"], 1, 1)]),
        ((["a"], 1, 0), False, []),
        ((["a"], 1, MOVES), True, []),
        ((["a", "b"], 0, MOVES), True, [(["a"], 1, MOVES), (["b"], 1, MOVES)]),
    ],
)
def test_files_are_given_up_after_two_processes_or_many_nodes(sent: Any, with_node: bool, again: Any) -> None:
    assert _sent_again(sent, with_node) == again


@pytest.mark.usefixtures("by_value")
def test_what_goes_with_a_node_is_sent_again_without_blame(
    nodes: Any, studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures that wait to be scored: Ray 2.60 reports the engine's task as failed, not the object as lost. A task of
    the node, and its engine. And the node that is asked how much was spilled may be one that has just gone."""
    import ray
    from ray._private import internal_api
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def work(mark: Path) -> None:
        mark.touch()
        time.sleep(100)

    model, options = read_model(engines_folder() / "reference"), RunnerOptions(device="cpu", precision="float32")
    extra = nodes.add_node(**NODE)
    with Nodes(nodes.address, model, options) as connected:
        assert connected.info.precision == "float32"
        engine = next(engine for engine in connected.engines() if engine.node != extra.node_id)
        gone = next(engine for engine in connected.engines() if engine.node == extra.node_id)
        there = NodeAffinitySchedulingStrategy(extra.node_id, soft=False)
        make = ray.remote(lambda: np.zeros(10_000_000, np.uint8)).options(scheduling_strategy=there, max_retries=0)
        decoded = make.remote()
        ray.wait([decoded], fetch_local=False)
        working = ray.remote(work).options(scheduling_strategy=there, max_retries=0).remote(tmp_path / "mark")
        while not (tmp_path / "mark").exists():
            time.sleep(0.05)
        nodes.remove_node(extra, allow_graceful=False)
        job = Job([], decoded=decoded, engine=engine)
        deliveries = Deliveries(connected, Folder(studies), IntakePolicy(), InputSpec())
        assert deliveries._answer(engine.actor.run.remote(decoded), job, cast(Committer, None)) is None
        for lost, job in ((working, Job([])), (gone.actor.run.remote(decoded), Job([], engine=gone))):
            assert deliveries._answer(lost, job, cast(Committer, None)) is None
        assert [(again.tries, again.moves) for again in deliveries._again] == [(0, 0), (0, 1), (0, 1)]
        monkeypatch.setattr(internal_api, "get_memory_info_reply", unreachable)
        assert connected.warnings == ()


@pytest.mark.usefixtures("by_value")
def test_a_node_of_another_precision_is_named(nodes: Any, run: Run, monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    monkeypatch.setattr(node_work, "Engine", int8_except_on(nodes.head_node.node_id))
    with pytest.raises(RunnerError, match=r"node .* by .*(int8.*float32|float32.*int8).*: .*Choose one .*--precision"):
        run(out)
    assert scores_in(out) == 0


def test_without_ray_one_line_says_what_to_install(run: Run, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"pip install 'mura-batch\[cluster\]'"):
        run(out)


def test_a_head_that_is_not_there_is_one_line(studies: Path, out: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            command(studies, out, "--cluster", address), capture_output=True, text=True, check=False, timeout=200
        )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert address in done.stderr


def test_object_storage_without_a_cluster_is_refused(out: Path) -> None:
    done = subprocess.run(command("s3://archive/export", out), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--cluster local" in done.stderr
