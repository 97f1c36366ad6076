"""What a tenant's own people read of a command on their tenant: an entry in each of its two logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from extranet.activity.changes import Change
from extranet.security_log.events import TenantEvent
from extranet.security_log.origin import OPERATOR

if TYPE_CHECKING:
    from provisioning.console import Console
    from tenants.databases import TenantSession
    from tenants.lifecycle import Tell

_CHANGES = {
    TenantEvent.RENAMED: Change.TENANT_RENAMED,
    TenantEvent.CLOSED: Change.TENANT_STATE_CHANGED,
    TenantEvent.REOPENED: Change.TENANT_STATE_CHANGED,
    TenantEvent.SUSPENDED: Change.TENANT_STATE_CHANGED,
    TenantEvent.RESUMED: Change.TENANT_STATE_CHANGED,
    TenantEvent.MOVED: Change.TENANT_MOVED,
    TenantEvent.CLONED: Change.TENANT_CLONED,
    TenantEvent.KEYS_ROTATED: Change.KEYS_ROTATED,
}
_NEW_STATES = {
    TenantEvent.CLOSED: "closed",
    TenantEvent.REOPENED: "active",
    TenantEvent.SUSPENDED: "suspended",
    TenantEvent.RESUMED: "active",
}


def telling(console: Console, event: TenantEvent) -> Tell:
    """Return what writes of one kind of change to a tenant into its logs, in this command's name."""
    from extranet.activity.operations import TENANT, note_change
    from extranet.security_log.operations import record

    origin = console.origin

    def tell(db: TenantSession, details: Mapping[str, Any]) -> None:
        before, after = _sides(event, details)
        note_change(db, _CHANGES[event], actor=OPERATOR, subject=TENANT, before=before, after=after)
        record(db, event, origin, actor=OPERATOR, details=dict(details))

    return tell


def _sides(event: TenantEvent, details: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    if event in _NEW_STATES:
        return {"state": str(details.get("was", "closed"))}, {"state": _NEW_STATES[event]}
    if event is TenantEvent.RENAMED:
        return {"slug": details["from"]}, {"slug": details["to"]}
    if event is TenantEvent.MOVED:
        return {"server": details["from"]}, {"server": details["to"]}
    # Heads of journals are for whoever verifies; they are in the security log.
    return {}, {name: value for name, value in details.items() if name != "heads"}
