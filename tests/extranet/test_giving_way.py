"""Hashing leaves the cores to whoever has a page to show."""

from __future__ import annotations

import os
import threading

import pytest

from extranet.accounts.giving_way import Aside


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_what_runs_aside_gives_way_and_whoever_waits_for_it_does_not() -> None:
    own = niceness()
    assert Aside(1).run(niceness) > own
    assert niceness() == own


def test_what_goes_wrong_aside_is_told_to_whoever_waits() -> None:
    with pytest.raises(ZeroDivisionError):
        Aside(1).run(lambda: 1 // 0)
