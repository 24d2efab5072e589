"""`mura-batch compare`, over two runs of drawn scores: what changed, and which of the two is right."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from run_folders import DrawnModel, Scored, scored_row, write_drawn_run

from mura_batch.agreement.curves import roc_auc_difference
from mura_batch.cli import cli
from mura_batch.errors import InputError, TruthError
from mura_batch.outputs.report.thumbnails import encode_thumbnail
from mura_batch.records import Laterality, Region

SECOND = DrawnModel(name="second", sha256="b" * 64, threshold=0.4)
LABELS = {str(n): n % 2 for n in range(40)}


def studies(model: DrawnModel, gain: float) -> list[Scored]:
    """40 studies; the two models differ in what they see of the label."""
    rng = np.random.default_rng(int(10 * gain))
    noise = rng.normal(size=len(LABELS)) * 0.25
    scores = [
        float(min(0.99, max(0.01, 0.45 + gain * (label - 0.5) + noise[n]))) for n, label in enumerate(LABELS.values())
    ]
    return [scored_row(uid, [score], model=model) for uid, score in zip(LABELS, scores, strict=True)]


def run(*words: object) -> Result:
    done = CliRunner().invoke(cli, list(map(str, words)), standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, the second by another model. Study 7 has another file in it, study 8 was not scored, 99 is new, and 9
    keeps its score."""
    out = tmp_path_factory.mktemp("compare") / "out"
    picture = encode_thumbnail(np.full((64, 64), 90, np.uint8), np.eye(4, dtype=np.float32))
    write_drawn_run(out, datetime(2026, 2, 1), studies(DrawnModel(), 0.3), picture=picture)
    later = [row for row in studies(SECOND, 0.6) if row[0].study_uid not in {"7", "8", "9"}]
    later.append(scored_row("9", [0.9], earlier_model="drawn 1"))
    later += [scored_row("7", [0.2, 0.3], model=SECOND), scored_row("99", [0.9], model=SECOND)]
    write_drawn_run(out, datetime(2026, 2, 2), later, SECOND, picture=picture)
    lines = [f"{uid},{label}" for uid, label in LABELS.items()]
    (out.parent / "truth.csv").write_text("\n".join(["study_uid,label", *lines]) + "\n")
    return out


@pytest.fixture(scope="module")
def found(out: Path) -> dict[str, Any]:
    first, second = sorted((out / "runs").iterdir())
    done = run("compare", first, second, "--truth", out.parent / "truth.csv", "--json")
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def test_rows_are_compared_that_were_scored_from_the_same_files(found: dict[str, Any]) -> None:
    assert (found["rows"], found["other_files"], found["only_first"], found["only_second"]) == (37, 1, 1, 1)
    assert (found["kept"], sum(found["calls"].values())) == (1, 37)
    assert [found[run]["model"]["threshold"] for run in ("first", "second")] == [0.5, 0.4]


def test_figures_are_those_of_the_pairs(found: dict[str, Any]) -> None:
    a, b = ({r.study_uid: r for r, _ in studies(m, g)} for m, g in ((DrawnModel(), 0.3), (SECOND, 0.6)))
    shared = [uid for uid in LABELS if uid not in {"7", "8", "9"}]
    labels = [LABELS[uid] for uid in shared]
    assert found["labels"] == 37
    expected = roc_auc_difference(labels, [b[uid].score for uid in shared], [a[uid].score for uid in shared])
    assert found["figures"]["auroc"]["difference"]["value"] == pytest.approx(expected.value, abs=1e-9)
    assert found["figures"]["auroc"]["difference"]["low"] == pytest.approx(expected.low, abs=1e-9)
    right = [[rows[uid].abnormal == bool(LABELS[uid]) for uid in shared] for rows in (a, b)]
    accuracy = found["figures"]["accuracy"]
    assert accuracy["only_first"] == sum(x and not y for x, y in zip(*right, strict=True))
    assert accuracy["only_second"] == sum(y and not x for x, y in zip(*right, strict=True))
    assert accuracy["second"]["value"] == pytest.approx(sum(right[1]) / 37)


def test_changed_calls_are_listed_the_wrong_ones_first(found: dict[str, Any]) -> None:
    changed = found["changed"]
    assert len(changed) == found["calls"]["normal_abnormal"] + found["calls"]["abnormal_normal"]
    verdicts = [one["verdict"] for one in changed]
    assert verdicts == sorted(verdicts, key=["worse", "better"].index)
    assert {"worse", "better"} == set(verdicts)


def test_the_page_shows_both_maps_and_loads_nothing(out: Path) -> None:
    first, second = sorted((out / "runs").iterdir())
    page = Path(run("compare", first, second, "--truth", out.parent / "truth.csv").stdout.strip())
    assert page.parent == out / "comparisons"
    assert page.stat().st_mode & 0o077 == 0
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")
    assert text.count("data:image/jpeg;base64,") == 2 * text.count('class="two"') > 0
    assert text.count("data:image/png;base64,") == 2 * text.count('class="two"')
    assert "McNemar" in text
    assert text.count("<details open>") == min(9, text.count("<details"))


def test_without_truth_only_the_calls_are_compared(out: Path) -> None:
    first, second = sorted((out / "runs").iterdir())
    values = json.loads(run("compare", first, second, "--json").stdout)
    assert (values["figures"], values["truth"], values["labels"]) == ({}, [], 0)
    assert {one["verdict"] for one in values["changed"]} == {"no truth"}
    assert values["kappa_between_runs"]["value"] < 1


def test_a_run_compared_with_itself_has_no_change(out: Path) -> None:
    first, _ = sorted((out / "runs").iterdir())
    values = json.loads(run("compare", first, first, "--truth", out.parent / "truth.csv", "--json").stdout)
    assert values["changed"] == []
    assert values["figures"]["kappa"]["difference"]["value"] == 0
    assert values["figures"]["accuracy"]["p"] == 1


def test_a_label_of_the_whole_meets_the_highest_row_of_each_run(tmp_path: Path) -> None:
    def rows(hand: float, wrist: float) -> list[Scored]:
        return [scored_row("1", [hand], Region.HAND), scored_row("1", [wrist], Region.WRIST, Laterality.LEFT)]

    runs = [write_drawn_run(tmp_path / "out", datetime(2026, 2, day), rows(*of)) for day, of in
            ((1, (0.9, 0.1)), (2, (0.2, 0.7)))]  # fmt: skip
    truth = tmp_path / "truth.csv"
    truth.write_text("study_uid,label\n1,1\n")
    values = json.loads(run("compare", *runs, "--truth", truth, "--json").stdout)
    assert values["figures"]["sensitivity"]["difference"]["value"] == 0
    assert [one["label"] for one in values["changed"]] == [None, None]  # of which region nobody knows


def test_what_cannot_be_compared_says_why(out: Path, tmp_path: Path) -> None:
    first, _ = sorted((out / "runs").iterdir())
    other = write_drawn_run(tmp_path / "out", datetime(2026, 2, 1), [scored_row("x", [0.5])])
    with pytest.raises(InputError, match="have no study that both scored"):
        run("compare", first, other)
    truth = tmp_path / "truth.csv"
    truth.write_text("study_uid,label\nx,1\n")
    with pytest.raises(TruthError, match="labels no study that both runs scored"):
        run("compare", first, first, "--truth", truth)
    with pytest.raises(InputError):
        run("compare", first, tmp_path)
