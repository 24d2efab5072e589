"""Keeps freed memory in the process: the next training step allocates it again."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # malloc.h of glibc
_NEVER = -1
_PAD = 256 << 20  # bytes asked of the kernel at once


def keep_freed_memory() -> bool:
    """Sets glibc's malloc to keep freed memory. Returns whether that worked; on other C libraries it does not.

    A step allocates gigabytes of activations in pieces of many megabytes. By default each is a mapping of its own,
    given back when it is freed, and cleared by the kernel when it is mapped again: on two virtual cores page faults
    took most of a step's time. The process's memory stays at its peak, which the next step needs anyway.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(*pair) == 1 for pair in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _PAD)))
