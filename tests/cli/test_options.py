"""Where options come from, and what a wrong value is called: the real command in a subprocess."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from mura_batch.cli import cli
from mura_batch.cli.compile import CompileOptions
from mura_batch.cli.score import ScoreOptions


def score(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mura_batch", "score", "studies", *map(str, words)],
        capture_output=True, text=True, timeout=120, env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def test_a_wrong_value_names_its_option() -> None:
    done = score("--workers", "many")
    assert done.returncode == 2
    assert done.stderr == (
        "mura-batch: Invalid value for '--workers': 'many' is not a valid integer range (see mura-batch score --help)\n"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "many"),
        ("REGIONS", "wrist,knee"),
        ("DEVICE", "tpu"),
        ("FORMAT", "xlsx"),
        ("VIEWER_URL", "v/{study_uid}"),
    ],
)
def test_a_wrong_value_names_its_environment_variable(name: str, value: str) -> None:
    done = score(**{f"MURA_BATCH_{name}": value})
    assert done.returncode == 2
    assert done.stderr.startswith(f"mura-batch: Invalid value for environment variable MURA_BATCH_{name}: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "key", "complaint"),
    [
        ("workers = true", "workers", "true is not a whole number"),
        ("workers = 2.5", "workers", "2.5 is not a whole number"),
        ('workers = "many"', "workers", '"many" is not a whole number'),
        ("workers = 0", "workers", "0 is not in the range"),
        ("batch-size = 1000", "batch-size", "1000 is not in the range"),
        ("batch_size = 1000", "batch-size", "1000 is not in the range"),
        ('settle = "soon"', "settle", '"soon" is not a number'),
        ('json = "yes"', "json", '"yes" is not true or false'),
        ("strict = 1", "strict", "1 is not true or false"),
        ('regions = ["wrist", "knee"]', "regions", "knee is not one of elbow"),
        ("regions = [1]", "regions", "[1] is not a text"),
        ("regions = []", "regions", "nothing is not one of"),
        ("device = true", "device", "true is not a text"),
        ('device = ["gpu"]', "device", '["gpu"] is not a text'),
        ("out = {}", "out", "{} is not a text"),
    ],
)
def test_a_wrong_value_names_its_file_and_key(tmp_path: Path, line: str, key: str, complaint: str) -> None:
    config = tmp_path / "night.toml"
    config.write_text(line + "\n")
    done = score("--config", config)
    assert done.returncode == 2
    assert done.stderr.startswith(f"mura-batch: Invalid value for --config {config}: {key}: {complaint}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('colour = "blue"', "unknown colour; known are abnormal-limits,"),
        ("workers =", "cannot be read"),
        ("as_json = true", "unknown as-json"),
    ],
)
def test_a_config_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "night.toml").write_text(text)
    done = score("--config", tmp_path / "night.toml")
    assert done.returncode == 2
    assert f"--config {tmp_path}/night.toml" in done.stderr
    assert complaint in done.stderr


def test_the_command_line_comes_before_the_environment_and_the_file(tmp_path: Path) -> None:
    (tmp_path / "night.toml").write_text("workers = 0\nbatch-size = 0\n")
    done = score("--config", tmp_path / "night.toml", "--batch-size", 1, "--dry-run", MURA_BATCH_WORKERS="2")
    assert "is no folder: name the folder of exported studies" in done.stderr


@pytest.mark.parametrize(("command", "record"), [("score", ScoreOptions), ("compile", CompileOptions)])
def test_a_record_has_a_field_for_every_option(command: str, record: type) -> None:
    names = {parameter.name for parameter in cli.commands[command].params} - {"config"}
    assert {field.name for field in fields(record)} == names
