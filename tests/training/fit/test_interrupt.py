"""Ctrl-C during training."""

from __future__ import annotations

import os
import signal

import pytest

from train.fit.interrupt import deferred_interrupt


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_ctrl_c_is_noted_and_the_second_interrupts() -> None:
    with deferred_interrupt(deferred=True) as interrupted:
        assert not interrupted()
        press()
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            press()


def test_ctrl_c_is_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    with deferred_interrupt(deferred=True):
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_ctrl_c_interrupts_at_once_where_it_is_not_deferred() -> None:
    with pytest.raises(KeyboardInterrupt), deferred_interrupt(deferred=False):
        press()
