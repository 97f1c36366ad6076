"""The production engine: how PostgreSQL databases are opened, guarded and shared among tenants."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import IsolationLevel
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.dialects import registry as dialects
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import LRUCache

from tenants.budget import WAIT_SECONDS, ConnectionBudget
from tenants.errors import ReadOnlyDatabase, TenancyError, TenantUnavailable
from tenants.forks import close_at_fork

OLDEST_SERVER = 140000

# Two kept connections (1.2 MiB each on the server) cover two threads on one tenant; a burst may have two more, and the
# rest of it waits, so that one tenant never takes a whole process's budget.
_KEPT_CONNECTIONS = 2
_MOST_CONNECTIONS = 4
_RECYCLE_SECONDS = 1800

# Every writer of a database takes this lock first, as SQLite's writers do theirs: what is checked before a write is
# still true when it is written, and a waiting writer sees what the one before it saved.
_WRITE_LOCK = 1

# The server, the network or an operator is at fault. Any other error is the program's own and passes as it is.
_UNAVAILABLE = ("08", "28", "3D", "53", "55", "57", "58", "XX")
_READ_ONLY = "25006"

_compiled_statements: LRUCache[Any, Any] = LRUCache(1000)


class _Connection(psycopg.Connection[Any]):
    """A connection that gives its permit back when it is closed, by whomever."""

    permit: ConnectionBudget | None = None

    def close(self) -> None:
        super().close()
        permit, self.permit = self.permit, None
        if permit is not None:
            permit.give()


class _Pool(QueuePool):
    def _do_get(self) -> Any:
        try:
            return super()._do_get()
        except PoolTimeout as error:
            raise TenantUnavailable("All connections to this database are in use.") from error


class SharedDialect(PGDialect_psycopg):
    """Compares equal to every other, so that all tenants' engines share one cache of compiled statements."""

    supports_statement_cache = True

    def __eq__(self, other: object) -> bool:
        return type(other) is SharedDialect

    def __hash__(self) -> int:
        return hash(SharedDialect)

    def initialize(self, connection: Connection) -> None:
        """Know the server from its greeting: asking would cost each tenant's first visitor five round trips."""
        raw: Any = connection.connection.dbapi_connection
        version = raw.info.server_version
        self.server_version_info = (version // 10000, version % 10000)
        self.default_schema_name = "public"
        self.default_isolation_level = "READ COMMITTED"
        self._backslash_escapes = False
        self._supports_jsonb_subscripting = True
        self.supports_virtual_generated_columns = self.server_version_info >= (18,)


dialects.register("postgresql.tenants", __name__, SharedDialect.__name__)


def make_engine(
    where: str,
    connect: Callable[[], psycopg.Connection[Any]],
    on_connect: Callable[[psycopg.Connection[Any]], None],
    *,
    one_writer: bool = True,
) -> Engine:
    """Return an engine whose connections ``connect`` makes; ``where`` names it in errors.

    ``on_connect`` sees each new connection first and raises when it leads to the wrong database.
    Only a connection with the execution option ``writing`` can write. With ``one_writer`` it waits for the writer
    before it, as on SQLite. ``durable=False`` is for what a power cut may take back.
    """
    engine = create_engine(
        "postgresql+tenants://",
        creator=lambda: _open(where, connect, on_connect),
        poolclass=_Pool,
        pool_size=_KEPT_CONNECTIONS,
        max_overflow=_MOST_CONNECTIONS - _KEPT_CONNECTIONS,
        pool_timeout=WAIT_SECONDS,
        pool_recycle=_RECYCLE_SECONDS,
        pool_use_lifo=True,
        hide_parameters=True,
        use_native_hstore=False,
        execution_options={"compiled_cache": _compiled_statements},
    )
    event.listen(engine, "checkout", _refuse_hung_up)
    event.listen(engine, "begin", lambda connection: _begin(where, connection, one_writer))
    event.listen(engine, "handle_error", lambda context: _meaning(where, context))
    close_at_fork(engine)
    return engine


def connect(conninfo: str, *, pooled: bool = False, budget: ConnectionBudget | None = None) -> psycopg.Connection[Any]:
    """Open a connection, within a budget when there is one; raise TenantUnavailable.

    ``pooled``: a pooler in transaction mode is in between, which may not know a prepared statement again.
    """
    if budget is not None:
        budget.take()
    try:
        connection = _Connection.connect(conninfo, prepare_threshold=None if pooled else 5)
    except BaseException as error:
        if budget is not None:
            budget.give()
        if isinstance(error, psycopg.Error):
            raise TenantUnavailable(f"The server cannot be reached: {_first_line(error)}") from error
        raise
    connection.permit = budget
    return connection


def _open(
    where: str,
    connect: Callable[[], psycopg.Connection[Any]],
    on_connect: Callable[[psycopg.Connection[Any]], None],
) -> psycopg.Connection[Any]:
    connection = connect()
    try:
        on_connect(connection)
        connection.rollback()
    except psycopg.Error as error:
        connection.close()
        raise TenantUnavailable(f"{where} is not as it should be: {_first_line(error)}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_hung_up(connection: psycopg.Connection[Any], _record: Any, _proxy: Any) -> None:
    # A server that was restarted has closed its end. Looking costs 2 us, a round trip a hundred times that.
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        raise DisconnectionError("The server closed the connection.")


def _begin(where: str, connection: Connection, one_writer: bool) -> None:
    raw: Any = connection.connection.dbapi_connection
    asked = connection.get_execution_options()
    writing = asked.get("writing", False)
    try:
        # Both go into the BEGIN that the first statement sends; a reader sees one moment from first to last.
        raw.read_only = not writing
        raw.isolation_level = IsolationLevel.READ_COMMITTED if writing else IsolationLevel.REPEATABLE_READ
        if not asked.get("durable", True):
            raw.execute("SET LOCAL synchronous_commit = off")
        if writing and one_writer:
            raw.execute("SELECT pg_advisory_xact_lock(%s)", (_WRITE_LOCK,))
    except psycopg.Error as error:
        raise _refusal(where, error) or error from error


def _meaning(where: str, context: ExceptionContext) -> TenancyError | None:
    error = context.original_exception
    return _refusal(where, error) if isinstance(error, psycopg.Error) else None


def _refusal(where: str, error: psycopg.Error) -> TenancyError | None:
    state = error.sqlstate
    if state == _READ_ONLY:
        return ReadOnlyDatabase(f"{where} was opened for reading.")
    if state is None and isinstance(error, psycopg.OperationalError):
        return TenantUnavailable(f"{where} hung up: {_first_line(error)}")
    if state is not None and state.startswith(_UNAVAILABLE):
        return TenantUnavailable(f"{where} cannot be used: {_first_line(error)}")
    return None


def _first_line(error: psycopg.Error) -> str:
    # The rest of a message may quote a row.
    return str(error).strip().partition("\n")[0]
