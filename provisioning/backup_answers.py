"""What commands say of backups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from provisioning.console import Console
from tenants.tenant import State

if TYPE_CHECKING:
    from tenants.backups.catalogue import Backup
    from tenants.backups.staging import Return
    from tenants.tenant import Tenant

LONGEST_WITHOUT = timedelta(days=8)
"""How old a tenant's last verified backup may be: one that is verified every week is never older, by a day's grace."""

_NONE = "none"


def backup_document(console: Console, slug: str, backup: Backup) -> dict[str, Any]:
    """Return a backup as the list has it."""
    from tenants.backups.catalogue import catalogue_of

    return {
        "id": str(backup.id),
        "slug": slug,
        "file": str(catalogue_of(console.tenancy).path_of(backup)),
        "bytes": backup.bytes,
        "schema_version": backup.schema_version,
        "made_at": instant(backup.made_at),
        "verified_at": instant(backup.verified_at) if backup.verified_at else None,
        "fault": backup.fault,
        "before_restore": backup.safety,
    }


def return_document(slug: str, back_to: Return) -> dict[str, Any]:
    """Return what a backup was found to hold."""
    return {
        "slug": slug,
        "id": str(back_to.header.id),
        "made_at": instant(back_to.header.made_at),
        "schema_version": back_to.manifest.moment.schema_version,
        "rows": sum(back_to.manifest.moment.rows.values()),
        "files": len(back_to.manifest.contents) - 1,
    }


def verified_card(console: Console, tenant: Tenant) -> dict[str, str]:
    """Return when a tenant's last verified backup was made, and how old it is."""
    from tenants.backups.catalogue import catalogue_of

    made_at = catalogue_of(console.tenancy).newest_verified().get(tenant.uuid)
    return {
        "verified_backup": instant(made_at) if made_at else _NONE,
        "verified_backup_age": age(made_at) if made_at else _NONE,
    }


def overdue_backups(console: Console, tenants: list[Tenant]) -> dict[str, str]:
    """Return what is wrong, by slug, with tenants that have been without a verified backup for too long."""
    from tenants.backups.catalogue import catalogue_of

    registry, verified = console.tenancy.registry, catalogue_of(console.tenancy).newest_verified()
    oldest, overdue = now() - LONGEST_WITHOUT, {}
    for tenant in tenants:
        if tenant.state in {State.PROVISIONING, State.PURGED}:
            continue
        # One that is younger itself has not missed anything yet.
        made_at = verified.get(tenant.uuid)
        if (made_at or registry.dates_of(tenant).created_at) < oldest:
            newest = f"its newest verified backup is {age(made_at)} old" if made_at else "it has no verified backup"
            overdue[tenant.slug] = f"{newest}. Make one: extranet backup create {tenant.slug}, then verify it"
    return overdue


def instant(moment: datetime) -> str:
    """Return a moment of the registry as programs read it."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def said(moment: datetime) -> str:
    """Return a moment of the registry as people read it."""
    return f"{in_column(moment)} UTC"


def in_column(moment: datetime) -> str:
    """Return the same in a table, where the heading says that it is UTC."""
    return f"{moment:%Y-%m-%d %H:%M}"


def short(backup: Backup) -> str:
    """Return as much of a backup's id as nobody mistakes for another's."""
    return backup.id.hex[:12]


def size(count: int) -> str:
    """Return a number of bytes for people."""
    return f"{count / 1024**2:.1f} MiB" if count >= 1024**2 else f"{count / 1024:.1f} KiB"


def age(moment: datetime) -> str:
    """Return how long ago a moment of the registry was."""
    minutes = int((now() - moment).total_seconds() // 60)
    for count, unit in ((minutes // 1440, "day"), (minutes // 60, "hour"), (minutes, "minute")):
        if count:
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"


def now() -> datetime:
    """Return the present moment as the registry keeps moments."""
    return datetime.now(UTC).replace(tzinfo=None)
