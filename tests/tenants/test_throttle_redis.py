"""The counters in Redis: the same answers as the registry's, shared, exact, and never needed to be right."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from tenants import shared_store
from tenants.shared_store import SharedStore
from tenants.tenancy import Tenancy
from tenants.throttle import KEEP_SECONDS, Limit, refund, reserve
from tenants.throttle_redis import RedisThrottle
from tests.services.redis import Redis
from tests.tenants.world import in_children

LIMIT = Limit(b"\xff\x00b" * 10, attempts=10, seconds=60)
NOW = 1_000_000
DAY = 24 * 3600


@pytest.fixture
def client(redis_server: Redis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def throttle(client: redis.Redis) -> RedisThrottle:
    return RedisThrottle(SharedStore(client))


@dataclass(frozen=True)
class Step:
    """``reserved`` buckets in that order, or given back, ``later`` seconds after the step before."""

    later: int
    buckets: tuple[int, ...]
    is_refund: bool


BUCKETS = st.lists(st.integers(0, 2), min_size=1, max_size=2, unique=True).map(tuple)
LATER = st.one_of(st.just(0), st.integers(0, 90), st.integers(-30, 3 * DAY))
STEPS = st.builds(Step, LATER, BUCKETS, st.sampled_from([False] * 9 + [True]))
LIMITS = st.builds(
    Limit, st.just(b""), st.integers(1, 5), st.one_of(st.integers(1, 90), st.sampled_from([900, DAY, 90 * DAY]))
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=st.tuples(LIMITS, LIMITS, LIMITS), steps=st.lists(st.tuples(STEPS, st.integers(1, 12)), max_size=12))
def test_the_answers_are_the_registry_s_whatever_is_tried_and_when(
    tenancy: Tenancy, throttle: RedisThrottle, limits: tuple[Limit, ...], steps: list[tuple[Step, int]]
) -> None:
    example = os.urandom(16)
    own = [Limit(example + bytes([number]), each.attempts, each.seconds) for number, each in enumerate(limits)]
    now = NOW
    with tenancy.registry.counting() as connection:
        for step, times in steps:
            now += step.later
            chosen = [own[number] for number in step.buckets]
            for _ in range(times):
                if step.is_refund:
                    refund(connection, *chosen)
                    assert throttle.refund(chosen) == 0
                else:
                    assert throttle.reserve(chosen, now) == in_registry(connection, chosen, now)
        connection.execute(text("DELETE FROM throttle"))


def in_registry(connection: Connection, limits: Sequence[Limit], now: int) -> int:
    return next((wait for limit in limits if (wait := reserve(connection, limit, now))), 0)


def test_each_block_lasts_twice_as_long_up_to_a_day(throttle: RedisThrottle) -> None:
    now, waits = NOW, []
    for _ in range(13):
        assert [throttle.reserve([LIMIT], now) for _ in range(10)] == [0] * 10
        waits.append(throttle.reserve([LIMIT], now) or 0)
        now += waits[-1]
    assert waits == [min(60 << strike, DAY) if strike < 9 else DAY for strike in range(13)]


def test_what_is_refused_does_not_count_against_the_buckets_that_follow(throttle: RedisThrottle) -> None:
    other = Limit(b"other", attempts=12, seconds=600)
    for _ in range(30):
        throttle.reserve([LIMIT, other], NOW)
    assert [throttle.reserve([other], NOW) for _ in range(3)] == [0, 0, 600]


def test_twenty_processes_get_exactly_ten_attempts(redis_server: Redis, client: redis.Redis) -> None:
    def race() -> int | None:
        with redis.Redis.from_url(redis_server.url) as own:
            return RedisThrottle(SharedStore(own)).reserve([LIMIT], NOW)

    assert in_children([race] * 20).count(0) == 10


def test_forty_threads_get_exactly_ten_attempts(throttle: RedisThrottle) -> None:
    with ThreadPoolExecutor(40) as pool:
        waits = list(pool.map(lambda _: throttle.reserve([LIMIT], NOW), range(40)))
    assert waits.count(0) == 10


def test_a_counter_is_forgotten_when_it_cannot_matter_any_more(throttle: RedisThrottle, client: redis.Redis) -> None:
    throttle.reserve([LIMIT], NOW)
    (key,) = client.keys()
    assert KEEP_SECONDS < client.ttl(key) <= KEEP_SECONDS + LIMIT.seconds
    throttle.refund([LIMIT])
    assert client.ttl(key) > KEEP_SECONDS
    throttle.refund([Limit(b"nobody's", 1, 1)])
    assert client.keys() == [key]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = 1000.0
    monkeypatch.setattr(shared_store.time, "monotonic", lambda: now)

    def forward(seconds: float) -> None:
        nonlocal now
        now += seconds

    return forward


def test_a_store_that_is_away_gives_no_answer_says_so_once_a_minute_and_is_used_again(
    redis_server: Redis, clock: Callable[[float], None]
) -> None:
    said: list[str] = []
    with redis.Redis.from_url(redis_server.url, retry=None) as client:
        throttle = RedisThrottle(SharedStore(client, said.append))
        redis_server.stop()
        for _ in range(50):
            assert throttle.reserve([LIMIT], NOW) is None
            assert throttle.refund([LIMIT]) is None
            clock(2)
        assert len(said) == 2
        assert re.search("ConnectionError: .*refused", said[0])
        redis_server.start()
        assert throttle.reserve([LIMIT], NOW) == 0
    assert redis_server.password not in "".join(said)


def test_a_store_that_is_away_is_left_alone_for_a_second(
    redis_server: Redis, client: redis.Redis, clock: Callable[[float], None]
) -> None:
    asked = []

    def fail(client: redis.Redis) -> None:
        asked.append(client)
        raise redis.TimeoutError

    store = SharedStore(client)
    for _ in range(10):
        assert store.ask(fail) is None
        clock(0.5)
    assert len(asked) == 5


def test_a_full_store_gives_no_answer(throttle: RedisThrottle, client: redis.Redis) -> None:
    client.config_set("maxmemory", "1")
    try:
        assert throttle.reserve([LIMIT], NOW) is None
    finally:
        client.config_set("maxmemory", "0")
