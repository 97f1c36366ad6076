"""One connection to a PostgreSQL server: made within a budget, and given up when the other side falls silent."""

from __future__ import annotations

import select
import time
from typing import Any

import psycopg
from psycopg.abc import RV, Buffer, PQGen
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.types.string import StrDumperUnknown

from tenants.budget import ConnectionBudget
from tenants.errors import Unreachable

# A machine that is gone says nothing at all. Whatever a connection's own address says of these, holds.
_REACHING: dict[str, Any] = {
    "connect_timeout": 3,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
}
# A server gives a statement 15 seconds; one that is silent for longer will not speak again. A commit may wait for a
# standby that is gone, and no time limit of the server's ends that.
_ANSWER_SECONDS = 20.0
_COMMIT_SECONDS = 10.0

_LOOK_UP_SECONDS = 0.1


class _Text(StrDumperUnknown):
    """What PostgreSQL cannot keep, a NUL, is found nowhere, and is stored as the sign for what cannot be shown."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", "\ufffd"))


_adapters = AdaptersMap(psycopg.adapters)
_adapters.register_dumper(str, _Text)


class _Connection(psycopg.Connection[Any]):
    """A connection that gives its permit back when it is closed, by whomever, and waits for no answer for ever."""

    permit: ConnectionBudget | None = None
    made_at = 0.0
    _is_committing = False

    @property
    def is_suspect(self) -> bool:
        """Whether the server has been silent since this was opened: it may never answer on it."""
        return self.permit is not None and self.permit.silence.has_fallen_since(self.made_at)

    def wait(self, gen: PQGen[RV], interval: float = _LOOK_UP_SECONDS, timeout: float | None = None) -> RV:
        patience = _COMMIT_SECONDS if self._is_committing else _ANSWER_SECONDS
        try:
            return super().wait(gen, interval, timeout or patience)
        except psycopg.OperationalError:
            if self.info.transaction_status is TransactionStatus.ACTIVE:
                self._give_up()
            raise

    def commit(self) -> None:
        self._is_committing = True
        try:
            super().commit()
        finally:
            self._is_committing = False

    def rollback(self) -> None:
        # What only read ends alike either way; after a ROLLBACK every statement would be planned anew.
        if self.read_only and self.info.transaction_status is TransactionStatus.INTRANS:
            super().commit()
        else:
            super().rollback()

    def _give_up(self) -> None:
        if self.permit is not None and not self._is_committing:
            self.permit.silence.falls()
        # The answer, should it come after all, must not be taken for that to another question.
        self.close()

    def close(self) -> None:
        super().close()
        permit, self.permit = self.permit, None
        if permit is not None:
            permit.give()


def connect(conninfo: str, *, pooled: bool = False, budget: ConnectionBudget | None = None) -> psycopg.Connection[Any]:
    """Open a connection, within a budget when there is one; raise Unreachable.

    ``pooled``: a pooler in transaction mode is in between, which may not know a prepared statement again.
    """
    if budget is not None:
        budget.silence.respect()
        budget.take()
    try:
        reached = make_conninfo(**{**_REACHING, **conninfo_to_dict(conninfo)})
        connection = _Connection.connect(reached, context=_adapters, prepare_threshold=None if pooled else 5)
    except BaseException as error:
        if budget is not None:
            budget.give()
            if isinstance(error, psycopg.errors.ConnectionTimeout):
                budget.silence.falls()
        if isinstance(error, psycopg.Error):
            raise Unreachable(f"The server cannot be reached: {first_line(error)}") from error
        raise
    connection.made_at = time.monotonic()
    if budget is not None:
        connection.permit = budget
        budget.silence.ends()
    return connection


def hung_up(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether the server has closed its end of an idle connection. Looking costs 2 us, a round trip 200."""
    if connection.broken:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def first_line(error: psycopg.Error) -> str:
    """Return what an error says as the end of a sentence, without the lines that may quote a row."""
    return str(error).strip().partition("\n")[0].rstrip(".") + "."
