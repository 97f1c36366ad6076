"""A tenant's life, step by step. Each step is safe to repeat and a crash between two leaves nothing that is served.

The registry row is activated last: until then the tenant is ``provisioning``, which no host leads to.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import uuid4

from tenants.databases import TenantSession
from tenants.durable import sync
from tenants.errors import BadHost, HostTaken, IllegalTransition, NoSuchTenant
from tenants.hosts import parse_host
from tenants.keys import new_key
from tenants.registry import WrappedKey
from tenants.stores import store_of
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED, State, Tenant, parse_name, parse_slug

Prepared = TypeVar("Prepared")


def create_tenant(
    tenancy: Tenancy, slug: str, name: str, prepare: Callable[[TenantSession], Prepared], server: str = EMBEDDED
) -> tuple[Tenant, Prepared]:
    """Create a tenant on a server and serve it; return it with what ``prepare`` returned.

    ``prepare`` fills the new database (first admin, company) in the transaction that also stamps it.
    Any failure before the tenant is served undoes everything; after a kill, the next ``create`` of the same slug does.
    Raises BadSlug, BadName, SlugTaken, Busy, NoSuchServer, ServerUnusable.
    """
    parse_slug(slug)
    name = parse_name(name)
    store = store_of(tenancy, server)
    with tenancy.locks.hold(slug):
        _undo_unfinished(tenancy, slug)
        tenant = Tenant(uuid4(), slug, name, State.PROVISIONING, epoch=1, key_version=1, server=server)
        try:
            _register(tenancy, tenant)
            _make_folder(tenancy, tenant)
            store.create(tenant)
            with store.filling(tenant) as db:
                db.info["keys"] = tenancy.keys_of(tenant)
                prepared = prepare(db)
            return tenancy.registry.move_to(tenant, State.ACTIVE), prepared
        except BaseException:
            _undo_unfinished(tenancy, slug)
            raise


def suspend_tenant(tenancy: Tenancy, slug: str) -> Tenant:
    """Stop serving a tenant, within a second everywhere. Suspending a suspended one changes nothing."""
    return _move(tenancy, slug, State.SUSPENDED)


def resume_tenant(tenancy: Tenancy, slug: str) -> Tenant:
    """Serve a suspended tenant again. Resuming an active one changes nothing."""
    return _move(tenancy, slug, State.ACTIVE)


def rename_tenant(tenancy: Tenancy, slug: str, new_slug: str) -> Tenant:
    """Give a tenant another slug. The old one keeps redirecting and is never given to anybody else."""
    parse_slug(new_slug)
    if slug == new_slug:
        return tenancy.registry.by_slug(slug)
    with _held_tenant(tenancy, slug) as tenant, tenancy.locks.hold(new_slug):
        if tenant.state not in {State.ACTIVE, State.SUSPENDED}:
            raise IllegalTransition(f"{slug} is {tenant.state} and cannot be renamed.")
        return tenancy.registry.rename(tenant, new_slug)


def add_host(tenancy: Tenancy, slug: str, host: str) -> str:
    """Let a custom host lead to a tenant; return its canonical spelling. Raise BadHost or HostTaken."""
    canonical = parse_custom_host(host)
    domain = tenancy.settings.domain
    if canonical == domain or canonical.endswith(f".{domain}"):
        raise HostTaken(f"Hosts under {domain} belong to slugs; rename the tenant instead.")
    tenancy.registry.add_host(tenancy.registry.by_slug(slug), canonical)
    return canonical


def parse_custom_host(text: str) -> str:
    """Return a host an operator typed in its canonical spelling; raise BadHost."""
    refusal = f"{text!r} is not a full host name such as extranet.example.com."
    try:
        canonical = parse_host(text)
    except BadHost as error:
        raise BadHost(refusal) from error
    if ":" in text or "." not in canonical:
        raise BadHost(refusal)
    return canonical


def unfinished(tenancy: Tenancy) -> list[Tenant]:
    """Return tenants whose creation was cut short."""
    return tenancy.registry.unfinished()


def _move(tenancy: Tenancy, slug: str, state: State) -> Tenant:
    with _held_tenant(tenancy, slug) as tenant:
        if tenant.state is state:
            return tenant
        if tenant.state is State.PROVISIONING:
            raise IllegalTransition(f"{slug} was never finished: run tenant create {slug} again.")
        if tenant.state is State.CLOSED:
            raise IllegalTransition(f"{slug} is closed.")
        moved = tenancy.registry.move_to(tenant, state)
        tenancy.databases.forget(moved)
        return moved


def _register(tenancy: Tenancy, tenant: Tenant) -> None:
    masters = tenancy.master_keys
    wrapped = masters.wrap(tenant.uuid, tenant.key_version, new_key())
    tenancy.registry.add(tenant, WrappedKey(tenant.key_version, masters.newest, wrapped))


def _make_folder(tenancy: Tenancy, tenant: Tenant) -> None:
    # Also for a tenant whose database is elsewhere: its files are kept here.
    folder = tenancy.settings.folder_of(tenant.uuid)
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700)
    sync(folder.parent)


def _undo_unfinished(tenancy: Tenancy, slug: str) -> None:
    try:
        tenant = tenancy.registry.by_slug(slug)
    except NoSuchTenant:
        return
    # The slug's lock is ours, so whoever began is gone. The registry is asked, not remembered: an interrupt can come
    # after the tenant was activated, and what is served is never undone.
    if tenant.state is not State.PROVISIONING:
        return
    tenancy.databases.forget(tenant)
    store_of(tenancy, tenant.server).destroy(tenant.uuid)
    folder = tenancy.settings.folder_of(tenant.uuid)
    if folder.exists():
        shutil.rmtree(folder)
    tenancy.registry.discard(tenant)


@contextmanager
def _held_tenant(tenancy: Tenancy, slug: str) -> Iterator[Tenant]:
    # A lock file is only ever named after a slug that the registry knows.
    tenancy.registry.by_slug(slug)
    with tenancy.locks.hold(slug):
        yield tenancy.registry.by_slug(slug)
