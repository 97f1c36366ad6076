from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tenants.errors import Busy
from tenants.locks import Locks
from tenants.registry_database import open_registry
from tenants.settings import Settings
from tests.services.postgresql import Cluster
from tests.tenants.world import in_children

KEPT_ON = ("sqlite", "postgresql")


@pytest.fixture
def locks(settings: Settings) -> Locks:
    return another(settings)


def another(settings: Settings) -> Locks:
    """The locks as another command sees them."""
    return Locks(settings.home / "locks", open_registry(settings))


def attempt(locks: Locks, name: str) -> str:
    try:
        with locks.hold(name):
            return "held"
    except Busy as error:
        return str(error)


def test_who_comes_second_is_told_at_once_and_other_names_are_free(locks: Locks, settings: Settings) -> None:
    other = another(settings)
    began = time.monotonic()
    with locks.hold("acme"), locks.hold("the fleet"):
        assert attempt(other, "acme") == "Another command is at work on acme; try again when it has ended."
        # Nor is it anybody's who asks twice.
        assert attempt(locks, "acme") != "held"
        assert attempt(other, "globex") == "held"
    assert attempt(other, "acme") == "held"
    assert time.monotonic() - began < 10


def test_a_lock_is_free_again_whatever_happened_under_it(locks: Locks, settings: Settings) -> None:
    with pytest.raises(ZeroDivisionError), locks.hold("acme"):
        raise ZeroDivisionError
    assert attempt(another(settings), "acme") == "held"


def test_of_many_at_once_one_holds_it(settings: Settings, tmp_path: Path) -> None:
    def hold() -> bool:
        with ExitStack() as stack:
            try:
                stack.enter_context(another(settings).hold("acme"))
            except Busy:
                return False
            finally:
                (tmp_path / f"tried-{os.getpid()}").touch()
            # Nobody lets go before all have tried.
            end = time.monotonic() + 20
            while len(list(tmp_path.glob("tried-*"))) < 6 and time.monotonic() < end:
                time.sleep(0.01)
        return True

    assert in_children([hold] * 6).count(True) == 1


def test_a_dead_process_holds_nothing(settings: Settings, tmp_path: Path) -> None:
    process = os.fork()
    if process == 0:
        with another(settings).hold("acme"):
            (tmp_path / "held").touch()
            time.sleep(60)
        os._exit(1)
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    locks = another(settings)
    assert attempt(locks, "acme") != "held"
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    # The server notices a moment later.
    end = time.monotonic() + 10
    while attempt(locks, "acme") != "held":
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("kept_on", ["postgresql"], indirect=True)
def test_while_a_command_works_no_transaction_stays_open(locks: Locks, cluster: Cluster) -> None:
    asked = (
        "SELECT a.state FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND a.datname = 'registry'"
    )
    with locks.hold("acme"):
        assert cluster.execute(asked) == [("idle",)]
    cluster.until(lambda: cluster.execute(asked) == [], "The lock stayed.")


@pytest.mark.parametrize("kept_on", ["postgresql"], indirect=True)
def test_machines_with_homes_of_their_own_see_each_others_locks(
    locks: Locks, settings: Settings, tmp_path: Path
) -> None:
    elsewhere = Locks(tmp_path / "another-machine", open_registry(settings))
    with locks.hold("acme"):
        assert attempt(elsewhere, "acme") != "held"
    assert attempt(elsewhere, "acme") == "held"


@pytest.mark.parametrize("kept_on", ["postgresql"], indirect=True)
def test_a_command_that_is_interrupted_while_it_lets_go_leaves_nothing_open(
    locks: Locks, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with locks._registry.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
    with pytest.raises(KeyboardInterrupt), locks.hold("acme"):
        monkeypatch.setattr(psycopg.Cursor, "execute", interrupt)
    monkeypatch.undo()
    assert raw.closed


def test_a_lock_is_free_the_moment_it_is_given_back(locks: Locks) -> None:
    # Closing the connection alone once left it to the server when that was.
    assert {attempt(locks, "acme") for _ in range(30)} == {"held"}
