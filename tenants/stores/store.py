"""What every store can do. Each method is safe to repeat; after a crash the next call finishes or undoes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol
from uuid import UUID

from sqlalchemy import Connection

from tenants.databases import TenantSession
from tenants.tenant import Tenant


class Store(Protocol):
    """One place that holds tenant databases."""

    name: str

    def create(self, tenant: Tenant) -> None:
        """Make an empty database at the head of the schema that nobody but an operator can open yet.

        Raises TenantUnavailable when something of this tenant is there already.
        """

    def filling(self, tenant: Tenant, origin: UUID | None = None) -> AbstractContextManager[TenantSession]:
        """Yield a ``db`` on what ``create`` or ``load`` made, to be filled in the transaction that also stamps it.

        ``origin`` is whose stamp it bears already, when it is a copy. Committed, durable and open to the tenant's
        own login at the end, or good for nothing.
        """

    def destroy(self, tenant_uuid: UUID) -> None:
        """Remove all that the store holds of a tenant: database, login, side files. Nothing there is no error."""

    def remains(self, tenant_uuid: UUID) -> list[str]:
        """Return what the store still holds of a tenant, in words; empty when all is gone."""

    def versions(self) -> Mapping[UUID, int]:
        """Return the schema version of every tenant database here, without opening one.

        What the registry does not know is among them. 0 stands for a database without a readable version.
        """

    def changing_schema(self, tenant: Tenant) -> AbstractContextManager[Connection]:
        """Yield the owner's connection, in one transaction in which no one else can write to this database.

        Committed and durable at the end, rolled back by any error. Run ``schema.upgrade`` on it, or copy from it.
        """

    def reading(self, tenant: Tenant) -> AbstractContextManager[Connection]:
        """Yield an operator's connection that sees one moment, from its first question on. It stops no writer."""

    def stopping(self, tenant: Tenant) -> AbstractContextManager[None]:
        """Let nobody write while this is open; raise TenantUnavailable when that cannot be."""

    def fence(self, tenant: Tenant) -> None:
        """Let nobody write to this database again, in whichever process it is open. It can still be read here.

        Called while ``changing_schema`` or ``stopping`` is open, so that no write can slip in before it.
        """

    def unfence(self, tenant: Tenant) -> None:
        """Take a fence away: what was to come after it will not. None there is no error."""

    def renew_login(self, tenant: Tenant) -> None:
        """Give the login that the web connects with another password, where there is one. None fails meanwhile."""

    def dump(self, tenant: Tenant, target: BinaryIO) -> None:
        """Write the database as it is at one moment, in the store's own format, while it is in use."""

    def dumping(
        self, tenant: Tenant, target: BinaryIO, at_moment: Callable[[], None], *, stopped: bool = False
    ) -> AbstractContextManager[Connection]:
        """Do as ``dump`` does, then yield a reading connection that sees the very moment that was written.

        ``at_moment`` is called while nobody can write: what it finds of the tenant's files belongs to that moment.
        ``stopped``: nobody can write in any case, for the caller has ``stopping`` open.
        """

    def load(self, tenant: Tenant, source: BinaryIO) -> None:
        """Make a database from what ``dump`` wrote, closed as ``create`` leaves it; raise TenantUnavailable.

        The stamp inside is checked: a dump of another tenant is refused and nothing is left of it.
        """

    def scratch(self, source: BinaryIO) -> AbstractContextManager[Connection]:
        """Yield a reading connection on what ``dump`` wrote, in a database of no tenant that is gone at the end."""

    def aside(self) -> Store:
        """Return the store of databases that wait, under names of their own, to take the place of the tenants' own.

        Its ``load``, ``changing_schema``, ``filling``, ``remains`` and ``destroy`` concern what waits and nothing else.
        """

    def swap(self, tenant: Tenant) -> None:
        """Put what waits aside in place of the tenant's database, which is fenced, and destroy the old one.

        When nothing waits, only what is left of an old one is destroyed: the step was done before.

        What was being written is refused, what is asked meanwhile finds the tenant unavailable for a moment.
        Raises TenantUnavailable while the old one cannot be let go of; it is in its place then, and fenced.
        """

    def size(self, tenant: Tenant) -> int:
        """Return how many bytes the database takes."""


def in_the_way(left: Sequence[str]) -> str:
    """Return what ``remains`` returned as the beginning of a refusal."""
    return f"{', '.join(left)} {'is' if len(left) == 1 else 'are'} in the way"
