from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tenants import budget
from tenants.budget import ConnectionBudget
from tenants.errors import TenantUnavailable


def no_room() -> bool:
    return False


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(50) as pool:
        yield pool


def in_line(one: ConnectionBudget, count: int) -> None:
    """Wait until that many wait."""
    until(lambda: len(one._queue) == count)


def until(happens: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_as_many_permits_as_the_limit_says_are_given_at_once() -> None:
    one = ConnectionBudget(3, no_room)
    for _ in range(3):
        one.take()
    assert one.taken == 3
    one.give()
    one.give()
    assert one.taken == 1


def test_who_waits_longest_is_served_first(pool: ThreadPoolExecutor) -> None:
    one, served = ConnectionBudget(1, no_room), []
    one.take()

    def wait(number: int) -> None:
        one.take()
        served.append(number)
        one.give()

    waiting: list[Future[None]] = []
    for number in range(10):
        waiting.append(pool.submit(wait, number))
        in_line(one, number + 1)
    one.give()
    for future in waiting:
        future.result(10)
    assert served == list(range(10))
    assert one.taken == 0


def test_a_newcomer_does_not_overtake_those_in_line(pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    one = ConnectionBudget(1, no_room)
    one.take()
    first = pool.submit(one.take)
    in_line(one, 1)
    one.give()
    first.result(10)
    monkeypatch.setattr(budget, "WAIT_SECONDS", 0.01)
    with pytest.raises(TenantUnavailable):
        one.take()


def test_nobody_waits_longer_than_said_and_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "WAIT_SECONDS", 0.2)
    one = ConnectionBudget(2, no_room)
    one.take()
    one.take()
    began = time.monotonic()
    with pytest.raises(TenantUnavailable, match="All 2 connections of this process"):
        one.take()
    assert 0.2 <= time.monotonic() - began < 1
    one.give()
    assert (one.taken, len(one._queue)) == (1, 0)


def test_what_is_kept_idle_is_closed_before_anybody_waits() -> None:
    asked = []

    def make_room() -> bool:
        asked.append(one.taken)
        one.give()
        return True

    one = ConnectionBudget(1, make_room)
    one.take()
    began = time.monotonic()
    one.take()
    assert time.monotonic() - began < 0.05
    assert asked == [1]
    assert one.taken == 1


def test_what_becomes_idle_later_is_closed_for_those_in_line(pool: ThreadPoolExecutor) -> None:
    idle = threading.Event()

    def make_room() -> bool:
        if not idle.is_set():
            return False
        one.give()
        idle.clear()
        return True

    one = ConnectionBudget(1, make_room)
    one.take()
    waiting = pool.submit(one.take)
    in_line(one, 1)
    idle.set()
    waiting.result(1)
    assert one.taken == 1


def test_who_is_interrupted_while_waiting_leaves_the_line() -> None:
    # The permit that was given to such a one used to be lost for good.
    def interrupt() -> bool:
        raise KeyboardInterrupt

    one = ConnectionBudget(1, interrupt)
    one.take()
    with pytest.raises(KeyboardInterrupt):
        one.take()
    one.give()
    assert (one.taken, len(one._queue)) == (0, 0)


def test_a_permit_that_came_as_its_owner_was_interrupted_goes_to_the_next(pool: ThreadPoolExecutor) -> None:
    calls, second = itertools.count(), []

    def given_and_interrupted() -> bool:
        if next(calls):
            return False
        second.append(pool.submit(one.take))
        in_line(one, 2)
        one.give()
        raise KeyboardInterrupt

    one = ConnectionBudget(1, given_and_interrupted)
    one.take()
    with pytest.raises(KeyboardInterrupt):
        one.take()
    second[0].result(10)
    assert (one.taken, len(one._queue)) == (1, 0)


def test_of_many_at_once_there_are_never_more_than_the_limit_and_none_is_forgotten(pool: ThreadPoolExecutor) -> None:
    one, lock, most, now = ConnectionBudget(6, no_room), threading.Lock(), [0], [0]

    def use() -> None:
        for _ in range(40):
            one.take()
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.0002)
            with lock:
                now[0] -= 1
            one.give()

    for future in [pool.submit(use) for _ in range(40)]:
        future.result(30)
    assert most == [6]
    assert (one.taken, len(one._queue)) == (0, 0)
