"""deploy/: systemd accepts the units, a study is scored in their sandbox, and the other files pass their programs."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from mura_batch.phantom import PhantomOptions, make_phantoms

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "systemd" / "mura-batch.service"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (Debian's package systemd)"
)


def output(*command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_systemd
@pytest.mark.parametrize("gpu", [False, True])
def test_exposure_of_the_unit_is_at_most_two(gpu: bool, tmp_path: Path) -> None:
    text = UNIT.read_text()
    if gpu:  # what the drop-in changes
        text += (DEPLOY / "systemd" / "mura-batch-gpu.conf").read_text().replace("ExecStart=\n", "")
    (tmp_path / UNIT.name).write_text(text)
    printed = output("systemd-analyze", "security", "--offline=true", tmp_path / UNIT.name)
    exposure = re.search(r"Overall exposure level for mura-batch\.service: ([0-9.]+)", printed)
    assert exposure is not None, printed
    assert float(exposure[1]) <= 2.0


@needs_systemd
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    for path in (DEPLOY / "systemd").iterdir():
        text = path.read_text().replace("/opt/mura-batch/bin/mura-batch", "/bin/true")  # it must be executable
        (tmp_path / path.name).write_text(text)
    units = [tmp_path / name for name in ("mura-batch.service", "mura-batch.timer", "mura-batch-notify@.service")]
    assert output("systemd-analyze", "verify", *units) == ""


def test_an_unreadable_file_is_not_hidden_by_the_unit() -> None:
    lines = UNIT.read_text().splitlines()
    assert "SuccessExitStatus=143" in lines
    assert any(line.startswith("OnFailure=") for line in lines)
    assert not [line for line in lines if line.startswith("MemoryDenyWriteExecute")]  # OpenVINO does not survive it


BOOT = """
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /opt
mount -t tmpfs tmpfs /srv
mount -t tmpfs tmpfs /mnt
cgroups=/sys/fs/cgroup
for hierarchy in $cgroups/systemd:cgroup:none,name=systemd $cgroups/unified:cgroup2: $cgroups:cgroup2:; do
  place=${hierarchy%%:*}; rest=${hierarchy#*:}; options=${rest#*:}
  mountpoint -q $place && [ "$(stat -f -c %T $place)" != tmpfs ] || continue
  umount $place && mount -t ${rest%%:*} ${options:+-o $options} cgroup $place
done
mkdir -p /run/systemd/system /opt/python /opt/site /opt/tree /srv/mura /mnt/studies
cp -r "$1"/. /run/systemd/system/
export container=other
exec /lib/systemd/systemd --system --unit=mura-batch.service --show-status=no --log-level=warning --log-target=console
"""


def in_sandbox(units: Path) -> subprocess.CompletedProcess[str]:
    """Starts the unit by a systemd of its own, process 1 of new namespaces; ends with it."""
    command = [
        "unshare",
        "--cgroup",
        "--mount",
        "--pid",
        "--fork",
        "--ipc",
        "--uts",
        "--net",
        "bash",
        "-c",
        BOOT,
        "boot",
    ]
    return subprocess.run([*command, str(units)], capture_output=True, text=True, timeout=200, check=False)


@needs_systemd
@pytest.mark.slow
def test_a_study_is_scored_inside_the_sandbox_of_the_unit(tmp_path: Path) -> None:
    """The unit as it is, by a real systemd: only the paths, the user and what systemd needs to end are overridden."""
    if os.geteuid() != 0 or not Path("/lib/systemd/systemd").exists():
        pytest.skip("a systemd of our own can only be started by root, where systemd is installed")
    if subprocess.run(["unshare", "--pid", "--fork", "--mount", "--net", "--cgroup", "true"], check=False).returncode:
        pytest.skip("namespaces cannot be made here (unshare fails)")
    studies = make_phantoms(tmp_path / "studies", PhantomOptions(studies=1, small=True)).folder
    for path in (studies, *studies.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    out, units, log = tmp_path / "out", tmp_path / "units", tmp_path / "log"
    out.mkdir()
    shutil.chown(out, "nobody", "nogroup")
    (units / "mura-batch.service.d").mkdir(parents=True)
    shutil.copy(UNIT, units)
    (units / "mura-batch.service.d" / "paths.conf").write_text(
        "[Unit]\nDefaultDependencies=no\nRequiresMountsFor=\nOnFailure=\nSuccessAction=exit-force\nFailureAction=exit-force\n"
        "[Service]\nUser=nobody\nGroup=nogroup\n"
        f"BindReadOnlyPaths={sys.base_prefix}:/opt/python {sysconfig.get_path('purelib')}:/opt/site {ROOT}:/opt/tree\n"
        f"BindReadOnlyPaths={studies}:/mnt/studies\nBindPaths={out}:/srv/mura\n"
        "Environment=PYTHONPATH=/opt/tree:/opt/site PYTHONDONTWRITEBYTECODE=1\n"
        f"StandardOutput=append:{log}\nStandardError=append:{log}\n"
        "ExecStart=\nExecStart=/opt/python/bin/python3 -m mura_batch score /mnt/studies --out /srv/mura --settle 0\n"
    )
    done = in_sandbox(units)
    printed = (log.read_text() if log.exists() else "") + done.stdout + done.stderr
    assert (out / "latest" / "studies.csv").is_file(), printed
    with (out / "latest" / "studies.csv").open(newline="") as file:
        assert any(row["status"] in {"scored", "partial"} for row in csv.DictReader(file)), printed
    assert (out / "latest" / "studies.csv").stat().st_mode & 0o777 == 0o600
    assert done.returncode == 3, printed  # the phantom export holds a truncated file


def test_the_cron_file_has_six_fields_and_ends_with_newline() -> None:
    (file,) = (DEPLOY / "cron.d").iterdir()
    assert "." not in file.name  # cron ignores such a file
    text = file.read_text()
    assert text.endswith("\n")  # cron ignores a last line without it
    (line,) = [line for line in text.splitlines() if line and line[0] in "0123456789*"]
    assert line.split()[5:] == ["mura", "mura-batch", "score", "/export/studies", "--out", "/srv/mura"]


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
def test_sysusers_and_tmpfiles_make_the_user_and_its_folder(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    output("systemd-sysusers", f"--root={tmp_path}", DEPLOY / "sysusers.d" / "mura-batch.conf")
    assert re.search(r"^mura:.*:/srv/mura:/usr/sbin/nologin$", (tmp_path / "etc" / "passwd").read_text(), re.M)
    if os.geteuid() == 0:
        output("systemd-tmpfiles", "--create", f"--root={tmp_path}", DEPLOY / "tmpfiles.d" / "mura-batch.conf")
        assert (tmp_path / "srv" / "mura").stat().st_mode & 0o777 == 0o700


def test_the_linter_passes_the_containerfile() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        pytest.skip("hadolint is not installed (development group)")
    assert output(linter, DEPLOY / "Containerfile") == ""


def test_the_kuberay_manifest_passes_its_linter() -> None:
    rules = "{extends: default, rules: {line-length: {max: 120}}}"
    output(sys.executable, "-m", "yamllint", "--strict", "-d", rules, DEPLOY / "kuberay.yaml")


def test_the_pods_of_ray_are_alike() -> None:
    """The version of Ray is the pinned one, and every pod sees the studies and keeps usage statistics off."""
    import yaml

    manifest = yaml.safe_load((DEPLOY / "kuberay.yaml").read_text())
    spec = manifest["spec"]
    assert f"ray=={spec['rayVersion']}" in (ROOT / "constraints.txt").read_text().splitlines()
    pods = [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
    containers = [container for pod in pods for container in pod["containers"]]
    assert len({container["image"] for container in containers}) == 1
    for pod, container in zip(pods, containers, strict=True):
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
        mounted = [mount["name"] for mount in container["volumeMounts"]]
        assert {"studies", "shm"} <= set(mounted) <= {volume["name"] for volume in pod["volumes"]}
        assert container["livenessProbe"]["tcpSocket"]["port"] == 6380


def test_the_shell_completes_commands() -> None:
    environment = os.environ | {"_MURA_BATCH_COMPLETE": "bash_source"}
    command = [sys.executable, "-c", "import sys; sys.argv = ['mura-batch']; from mura_batch.cli import main; main()"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "_mura_batch_completion" in done.stdout, done.stderr
