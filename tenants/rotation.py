"""A tenant's key, replaced while everybody goes on working. Each step is safe to repeat and is noted in the registry.

key       a new version is made, which seals from now on; older ones go on opening
database  once every process seals with it, all that is sealed in the database is sealed anew, batch by batch
files     the files too
login     the tenant's role on a database server gets another password
retire    older versions open nothing any more: when their last cookie ends, or now and with every cookie
logins    only when everybody is to be signed out: their logins end too
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import or_, update

from tenants import schema, unfinished
from tenants.databases import TenantSession
from tenants.generation import RECHECK_SECONDS
from tenants.lifecycle.holding import begun_before, held_tenant
from tenants.lifecycle.states import refuse_unless
from tenants.lifecycle.telling import Tell, tell_people
from tenants.moments import now
from tenants.registry import add_key
from tenants.registry_tables import tenant_table, wrapped_key_table
from tenants.resealing import Resealing, Tally, reseal_files, to_newest
from tenants.stores import store_of
from tenants.tenancy import Tenancy
from tenants.tenant import WITH_DATA, State, Tenant
from tenants.unfinished import Unfinished

VERB = "rotate-keys"

COOKIE_LIFE = timedelta(days=100)
"""How long an older key goes on opening cookies.

A session ends after twelve hours, but a device cookie is good for a hundred days and sealed anew at the next sign-in
alone. A known browser gets in while strangers lock its owner's account: it is worth keeping. Where a key may have
become known, nobody should wait: that is what signing everybody out is for.
"""

# Twice as long as any process may go on sealing with the key it knows.
_SETTLE_SECONDS = 2 * RECHECK_SECONDS

EndLogins = Callable[[TenantSession], int]
"""Ends every login in a ``db`` and says so in the tenant's own log; returns how many there were."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What came of it. What was ``unreadable`` before, with any key of the tenant, was left as it is."""

    tenant: Tenant
    resealed: int
    unreadable: int
    retired_at: datetime
    resumed: bool
    ended: int | None


def rotate_keys(
    tenancy: Tenancy, slug: str, end_logins: EndLogins, *, logout: bool = False, tell: Tell | None = None
) -> Rotated:
    """Give a tenant a new key and seal everything with it; go on with a rotation that was cut short.

    ``logout`` signs everybody out, so that nothing the older key may have sealed elsewhere is of any use.
    Raises IllegalTransition, Busy, ServerUnusable, TenantUnavailable.
    """
    with held_tenant(tenancy, slug) as tenant:
        refuse_unless(tenant, *WITH_DATA)
        resumed = begun_before(tenancy, tenant, VERB) is not None
        _reach(tenancy, tenant)
        begun = _begin(tenancy, tenant, logout, resumed=resumed)
        tenant = tenancy.registry.by_uuid(tenant.uuid)
        begun, tally = _renew(tenancy, tenant, begun)
        ended = _end_logins(tenancy, tenant, end_logins) if begun.details["logout"] else None
        if tenant.state is not State.CLOSED:
            tell_people(tenancy, tenant, tell, {"key_version": tenant.key_version})
        return _end(tenancy, tenant, begun, tally, resumed=resumed, ended=ended)


def _reach(tenancy: Tenancy, tenant: Tenant) -> None:
    # A tenant whose database cannot be reached now must not be left half way.
    store_of(tenancy, tenant.server)
    with tenancy.open_db(tenant) as db:
        db.connection()
    tenancy.databases.forget(tenant)


def _begin(tenancy: Tenancy, tenant: Tenant, logout: bool, *, resumed: bool) -> Unfinished:
    version = tenant.key_version + 1
    with tenancy.registry.changing() as connection:
        begun = unfinished.begin(connection, tenant.uuid, VERB, "database", logout=logout)
        if not resumed:
            add_key(connection, tenant.uuid, tenancy.make_key(tenant.uuid, version))
            ours = tenant_table.c.uuid == tenant.uuid
            connection.execute(update(tenant_table).where(ours).values(key_version=version))
        elif logout and not begun.details["logout"]:
            # What was retired for later has to be retired now.
            step = "retire" if begun.step == "logins" else begun.step
            begun = unfinished.advance(connection, begun, step, logout=True)
    # What was changed here is known here at once.
    tenancy.generation.forget()
    return begun


def _renew(tenancy: Tenancy, tenant: Tenant, begun: Unfinished) -> tuple[Unfinished, Tally]:
    tally = Tally()
    if begun.step == "database":
        tally.add(_reseal_database(tenancy, tenant))
        begun = _note(tenancy, begun, "files")
    if begun.step == "files":
        tally.add(reseal_files(tenancy.files_of(tenant), to_newest(tenancy.keys_of(tenant))))
        begun = _note(tenancy, begun, "login")
    if begun.step == "login":
        store_of(tenancy, tenant.server).renew_login(tenant)
        begun = _note(tenancy, begun, "retire")
    if begun.step == "retire":
        begun = _retire(tenancy, tenant, begun)
    return begun, tally


def _end(
    tenancy: Tenancy, tenant: Tenant, begun: Unfinished, tally: Tally, *, resumed: bool, ended: int | None
) -> Rotated:
    with tenancy.registry.writing() as connection:
        unfinished.end(connection, tenant.uuid)
    retired_at = datetime.fromisoformat(begun.details["retired_at"])
    as_it_is = tenancy.registry.by_uuid(tenant.uuid)
    return Rotated(as_it_is, tally.resealed, tally.unreadable, retired_at, resumed, ended)


def _note(tenancy: Tenancy, begun: Unfinished, step: str) -> Unfinished:
    with tenancy.registry.writing() as connection:
        return unfinished.advance(connection, begun, step)


def _reseal_database(tenancy: Tenancy, tenant: Tenant) -> Tally:
    # Values are sealed in the transaction that writes them. So one that still seals with the older key began before
    # this wait was over, and the first batch waits for its end; after that there is none.
    time.sleep(_SETTLE_SECONDS)
    store = store_of(tenancy, tenant.server)
    work = Resealing(schema.tables_of(tenancy.history), to_newest(tenancy.keys_of(tenant)))
    while not work.is_done:
        with store.changing_schema(tenant) as connection:
            work.go_on(connection)
    return work.tally


def _retire(tenancy: Tenancy, tenant: Tenant, begun: Unfinished) -> Unfinished:
    logout = begun.details["logout"]
    at = now() + (timedelta(0) if logout else COOKIE_LIFE)
    retired_at = wrapped_key_table.c.retired_at
    older = (
        wrapped_key_table.c.tenant_uuid == tenant.uuid,
        wrapped_key_table.c.version < tenant.key_version,
        or_(retired_at.is_(None), retired_at > at),
    )
    with tenancy.registry.changing() as connection:
        connection.execute(update(wrapped_key_table).where(*older).values(retired_at=at))
        if logout:
            ours = tenant_table.c.uuid == tenant.uuid
            connection.execute(update(tenant_table).where(ours).values(epoch=tenant_table.c.epoch + 1))
        begun = unfinished.advance(connection, begun, "logins", retired_at=at.isoformat())
    tenancy.generation.forget()
    return begun


def _end_logins(tenancy: Tenancy, tenant: Tenant, end_logins: EndLogins) -> int:
    if tenant.state is State.CLOSED:
        # Nobody is signed in, and nothing is written any more.
        return 0
    with tenancy.open_db(tenant, writing=True) as db:
        count = end_logins(db)
        db.commit()
    return count
