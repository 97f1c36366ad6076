"""Turns: a crowd that found no place comes back spread over the time it takes to serve it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from extranet.accounts.passwords import LONGEST_QUEUE
from extranet.accounts.turns import LONGEST_SECONDS, SHORTEST_SECONDS, Turns
from extranet.errors import NoSlot
from tests.platform import PASSWORD, Platform


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_few_are_asked_back_after_the_shortest_wait(clock: Clock) -> None:
    turns = Turns(0.1, clock)
    assert [turns.next() for _ in range(30)] == [SHORTEST_SECONDS] * 30


def test_a_crowd_comes_back_one_after_another_at_the_pace_of_those_who_are_served(clock: Clock) -> None:
    turns = Turns(0.1, clock)
    told = [turns.next() for _ in range(200)]
    assert told == sorted(told)
    assert told[-1] == 20
    # Ten a second: as many as are served.
    assert {second: told.count(second) for second in range(4, 20)} == dict.fromkeys(range(4, 20), 10)


def test_nobody_is_asked_to_wait_for_more_than_half_a_minute(clock: Clock) -> None:
    turns = Turns(0.1, clock)
    assert max(turns.next() for _ in range(5000)) == LONGEST_SECONDS
    clock.now += LONGEST_SECONDS - 1
    assert turns.next() == SHORTEST_SECONDS, "what was handed out beyond that is forgotten"


def test_time_that_passes_without_a_refusal_is_no_turn_of_anybody(clock: Clock) -> None:
    turns = Turns(1.0, clock)
    assert [turns.next() for _ in range(5)] == [3, 3, 3, 4, 5]
    clock.now += 100
    assert turns.next() == SHORTEST_SECONDS


def test_the_pace_follows_how_long_those_who_are_served_take(clock: Clock) -> None:
    turns = Turns(0.01, clock)
    for _ in range(40):
        turns.note(1.0)
    assert [turns.next() for _ in range(6)][-1] == 6


def test_threads_are_given_different_turns(clock: Clock) -> None:
    turns = Turns(1.0, clock)
    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(lambda _: turns.next(), range(8))) == [3, 3, 3, 4, 5, 6, 7, 8]


def test_whoever_is_refused_reads_and_is_told_in_the_header_when_their_turn_is(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(platform.passwords, "_turns", Turns(5.0, clock))
    visitor = platform.browser()
    token = visitor.token()
    with ExitStack() as held:
        for _ in range(LONGEST_QUEUE):
            platform.passwords._queue.acquire()
            held.callback(platform.passwords._queue.release)
        for seconds in (5, 10, 15):
            refused = visitor.post("/login", {"username": "anna", "password": PASSWORD}, token=token)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, str(seconds))
            assert f"Please try again in {seconds} seconds." in refused.text
            assert 'value="anna"' in refused.text, "the name need not be typed again"


def test_whoever_waited_for_a_slot_in_vain_is_given_a_turn_too(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(platform.passwords, "_turns", Turns(7.0, clock))
    monkeypatch.setattr("extranet.accounts.passwords._SLOT_WAIT_SECONDS", 0.01)
    with platform.passwords._slots.take(1), pytest.raises(NoSlot) as refused:
        platform.passwords.encoded(PASSWORD)
    assert refused.value.retry_after == 7


def test_a_process_learns_the_pace_from_its_own_hashes(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[float] = []
    monkeypatch.setattr(platform.passwords._turns, "note", noted.append)
    platform.browser().sign_in("anna", PASSWORD)
    assert len(noted) == 1
    assert 0 < noted[0] < 10
