"""Making a tenant. Until its registry row is activated, last of all, it is ``provisioning`` and no host leads to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

from tenants import unfinished as undertakings
from tenants.databases import TenantSession
from tenants.durable import sync
from tenants.errors import NoSuchTenant, ServerUnusable
from tenants.lifecycle.left import refuse_slug_with_remains
from tenants.stores import store_of
from tenants.stores.placement import destroy_or_leave, refuse_unreachable
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED, State, Tenant, parse_name, parse_slug

Filled = TypeVar("Filled")


@dataclass(frozen=True, slots=True)
class NewTenant:
    """What a tenant is to be called, where its database is to be, and what was begun with it when it is a copy."""

    slug: str
    name: str
    server: str = EMBEDDED
    verb: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def create_tenant(
    tenancy: Tenancy, slug: str, name: str, prepare: Callable[[TenantSession], Filled], server: str = EMBEDDED
) -> tuple[Tenant, Filled]:
    """Create a tenant on a server and serve it; return it with what ``prepare`` returned.

    ``prepare`` fills the new database (first admin, company) in the transaction that also stamps it.
    Any failure before the tenant is served undoes everything; after a kill, the next ``create`` of the same slug does,
    which may name another server when the first is lost. Raises BadSlug, BadName, SlugTaken, Busy, NoSuchServer,
    ServerUnusable.
    """
    return make_tenant(tenancy, NewTenant(slug, name, server), prepare)


def make_tenant(tenancy: Tenancy, new: NewTenant, fill: Callable[[TenantSession], Filled]) -> tuple[Tenant, Filled]:
    """Do what ``create_tenant`` does, for a tenant that may be a copy."""
    parse_slug(new.slug)
    name = parse_name(new.name)
    store = store_of(tenancy, new.server)
    with tenancy.locks.hold(new.slug):
        # Before the registry knows of the tenant: then nothing is left of a try that could not begin.
        refuse_unreachable(tenancy, new.server)
        _undo_unfinished(tenancy, new)
        refuse_slug_with_remains(tenancy, new.slug)
        tenant = Tenant(uuid4(), new.slug, name, State.PROVISIONING, epoch=1, key_version=1, server=new.server)
        try:
            _register(tenancy, tenant)
            _note(tenancy, tenant, new)
            _make_folder(tenancy, tenant)
            store.create(tenant)
            with store.filling(tenant) as db:
                tenancy.equip(db)
                filled = fill(db)
            _forget_note(tenancy, tenant)
            return tenancy.registry.move_to(tenant, State.ACTIVE), filled
        except BaseException:
            _undo_failed(tenancy, new)
            raise


def unfinished(tenancy: Tenancy) -> list[Tenant]:
    """Return tenants whose creation was cut short."""
    return tenancy.registry.unfinished()


def _register(tenancy: Tenancy, tenant: Tenant) -> None:
    key = tenancy.make_key(tenant.uuid, tenant.key_version)
    tenancy.registry.add(tenant, key)
    tenancy.check_key(key)


def _note(tenancy: Tenancy, tenant: Tenant, new: NewTenant) -> None:
    if new.verb:
        with tenancy.registry.writing() as connection:
            undertakings.begin(connection, tenant.uuid, new.verb, "copying", **new.details)


def _forget_note(tenancy: Tenancy, tenant: Tenant) -> None:
    # Before the tenant is served: what is served has nothing unfinished about it, and what is not is undone anyway.
    with tenancy.registry.writing() as connection:
        undertakings.end(connection, tenant.uuid)


def _make_folder(tenancy: Tenancy, tenant: Tenant) -> None:
    # Also for a tenant whose database is elsewhere: its files are kept here.
    folder = tenancy.settings.folder_of(tenant.uuid)
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700)
    sync(folder.parent)


def _undo_failed(tenancy: Tenancy, new: NewTenant) -> None:
    try:
        _undo_unfinished(tenancy, new)
    except ServerUnusable as error:
        raise ServerUnusable(
            f"{error} What was made of {new.slug} before is still there, and served to nobody. Run the same command "
            "again: it is taken back first, or, when another --server is named, left there for extranet doctor to name."
        ) from error


def _undo_unfinished(tenancy: Tenancy, new: NewTenant) -> None:
    try:
        tenant = tenancy.registry.by_slug(new.slug)
    except NoSuchTenant:
        return
    # The slug's lock is ours, so whoever began is gone. The registry is asked, not remembered: an interrupt can come
    # after the tenant was activated, and what is served is never undone.
    if tenant.state is not State.PROVISIONING:
        return
    tenancy.databases.forget(tenant)
    if tenant.server == new.server:
        store_of(tenancy, tenant.server).destroy(tenant.uuid)
    else:
        # A new one has a UUID of its own: what a lost server has of this one is in nobody's way.
        destroy_or_leave(tenancy, tenant.server, tenant.uuid)
    folder = tenancy.settings.folder_of(tenant.uuid)
    if folder.exists():
        shutil.rmtree(folder)
    _forget_note(tenancy, tenant)
    tenancy.registry.discard(tenant)
