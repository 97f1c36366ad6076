"""What leads to a tenant: its slug and its custom hosts."""

from __future__ import annotations

from uuid import UUID

from tenants.errors import BadHost, HostTaken, IllegalTransition, NoSuchTenant, SlugTaken
from tenants.hosts import parse_host
from tenants.lifecycle.holding import held_tenant
from tenants.lifecycle.left import refuse_slug_with_remains
from tenants.lifecycle.telling import Tell, tell_people
from tenants.slugs import refuse_slug
from tenants.tenancy import Tenancy
from tenants.tenant import State, Tenant, parse_slug


def rename_tenant(tenancy: Tenancy, slug: str, new_slug: str, tell: Tell | None = None) -> Tenant:
    """Give a tenant another slug. The old one keeps redirecting and is never given to anybody else.

    Its logins, keys and epoch stay as they are. Raises BadSlug, SlugTaken, IllegalTransition, Busy.
    """
    parse_slug(new_slug)
    if slug == new_slug:
        return tenancy.registry.by_slug(slug)
    with held_tenant(tenancy, slug) as tenant, tenancy.locks.hold(new_slug):
        # Both locks are held: what is free now still is when the registry is changed, and nothing is told in vain.
        refuse_rename(tenancy, tenant, new_slug)
        tell_people(tenancy, tenant, tell, {"from": slug, "to": new_slug})
        return tenancy.registry.rename(tenant, new_slug)


def refuse_rename(tenancy: Tenancy, tenant: Tenant, new_slug: str) -> None:
    """Raise BadSlug, SlugTaken or IllegalTransition when a tenant cannot get this other slug."""
    parse_slug(new_slug)
    if tenant.state not in {State.ACTIVE, State.SUSPENDED}:
        raise IllegalTransition(f"{tenant.slug} is {tenant.state} and cannot be renamed.")
    refuse_taken(tenancy, new_slug, tenant.uuid)


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


def refuse_taken(tenancy: Tenancy, slug: str, tenant_uuid: UUID | None = None) -> None:
    """Raise SlugTaken unless a slug is free for this tenant, or for a new one."""
    refuse_slug_with_remains(tenancy, slug)
    with tenancy.registry.engine.connect() as connection:
        refuse_slug(connection, slug, tenant_uuid)
    try:
        found = tenancy.registry.by_slug(slug)
    except NoSuchTenant:
        return
    # One that was never finished is undone by whoever makes the next.
    if tenant_uuid is not None or found.state is not State.PROVISIONING:
        raise SlugTaken(f"There is a tenant {slug!r} already.")
