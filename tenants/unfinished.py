"""What an operator began with a tenant and has not ended, so that the same command can go on where it was cut short.

Each function works in the caller's transaction: how far something came is noted with the step itself, never beside it.
The caller holds the tenant's lock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, insert, select, update

from tenants.errors import IllegalTransition
from tenants.moments import now
from tenants.registry_tables import unfinished_table


@dataclass(frozen=True, slots=True)
class Unfinished:
    """One undertaking: what it is, the step it is at, and what it needs to know to go on."""

    tenant_uuid: UUID
    verb: str
    step: str
    details: Mapping[str, Any]
    begun_at: datetime


def begin(connection: Connection, tenant_uuid: UUID, verb: str, step: str, **details: Any) -> Unfinished:
    """Note that ``verb`` was begun with a tenant, or return how far it came when it was begun before.

    ``details`` are stored as JSON. Raises IllegalTransition while another verb is unfinished.
    """
    found = find(connection, tenant_uuid)
    if found is None:
        found = Unfinished(tenant_uuid, verb, step, details, now())
        values = {"tenant_uuid": tenant_uuid, "verb": verb, "step": step, "begun_at": found.begun_at}
        connection.execute(insert(unfinished_table).values(**values, details=json.dumps(details)))
    elif found.verb != verb:
        raise IllegalTransition(f"There is an unfinished {found.verb} of this tenant: run that again first.")
    return found


def advance(connection: Connection, begun: Unfinished, step: str, **details: Any) -> Unfinished:
    """Note that an undertaking has come to another step; ``details`` are added to what is known. Return it as it is."""
    known = {**begun.details, **details}
    connection.execute(_change(begun.tenant_uuid).values(step=step, details=json.dumps(known)))
    return Unfinished(begun.tenant_uuid, begun.verb, step, known, begun.begun_at)


def end(connection: Connection, tenant_uuid: UUID) -> None:
    """Forget an undertaking: it is done, or undone. None there is no error."""
    connection.execute(delete(unfinished_table).where(unfinished_table.c.tenant_uuid == tenant_uuid))


def find(connection: Connection, tenant_uuid: UUID) -> Unfinished | None:
    """Return what is unfinished with a tenant."""
    ours = select(unfinished_table).where(unfinished_table.c.tenant_uuid == tenant_uuid)
    row = connection.execute(ours).one_or_none()
    return None if row is None else _unfinished(row)


def find_all(connection: Connection) -> list[Unfinished]:
    """Return everything that is unfinished, the oldest first."""
    rows = connection.execute(select(unfinished_table).order_by(unfinished_table.c.begun_at))
    return [_unfinished(row) for row in rows]


def _change(tenant_uuid: UUID) -> Any:
    return update(unfinished_table).where(unfinished_table.c.tenant_uuid == tenant_uuid)


def _unfinished(row: Row[Any]) -> Unfinished:
    return Unfinished(row.tenant_uuid, row.verb, row.step, json.loads(row.details), row.begun_at)
