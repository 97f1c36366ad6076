"""What operators began and did not end, and the command that goes on with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tenants.tenant import State, Tenant

if TYPE_CHECKING:
    from tenants.tenancy import Tenancy
    from tenants.unfinished import Unfinished


def unfinished_work(tenancy: Tenancy, tenants: Iterable[Tenant]) -> dict[str, str]:
    """Return a sentence for each tenant with which something is unfinished, by slug."""
    from tenants import unfinished

    with tenancy.registry.engine.connect() as connection:
        begun = {found.tenant_uuid: found for found in unfinished.find_all(connection)}
    said = {tenant.slug: _sentence(tenant, begun.get(tenant.uuid)) for tenant in tenants}
    return {slug: sentence for slug, sentence in said.items() if sentence}


def _sentence(tenant: Tenant, begun: Unfinished | None) -> str:
    slug = tenant.slug
    match begun.verb if begun else tenant.state:
        case "clone" if begun:
            return (
                f"its making was cut short. Make it again with: extranet tenant clone {begun.details['source']} {slug}"
            )
        case "move" if begun:
            origin, to = begun.details["origin"], begun.details["target"]
            back = f"; take it back with: extranet tenant move {slug} --to {origin}" if tenant.server == origin else ""
            return f"its move to {to} was cut short{back}. Go on with: extranet tenant move {slug} --to {to}"
        case "restore" if begun:
            return f"its restore was cut short. Go on with: extranet backup restore {slug}"
        case "rescue" if begun:
            to = begun.details["target"]
            return (
                f"its restore to {to} was cut short. Go on with: extranet backup restore {slug} --damaged --server {to}"
            )
        case "rotate-keys" if begun:
            return f"its change of keys was cut short. Go on with: extranet tenant rotate-keys {slug}"
        case "purge" | State.PURGED:
            return f"its purge was cut short. Go on with: extranet tenant purge {slug}"
        case State.PROVISIONING:
            return f"its creation was cut short. Make it again with: extranet tenant create {slug}"
    return f"its {begun.verb} was cut short: run it again." if begun else ""
