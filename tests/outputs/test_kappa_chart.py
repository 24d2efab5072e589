"""Kappa by month in drift.json and on the page: by way of the real commands, with truth that came after the run."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from run_folders import scored_row, write_drawn_run

from mura_batch.agreement.drift import Count, Night
from mura_batch.cli import cli
from mura_batch.outputs.drift_history import write_drift
from mura_batch.outputs.file_names import DRIFT_NAME

MONTHS = [f"{2024 + n // 12}{1 + n % 12:02}" for n in range(19)]
STUDIES = 40  # a month


def _invoke(*words: object) -> None:
    done = CliRunner().invoke(cli, list(map(str, words)), standalone_mode=False)
    if done.exception is not None:
        raise done.exception


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model reads well until the sixteenth month, with the truth of all studies."""
    folder = tmp_path_factory.mktemp("months")
    rng, rows, lines = np.random.default_rng(3), [], ["study_uid,label"]
    for month, date in enumerate(MONTHS):
        for n in range(STUDIES):
            uid, label = f"1.{month}.{n}", int(n % 4 == 0)
            right = rng.random() < (0.92 if month < 15 else 0.7)
            score = 0.8 if bool(label) is right else 0.2
            rows.append(scored_row(uid, [score], patient=uid, study_date=f"{date}{1 + n % 28:02}"))
            lines.append(f"{uid},{label}")
    run = write_drawn_run(folder / "out", datetime(2025, 8, 1), rows)
    write_drift(run, [Night("a", "2025-07-31", "m", {"abnormal": Count(1, 4)})], 0)
    (folder / "truth.csv").write_text("\n".join(lines) + "\n")
    _invoke("truth", "add", folder / "truth.csv", "--out", folder / "out")
    _invoke("report", run)
    return run


def test_the_file_has_the_chart_and_says_until_when_truth_has_come(run: Path) -> None:
    values: dict[str, Any] = json.loads((run / DRIFT_NAME).read_text())
    kappa = values["kappa"]
    assert (kappa["truth_as_of"], kappa["waiting"]) == ("20250728", ["2025-07"])
    assert kappa["series"]["nights"][-1] == "2025-06"
    assert kappa["limits"]["run_length"] == 500
    assert [alarm for alarm in values["alarms"] if alarm.startswith("Kappa has been lower since the studies of 2025-0")]
    assert values["nights"][0]["figures"]["abnormal"] == {"hits": 1, "n": 4}
    hashes = json.loads((run / "run.json").read_text())["files"]
    assert hashes[DRIFT_NAME] == hashlib.sha256((run / DRIFT_NAME).read_bytes()).hexdigest()


def test_the_page_begins_with_the_alarm_and_draws_the_months(run: Path) -> None:
    page = " ".join((run / "report.html").read_text(encoding="utf-8").split())
    first = page[page.index('id="first"') : page.index("</section>", page.index('id="first"'))]
    assert "Kappa has been lower" in first
    drift = page[page.index('<section id="drift"') :]
    drift = drift[: drift.index("</section>")]
    assert "Kappa by month of study, truth as of 2025-07-28" in drift
    assert "against the baseline of 2024-01 to 2024-12" in drift
    assert drift.count("<circle") == len(MONTHS) - 1 - 12
    assert "2025-07 and later months are not charted: truth of their studies may still come." in drift
