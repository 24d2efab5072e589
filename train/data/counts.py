"""The table of a data set: studies and pictures for each region and split, and where MURA's differ from the known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from train.data.examples import TRAIN, VAL, Dataset, Example, studies_of
from train.data.mura import KNOWN_PICTURES, KNOWN_STUDIES, Counts


def picture_counts(examples: tuple[Example, ...]) -> Counts:
    return _counted((e.region, e.abnormal) for e in examples)


def study_counts(examples: tuple[Example, ...]) -> Counts:
    studies = studies_of(examples)
    return _counted((region, bool(ill)) for region, ill in zip(studies.regions, studies.abnormal, strict=True))


def _counted(pairs: Iterator[tuple[str, bool]]) -> Counts:
    counts = Counter(pairs)
    return {region: (counts[region, False], counts[region, True]) for region in sorted({r for r, _ in counts})}


def table(dataset: Dataset) -> str:
    """Lines of fixed width: region, then normal/abnormal studies and pictures of each split, and the total."""
    of = {s: tuple(e for e in dataset.examples if e.split == s) for s in (TRAIN, VAL)}
    columns = [count(of[s]) for s in (TRAIN, VAL) for count in (study_counts, picture_counts)]
    heads = ["train studies", "train pictures", "val studies", "val pictures"]
    lines = [_line("normal/abnormal", heads)]
    for region in sorted({r for column in columns for r in column}):
        lines.append(_line(region, [_cell(column.get(region, (0, 0))) for column in columns]))
    totals = [(sum(n for n, _ in column.values()), sum(a for _, a in column.values())) for column in columns]
    return "\n".join([*lines, _line("total", [_cell(total) for total in totals])])


def _line(name: str, cells: list[str]) -> str:
    return f"{name:26}" + "".join(f"{cell:>16}" for cell in cells)


def _cell(pair: tuple[int, int]) -> str:
    return f"{pair[0]}/{pair[1]}"


def differences(dataset: Dataset) -> list[str]:
    """Sentences that say where a MURA tree differs from MURA v1.1; none for a whole tree."""
    sentences = []
    for split in (TRAIN, VAL):
        examples = tuple(e for e in dataset.examples if e.split == split)
        for what, known, counted in (
            ("studies", KNOWN_STUDIES[split], study_counts(examples)),
            ("pictures", KNOWN_PICTURES[split], picture_counts(examples)),
        ):
            sentences += [
                f"{split} {what}, {region}: {_cell(ours)} here, {_cell(expected)} in MURA v1.1"
                for region in sorted(known.keys() | counted.keys())
                if (ours := counted.get(region, (0, 0))) != (expected := known.get(region, (0, 0)))
            ]
    return sentences
