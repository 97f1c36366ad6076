"""Putting a tenant's backup on another server, when the one it was on is lost with all that was there.

What the registry says is where the database is: before it says so of the new server nothing is served from there, and
after that nothing is from the old one, should it come back: its login is forgotten here, and ``extranet doctor`` names
what is left on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

from tenants import unfinished
from tenants.backups.restoring import Restored, examined
from tenants.backups.staging import Prepare, Return, finish, stage
from tenants.backups.verifying import Chosen, choose, refuse_lost
from tenants.errors import IllegalTransition, TenantUnavailable
from tenants.lifecycle.holding import held_tenant
from tenants.lifecycle.states import refuse_unless
from tenants.stores import store_of
from tenants.stores.placement import destroy_or_leave, refuse_unreachable, why_unusable
from tenants.stores.store import in_the_way
from tenants.tenancy import Tenancy
from tenants.tenant import WITH_DATA, Tenant
from tenants.unfinished import Unfinished

_VERB = "rescue"
# What cannot go on without the server that is lost. What a move has made elsewhere is in the way of nothing.
_GIVEN_UP = {"restore", "move"}


def rescue_tenant(
    tenancy: Tenancy, slug: str, server: str, prepare: Prepare, *, backup_id: str = "", path: Path | None = None
) -> Restored:
    """Put a backup of a tenant whose server is lost on another one, and serve the tenant from there.

    Nothing is kept of what it had; its slug, hosts, key and files stay, and every cookie becomes worthless. Which
    backup: this id, this file, that of a rescue that was cut short, or the newest. Cut short, it goes on when it is
    asked for again, and may then go elsewhere. Raises what ``restore_tenant`` raises, and IllegalTransition while the
    lost server answers.
    """
    refuse_lost(tenancy, path)
    with held_tenant(tenancy, slug) as tenant:
        refuse_unless(tenant, *WITH_DATA)
        begun = _begun_before(tenancy, tenant)
        if begun is not None and begun.verb == _VERB and tenant.server == begun.details["target"]:
            return _settle(tenancy, tenant, begun)
        if begun is not None and begun.verb == _VERB:
            # Whatever comes next, this is not waited for any more.
            _give_up(tenancy, tenant, begun)
        _refuse_reachable(tenancy, tenant, server)
        _give_up(tenancy, tenant, begun)
        _refuse_remains(tenancy, tenant, server)
        chosen = _choose(tenancy, tenant, begun, backup_id, path)
        there = replace(tenant, server=server)
        with examined(tenancy, there, chosen) as (source, header, manifest):
            back_to = Return(header, manifest)
            noted = _begin(tenancy, tenant, server, chosen, back_to)
            with _undone_on_failure(tenancy, tenant, server):
                finish(tenancy, there, stage(tenancy, there, source, back_to), back_to, prepare)
                store_of(tenancy, server).swap(there)
                # First: no cookie of before is to meet the rows of long before.
                tenancy.registry.raise_epoch(tenant)
                tenancy.registry.change_server(tenant, server)
        return _settle(tenancy, tenancy.registry.by_uuid(tenant.uuid), noted)


def rehearse_rescue(
    tenancy: Tenancy, slug: str, server: str, *, backup_id: str = "", path: Path | None = None
) -> Return:
    """Do of it what changes nothing, raising what it would raise; return what it would bring back."""
    refuse_lost(tenancy, path)
    with held_tenant(tenancy, slug) as tenant:
        refuse_unless(tenant, *WITH_DATA)
        begun = _begun_before(tenancy, tenant)
        _refuse_reachable(tenancy, tenant, server)
        chosen = _choose(tenancy, tenant, begun, backup_id, path)
        with examined(tenancy, replace(tenant, server=server), chosen) as (_, header, manifest):
            return Return(header, manifest)


def _begun_before(tenancy: Tenancy, tenant: Tenant) -> Unfinished | None:
    with tenancy.registry.engine.connect() as connection:
        found = unfinished.find(connection, tenant.uuid)
    if found is not None and found.verb not in {_VERB, *_GIVEN_UP}:
        raise IllegalTransition(f"There is an unfinished {found.verb} of {tenant.slug}: run that again first.")
    return found


def _give_up(tenancy: Tenancy, tenant: Tenant, begun: Unfinished | None) -> None:
    if begun is not None:
        for server in {begun.details.get("target", tenant.server)} - {tenant.server}:
            destroy_or_leave(tenancy, server, tenant.uuid)
        _end(tenancy, tenant)


def choose_rescue(tenancy: Tenancy, tenant: Tenant, *, backup_id: str = "", path: Path | None = None) -> Chosen:
    """Return the archive that ``rescue_tenant`` would take."""
    return _choose(tenancy, tenant, _begun_before(tenancy, tenant), backup_id, path)


def _choose(tenancy: Tenancy, tenant: Tenant, begun: Unfinished | None, backup_id: str, path: Path | None) -> Chosen:
    if begun is not None and begun.verb == _VERB and not backup_id and path is None:
        path = Path(begun.details["path"])
    return choose(tenancy, tenant, backup_id, path)


def _refuse_reachable(tenancy: Tenancy, tenant: Tenant, server: str) -> None:
    refuse_unreachable(tenancy, server)
    if not why_unusable(tenancy, tenant.server):
        raise IllegalTransition(
            f"{tenant.server}, where {tenant.slug} is, answers: restore it there, without --server, or move it with: "
            f"extranet tenant move {tenant.slug} --to {server}"
        )


def _refuse_remains(tenancy: Tenancy, tenant: Tenant, server: str) -> None:
    # What is undone later is destroyed there: it must be nothing but what was made here.
    if left := store_of(tenancy, server).remains(tenant.uuid):
        raise TenantUnavailable(f"{in_the_way(left)}; nothing was restored.")


def _begin(tenancy: Tenancy, tenant: Tenant, server: str, chosen: Chosen, back_to: Return) -> Unfinished:
    details = {
        "path": str(chosen.path.absolute()),
        "backup": str(back_to.header.id),
        "made_at": back_to.header.made_at.isoformat(),
        "origin": tenant.server,
        "target": server,
    }
    with tenancy.registry.writing() as connection:
        return unfinished.begin(connection, tenant.uuid, _VERB, "staging", **details)


@contextmanager
def _undone_on_failure(tenancy: Tenancy, tenant: Tenant, server: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        # The registry is asked, not remembered: an interrupt can come after it was changed.
        if tenancy.registry.by_uuid(tenant.uuid).server != server:
            destroy_or_leave(tenancy, server, tenant.uuid)
            _end(tenancy, tenant)
        raise


def _settle(tenancy: Tenancy, tenant: Tenant, noted: Unfinished) -> Restored:
    tenancy.databases.forget(tenant)
    tenancy.servers.forget_login(tenant.uuid, noted.details["origin"])
    _end(tenancy, tenant)
    made_at = datetime.fromisoformat(noted.details["made_at"])
    return Restored(tenant, UUID(noted.details["backup"]), made_at, None)


def _end(tenancy: Tenancy, tenant: Tenant) -> None:
    with tenancy.registry.writing() as connection:
        unfinished.end(connection, tenant.uuid)
