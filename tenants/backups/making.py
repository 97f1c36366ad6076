"""Making a backup of one tenant while it is in use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from tenants.backups import contents
from tenants.backups.archive import ChunkWriter, Header
from tenants.backups.catalogue import SUFFIX, Backup, catalogue_of
from tenants.backups.entries import Packer
from tenants.backups.manifest import Manifest, Moment, read_moment
from tenants.durable import draft_of, sync
from tenants.errors import BackupFailed, IllegalTransition, WrongStamp
from tenants.files import NAME
from tenants.lifecycle.holding import held_tenant
from tenants.sqlite_files import check_folder
from tenants.stores import store_of
from tenants.tenancy import Tenancy
from tenants.tenant import WITH_DATA, Tenant

_LINKS = "files.backup"
_CHUNK = 1024 * 1024


def back_up(tenancy: Tenancy, slug: str, keep: int | None = None) -> tuple[Backup, list[Backup]]:
    """Back a tenant up and delete its older backups but for ``keep``; return the new one and those deleted.

    Raises NoSuchTenant, Busy, and what ``make_backup`` raises.
    """
    with held_tenant(tenancy, slug) as tenant:
        backup = make_backup(tenancy, tenant)
        return backup, catalogue_of(tenancy).prune(tenant.uuid, keep) if keep is not None else []


def make_backup(tenancy: Tenancy, tenant: Tenant) -> Backup:
    """Make an archive of a tenant as it is at one moment, and list it. The caller holds the tenant's lock.

    Raises BackupFailed, TenantUnavailable, ServerUnusable, KeyUnavailable or IllegalTransition; nothing is left then.
    """
    return make(tenancy, tenant)[0]


def make(tenancy: Tenancy, tenant: Tenant, *, stopped: bool = False, safety: bool = False) -> tuple[Backup, Moment]:
    """Do as ``make_backup``, and also return what the database was found to be.

    ``stopped``: the caller keeps everybody from writing meanwhile. ``safety``: it is to replace what is backed up.
    """
    if tenant.state not in WITH_DATA:
        raise IllegalTransition(f"{tenant.slug} is {tenant.state}: there is nothing to back up.")
    header = Header.new(tenant)
    path = tenancy.settings.backups_of(tenant.uuid) / f"{header.made_at:%Y%m%dT%H%M%SZ}-{header.id.hex[:12]}{SUFFIX}"
    try:
        backup, moment = _write(tenancy, tenant, header, path, stopped)
    except OSError as error:
        raise BackupFailed(
            f"The backup of {tenant.slug} could not be written: {error.strerror}. Nothing of it is left."
        ) from error
    backup = replace(backup, safety=safety)
    catalogue_of(tenancy).add(backup)
    return backup, moment


def _write(tenancy: Tenancy, tenant: Tenant, header: Header, path: Path, stopped: bool) -> tuple[Backup, Moment]:
    catalogue_of(tenancy).make_folder(tenant.uuid)
    with _draft(path) as target:
        chunks = ChunkWriter(target, header, tenancy.keys_of(tenant))
        moment = _pack(tenancy, tenant, header, Packer(chunks), stopped)
    backup = Backup(
        id=header.id,
        tenant_uuid=tenant.uuid,
        file=path.name,
        digest=chunks.digest,
        bytes=chunks.length,
        schema_version=moment.schema_version,
        made_at=header.made_at,
    )
    return backup, moment


def _pack(tenancy: Tenancy, tenant: Tenant, header: Header, packer: Packer, stopped: bool) -> Moment:
    with _links(tenancy.settings.folder_of(tenant.uuid)) as links:
        moment = _pack_database(tenancy, tenant, packer, links, stopped)
        for file in sorted(links.iterdir()):
            with open(file, "rb") as source, contents.file_entry(packer, file.name) as target:
                shutil.copyfileobj(source, target, _CHUNK)
    manifest = Manifest(
        id=header.id,
        tenant_uuid=tenant.uuid,
        slug=tenant.slug,
        name=tenant.name,
        server=tenant.server,
        moment=moment,
        contents=packer.written.copy(),
    )
    contents.write_manifest(packer, manifest)
    return moment


def _pack_database(tenancy: Tenancy, tenant: Tenant, packer: Packer, links: Path, stopped: bool) -> Moment:
    store = store_of(tenancy, tenant.server)
    # A file is stored before the row that names it is saved, and removed after the row that no longer does. So what
    # is there while nobody can write is all that the rows of that moment name; linked, it stays.
    with (
        contents.database_entry(packer, tenant.server) as target,
        store.dumping(tenant, target, lambda: _link_files(links), stopped=stopped) as connection,
    ):
        moment = read_moment(connection, tenancy.keys_of(tenant))
    if moment.stamps != [str(tenant.uuid)]:
        raise WrongStamp(f"The database of {tenant.slug} is stamped for {moment.stamps}, not for {tenant.uuid}.")
    return moment


@contextmanager
def _links(folder: Path) -> Iterator[Path]:
    check_folder(folder)
    links = folder / _LINKS
    # Those of a backup that was killed: whoever made it held the lock that is ours now.
    shutil.rmtree(links, ignore_errors=True)
    links.mkdir(mode=0o700)
    try:
        yield links
    finally:
        shutil.rmtree(links)


def _link_files(links: Path) -> None:
    files = links.with_name("files")
    for entry in os.scandir(files) if files.exists() else ():
        if NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            _link(files / entry.name, links / entry.name)


def _link(file: Path, link: Path) -> None:
    try:
        os.link(file, link, follow_symlinks=False)
    except FileNotFoundError:
        # Removed since it was listed: no row named it any more.
        return


@contextmanager
def _draft(path: Path) -> Iterator[BinaryIO]:
    # Of a backup that was killed, as above.
    for left in path.parent.glob("*.part"):
        left.unlink()
    with draft_of(path, os.stat(path.parent)) as file:
        yield file
    sync(path.parent)
