from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DatabaseError, NotSupportedError

from tenants import postgresql, postgresql_connection, postgresql_pool
from tenants.budget import ConnectionBudget
from tenants.errors import ReadOnlyDatabase, TenantUnavailable, Unreachable, WrongStamp
from tenants.postgresql import make_engine
from tests.services.postgresql import Cluster
from tests.tenants.servers import cleaned
from tests.tenants.world import in_children

WHERE = "The database of acme on pg1"


@pytest.fixture
def url(cluster: Cluster) -> Iterator[str]:
    """A database with one row."""
    with cleaned(cluster):
        cluster.provisioner()
        cluster.execute("CREATE DATABASE kept OWNER provisioner")
        url = cluster.url("kept", "provisioner")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE t (x text PRIMARY KEY, n int)")
            connection.execute("INSERT INTO t VALUES ('old', 0)")
        yield url


@pytest.fixture
def budget() -> ConnectionBudget:
    return ConnectionBudget(4, lambda: False)


Make = Callable[..., Engine]


@pytest.fixture
def make(url: str, budget: ConnectionBudget) -> Iterator[Make]:
    """Makes engines, and closes them at the end."""
    made: list[Engine] = []

    def make(on_connect: Callable[[Any], None] = no_check, *, at: str = url, **options: Any) -> Engine:
        made.append(make_engine(WHERE, lambda: postgresql.connect(at, budget=budget), on_connect, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()
    assert budget.taken == 0


@pytest.fixture
def engine(make: Make) -> Engine:
    return make()


def no_check(_connection: Any) -> None:
    pass


def read(engine: Engine) -> str:
    with engine.connect() as connection:
        value: str = connection.execute(text("SELECT x FROM t")).scalar_one()
        return value


def write(engine: Engine, value: str) -> None:
    with engine.execution_options(writing=True).begin() as connection:
        connection.execute(text("UPDATE t SET x = :x"), {"x": value})


def server_process(connection: Connection) -> int:
    number: int = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return number


def end(cluster: Cluster, pid: int) -> None:
    """End one connection, as an administrator or a restart does."""
    cluster.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE t SET x = 'new'",
        "DELETE FROM t",
        "TRUNCATE t",
        "CREATE TABLE u (x int)",
        "DROP TABLE t",
        "SELECT * FROM t FOR UPDATE",
        "SELECT nextval('s')",
        "COMMENT ON TABLE t IS 'x'",
    ],
)
def test_a_connection_that_did_not_ask_to_write_cannot(engine: Engine, url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SEQUENCE s")
    with engine.connect() as reader, pytest.raises(ReadOnlyDatabase, match="opened for reading"):
        reader.exec_driver_sql(statement)
    write(engine, "newest")
    assert read(engine) == "newest"


def test_a_reader_sees_one_moment_from_first_to_last(engine: Engine) -> None:
    with engine.connect() as reader:
        assert reader.execute(text("SELECT x FROM t")).scalar_one() == "old"
        write(engine, "new")
        assert reader.execute(text("SELECT x FROM t")).scalar_one() == "old"
    assert read(engine) == "new"


def test_a_writer_waits_for_the_writer_before_it_and_sees_what_that_one_saved(engine: Engine) -> None:
    seen: list[str] = []

    def second() -> None:
        with engine.execution_options(writing=True).begin() as connection:
            seen.append(connection.execute(text("SELECT x FROM t")).scalar_one())

    with engine.execution_options(writing=True).begin() as first:
        # Nothing is written yet, and whoever comes next waits all the same: what is checked stays true.
        first.execute(text("SELECT x FROM t"))
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.1)
        assert seen == []
        assert read(engine) == "old"
        first.execute(text("UPDATE t SET x = 'first'"))
    thread.join(10)
    assert seen == ["first"]


def test_of_twenty_that_count_at_once_none_overwrites_another(engine: Engine) -> None:
    def count(_: int) -> None:
        with engine.execution_options(writing=True).begin() as connection:
            number = connection.execute(text("SELECT n FROM t")).scalar_one()
            connection.execute(text("UPDATE t SET n = :n"), {"n": number + 1})

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(count, range(200)))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT n FROM t")).scalar_one() == 200


def test_writers_need_not_wait_where_rows_decide(make: Make) -> None:
    engine = make(one_writer=False)
    with engine.execution_options(writing=True).begin() as first:
        first.execute(text("SELECT 1"))
        write(engine, "second")
    assert read(engine) == "second"


def test_a_writer_that_never_ends_makes_others_unavailable(make: Make, url: str) -> None:
    engine = make(at=f"{url}?options=-c%20lock_timeout%3D50ms")
    with engine.execution_options(writing=True).begin() as first:
        first.execute(text("SELECT 1"))
        with pytest.raises(TenantUnavailable, match="lock timeout"):
            write(engine, "second")
    write(engine, "third")
    assert read(engine) == "third"


def test_only_what_a_power_cut_may_take_back_does_not_wait_for_the_disk(engine: Engine) -> None:
    for durable, setting in ((True, "on"), (False, "off"), (True, "on")):
        with engine.execution_options(writing=True, durable=durable).begin() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == setting


def test_a_mistake_in_a_statement_stays_the_programs_own_and_quotes_no_value(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(DatabaseError, match="does not exist") as caught:
        connection.execute(text("SELECT * FROM absent WHERE x = :x"), {"x": "what somebody typed"})
    assert "what somebody typed" not in str(caught.value)


def test_beginning_twice_is_the_programs_own_mistake(engine: Engine) -> None:
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        raw.execute("SELECT 1")
        with pytest.raises(psycopg.ProgrammingError, match="transaction"):
            connection.execute(text("SELECT 1"))


def test_engines_share_compiled_statements(make: Make) -> None:
    statement = text("SELECT x AS shared FROM t")
    before = len(postgresql._compiled_statements)
    for engine in (make(), make()):
        with engine.connect() as connection:
            connection.execute(statement)
    assert len(postgresql._compiled_statements) == before + 1


def test_dialects_are_one_and_the_same_and_know_the_server(make: Make, cluster: Cluster) -> None:
    one, other = make(), make()
    with one.connect(), other.connect():
        assert one.dialect == other.dialect
        assert hash(one.dialect) == hash(other.dialect)
        assert one.dialect != object()
        ((version,),) = cluster.execute("SELECT current_setting('server_version_num')::int")
        known: Any = one.dialect
        assert known.server_version_info == (version // 10000, version % 10000)


def test_a_refusing_check_closes_the_connection(make: Make, budget: ConnectionBudget) -> None:
    def refuse(_connection: Any) -> None:
        raise WrongStamp("another's")

    engine = make(refuse)
    for _ in range(6):
        with pytest.raises(WrongStamp):
            read(engine)
    assert budget.taken == 0


def test_a_check_that_finds_no_such_table_makes_the_database_unavailable(make: Make, budget: ConnectionBudget) -> None:
    engine = make(lambda connection: connection.execute("SELECT * FROM absent"))
    with pytest.raises(TenantUnavailable, match="not as it should be: relation"):
        read(engine)
    assert budget.taken == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda url: url.replace("/kept", "/absent"), "does not exist"),
        (lambda url: url.replace("provisioner:", "provisioner:wrong"), "authentication failed"),
        (lambda _: "host=127.0.0.1 port=1 dbname=kept", "Connection refused"),
        (lambda _: "host=nowhere.invalid dbname=kept", "nowhere.invalid"),
    ],
)
def test_a_server_that_cannot_be_reached_is_unavailable(
    make: Make, budget: ConnectionBudget, url: str, change: Callable[[str], str], why: str
) -> None:
    with pytest.raises(TenantUnavailable, match=why) as caught:
        read(make(at=change(url)))
    assert "\n" not in str(caught.value)
    assert budget.taken == 0


def test_what_interrupts_a_connection_that_is_being_made_gives_its_permit_back(
    make: Make, budget: ConnectionBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(postgresql_connection._Connection, "connect", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read(make())
    with pytest.raises(KeyboardInterrupt):
        postgresql.connect("")
    assert budget.taken == 0


def test_without_a_budget_nobody_counts(url: str) -> None:
    connection = postgresql.connect(url)
    connection.close()
    connection.close()
    with pytest.raises(TenantUnavailable):
        postgresql.connect("host=127.0.0.1 port=1")


def test_more_at_once_than_one_database_may_have_wait_and_then_give_up(
    make: Make, monkeypatch: pytest.MonkeyPatch, budget: ConnectionBudget
) -> None:
    monkeypatch.setattr(postgresql_pool, "WAIT_SECONDS", 0.1)
    engine = make()
    held = [engine.connect() for _ in range(4)]
    for connection in held:
        connection.execute(text("SELECT 1"))
    assert budget.taken == 4
    with pytest.raises(TenantUnavailable, match="All connections to this database are in use"):
        read(engine)
    for connection in held:
        connection.close()
    assert read(engine) == "old"
    assert budget.taken == 4


@pytest.mark.parametrize(("room", "opened"), [(True, 2), (False, 1)])
def test_while_there_is_no_room_for_another_one_in_use_is_waited_for(
    make: Make, budget: ConnectionBudget, monkeypatch: pytest.MonkeyPatch, room: bool, opened: int
) -> None:
    monkeypatch.setattr(postgresql_pool, "_SPARING_SECONDS", 5)
    engine = make(has_room=lambda: room)
    # A fork makes every pool anew.
    engine.dispose()
    barrier = threading.Barrier(2)

    def visit() -> None:
        barrier.wait()
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_sleep(0.005)"))

    with ThreadPoolExecutor(2) as threads:
        for _ in range(3):
            list(threads.map(lambda _number: visit(), range(2)))
    assert budget.taken == opened


def test_who_has_waited_in_vain_for_one_in_use_opens_another(make: Make, budget: ConnectionBudget) -> None:
    engine = make(has_room=lambda: False)
    with engine.connect() as one, engine.connect() as other:
        assert server_process(one) != server_process(other)
    assert budget.taken == 2


def test_a_kept_connection_that_the_server_ended_is_replaced_unnoticed(
    engine: Engine, cluster: Cluster, budget: ConnectionBudget
) -> None:
    for _ in range(3):
        with engine.connect() as connection:
            pid = server_process(connection)
        end(cluster, pid)
        assert read(engine) == "old"
        assert budget.taken == 1


@pytest.mark.parametrize("writing", [False, True])
def test_a_connection_ended_in_the_middle_is_unavailable_once(
    engine: Engine, cluster: Cluster, budget: ConnectionBudget, writing: bool
) -> None:
    for _ in range(5):
        with engine.execution_options(writing=writing).connect() as connection:
            end(cluster, server_process(connection))
            with pytest.raises(TenantUnavailable):
                connection.execute(text("SELECT x FROM t"))
        assert read(engine) == "old"
        assert budget.taken == 1


def test_a_commit_that_found_no_server_is_unavailable(engine: Engine, cluster: Cluster) -> None:
    with engine.execution_options(writing=True).connect() as connection:
        connection.execute(text("UPDATE t SET x = 'lost'"))
        end(cluster, server_process(connection))
        with pytest.raises(TenantUnavailable):
            connection.commit()
    assert read(engine) == "old"


def test_a_connection_ended_between_check_and_first_statement_is_unavailable_once(
    engine: Engine, cluster: Cluster, budget: ConnectionBudget
) -> None:
    for writing in (True, False):
        with engine.execution_options(writing=writing).connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            end(cluster, raw.info.backend_pid)
            with pytest.raises(TenantUnavailable):
                connection.execute(text("SELECT 1"))
        assert read(engine) == "old"
        assert budget.taken == 1


def test_a_transaction_that_stood_still_too_long_is_unavailable(make: Make, url: str) -> None:
    engine = make(at=f"{url}?options=-c%20idle_in_transaction_session_timeout%3D50ms")
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        time.sleep(0.2)
        with pytest.raises(TenantUnavailable):
            connection.execute(text("SELECT 1"))
    assert read(engine) == "old"


def test_a_standby_that_cannot_be_written_to_is_unreachable_and_its_connection_is_gone(
    cluster: Cluster, make: Make, budget: ConnectionBudget
) -> None:
    with cluster.standby() as standby:
        at = standby.url("kept", "provisioner", cluster._passwords["provisioner"])
        for engine in (make(at=at), make(at=at, one_writer=False)):
            standby.until(lambda: _follows(engine), "The standby does not follow.")  # noqa: B023
            with pytest.raises(Unreachable, match="cannot set transaction read-write mode during recovery"):
                write(engine, "new")
            assert budget.taken == 0
            assert read(engine) == "old"
            engine.dispose()


def test_what_a_server_does_not_support_is_the_programs_own_error(
    engine: Engine, make: Make, budget: ConnectionBudget
) -> None:
    # It has the code that a standby answers with. Once the database was said not to be one that can be written to.
    for writer in (engine, make(one_writer=False)):
        with writer.execution_options(writing=True).connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            connection.exec_driver_sql("CREATE VIEW v AS SELECT x FROM t")
            with pytest.raises(NotSupportedError, match="used by a view"):
                connection.exec_driver_sql("ALTER TABLE t ALTER x TYPE varchar(5)")
        assert not raw.closed
    assert budget.taken == 2


def _follows(engine: Engine) -> bool:
    try:
        return read(engine) == "old"
    except (TenantUnavailable, DatabaseError):
        return False


@pytest.mark.parametrize("how", ["restart", "crash"])
def test_after_a_restart_everything_goes_on_and_every_permit_came_back(
    engine: Engine, cluster: Cluster, budget: ConnectionBudget, how: str
) -> None:
    held = [engine.connect() for _ in range(3)]
    for connection in held:
        connection.execute(text("SELECT 1"))
    held.pop().close()
    cluster.stop("immediate") if how == "restart" else cluster.kill()
    try:
        for connection in held:
            with pytest.raises(TenantUnavailable):
                connection.execute(text("SELECT 1"))
            connection.close()
        for _ in range(3):
            with pytest.raises(TenantUnavailable, match="cannot be reached"):
                read(engine)
        # The idle one has not been looked at since.
        assert budget.taken == 1
    finally:
        cluster.start()
    assert read(engine) == "old"
    with engine.connect(), engine.connect(), engine.connect():
        assert budget.taken == 3
    engine.dispose()
    assert budget.taken == 0


def test_one_idle_connection_after_the_other_can_be_closed(engine: Engine, budget: ConnectionBudget) -> None:
    with engine.connect() as one, engine.connect() as other:
        pids = {server_process(connection) for connection in (one, other)}
        assert not postgresql.close_idle(engine)
    assert [postgresql.close_idle(engine) for _ in range(3)] == [True, True, False]
    assert budget.taken == 0
    held = [engine.connect() for _ in range(4)]
    assert {server_process(connection) for connection in held}.isdisjoint(pids)
    for connection in held:
        connection.close()


def test_a_child_process_inherits_no_idle_connection(engine: Engine, budget: ConnectionBudget) -> None:
    # Two processes on one connection would read each other's answers.
    with engine.connect() as connection:
        before = server_process(connection)

    def in_child() -> tuple[int, int, str]:
        inherited = budget.taken
        write(engine, "from the child")
        with engine.connect() as connection:
            return inherited, server_process(connection), read(engine)

    ((inherited, childs, said),) = in_children([in_child])
    assert (inherited, said) == (0, "from the child")
    assert childs != before
    assert read(engine) == "from the child"
    write(engine, "from the parent")
    assert read(engine) == "from the parent"


def test_what_is_in_use_at_a_fork_is_closed_when_it_is_given_back(engine: Engine, budget: ConnectionBudget) -> None:
    # Its pool had been forgotten meanwhile: it stayed open, and its permit was lost for good.
    with engine.connect() as one, engine.connect() as other:
        for connection in (one, other):
            connection.execute(text("SELECT 1"))
        in_children([lambda: None])
        assert one.execute(text("SELECT x FROM t")).scalar_one() == "old"
        other.close()
        assert budget.taken == 1
    assert budget.taken == 0
    assert read(engine) == "old"
    assert budget.taken == 1


TYPED = "what somebody typed"
MISTAKES = {
    "a row twice": ("INSERT INTO t VALUES (:typed, 1)", "23505"),
    "a row that breaks a rule": ("INSERT INTO t VALUES (:typed, -1)", "23514"),
    "a value that is no number": ("SELECT CAST(:typed AS int)", "22P02"),
    "a function that is not there": ("SELECT nothing(:typed)", "42883"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_quotes_nothing_that_was_typed(engine: Engine, url: str, kind: str) -> None:
    # The server's answer to the first two quotes the whole row.
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE t ADD CHECK (n >= 0)")
        connection.execute("INSERT INTO t VALUES (%s, 0)", [TYPED])
    statement, state = MISTAKES[kind]
    with engine.execution_options(writing=True).connect() as connection, pytest.raises(DatabaseError) as caught:
        connection.execute(text(statement), {"typed": TYPED})
    assert caught.value.orig.sqlstate == state
    told = "".join(traceback.format_exception(caught.value))
    assert TYPED not in told
    assert statement.partition(":")[0] in told


def test_what_postgresql_cannot_keep_is_found_nowhere_and_stored_as_a_sign(engine: Engine) -> None:
    with engine.execution_options(writing=True).begin() as connection:
        asked = text("SELECT count(*) FROM t WHERE x = :x")
        assert connection.execute(asked, {"x": "old\0"}).scalar_one() == 0
        connection.execute(text("INSERT INTO t VALUES (:x, 1)"), {"x": "a\0b"})
        assert connection.execute(text("SELECT x FROM t WHERE n = 1")).scalar_one() == "a\ufffdb"
