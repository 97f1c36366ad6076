"""The platform's own database: tenants, hosts, states, wrapped keys. Nothing about the people inside a tenant.

Every change raises one generation number in the same transaction; that is how each process learns, without asking
per request, that what it has cached is out of date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, insert, select, true, update
from sqlalchemy.exc import IntegrityError

from tenants.errors import HostTaken, IllegalTransition, NoSuchHost, NoSuchTenant, SlugTaken
from tenants.moments import now
from tenants.registry_tables import (
    former_slug_table,
    generation_table,
    host_table,
    tenant_table,
    wrapped_key_table,
)
from tenants.slugs import refuse_slug
from tenants.tenant import State, Tenant, check_transition


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """One version of a tenant's key, as stored."""

    version: int
    master_id: str
    wrapped: bytes
    retired_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Dates:
    """When a tenant was created and last changed state, UTC."""

    created_at: datetime
    changed_at: datetime


class Registry:
    """Questions and changes to the registry, each in a transaction of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.announce: Callable[[], None] = lambda: None
        self._writer = engine.execution_options(writing=True)
        self._counter = engine.execution_options(writing=True, durable=False)

    @contextmanager
    def changing(self) -> Iterator[Connection]:
        """Yield a writing transaction that also tells every process to look again."""
        with self.writing() as connection:
            connection.execute(update(generation_table).values(number=generation_table.c.number + 1))
            yield connection
        self.announce()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a writing transaction that changes nothing anyone caches."""
        with self._writer.begin() as connection:
            yield connection

    @contextmanager
    def counting(self) -> Iterator[Connection]:
        """Yield a writing transaction for counters: it waits for no disk, and a power cut may set them back."""
        with self._counter.begin() as connection:
            yield connection

    def generation(self) -> int:
        """Return the number that every change raises."""
        with self.engine.connect() as connection:
            number: int = connection.execute(select(generation_table.c.number)).scalar_one()
            return number

    def by_slug(self, slug: str) -> Tenant:
        """Return the tenant with this slug; raise NoSuchTenant."""
        return self._one(tenant_table.c.slug == slug, f"There is no tenant {slug!r}.")

    def by_uuid(self, uuid: UUID) -> Tenant:
        """Return the tenant with this UUID; raise NoSuchTenant."""
        return self._one(tenant_table.c.uuid == uuid, f"There is no tenant with the UUID {uuid}.")

    def by_host(self, host: str) -> Tenant:
        """Return the tenant a custom host leads to; raise NoSuchTenant."""
        owner = select(host_table.c.tenant_uuid).where(host_table.c.name == host).scalar_subquery()
        return self._one(tenant_table.c.uuid == owner, f"No tenant answers at {host!r}.")

    def by_former_slug(self, slug: str) -> Tenant:
        """Return the tenant that once had this slug; raise NoSuchTenant."""
        owner = select(former_slug_table.c.tenant_uuid).where(former_slug_table.c.slug == slug).scalar_subquery()
        return self._one(tenant_table.c.uuid == owner, f"No tenant ever was {slug!r}.")

    def all(self) -> list[Tenant]:
        """Return every tenant, by slug."""
        with self.engine.connect() as connection:
            return [_tenant(row) for row in connection.execute(select(tenant_table).order_by(tenant_table.c.slug))]

    def unfinished(self) -> list[Tenant]:
        """Return the tenants whose creation was cut short, by slug."""
        begun = select(tenant_table).where(tenant_table.c.state == State.PROVISIONING)
        with self.engine.connect() as connection:
            return [_tenant(row) for row in connection.execute(begun.order_by(tenant_table.c.slug))]

    def dates_of(self, tenant: Tenant) -> Dates:
        """Return when a tenant was created and last changed."""
        columns = (tenant_table.c.created_at, tenant_table.c.changed_at)
        with self.engine.connect() as connection:
            row = connection.execute(select(*columns).where(tenant_table.c.uuid == tenant.uuid)).one()
        return Dates(*row)

    def hosts_of(self, tenant: Tenant) -> list[str]:
        """Return a tenant's custom hosts, in order."""
        names = select(host_table.c.name).where(host_table.c.tenant_uuid == tenant.uuid).order_by(host_table.c.name)
        with self.engine.connect() as connection:
            return list(connection.execute(names).scalars())

    def former_slugs_of(self, tenant: Tenant) -> list[str]:
        """Return the slugs a tenant has left, which still redirect to it."""
        slugs = select(former_slug_table.c.slug).where(former_slug_table.c.tenant_uuid == tenant.uuid)
        with self.engine.connect() as connection:
            return list(connection.execute(slugs.order_by(former_slug_table.c.slug)).scalars())

    def keys_of(self, tenant_uuid: UUID) -> list[WrappedKey]:
        """Return all versions of a tenant's wrapped key, oldest first."""
        rows = select(wrapped_key_table).where(wrapped_key_table.c.tenant_uuid == tenant_uuid)
        with self.engine.connect() as connection:
            found = connection.execute(rows.order_by(wrapped_key_table.c.version))
            return [WrappedKey(row.version, row.master_id, row.wrapped, row.retired_at) for row in found]

    def add(self, tenant: Tenant, key: WrappedKey) -> None:
        """Add a tenant and its key, in whatever state it says; raise SlugTaken."""
        with self.changing() as connection:
            refuse_slug(connection, tenant.slug, tenant.uuid)
            try:
                connection.execute(insert(tenant_table).values(**_values(tenant), created_at=now(), changed_at=now()))
            except IntegrityError as error:
                raise SlugTaken(f"There is a tenant {tenant.slug!r} already.") from error
            add_key(connection, tenant.uuid, key)

    def discard(self, tenant: Tenant) -> None:
        """Remove a tenant that never became active, with its key; raise IllegalTransition for any other."""
        unfinished = (tenant_table.c.uuid == tenant.uuid) & (tenant_table.c.state == State.PROVISIONING)
        with self.changing() as connection:
            if connection.execute(delete(tenant_table).where(unfinished)).rowcount == 0:
                raise IllegalTransition(f"{tenant.slug} is not unfinished and was left as it is.")
            connection.execute(delete(wrapped_key_table).where(wrapped_key_table.c.tenant_uuid == tenant.uuid))

    def move_to(self, tenant: Tenant, state: State) -> Tenant:
        """Change a tenant's state; raise IllegalTransition. Return it as it is now.

        One that leaves ``active`` leaves every cookie behind: what was signed in then is not when it comes back.
        """
        check_transition(tenant, state)
        epoch = tenant_table.c.epoch + (1 if tenant.state is State.ACTIVE else 0)
        return self._change(tenant, tenant_table.c.state == tenant.state, state=state, epoch=epoch, changed_at=now())

    def change_server(self, tenant: Tenant, server: str) -> Tenant:
        """Say where a tenant's database is from now on."""
        return self._change(tenant, tenant_table.c.server == tenant.server, server=server)

    def raise_epoch(self, tenant: Tenant) -> Tenant:
        """Make every cookie of a tenant worthless."""
        return self._change(tenant, true(), epoch=tenant_table.c.epoch + 1)

    def rename(self, tenant: Tenant, slug: str) -> Tenant:
        """Give a tenant another slug; the one it leaves stays its own and redirects. Raise SlugTaken."""
        with self.changing() as connection:
            refuse_slug(connection, slug, tenant.uuid)
            try:
                renamed = _updated(connection, tenant, tenant_table.c.slug == tenant.slug, slug=slug)
            except IntegrityError as error:
                raise SlugTaken(f"There is a tenant {slug!r} already.") from error
            connection.execute(delete(former_slug_table).where(former_slug_table.c.slug == slug))
            connection.execute(
                insert(former_slug_table).values(slug=tenant.slug, tenant_uuid=tenant.uuid, left_at=now())
            )
        return renamed

    def add_host(self, tenant: Tenant, host: str) -> None:
        """Let a custom host lead to a tenant; raise HostTaken."""
        try:
            with self.changing() as connection:
                connection.execute(insert(host_table).values(name=host, tenant_uuid=tenant.uuid, added_at=now()))
        except IntegrityError as error:
            raise HostTaken(f"The host {host} already leads to a tenant.") from error

    def remove_host(self, tenant: Tenant, host: str) -> None:
        """Take a custom host from a tenant; raise NoSuchHost when it is not its own."""
        ours = (host_table.c.name == host) & (host_table.c.tenant_uuid == tenant.uuid)
        with self.changing() as connection:
            if connection.execute(delete(host_table).where(ours)).rowcount == 0:
                raise NoSuchHost(f"The host {host} does not lead to {tenant.slug}.")

    def _one(self, condition: ColumnElement[bool], otherwise: str) -> Tenant:
        with self.engine.connect() as connection:
            row = connection.execute(select(tenant_table).where(condition)).one_or_none()
        if row is None:
            raise NoSuchTenant(otherwise)
        return _tenant(row)

    def _change(self, tenant: Tenant, condition: ColumnElement[bool], **values: Any) -> Tenant:
        with self.changing() as connection:
            return _updated(connection, tenant, condition, **values)


def add_key(connection: Connection, tenant_uuid: UUID, key: WrappedKey) -> None:
    """Store one version of a wrapped key."""
    connection.execute(
        insert(wrapped_key_table).values(
            tenant_uuid=tenant_uuid,
            version=key.version,
            master_id=key.master_id,
            wrapped=key.wrapped,
            created_at=now(),
        )
    )


def _updated(connection: Connection, tenant: Tenant, condition: ColumnElement[bool], **values: Any) -> Tenant:
    # The condition is what the caller last saw: of two changes that both began from it, the second is refused.
    change = update(tenant_table).where(tenant_table.c.uuid == tenant.uuid, condition).values(**values)
    row = connection.execute(change.returning(tenant_table)).one_or_none()
    if row is None:
        raise IllegalTransition(f"{tenant.slug} has changed meanwhile; try again.")
    return _tenant(row)


def _tenant(row: Row[Any]) -> Tenant:
    return Tenant(row.uuid, row.slug, row.name, State(row.state), row.epoch, row.key_version, row.server)


def _values(tenant: Tenant) -> dict[str, Any]:
    return {name: getattr(tenant, name) for name in Tenant.__slots__}
