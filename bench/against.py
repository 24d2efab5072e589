"""`python -m bench.against COMMIT`: this tree beside an earlier commit, by CPU time and wall time of whole processes.

The commit is checked out in a worktree and gets an environment of its own. Both sides run the same commands on the same
input, in turn, each in its own OUT. CPU time is what a process and all its waited children used: on a shared machine
the wall time of one start was seen to swing by 70 % where its CPU time did not.

A section is slower where the ratio of the medians of CPU time exceeds 1 by more than the section's noise: the larger
spread, (max - min) / median, of the two sides, and at least LEAST_NOISE.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median

from bench import full_size, many
from mura_batch.model_card import load_model
from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.store.database import LEDGER_NAME

ROOT = Path(__file__).resolve().parents[1]
LEAST_NOISE = 0.02  # two rounds may agree by chance; a difference of 2 % was seen between runs of one commit
SCORED = (0, 3)  # 3: a phantom export holds a truncated file


@dataclass(frozen=True, slots=True)
class Side:
    """One tree to measure. python: the interpreter of its environment. tree: its checkout."""

    name: str
    python: Path
    tree: Path

    def run(self, words: Sequence[str | Path], cwd: Path) -> Times:
        """`mura-batch` with these arguments as a process. Raises RuntimeError where it does not end well."""
        environment = os.environ | {"PYTHONPATH": str(self.tree)}
        command = [str(self.python), "-m", "mura_batch", *map(str, words)]
        begun = time.perf_counter()
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(  # noqa: S603 - our own program
                command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=errors
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode not in SCORED:
                errors.seek(0)
                raise RuntimeError(f"{self.name}: {' '.join(command)}: {errors.read().decode()[-500:]}")
        return Times(usage.ru_utime + usage.ru_stime, time.perf_counter() - begun)


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one process and its children."""

    cpu: float
    wall: float


@dataclass(frozen=True, slots=True)
class Section:
    """One command, run `rounds` times by each side in turn. prepare(out): brings OUT into the state that every round
    starts from; not timed. words(out): the command."""

    name: str
    rounds: int
    words: Callable[[Path], Sequence[str | Path]]
    prepare: Callable[[Side, Path], None] = lambda side, out: None


@dataclass(slots=True)
class Comparison:
    """The times of a section, in the order of its rounds."""

    name: str
    before: list[Times] = field(default_factory=list)
    after: list[Times] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """CPU time after over CPU time before, medians."""
        return median(t.cpu for t in self.after) / median(t.cpu for t in self.before)

    @property
    def wall_ratio(self) -> float:
        return median(t.wall for t in self.after) / median(t.wall for t in self.before)

    @property
    def noise(self) -> float:
        return max(LEAST_NOISE, *(_spread([t.cpu for t in side]) for side in (self.before, self.after)))

    @property
    def is_slower(self) -> bool:
        return self.ratio > 1 + self.noise


def main() -> int:
    chosen = _arguments()
    chosen.work.mkdir(parents=True, exist_ok=True)
    before = environment(chosen.commit, chosen.work.resolve() / "against")
    after = Side("this tree", Path(sys.executable), ROOT)
    found = []
    with tempfile.TemporaryDirectory(prefix="against-", dir=chosen.work.resolve()) as folder:
        for section in sections(Path(folder), chosen.count, chosen.files):
            if chosen.only and section.name not in chosen.only:
                continue
            sys.stderr.write(f"{section.name}\n")
            found.append(compare(section, before, after, Path(folder)))
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps([asdict(comparison) for comparison in found], indent=1) + "\n")
    sys.stdout.write(table(found, before.name) + "\n")
    return int(any(comparison.is_slower for comparison in found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.against", description=__doc__.splitlines()[0])
    parser.add_argument("commit", help="the earlier commit, as git names it")
    parser.add_argument("--out", type=Path, default=Path("build/against.json"), help="JSON (build/against.json)")
    parser.add_argument("--work", type=Path, default=Path("build"), help="folder for environment and input (build)")
    parser.add_argument("--only", nargs="+", default=(), help="names of sections (all)")
    parser.add_argument("--count", type=int, default=6, help="full-size pictures of each of six syntaxes (6)")
    parser.add_argument("--files", type=int, default=10_000, help="small files (10,000)")
    return parser.parse_args()


def environment(commit: str, work: Path) -> Side:
    """The commit's tree and environment, made where they are not there yet. Raises RuntimeError where git or pip
    fails."""
    name = _output(["git", "-C", str(ROOT), "rev-parse", "--short=12", "--verify", f"{commit}^{{commit}}"])
    tree, venv = work / name / "tree", work / name / "venv"
    if not tree.is_dir():
        _output(["git", "-C", str(ROOT), "worktree", "prune"])
        _output(["git", "-C", str(ROOT), "worktree", "add", "--detach", str(tree), name])
    python = venv / "bin" / "python"
    if not (venv / ".ready").is_file():
        _output([sys.executable, "-m", "venv", "--clear", str(venv)])
        pip = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(tree / "constraints.txt")]
        _output([*pip, "--editable", str(tree)])
        (venv / ".ready").touch()
    return Side(name, python, tree)


def sections(work: Path, count: int, files: int) -> Iterator[Section]:
    """Each with its input, made when it is asked for. count, files: as the options say."""
    reference = ROOT / "engines" / "reference"

    def score(studies: Path, model: Path) -> Callable[[Path], Sequence[str | Path]]:
        return lambda out: ["score", studies, "--out", out, "--model", model, "--settle", "0", "--device", "cpu"]

    yield Section("help", 9, lambda out: ["--help"])
    export = make_phantoms(work / "export", PhantomOptions(studies=1, small=True)).folder
    one = score(export, reference)
    yield Section("first start of a model", 3, one, _fresh)
    yield Section("few new pictures, compiled network kept", 5, one, _without_scores(one))
    yield Section("a night without news, few files", 5, one, _scored(one))
    yield Section("report of a past run", 5, lambda out: ["report", out / "latest"], _scored(one))
    tiny = many.make_model(reference, work / "tiny")
    small = score(many.make_tree(work / "small", files), tiny)
    yield Section(f"first run of {files:,} small files", 3, small, _fresh)
    yield Section(f"{files:,} small files unchanged", 3, small, _scored(small))
    yield Section(f"one new picture, {files:,} small files unchanged", 5, small, _with_one_new(small))
    full_size.write_mix(work / "mix", islice(full_size.phantoms(count), count))
    size = load_model(reference).card.input.size
    # The two-layer model: what is left is reading, decoding, preparing, storing and reporting.
    mix, name = score(work / "mix", tiny), f"{count * len(full_size.SYNTAXES)} full-size pictures"
    yield Section(f"{name} decoded for {size} px", 3, mix, _fresh)
    yield Section(f"{name} scored", 2, score(work / "mix", reference), _fresh)


def _fresh(side: Side, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)


def _without_scores(words: Callable[[Path], Sequence[str | Path]]) -> Callable[[Side, Path], None]:
    """OUT as after a run, without its ledger: the compiled network is there, and every picture is new."""

    def prepare(side: Side, out: Path) -> None:
        if not out.is_dir():
            side.run(words(out), out.parent)
        for path in out.iterdir():
            if path.name.startswith("ledger") or path.name.startswith("pictures"):
                path.unlink() if path.is_file() else shutil.rmtree(path)

    return prepare


def _scored(words: Callable[[Path], Sequence[str | Path]]) -> Callable[[Side, Path], None]:
    """OUT as after a run that scored everything."""

    def prepare(side: Side, out: Path) -> None:
        if not (out / LEDGER_NAME).is_file():
            side.run(words(out), out.parent)

    return prepare


def _with_one_new(words: Callable[[Path], Sequence[str | Path]]) -> Callable[[Side, Path], None]:
    """OUT as after a run that scored all pictures but one."""
    scored = _scored(words)

    def prepare(side: Side, out: Path) -> None:
        scored(side, out)
        with closing(sqlite3.connect(out / LEDGER_NAME)) as ledger, ledger:
            ledger.execute("DELETE FROM scores WHERE rowid = (SELECT min(rowid) FROM scores)")

    return prepare


def compare(section: Section, before: Side, after: Side, work: Path) -> Comparison:
    """Runs both sides in turn; which one begins changes from round to round."""
    comparison = Comparison(section.name)
    outs = {"before": work / "out-before", "after": work / "out-after"}
    for out in outs.values():
        shutil.rmtree(out, ignore_errors=True)
    for number in range(section.rounds):
        turn = [("before", before, comparison.before), ("after", after, comparison.after)]
        for key, side, times in turn if number % 2 == 0 else reversed(turn):
            section.prepare(side, outs[key])
            times.append(side.run(section.words(outs[key]), work))
    return comparison


def table(comparisons: Sequence[Comparison], before: str) -> str:
    """Plain text, a line for each section; seconds are medians of CPU time."""
    head = ("section", f"{before} s", "this tree s", "CPU ratio", "noise", "wall ratio", "")
    rows = [head, *(_row(comparison) for comparison in comparisons)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(head))]
    lines = []
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _row(c: Comparison) -> tuple[str, ...]:
    before, after = (median(t.cpu for t in side) for side in (c.before, c.after))
    verdict = "SLOWER" if c.is_slower else "faster" if c.ratio < 1 - c.noise else "equal"
    return (c.name, f"{before:.2f}", f"{after:.2f}", f"{c.ratio:.3f}", f"{c.noise:.3f}", f"{c.wall_ratio:.3f}", verdict)


def _spread(values: Sequence[float]) -> float:
    return (max(values) - min(values)) / median(values)


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - git and pip
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
