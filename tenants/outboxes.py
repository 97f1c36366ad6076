"""Which tenants have mail to be sent: one row a tenant in the registry, so that the worker never asks all of them.

Mail lies in its tenant's database, and no transaction spans two databases. The order is what loses none: the row is
written before the tenant's transaction is committed, and removed only by a worker that has seen the outbox empty when
the row was older than any such transaction lasts. A crash in between leaves a row too many, which costs one look. A row
that was written again meanwhile has another number and stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, Uuid, bindparam, delete, event, select, text, update

from tenants.databases import TenantSession
from tenants.moments import now
from tenants.registry import Registry
from tenants.registry_tables import outbox_table

_BOUND = (bindparam("tenant", type_=Uuid), bindparam("now", type_=DateTime))
_INSERT = "INSERT INTO outbox (tenant_uuid, number, noted_at, look_at) VALUES (:tenant, 1, :now, :now)"
_NOTE = text(
    f"{_INSERT} ON CONFLICT (tenant_uuid) DO UPDATE "
    "SET number = outbox.number + 1, noted_at = excluded.noted_at, look_at = excluded.look_at"
).bindparams(*_BOUND)
_MENTION = text(f"{_INSERT} ON CONFLICT (tenant_uuid) DO NOTHING").bindparams(*_BOUND)


@dataclass(frozen=True, slots=True)
class Noted:
    """A tenant whose outbox is to be looked at, as the registry said it at one moment. Times are naive UTC."""

    tenant_uuid: UUID
    number: int
    noted_at: datetime


class Outboxes:
    """The rows of all tenants. ``announce`` wakes the workers at once, where there is something to wake them with."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.announce: Callable[[], None] = lambda: None

    def note(self, tenant_uuid: UUID) -> None:
        """Say that a tenant is about to have mail. Call it before the transaction with the mail is committed."""
        with self._registry.writing() as connection:
            connection.execute(_NOTE, {"tenant": tenant_uuid, "now": now()})

    def mention(self, tenant_uuid: UUID) -> None:
        """Say that a tenant was found to have mail; what is known already stays as it is."""
        with self._registry.writing() as connection:
            connection.execute(_MENTION, {"tenant": tenant_uuid, "now": now()})

    def due(self, most: int) -> list[Noted]:
        """Return the tenants to look at now, the longest waiting first."""
        table = outbox_table.c
        rows = select(table.tenant_uuid, table.number, table.noted_at).where(table.look_at <= now())
        with self._registry.engine.connect() as connection:
            found = connection.execute(rows.order_by(table.look_at).limit(most))
            return [Noted(*row) for row in found]

    def look_again(self, noted: Noted, at: datetime) -> None:
        """Look at a tenant again at a later moment, unless it has been noted again meanwhile."""
        with self._registry.writing() as connection:
            connection.execute(update(outbox_table).where(_unchanged(noted)).values(look_at=at))

    def remove(self, noted: Noted) -> None:
        """Forget a tenant whose outbox is empty, unless it has been noted again meanwhile."""
        with self._registry.writing() as connection:
            connection.execute(delete(outbox_table).where(_unchanged(noted)))


def _unchanged(noted: Noted) -> ColumnElement[bool]:
    table = outbox_table.c
    return (table.tenant_uuid == noted.tenant_uuid) & (table.number == noted.number)


# Here, and not where requests and commands end: some operations commit on their way, and none of them can forget it.
@event.listens_for(TenantSession, "before_commit")
def _note(db: TenantSession) -> None:
    outboxes: Outboxes | None = db.info.get("outboxes")
    # A savepoint that is released makes nothing durable yet.
    if outboxes is not None and db.info.get("posted") and not db.in_nested_transaction():
        outboxes.note(db.tenant.uuid)
        db.info["posted"] = False
        db.info["noted"] = True


@event.listens_for(TenantSession, "after_commit")
def _announce(db: TenantSession) -> None:
    if db.info.pop("noted", False):
        db.info["outboxes"].announce()
