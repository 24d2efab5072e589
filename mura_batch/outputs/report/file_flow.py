"""Counts of a run -> the steps of its files: found, each loss where it happened, unchanged, scored."""

from __future__ import annotations

from dataclasses import dataclass

from mura_batch.errors import OutputError
from mura_batch.outputs.manifest import RunManifest
from mura_batch.outputs.report import charts
from mura_batch.reasons import ADVICE
from mura_batch.records import UNREADABLE, Reason, Stage


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the files: those found, those lost for one reason, those that came through. bar: SVG. serious: the
    input should have been readable."""

    kind: str  # 'found', 'lost', 'unchanged' or 'scored'
    name: str
    reason: str
    files: int
    advice: str
    serious: bool
    bar: str


def steps_of(manifest: RunManifest) -> tuple[Step, ...]:
    """Every bar begins where the one before ended. Raises OutputError where the counts do not add up, ValueError where
    a reason is not one of ours."""
    found = manifest.counts["found"]
    total, left = max(1, found), found
    steps = [Step("found", "files found", "", found, "", serious=False, bar=charts.bar(0, found / total, "found"))]
    for name, files in sorted(manifest.skipped_by_reason.items(), key=_in_order):
        stage, _, reason = name.partition("/")
        left -= files
        serious = Reason(reason) in UNREADABLE
        drawing = charts.bar(left / total, files / total, "serious" if serious else "lost")
        steps.append(Step("lost", stage, reason, files, ADVICE[Reason(reason)], serious=serious, bar=drawing))
    for kind, name in (("unchanged", "unchanged since an earlier run"), ("scored", "scored in this run")):
        files = manifest.counts[kind]
        left -= files
        steps.append(Step(kind, name, "", files, "", serious=False, bar=charts.bar(left / total, files / total, kind)))
    if left:
        raise OutputError(f"the files of the run do not add up: {left} of {found} are in no step")
    return tuple(steps)


_STAGES = list(Stage)


def _in_order(item: tuple[str, int]) -> tuple[int, int, str]:
    """By stage, then the greatest loss first."""
    stage, _, reason = item[0].partition("/")
    return (_STAGES.index(Stage(stage)), -item[1], reason)
