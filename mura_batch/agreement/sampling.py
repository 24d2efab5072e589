"""Drawing studies to be read, and checking that a truth file still has the draw's own probabilities."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mura_batch.agreement.truth_file import Sampled
from mura_batch.errors import TruthError

LEAST_OF_A_STRATUM = 2  # one study shows no spread
_COUNTS = re.compile(r"(\d+) of (\d+)$")


@dataclass(frozen=True, slots=True)
class Stratum:
    """A part of the archive: `drawn` of its `studies` are to be read."""

    name: str
    studies: int
    drawn: int

    @property
    def probability(self) -> float:
        return self.drawn / self.studies


def allocate(sizes: Mapping[str, int], wanted: int) -> tuple[Stratum, ...]:
    """Studies to draw from each stratum, in proportion to its size, at least LEAST_OF_A_STRATUM or all of it; so a few
    more than wanted may come out. Raises ValueError where there are fewer studies than wanted."""
    total = sum(sizes.values())
    if not 0 < wanted <= total:
        raise ValueError(f"{wanted} studies cannot be drawn of {total}")
    shares = {name: wanted * size / total for name, size in sizes.items()}
    drawn = {name: math.floor(share) for name, share in shares.items()}
    remainders = sorted(shares, key=lambda name: drawn[name] - shares[name])
    for name in remainders[: wanted - sum(drawn.values())]:
        drawn[name] += 1
    return tuple(
        Stratum(name, size, min(size, max(LEAST_OF_A_STRATUM, drawn[name]))) for name, size in sizes.items() if size
    )


def draw(members: Sequence[str], strata: Iterable[Stratum], seed: int) -> list[int]:
    """members: the stratum of each study of the archive. Positions of the drawn ones, without replacement, in random
    order: the order of a reader's sheet must not show the score."""
    rng = np.random.default_rng(seed)
    names = np.asarray(members, dtype=str)
    drawn = [rng.choice(np.flatnonzero(names == part.name), part.drawn, replace=False) for part in strata]
    return [int(n) for n in rng.permutation(np.concatenate(drawn))]


def label_of(number: int, stratum: Stratum) -> str:
    """What the sheet calls a stratum: the counts let the draw be checked, the number hides the score from readers."""
    return f"{number}: {stratum.drawn} of {stratum.studies}"


def read_probabilities(lines: Sequence[tuple[Sampled, bool]], source: str) -> dict[str, float]:
    """lines: each study of the sheet, and whether it has been read. For each stratum the probability of having been
    drawn and read: unread studies of a stratum are taken to be like those read.

    Raises TruthError where a stratum has several probabilities, or one that its number of lines does not give.
    """
    sizes = Counter(sampled.stratum for sampled, _ in lines)
    read = Counter(sampled.stratum for sampled, is_read in lines if is_read)
    given: dict[str, set[float]] = {}
    for sampled, _ in lines:
        given.setdefault(sampled.stratum, set()).add(sampled.probability)
    for stratum, probabilities in given.items():
        if problem := _problem(stratum, probabilities, sizes[stratum]):
            raise TruthError(
                f"{source}: sampling probabilities of stratum {stratum[:40]!r} are not the drawn ones ({problem}); "
                "keep every line of the sheet and change only labels"
            )
    return {stratum: min(given[stratum]) * n / sizes[stratum] for stratum, n in read.items()}


def _problem(stratum: str, probabilities: set[float], lines: int) -> str:
    if len(probabilities) > 1:
        return f"{len(probabilities)} different ones"
    probability, counts = min(probabilities), _COUNTS.search(stratum)
    studies = lines / probability
    if counts is not None and (int(counts[1]) != lines or abs(int(counts[2]) - studies) > _slack(studies)):
        return f"{lines} lines with {probability:.6g}"
    if abs(studies - round(studies)) > _slack(studies):
        return f"{lines} lines with {probability:.6g} stand for {studies:.1f} studies"
    return ""


def _slack(studies: float) -> float:
    """Spreadsheets keep six digits and more of a probability."""
    return max(1e-3, studies * 1e-5)
