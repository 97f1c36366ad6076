"""The production engine: how PostgreSQL databases are opened, guarded and shared among tenants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import IsolationLevel
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.dialects import registry as dialects
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError, StatementError
from sqlalchemy.util import LRUCache

from tenants.errors import ReadOnlyDatabase, TenancyError, TenantUnavailable, Unreachable
from tenants.forks import close_at_fork
from tenants.postgresql_connection import connect, first_line, hung_up
from tenants.postgresql_pool import MOST_CONNECTIONS, Pool

__all__ = [
    "OLDEST_SERVER",
    "SharedDialect",
    "close_idle",
    "connect",
    "first_line",
    "has_spare",
    "hung_up",
    "make_engine",
]

# Up to PostgreSQL 14 every role may create tables in the schema "public" of every database it can connect to.
OLDEST_SERVER = 150000

_RECYCLE_SECONDS = 1800

# Every writer of a database takes this lock first, as SQLite's writers do theirs: what is checked before a write is
# still true when it is written, and a waiting writer sees what the one before it saved.
_WRITE_LOCK = 1

# The server, the network or an operator is at fault. Any other error is the program's own and passes as it is.
# 25P03: the server has ended a transaction that stood still, since we did.
_UNAVAILABLE = ("08", "25P03", "28", "3D", "53", "55", "57", "58", "XX")
_READ_ONLY = "25006"
# What a server that follows another one says to a BEGIN that means to write, and any server to much else.
_NOT_SUPPORTED = "0A000"
# It is being stopped, was just started, or is gone.
_GONE = ("08", "57P")

_compiled_statements: LRUCache[Any, Any] = LRUCache(1000)


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
    most: int = MOST_CONNECTIONS,
    has_room: Callable[[], bool] = lambda: True,
) -> Engine:
    """Return an engine whose connections ``connect`` makes; ``where`` names it in errors.

    ``on_connect`` sees each new connection first and raises when it leads to the wrong database.
    Only a connection with the execution option ``writing`` can write. With ``one_writer`` it waits for the writer
    before it, as on SQLite. ``durable=False`` is for what a power cut may take back. ``most`` connections are open at
    once, and never more than four; while there is no room for one more, whoever wants one waits a little for those.
    """
    engine = create_engine(
        "postgresql+tenants://",
        creator=lambda: _open(where, connect, on_connect),
        poolclass=Pool,
        pool_size=min(MOST_CONNECTIONS, most),
        max_overflow=0,
        pool_recycle=_RECYCLE_SECONDS,
        pool_use_lifo=True,
        hide_parameters=True,
        use_native_hstore=False,
        execution_options={"compiled_cache": _compiled_statements},
    )
    pool: Any = engine.pool
    pool.has_room = has_room
    event.listen(engine, "checkout", _refuse_hung_up)
    event.listen(engine, "begin", lambda connection: _begin(where, connection, one_writer))
    event.listen(engine, "handle_error", lambda context: _meaning(where, context))
    close_at_fork(engine)
    return engine


def has_spare(engine: Engine) -> bool:
    """Tell whether an engine keeps more than one connection open that nobody uses."""
    pool: Any = engine.pool
    return bool(pool.has_spare)


def close_idle(engine: Engine) -> bool:
    """Close one connection that an engine keeps open and nobody uses; tell whether there was one."""
    pool: Any = engine.pool
    return bool(pool.close_idle())


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
        raise TenantUnavailable(f"{where} is not as it should be: {first_line(error)}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_hung_up(connection: psycopg.Connection[Any], _record: Any, _proxy: Any) -> None:
    if hung_up(connection) or getattr(connection, "is_suspect", False):
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
    except (psycopg.OperationalError, psycopg.InternalError, psycopg.NotSupportedError) as error:
        if raw.broken or raw.closed or (writing and _follows_another(raw, error)):
            connection.invalidate(error)
            raise Unreachable(f"{where} cannot be used: {first_line(error)}") from error
        raise TenantUnavailable(f"{where} cannot be used: {first_line(error)}") from error


def _meaning(where: str, context: ExceptionContext) -> TenancyError | None:
    error = context.original_exception
    if not isinstance(error, psycopg.Error):
        return None
    if _cannot_be_written_to(context.connection, error):
        # The next connection looks for the server that can be written to.
        context.is_disconnect = True
        return Unreachable(f"{where} cannot be written to: {first_line(error)}")
    refusal = _refusal(where, error)
    if refusal is None:
        _hide_values(error, context.sqlalchemy_exception)
    return refusal


def _hide_values(error: psycopg.Error, wrapped: StatementError | None) -> None:
    # What the server adds quotes rows, and what it says of a value that it cannot read (class 22) quotes that: what
    # people typed would end in the operator's log. Nobody else has seen either of the two yet.
    quotes = (error.sqlstate or "").startswith("22")
    error.args = (f"{type(error).__name__} ({error.sqlstate})." if quotes else first_line(error),)
    if wrapped is not None:
        wrapped.args = (f"({type(error).__name__}) {error}",)


def _cannot_be_written_to(connection: Connection | None, error: psycopg.Error) -> bool:
    if connection is None or not connection.get_execution_options().get("writing", False):
        return False
    return _follows_another(connection.connection.dbapi_connection, error)


def _follows_another(raw: Any, error: psycopg.Error) -> bool:
    """Tell whether a server refused a transaction that means to write because it follows another server."""
    if error.sqlstate == _NOT_SUPPORTED:
        # When it was the BEGIN that was refused, no transaction was begun. Any other statement is in one that failed.
        return bool(raw.info.transaction_status is TransactionStatus.IDLE)
    return error.sqlstate == _READ_ONLY


def _refusal(where: str, error: psycopg.Error) -> TenancyError | None:
    state = error.sqlstate
    if state == _READ_ONLY:
        return ReadOnlyDatabase(f"{where} was opened for reading.")
    if state is None and isinstance(error, psycopg.OperationalError):
        return Unreachable(f"{where} hung up: {first_line(error)}")
    if state is not None and state.startswith(_GONE):
        return Unreachable(f"{where} cannot be used: {first_line(error)}")
    if state is not None and state.startswith(_UNAVAILABLE):
        return TenantUnavailable(f"{where} cannot be used: {first_line(error)}")
    return None
