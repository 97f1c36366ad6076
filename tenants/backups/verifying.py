"""Finding out whether a backup is good: it is opened whole, restored where it harms nobody, and looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.exc import DatabaseError

from tenants.backups.archive import read_header
from tenants.backups.catalogue import Backup, catalogue_of
from tenants.backups.contents import Contents
from tenants.backups.manifest import Manifest, Moment, read_moment, verify_journals
from tenants.errors import (
    BadArchive,
    BadSeal,
    BrokenJournal,
    NoSuchBackup,
    NoSuchTenant,
    ServerUnusable,
    TenantUnavailable,
)
from tenants.faults import fault_of
from tenants.files import PURPOSE
from tenants.keys import TenantKeys
from tenants.registry_tables import tombstone_table
from tenants.stores import store_of
from tenants.stores.placement import least_filled, why_unusable
from tenants.stores.store import Store
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED, State, Tenant

# A file can be opened in one piece only. Larger ones than any upload may be are known by their digest alone, so that
# an archive of any size is verified in little memory.
_LARGEST_OPENED = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Chosen:
    """An archive that was asked for; ``backup`` is None when the list does not know it."""

    path: Path
    backup: Backup | None

    @property
    def digest(self) -> bytes | None:
        """What the list says the archive's digest is."""
        return self.backup.digest if self.backup else None


def choose(tenancy: Tenancy, tenant: Tenant, backup_id: str = "", path: Path | None = None) -> Chosen:
    """Return the archive that an operator means: this file, this id or its beginning, or the tenant's newest.

    What a restore kept of before is meant by its id alone. Raises NoSuchBackup.
    """
    if path is not None:
        return Chosen(path, _listed(tenancy, path))
    catalogue = catalogue_of(tenancy)
    every = catalogue.of(tenant.uuid)
    found = [backup for backup in every if (is_named(backup.id, backup_id) if backup_id else not backup.safety)]
    if not found:
        raise NoSuchBackup(_none(tenant.slug, backup_id, every))
    if backup_id and len(found) > 1:
        raise NoSuchBackup(f"{len(found)} backups of {tenant.slug} begin with {backup_id}.")
    return Chosen(catalogue.path_of(found[0]), found[0])


def _none(slug: str, backup_id: str, every: Sequence[Backup]) -> str:
    if backup_id:
        return f"{slug} has no backup {backup_id}. See: extranet backup list {slug}"
    if every:
        return f"{slug} has only what restores kept of before: name one with --id. See: extranet backup list {slug}"
    return f"{slug} has no backup. Make one with: extranet backup create {slug}"


def is_named(found: UUID, beginning: str) -> bool:
    """Return whether an id begins with what an operator typed of it."""
    return found.hex.startswith(beginning.replace("-", "").lower())


def verify_backup(tenancy: Tenancy, slug: str, backup_id: str = "", path: Path | None = None) -> Manifest:
    """Verify one backup of a tenant and note in the list how it went.

    Raises BadArchive with what is wrong, NoSuchTenant, NoSuchBackup, KeyUnavailable or ServerUnusable.
    """
    refuse_lost(tenancy, path)
    tenant = tenancy.registry.by_slug(slug)
    chosen, catalogue = choose(tenancy, tenant, backup_id, path), catalogue_of(tenancy)
    try:
        with open_archive(chosen.path) as source:
            manifest = examine(tenancy, tenant, source, chosen.digest)
    except BadArchive as error:
        if chosen.backup is not None:
            catalogue.note(chosen.backup, str(error))
        raise
    if chosen.backup is not None:
        catalogue.note(chosen.backup, "")
    return manifest


def refuse_lost(tenancy: Tenancy, path: Path | None) -> None:
    """Raise BadArchive when a file says to be a backup of a tenant that is gone, and its key with it."""
    if path is not None:
        with open_archive(path) as source:
            _owner(tenancy, read_header(source).tenant_uuid)


def open_archive(path: Path) -> BinaryIO:
    """Open an archive; raise BadArchive when it cannot be read."""
    try:
        return open(path, "rb")
    except OSError as error:
        raise BadArchive(f"{path} cannot be read: {error.strerror}.") from error


def examine(tenancy: Tenancy, tenant: Tenant, source: BinaryIO, digest: bytes | None) -> Manifest:
    """Read a whole archive of this tenant, restore it into a scratch database and check all that it says of itself.

    Changes nothing. Raises BadArchive; ServerUnusable when there is nowhere to restore it to.
    """
    header = read_header(source)
    if header.tenant_uuid != tenant.uuid:
        raise BadArchive(f"This is a backup of {_owner(tenancy, header.tenant_uuid).slug}, not of {tenant.slug}.")
    # What a retired key has sealed is sealed anew when it is restored.
    keys = tenancy.keys_of(tenant).with_retired()
    contents = Contents(source, header, keys)
    embedded, dump = contents.database()
    moment = _look_at(store_for(tenancy, tenant, embedded), dump, tenant, keys)
    for name, file in contents.files():
        _check_file(keys, name, file)
    if contents.manifest.moment != moment:
        raise BadArchive("The database in this backup is not what its manifest says.")
    if digest is not None and contents.digest != digest:
        raise BadArchive("This is another backup than the one that is listed under its id.")
    return contents.manifest


def store_for(tenancy: Tenancy, tenant: Tenant, embedded: bool) -> Store:
    """Return a store that can read a dump: the tenant's own when it is of that kind and answers, or any other that is.

    Raises ServerUnusable when there is none.
    """
    if embedded:
        return store_of(tenancy, EMBEDDED)
    if tenant.server != EMBEDDED and not why_unusable(tenancy, tenant.server):
        return store_of(tenancy, tenant.server)
    if (place := least_filled(tenancy)) == EMBEDDED:
        raise ServerUnusable("This backup is of a PostgreSQL server, and none is known here to open it on.")
    return store_of(tenancy, place)


def _listed(tenancy: Tenancy, path: Path) -> Backup | None:
    with open_archive(path) as source:
        return catalogue_of(tenancy).by_id(read_header(source).id)


def _owner(tenancy: Tenancy, tenant_uuid: UUID) -> Tenant:
    tombs = select(tombstone_table).where(tombstone_table.c.tenant_uuid == tenant_uuid)
    with tenancy.registry.engine.connect() as connection:
        tomb = connection.execute(tombs).first()
    if tomb is not None:
        raise _lost(tomb.slug)
    try:
        owner = tenancy.registry.by_uuid(tenant_uuid)
    except NoSuchTenant as error:
        raise BadArchive(f"This is a backup of a tenant that is not known here ({tenant_uuid}).") from error
    if owner.state is State.PURGED:
        raise _lost(owner.slug)
    return owner


def _lost(slug: str) -> BadArchive:
    return BadArchive(
        f"This is a backup of {slug}, which was purged: its key was destroyed, so nothing can open it any more."
    )


def _look_at(store: Store, dump: BinaryIO, tenant: Tenant, keys: TenantKeys) -> Moment:
    try:
        with store.scratch(dump) as connection:
            moment = read_moment(connection, keys)
            _check_database(connection, tenant, moment)
            verify_journals(connection, moment, keys)
    except BrokenJournal as error:
        raise BadArchive(f"A journal in this backup is broken at entry {error.sequence}: {error.why}.") from error
    except (TenantUnavailable, DatabaseError) as error:
        raise BadArchive(f"The database in this backup cannot be restored: {fault_of(error)}") from error
    return moment


def _check_database(connection: Connection, tenant: Tenant, moment: Moment) -> None:
    if moment.stamps != [str(tenant.uuid)]:
        raise BadArchive(f"The database in this backup is stamped for {moment.stamps}, not for {tenant.uuid}.")
    if connection.dialect.name == "sqlite":
        (answer,) = connection.exec_driver_sql("PRAGMA integrity_check(1)").one()
        if answer != "ok":
            raise BadArchive(f"The database in this backup is damaged: {answer}.")


def _check_file(keys: TenantKeys, name: str, file: BinaryIO) -> None:
    sealed = file.read(_LARGEST_OPENED + 1)
    if len(sealed) <= _LARGEST_OPENED:
        try:
            keys.open(PURPOSE, sealed, context=name.encode())
        except BadSeal as error:
            raise BadArchive(f"The file {name} in this backup does not open with the tenant's key.") from error
