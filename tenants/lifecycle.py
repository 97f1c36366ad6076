"""A tenant's life, step by step. Each step is safe to repeat and a crash between two leaves nothing that is served.

The registry row is activated last: until then the tenant is ``provisioning``, which no host leads to.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import uuid4

from tenants import schema, sqlite
from tenants.databases import TenantSession
from tenants.errors import BadHost, Busy, HostTaken, IllegalTransition, NoSuchTenant
from tenants.hosts import parse_host
from tenants.keys import new_key
from tenants.registry import WrappedKey
from tenants.settings import Settings
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED, State, Tenant, parse_name, parse_slug

Prepared = TypeVar("Prepared")


def create_tenant(
    tenancy: Tenancy, slug: str, name: str, prepare: Callable[[TenantSession], Prepared]
) -> tuple[Tenant, Prepared]:
    """Create a tenant and serve it; return it with what ``prepare`` returned.

    ``prepare`` fills the new database (first admin, company) in the transaction that also stamps it.
    Any failure before the tenant is served undoes everything; after a kill, the next ``create`` of the same slug does.
    Raises BadSlug, BadName, SlugTaken, Busy.
    """
    parse_slug(slug)
    name = parse_name(name)
    with _held(tenancy.settings, slug):
        _undo_unfinished(tenancy, slug)
        tenant = Tenant(uuid4(), slug, name, State.PROVISIONING, epoch=1, key_version=1, server=EMBEDDED)
        try:
            _register(tenancy, tenant)
            _copy_database(tenancy, tenant)
            prepared = _fill_database(tenancy, tenant, prepare)
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
    with _held_tenant(tenancy, slug) as tenant, _held(tenancy.settings, new_slug):
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


def _copy_database(tenancy: Tenancy, tenant: Tenant) -> None:
    home = tenancy.settings.home
    template = schema.template_file(home / "templates", tenancy.history)
    folder = tenancy.settings.folder_of(tenant.uuid)
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700)
    sqlite.copy_template(template, tenancy.databases.path_of(tenant))


def _fill_database(tenancy: Tenancy, tenant: Tenant, prepare: Callable[[TenantSession], Prepared]) -> Prepared:
    with tenancy.databases.fill(tenant) as db:
        db.info["keys"] = tenancy.keys_of(tenant)
        return prepare(db)


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
    folder = tenancy.settings.folder_of(tenant.uuid)
    if folder.exists():
        shutil.rmtree(folder)
    tenancy.registry.discard(tenant)


@contextmanager
def _held_tenant(tenancy: Tenancy, slug: str) -> Iterator[Tenant]:
    # A lock file is only ever named after a slug that the registry knows.
    tenancy.registry.by_slug(slug)
    with _held(tenancy.settings, slug):
        yield tenancy.registry.by_slug(slug)


@contextmanager
def _held(settings: Settings, slug: str) -> Iterator[None]:
    """Hold a tenant against other operators. The kernel lets go when this process dies."""
    folder = settings.home / "locks"
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder / f"{slug}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise Busy(f"Another command is at work on {slug}; try again when it has ended.") from error
    finally:
        os.close(descriptor)
