from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import text

from tenants.settings import Settings
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant
from tenants.throttle import Limit, refund, reserve, reset, sweep
from tests.tenants.world import HISTORY, in_children

LIMIT = Limit(b"b" * 32, attempts=10, seconds=60)
OTHER = Limit(b"o" * 32, attempts=10, seconds=60)
NOW = 1_000_000
DAY = 24 * 3600


KEPT_ON = ("sqlite", "postgresql")


@pytest.fixture
def attempt(tenancy: Tenancy, acme: Tenant) -> Callable[..., int]:
    def attempt(now: int, limit: Limit = LIMIT) -> int:
        with tenancy.open_db(acme, writing=True) as db:
            wait = reserve(db, limit, now)
            db.commit()
        return wait

    return attempt


def use_up(attempt: Callable[..., int], now: int, limit: Limit = LIMIT) -> None:
    assert [attempt(now, limit) for _ in range(limit.attempts)] == [0] * limit.attempts


def test_as_many_attempts_as_the_limit_says_and_not_one_more(attempt: Callable[..., int]) -> None:
    use_up(attempt, NOW)
    assert attempt(NOW) == 60
    assert attempt(NOW + 59) == 1


def test_buckets_do_not_count_for_each_other(attempt: Callable[..., int]) -> None:
    use_up(attempt, NOW)
    assert attempt(NOW, OTHER) == 0


def test_tenants_do_not_count_for_each_other(attempt: Callable[..., int], tenancy: Tenancy, globex: Tenant) -> None:
    use_up(attempt, NOW)
    with tenancy.open_db(globex, writing=True) as db:
        assert reserve(db, LIMIT, NOW) == 0


def test_attempts_count_anew_when_the_period_is_over(attempt: Callable[..., int]) -> None:
    use_up(attempt, NOW)
    use_up(attempt, NOW + 60)


def test_each_block_lasts_twice_as_long_up_to_a_day(attempt: Callable[..., int]) -> None:
    now, waits = NOW, []
    for _ in range(13):
        use_up(attempt, now)
        waits.append(attempt(now))
        now += waits[-1]
    assert waits == [min(60 << strike, DAY) if strike < 9 else DAY for strike in range(13)]


def test_a_period_longer_than_a_day_is_kept(attempt: Callable[..., int]) -> None:
    week = Limit(b"w" * 32, attempts=1, seconds=7 * DAY)
    use_up(attempt, NOW, week)
    assert attempt(NOW, week) == 7 * DAY


def test_a_refused_attempt_does_not_lengthen_the_block(attempt: Callable[..., int]) -> None:
    use_up(attempt, NOW)
    assert [attempt(NOW + second) for second in range(5)] == [60, 59, 58, 57, 56]


def test_a_refunded_attempt_can_be_made_again(attempt: Callable[..., int], tenancy: Tenancy, acme: Tenant) -> None:
    use_up(attempt, NOW)
    with tenancy.open_db(acme, writing=True) as db:
        refund(db, LIMIT)
        refund(db, OTHER)
        db.commit()
    assert (attempt(NOW), attempt(NOW) > 0) == (0, True)


def test_a_reset_bucket_begins_anew(attempt: Callable[..., int], tenancy: Tenancy, acme: Tenant) -> None:
    use_up(attempt, NOW)
    use_up(attempt, NOW, OTHER)
    with tenancy.open_db(acme, writing=True) as db:
        reset(db, LIMIT)
        db.commit()
    use_up(attempt, NOW)
    assert attempt(NOW, OTHER) > 0


def test_sweeping_takes_what_ended_more_than_two_days_ago(
    attempt: Callable[..., int], tenancy: Tenancy, acme: Tenant
) -> None:
    attempt(NOW)
    attempt(NOW + 1, OTHER)
    with tenancy.open_db(acme, writing=True) as db:
        sweep(db, NOW + 61 + 2 * DAY)
        assert db.execute(text("SELECT bucket FROM throttle")).scalars().all() == [OTHER.bucket]


def test_twenty_processes_get_exactly_ten_attempts(settings: Settings) -> None:
    def race() -> tuple[int, int]:
        with Tenancy.open(settings, HISTORY) as tenancy:
            acme = tenancy.registry.by_slug("acme")
            with tenancy.registry.writing() as connection:
                registry_wait = reserve(connection, LIMIT, NOW)
            with tenancy.open_db(acme, writing=True) as db:
                tenant_wait = reserve(db, LIMIT, NOW)
                db.commit()
        return registry_wait, tenant_wait

    waits = in_children([race] * 20)
    assert [wait for wait, _ in waits].count(0) == 10
    assert [wait for _, wait in waits].count(0) == 10


def test_forty_threads_get_exactly_ten_attempts(attempt: Callable[..., int]) -> None:
    waits: list[int] = []
    threads = [threading.Thread(target=lambda: waits.append(attempt(NOW))) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(waits), waits.count(0)) == (40, 10)
