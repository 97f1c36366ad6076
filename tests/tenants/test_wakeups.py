"""A change in the registry wakes every process at once, when there is a Redis between them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tenants import lifecycle, wakeups
from tenants.errors import BadSettings, TenantSuspended, TenantUnavailable
from tenants.settings import Settings, read_settings
from tenants.shared_store import open_store
from tenants.tenancy import Tenancy
from tenants.wakeups import Wakeups
from tests.services.redis import Redis
from tests.tenants.world import HISTORY, in_children

SOON = 5.0


@pytest.fixture
def password_file(redis_server: Redis, tmp_path: Path) -> Path:
    path = tmp_path / "redis.password"
    path.touch(0o600)
    path.write_text(f"{redis_server.password}\n")
    return path


@pytest.fixture
def shared(settings: Settings, redis_server: Redis, password_file: Path) -> Settings:
    return with_redis(settings, redis_server, password_file)


class Woken(threading.Semaphore):
    """Counts how often it was woken."""

    def __init__(self) -> None:
        super().__init__(0)

    def wake(self) -> None:
        self.release()

    def wait(self, seconds: float = SOON) -> bool:
        return self.acquire(timeout=seconds)


@pytest.fixture
def woken() -> Woken:
    return Woken()


@pytest.fixture
def listener(shared: Settings, woken: Woken) -> Iterator[Wakeups]:
    store = open_store(shared)
    assert store is not None
    listener = Wakeups(store, woken.wake)
    yield listener
    listener.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(wakeups, "_QUIET_SECONDS", 0.05)
    monkeypatch.setattr(wakeups, "_REST_SECONDS", 0.05)
    yield
    until(lambda: listening() == 0, "A thread has not ended.")


@pytest.fixture
def unsafe_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the look at every half second away: what is seen now is seen because somebody said so."""
    monkeypatch.setattr("tenants.generation.RECHECK_SECONDS", 3600.0)


def with_redis(settings: Settings, server: Redis, password_file: Path) -> Settings:
    return read_settings(
        {
            "EXTRANET_HOME": str(settings.home),
            "EXTRANET_REDIS_URL": f"redis://{server.host}:{server.port}/0",
            "EXTRANET_REDIS_PASSWORD_FILE": str(password_file),
        }
    )


def listening() -> int:
    return [thread.name for thread in threading.enumerate()].count("wakeups")


def until(happens: Callable[[], object], what: str) -> None:
    end = time.monotonic() + SOON
    while not happens():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def is_suspended(tenancy: Tenancy) -> bool:
    try:
        tenancy.resolver.resolve("acme.localhost")
    except TenantSuspended:
        return True
    return False


@pytest.mark.usefixtures("unsafe_resolver")
def test_a_change_is_seen_by_who_listens_and_only_there(shared: Settings, settings: Settings) -> None:
    with (
        Tenancy.open(shared, HISTORY, serving=True) as serving,
        Tenancy.open(settings, HISTORY, serving=True) as deaf,
        Tenancy.open(shared, HISTORY) as operator,
    ):
        for tenancy in (serving, deaf):
            assert not is_suspended(tenancy)
        lifecycle.suspend_tenant(operator, "acme")
        until(lambda: is_suspended(serving), "Nobody was woken.")
        assert not is_suspended(deaf)


@pytest.mark.usefixtures("unsafe_resolver")
def test_a_change_is_seen_after_the_store_was_restarted(shared: Settings, redis_server: Redis) -> None:
    with Tenancy.open(shared, HISTORY, serving=True) as serving, Tenancy.open(shared, HISTORY) as operator:
        assert not is_suspended(serving)
        until(lambda: serving.generation._answer[0] < 0, "Nobody listens.")
        assert not is_suspended(serving)
        redis_server.stop()
        # Nobody hears this; it is seen when there is somebody to listen to again.
        lifecycle.suspend_tenant(operator, "acme")
        assert not is_suspended(serving)
        redis_server.start()
        until(lambda: is_suspended(serving), "What was missed is not made up for.")


@pytest.mark.usefixtures("unsafe_resolver")
def test_a_child_process_listens_for_itself(shared: Settings) -> None:
    with Tenancy.open(shared, HISTORY, serving=True) as serving, Tenancy.open(shared, HISTORY) as operator:
        assert not is_suspended(serving)

        def in_child() -> bool:
            serving.generation.forget()
            assert not is_suspended(serving)
            lifecycle.suspend_tenant(operator, "acme")
            until(lambda: is_suspended(serving), "The child is deaf.")
            return True

        assert in_children([in_child]) == [True]


def test_one_thread_listens_however_often_it_is_asked_and_ends_when_closed(listener: Wakeups, woken: Woken) -> None:
    for _ in range(3):
        listener.listen()
    assert woken.wait()
    assert listening() == 1
    listener.close()
    until(lambda: listening() == 0, "It has not ended.")


def test_the_message_says_nothing(listener: Wakeups, redis_server: Redis) -> None:
    with redis.Redis.from_url(redis_server.url) as client, client.pubsub() as channel:
        channel.subscribe("extranet:changed")
        channel.get_message(timeout=SOON)
        listener.announce()
        message = channel.get_message(timeout=SOON)
    assert (message["channel"], message["data"]) == (b"extranet:changed", b"")


def test_an_answer_to_whether_it_is_still_there_wakes_nobody(listener: Wakeups, woken: Woken) -> None:
    listener.listen()
    assert woken.wait()
    assert not woken.wait(0.3)


def test_a_store_that_hangs_is_left_and_found_again(listener: Wakeups, woken: Woken, redis_server: Redis) -> None:
    listener.listen()
    assert woken.wait()
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        time.sleep(0.5)
        assert not woken.wait(0)
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    assert woken.wait()
    listener.announce()
    assert woken.wait()


def test_a_password_that_others_can_read_or_that_is_not_there_is_refused(shared: Settings, password_file: Path) -> None:
    password_file.chmod(0o640)
    with pytest.raises(BadSettings, match="open to others"):
        open_store(shared)
    password_file.unlink()
    with pytest.raises(BadSettings, match="No such file"):
        open_store(shared)
    password_file.symlink_to(shared.master_key_file)
    with pytest.raises(BadSettings, match="symbolic links"):
        open_store(shared)


def test_an_option_that_redis_does_not_know_is_refused(tmp_path: Path) -> None:
    settings = read_settings({"EXTRANET_HOME": str(tmp_path), "EXTRANET_REDIS_URL": "redis://localhost?db=x&ssl=maybe"})
    with pytest.raises(BadSettings, match="EXTRANET_REDIS_URL cannot be used"):
        open_store(settings)


def test_whether_it_answers_can_be_asked(shared: Settings, password_file: Path) -> None:
    store = open_store(shared)
    assert store is not None
    store.check()
    store.close()
    password_file.write_text("a-secret")
    store = open_store(shared)
    assert store is not None
    with pytest.raises(TenantUnavailable, match=r"does not answer: .*password") as refused:
        store.check()
    assert "a-secret" not in str(refused.value)


def test_without_a_setting_there_is_no_store(settings: Settings) -> None:
    assert open_store(settings) is None
