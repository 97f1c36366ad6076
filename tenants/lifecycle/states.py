"""From one state to the next: suspend and resume, close and reopen."""

from __future__ import annotations

from contextlib import suppress

from tenants.errors import IllegalTransition, TenancyError
from tenants.lifecycle.holding import held_tenant
from tenants.lifecycle.telling import Tell, tell_people
from tenants.tenancy import Tenancy
from tenants.tenant import WITH_DATA, State, Tenant

_WHY_NOT = {
    State.PROVISIONING: "was never finished: run extranet tenant create {0} again.",
    State.ACTIVE: "is active: close it first.",
    State.SUSPENDED: "is suspended: run extranet tenant resume {0}, or close it.",
    State.CLOSED: "is closed: run extranet tenant reopen {0} first.",
    State.PURGED: "is being purged and does not come back: run extranet tenant purge {0} again.",
}


def suspend_tenant(tenancy: Tenancy, slug: str, tell: Tell | None = None) -> Tenant:
    """Stop serving a tenant, within a second everywhere. Suspending a suspended one changes nothing.

    No other command is waited for: what has to stop stops now.
    """
    return _switch(tenancy, slug, State.SUSPENDED, tell)


def resume_tenant(tenancy: Tenancy, slug: str, tell: Tell | None = None) -> Tenant:
    """Serve a suspended tenant again. Resuming an active one changes nothing."""
    return _switch(tenancy, slug, State.ACTIVE, tell)


def close_tenant(tenancy: Tenancy, slug: str, tell: Tell | None = None) -> Tenant:
    """End a tenant's service: operators can still read it, and nobody changes it. Closing a closed one does nothing.

    Raises IllegalTransition and Busy.
    """
    with held_tenant(tenancy, slug) as tenant:
        refuse_unless(tenant, *WITH_DATA)
        if tenant.state is not State.CLOSED:
            tell_people(tenancy, tenant, tell, {"was": tenant.state})
        return _move(tenancy, tenant, State.CLOSED)


def reopen_tenant(tenancy: Tenancy, slug: str, tell: Tell | None = None) -> Tenant:
    """Serve a closed tenant again; everybody signs in anew. Reopening an active one changes nothing."""
    with held_tenant(tenancy, slug) as tenant:
        refuse_unless(tenant, State.ACTIVE, State.CLOSED)
        if tenant.state is State.CLOSED:
            tell_people(tenancy, tenant, tell, {})
        return _move(tenancy, tenant, State.ACTIVE)


def refuse_unless(tenant: Tenant, *states: State) -> None:
    """Raise IllegalTransition, with what to do, unless a tenant is in one of some states."""
    if tenant.state not in states:
        raise IllegalTransition(f"{tenant.slug} {_WHY_NOT[tenant.state].format(tenant.slug)}")


def _switch(tenancy: Tenancy, slug: str, state: State, tell: Tell | None) -> Tenant:
    tenant = tenancy.registry.by_slug(slug)
    refuse_unless(tenant, State.ACTIVE, State.SUSPENDED)
    moved = _move(tenancy, tenant, state)
    if moved is not tenant:
        # Afterwards, and where its database takes it: a damaged one is often the very reason.
        with suppress(TenancyError):
            tell_people(tenancy, moved, tell, {"was": tenant.state})
    return moved


def _move(tenancy: Tenancy, tenant: Tenant, state: State) -> Tenant:
    if tenant.state is state:
        return tenant
    moved = tenancy.registry.move_to(tenant, state)
    tenancy.databases.forget(moved)
    return moved
