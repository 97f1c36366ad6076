"""What a connection and the line before it do when a server is slow, silent, or follows another one."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError, StatementError

from tenants import postgresql, postgresql_connection, postgresql_pool, silence
from tenants.budget import ConnectionBudget
from tenants.errors import ReadOnlyDatabase, TenantUnavailable, Unreachable
from tenants.postgresql import close_idle, make_engine
from tenants.silence import Silence
from tests.services.postgresql import Cluster
from tests.services.service import HOST, free_port
from tests.tenants.servers import cleaned

Make = Callable[..., Engine]


@pytest.fixture
def url(cluster: Cluster) -> Iterator[str]:
    with cleaned(cluster):
        cluster.provisioner()
        cluster.execute("CREATE DATABASE faults OWNER provisioner")
        yield cluster.url("faults", "provisioner")


@pytest.fixture
def budget() -> ConnectionBudget:
    return ConnectionBudget(4, lambda: False)


@pytest.fixture
def make(url: str) -> Iterator[Make]:
    """Makes one tenant's engine after another, and closes them at the end."""
    with ExitStack() as stack:

        def make(budget: ConnectionBudget, **options: Any) -> Engine:
            engine = make_engine(
                "The database", lambda: postgresql.connect(url, budget=budget), lambda _connection: None, **options
            )
            stack.callback(engine.dispose)
            return engine

        yield make


@contextmanager
def held(engine: Engine, count: int) -> Iterator[None]:
    """Keep that many of an engine's connections in use."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(engine.connect()).execute(text("SELECT 1"))
        yield


def ask(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))


def refused_after(engine: Engine) -> float:
    began = time.monotonic()
    with pytest.raises(TenantUnavailable, match="All connections to this database are in use"):
        ask(engine)
    return time.monotonic() - began


def test_while_a_line_stands_still_two_wait_and_the_rest_is_turned_away_at_once(
    make: Make, budget: ConnectionBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_pool, "WAIT_SECONDS", 0.6)
    monkeypatch.setattr(postgresql_pool, "_SLOW_SECONDS", 0.3)
    engine = make(budget)
    with held(engine, 4):
        # Nobody knows yet that it stands still: all wait.
        with ThreadPoolExecutor(5) as pool:
            waits = list(pool.map(lambda _: refused_after(engine), range(5)))
        assert min(waits) > 0.5
        with ThreadPoolExecutor(6) as pool:
            waits = sorted(pool.map(lambda _: refused_after(engine), range(6)))
        assert waits[3] < 0.5 < waits[4], "two of six wait, four are turned away"
    time.sleep(0.3)
    # It moves again, and whoever comes is served.
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: ask(engine), range(60)))
    assert budget.taken == 4


def test_a_line_that_moves_is_let_be(make: Make, budget: ConnectionBudget) -> None:
    engine = make(budget)

    def work(_: int) -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_sleep(0.01)"))

    # As many as a worker has threads.
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(120)))


def test_who_cannot_connect_holds_no_place(budget: ConnectionBudget) -> None:
    engine = make_engine(
        "The database", lambda: postgresql.connect("host=127.0.0.1 port=1", budget=budget), lambda _connection: None
    )
    for _ in range(10):
        with pytest.raises(TenantUnavailable, match="cannot be reached"):
            ask(engine)
    assert budget.taken == 0


def test_a_tenant_that_is_never_idle_hands_its_connection_over(make: Make) -> None:
    budget = ConnectionBudget(1, lambda: False)
    busy, other = make(budget, most=1), make(budget, most=1)
    stop = threading.Event()

    def go_on() -> None:
        while not stop.is_set():
            ask(busy)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        for _ in range(5):
            ask(other)
            close_idle(other)
    finally:
        stop.set()
        thread.join()
    assert budget.taken <= 1


def test_a_budget_smaller_than_a_tenant_s_share_bounds_the_tenant(make: Make) -> None:
    budget = ConnectionBudget(1, lambda: False)
    engine = make(budget, most=1)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ask(engine), range(40)))
    assert budget.taken == 1


def test_a_write_that_meets_a_server_which_follows_another_is_unavailable_and_its_connection_is_gone(
    make: Make, budget: ConnectionBudget
) -> None:
    engine = make(budget, one_writer=False)
    ask(engine)
    writer = engine.execution_options(writing=True)
    with writer.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        with pytest.raises(Unreachable, match="cannot be written to"):
            connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'in recovery' USING ERRCODE = '25006'; END $$")
        assert raw.closed
    assert budget.taken == 0
    ask(engine)


def test_a_reader_that_writes_is_still_at_fault_itself(make: Make, budget: ConnectionBudget) -> None:
    engine = make(budget)
    with pytest.raises(ReadOnlyDatabase), engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x int)")
    assert budget.taken == 1


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_connection, "_ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(postgresql_connection, "_COMMIT_SECONDS", 0.1)
    monkeypatch.setitem(postgresql_connection._REACHING, "connect_timeout", 2)


@pytest.mark.usefixtures("hasty")
def test_an_answer_that_does_not_come_is_not_waited_for_and_the_server_is_left_alone(
    make: Make, budget: ConnectionBudget
) -> None:
    engine, neighbour = make(budget), make(budget)
    ask(neighbour)
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        with pytest.raises(TenantUnavailable, match="hung up"):
            connection.execute(text("SELECT pg_sleep(5)"))
        assert raw.closed
    # What the neighbour keeps open may hang as well; a new one is not to be had for a moment.
    with pytest.raises(TenantUnavailable, match="did not answer a moment ago"):
        ask(neighbour)
    assert budget.taken == 0
    time.sleep(1.1)
    ask(engine)
    ask(neighbour)


@pytest.mark.usefixtures("hasty")
def test_a_commit_that_waits_for_others_says_nothing_of_the_server(make: Make, budget: ConnectionBudget) -> None:
    engine = make(budget)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    writer = engine.execution_options(writing=True)
    with writer.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE waits (x int)")
        connection.exec_driver_sql(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$"
        )
        connection.exec_driver_sql(
            "CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON waits DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION wait()"
        )
    with pytest.raises(TenantUnavailable, match="hung up"), writer.begin() as connection:
        connection.exec_driver_sql("INSERT INTO waits VALUES (1)")
    assert budget.taken == 0
    ask(engine)


@pytest.mark.usefixtures("hasty")
def test_an_error_that_is_an_answer_closes_nothing(make: Make, budget: ConnectionBudget) -> None:
    engine = make(budget)
    with pytest.raises(TenantUnavailable, match="lock timeout"), engine.connect() as connection:
        connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'lock timeout' USING ERRCODE = '55P03'; END $$")
    assert budget.taken == 1


@pytest.mark.usefixtures("hasty")
def test_a_machine_that_takes_a_connection_and_says_nothing_is_tried_by_one_at_a_time(
    budget: ConnectionBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "_REST_SECONDS", 0.2)
    with socket.create_server((HOST, port := free_port())):
        address = f"host={HOST} port={port} user=x dbname=x"

        def connect() -> float:
            began = time.monotonic()
            with pytest.raises(TenantUnavailable):
                postgresql.connect(address, budget=budget)
            return time.monotonic() - began

        assert connect() > 1.5
        assert connect() < 1
        time.sleep(0.3)
        with ThreadPoolExecutor(6) as pool:
            waits = sorted(pool.map(lambda _: connect(), range(6)))
    assert waits[4] < 1 < waits[5]
    assert budget.taken == 0


def test_a_server_that_answers_is_trusted_again() -> None:
    quiet = Silence()
    quiet.respect()
    quiet.falls()
    with pytest.raises(TenantUnavailable):
        quiet.respect()
    quiet.ends()
    for _ in range(3):
        quiet.respect()
    assert quiet.has_fallen_since(time.monotonic() - 1)
    assert not quiet.has_fallen_since(time.monotonic())


def test_what_an_address_says_of_its_patience_holds(url: str) -> None:
    connection = postgresql.connect(f"{url}?tcp_user_timeout=1234&keepalives_idle=77")
    with connection:
        given = psycopg.conninfo.conninfo_to_dict(connection.info.dsn)
    assert (given["tcp_user_timeout"], given["keepalives_idle"], given["connect_timeout"]) == ("1234", "77", "3")


def test_a_server_that_was_stopped_in_its_tracks_is_reached_when_it_goes_on(
    make: Make, budget: ConnectionBudget, cluster: Cluster, hasty: None
) -> None:
    engine = make(budget)
    with engine.connect() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(TenantUnavailable):
            ask(engine)
    finally:
        os.kill(pid, signal.SIGCONT)
    time.sleep(1.1)
    ask(engine)


def test_places_and_permits_are_all_free_again_after_a_storm(make: Make) -> None:
    engines: list[Engine] = []
    budget = ConnectionBudget(3, lambda: any(close_idle(engine) for engine in engines))
    engines += [make(budget, most=3) for _ in range(3)]

    def work(number: int) -> bool:
        try:
            with engines[number % 3].connect() as connection:
                connection.execute(text("SELECT 1 / :n"), {"n": number % 7})
        except DatabaseError:
            # One in seven divides by nothing.
            return True
        except TenantUnavailable:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        answered = list(pool.map(work, range(300)))
    assert answered.count(True) > 250
    for engine in engines:
        turns: Any = engine.pool._turns  # type: ignore[attr-defined]
        assert turns._value == 3
        engine.dispose()
    assert budget.taken == 0


def test_a_question_that_was_never_sent_says_nothing_of_the_server(make: Make, budget: ConnectionBudget) -> None:
    engine = make(budget)
    with engine.connect() as connection:
        with pytest.raises(StatementError, match="bind parameter"):
            connection.execute(text("SELECT :missing"))
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
