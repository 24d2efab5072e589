"""Where all studies of one call were read, one number is left to know: how many of the other call's are abnormal.

Each figure rises or falls with it, so the ends of its interval are the ends of the figure's. The linearised intervals
of `partial` miss the specificity of a read with all abnormal calls too often there (92 % instead of 95), since it bends
most where few abnormal studies were called normal.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mura_batch.agreement.curves import wilson_limits

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
ONE_CALL_READ = "Wilson for the call that was read in part, the other call read whole; inverse probability"


def unread_call(called: Bools, probability: Floats) -> bool | None:
    """The call that was read in part, where the other one was read whole and a study of each was; else None."""
    whole = {call: bool((probability[called == call] == 1).all()) for call in (False, True)}
    if called.all() or not called.any() or whole[False] == whole[True]:
        return None
    return whole[False]


def figure_limits(
    cells: Floats, found: tuple[int, int], effective: float, call: bool, figure: Callable[[Floats], float]
) -> tuple[float, float]:
    """95 % limits of a figure of the archive.

    cells: [2, 2] studies of the archive by truth and call, estimated in the column of `call`. found: normal and
    abnormal ones that were read there; effective: the number of independent studies that they are worth. figure: of
    such a table.
    """
    total, column = cells.copy(), int(call)
    size = total[:, column].sum()
    ends = []
    for share in wilson_limits(float(total[1, column] / size), effective):
        abnormal = min(max(share * size, found[1]), size - found[0])  # what was read is known
        total[:, column] = size - abnormal, abnormal
        ends.append(figure(total))
    return min(ends), max(ends)


def effective_number(read: int, size: float) -> float:
    """What a draw of `read` studies without replacement from `size` is worth, in studies drawn with replacement."""
    return (read - 1) / (1 - read / size) if read > 1 else float(read)
