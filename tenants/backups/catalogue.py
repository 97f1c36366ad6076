"""Which backups there are: the registry's list, and the files it speaks of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, insert, select, update

from tenants.durable import keep_owner, sync
from tenants.moments import now
from tenants.registry import Registry
from tenants.registry_tables import backup_table
from tenants.settings import Settings
from tenants.tenancy import Tenancy

SUFFIX = ".extranet-backup"


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup. ``file`` is its name in the tenant's folder; ``fault`` is what the last verification found wrong.

    ``safety`` says that a restore made it, of what it replaced.
    """

    id: UUID
    tenant_uuid: UUID
    file: str
    digest: bytes
    bytes: int
    schema_version: int
    made_at: datetime
    verified_at: datetime | None = None
    fault: str = ""
    safety: bool = False


class Catalogue:
    """Questions and changes to the list, each in a transaction of its own."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._registry = registry
        self._settings = settings

    def path_of(self, backup: Backup) -> Path:
        """Return where a backup's archive is."""
        # The list once had the folder before the name.
        return self._settings.backups_of(backup.tenant_uuid) / Path(backup.file).name

    def make_folder(self, tenant_uuid: UUID) -> Path:
        """Return a tenant's folder, made when it is not there yet, for its owner alone."""
        folder = self._settings.backups_of(tenant_uuid)
        for made in (folder.parent, folder):
            if not made.exists():
                made.mkdir(mode=0o700, exist_ok=True)
                _give_to_owner(made)
                sync(made.parent)
        return folder

    def add(self, backup: Backup) -> None:
        """Add a backup whose archive is in place."""
        with self._registry.writing() as connection:
            connection.execute(insert(backup_table).values(**asdict(backup)))

    def all(self) -> list[Backup]:
        """Return every backup there is, the newest first."""
        return self._select()

    def of(self, tenant_uuid: UUID) -> list[Backup]:
        """Return one tenant's backups, the newest first."""
        return self._select(backup_table.c.tenant_uuid == tenant_uuid)

    def by_id(self, backup_id: UUID) -> Backup | None:
        """Return one backup; None when it is not listed."""
        found = self._select(backup_table.c.id == backup_id)
        return found[0] if found else None

    def newest_verified(self) -> Mapping[UUID, datetime]:
        """Return when the newest verified backup of each tenant was made, all in one question."""
        newest = select(backup_table.c.tenant_uuid, func.max(backup_table.c.made_at).label("newest"))
        verified = newest.where(backup_table.c.verified_at.is_not(None)).group_by(backup_table.c.tenant_uuid)
        with self._registry.engine.connect() as connection:
            return {row.tenant_uuid: row.newest for row in connection.execute(verified)}

    def note(self, backup: Backup, fault: str) -> None:
        """Note how a verification ended: well, or with a fault, which also takes an earlier good one back."""
        verified_at = None if fault else now()
        change = update(backup_table).where(backup_table.c.id == backup.id)
        with self._registry.writing() as connection:
            connection.execute(change.values(verified_at=verified_at, fault=fault))

    def prune(self, tenant_uuid: UUID, keep: int) -> list[Backup]:
        """Delete a tenant's backups but for the newest ``keep``, and never the newest verified one; return them."""
        found = self.of(tenant_uuid)
        verified = next((backup for backup in found if backup.verified_at is not None), None)
        surplus = [backup for backup in found[keep:] if backup != verified]
        self._delete(surplus)
        return surplus

    def _delete(self, backups: Iterable[Backup]) -> None:
        # The file first: what is listed and missing is found by the next verification, a file nobody lists is not.
        for backup in backups:
            path = self.path_of(backup)
            path.unlink(missing_ok=True)
            if path.parent.exists():
                sync(path.parent)
            with self._registry.writing() as connection:
                connection.execute(delete(backup_table).where(backup_table.c.id == backup.id))

    def _select(self, *conditions: ColumnElement[Any]) -> list[Backup]:
        rows = select(backup_table).where(*conditions).order_by(backup_table.c.made_at.desc(), backup_table.c.id)
        with self._registry.engine.connect() as connection:
            return [Backup(**row._mapping) for row in connection.execute(rows)]  # noqa: SLF001 - SQLAlchemy's public name


def _give_to_owner(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        keep_owner(descriptor, os.stat(folder.parent))
    finally:
        os.close(descriptor)


def catalogue_of(tenancy: Tenancy) -> Catalogue:
    """Return the list of a platform's backups."""
    return Catalogue(tenancy.registry, tenancy.settings)
