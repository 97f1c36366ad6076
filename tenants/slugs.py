"""Slugs that are nobody's and still not free: those a tenant has left, and those of purged tenants.

Each function works in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, insert, select

from tenants.errors import SlugTaken
from tenants.moments import now
from tenants.registry_tables import former_slug_table, tombstone_table

REST = timedelta(days=100)
"""How long a purged tenant's slug stays free: no browser keeps a cookie of ours longer, and none is to send one to
somebody else."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A slug that was a purged tenant's when it was purged, or before."""

    tenant_uuid: UUID
    slug: str
    purged_at: datetime

    @property
    def free_at(self) -> datetime:
        """From when on the slug may be somebody else's."""
        return self.purged_at + REST


def bury(connection: Connection, tenant_uuid: UUID, slugs: Iterable[str]) -> None:
    """Note that a tenant with these slugs is gone."""
    purged_at = now()
    rows = [{"tenant_uuid": tenant_uuid, "slug": slug, "purged_at": purged_at} for slug in slugs]
    connection.execute(insert(tombstone_table), rows)


def find_buried(connection: Connection, slug: str) -> list[Tombstone]:
    """Return whose slug this was, the last one first."""
    theirs = select(tombstone_table).where(tombstone_table.c.slug == slug)
    rows = connection.execute(theirs.order_by(tombstone_table.c.purged_at.desc()))
    return [Tombstone(row.tenant_uuid, row.slug, row.purged_at) for row in rows]


def refuse_slug(connection: Connection, slug: str, tenant_uuid: UUID | None) -> None:
    """Raise SlugTaken unless a slug that no tenant has may become this one's.

    One that another tenant has left redirects to it; of one that a purged tenant had, browsers may hold cookies.
    """
    former = select(former_slug_table.c.tenant_uuid).where(former_slug_table.c.slug == slug)
    owner = connection.execute(former).scalar_one_or_none()
    if owner is not None and owner != tenant_uuid:
        raise SlugTaken(f"The slug {slug!r} belonged to another tenant and stays reserved.")
    for tombstone in find_buried(connection, slug):
        if now() < tombstone.free_at:
            raise SlugTaken(
                f"The slug {slug!r} was a purged tenant's and is free from {tombstone.free_at:%Y-%m-%d} on: "
                "until then browsers may hold its cookies."
            )
