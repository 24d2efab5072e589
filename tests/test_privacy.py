"""Scores and identifiers are patient data, and a hospital's firewall is watched: a run tells nobody anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.resources import engines_folder

# Python calls it before each look-up of a name and each connection, in every process that inherits PYTHONPATH, and in
# those that are forked from one.
SPY = """
import os, sys
def note(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "socket.sendto", "urllib.Request"):
        line = os.open("LOG", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(line, f"{event} {arguments[-1 if event == 'socket.connect' else 0]}\\n".encode())
        os.close(line)
sys.addaudithook(note)
"""


@pytest.fixture
def watched(tmp_path: Path) -> dict[str, str]:
    """An environment in which Python notes whom it talks to, with an empty home. Libraries that keep quiet in CI must
    not know of it."""
    (tmp_path / "home").mkdir()
    (tmp_path / "spy").mkdir()
    (tmp_path / "spy" / "sitecustomize.py").write_text(SPY.replace("LOG", str(tmp_path / "log")))
    hidden = {"CI", "GITHUB_ACTIONS", "JENKINS_URL", "TEAMCITY_VERSION", "BUILD_ID"}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    paths = [str(tmp_path / "spy"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, "HOME": str(tmp_path / "home"), "PYTHONPATH": os.pathsep.join(paths)}


def test_the_spy_sees_a_look_up(tmp_path: Path, watched: dict[str, str]) -> None:
    code = "import socket, contextlib\nwith contextlib.suppress(OSError): socket.getaddrinfo('nowhere.invalid', 80)"
    subprocess.run([sys.executable, "-c", code], env=watched, check=True)
    assert "nowhere.invalid" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("command", ["score", "doctor", "compile"])
def test_a_command_uses_no_network_and_no_home_folder(tmp_path: Path, watched: dict[str, str], command: str) -> None:
    arguments = [command]
    if command == "score":
        studies = make_phantoms(tmp_path / "studies", PhantomOptions(studies=1, small=True)).folder
        arguments += [str(studies), "--out", str(tmp_path / "out"), "--settle", "0", "--device", "cpu"]
    if command == "compile":
        pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
        arguments += [str(engines_folder() / "reference"), "--backend", "rtx", "--out", str(tmp_path / "plan")]
    done = subprocess.run(
        [sys.executable, "-m", "mura_batch", *arguments], env=watched, capture_output=True, text=True, check=False
    )
    assert done.returncode in {0, 1, 3}, done.stderr  # 1: doctor, of a GPU that is not ready
    is_done = "ok    processor" in done.stdout or (tmp_path / "out" / "latest").exists() or ".plan" in done.stdout
    assert is_done, "the library was not started"
    assert not (tmp_path / "log").exists(), (tmp_path / "log").read_text()
    left = {path.name for path in (tmp_path / "home").iterdir()}
    assert left <= {".nv"}  # the CUDA driver's own, where there is one


def test_only_send_connects_and_only_to_its_destination(tmp_path: Path, watched: dict[str, str]) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mura_batch", *arguments]
        return subprocess.run(command, env=watched, capture_output=True, text=True, check=False)

    studies = make_phantoms(tmp_path / "studies", PhantomOptions(studies=1, small=True)).folder
    out = str(tmp_path / "out")
    run("score", str(studies), "--out", out, "--settle", "0", "--device", "cpu", "--dicom", "sr,gsps,sc")
    assert list((tmp_path / "out" / "latest" / "dicom").glob("*.dcm"))
    assert run("dicom", f"{out}/latest").returncode == 0
    assert run("send", f"{out}/latest", "--to", "NOBODY@127.0.0.1:9", "--dry-run").returncode == 0
    assert not (tmp_path / "log").exists(), (tmp_path / "log").read_text()
    assert run("send", f"{out}/latest", "--to", "NOBODY@127.0.0.1:9").returncode == 1
    lines = set((tmp_path / "log").read_text().splitlines())
    lines.discard("socket.getaddrinfo None")  # the address to send from: no name is looked up
    assert lines
    assert all("127.0.0.1" in line for line in lines), lines
