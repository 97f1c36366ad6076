"""Bringing a tenant back to what a backup holds, while its pages may be asked for.

Everything is made ready beside the tenant's database and takes its place in one step: a failure or a kill before that
step changes nothing, and after one the same command goes on where it was cut short.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from tenants import schema, unfinished
from tenants.backups.archive import Header, read_header
from tenants.backups.making import make
from tenants.backups.manifest import Head, Manifest
from tenants.backups.staging import Prepare, Return, finish, put_missing_back, stage
from tenants.backups.verifying import Chosen, choose, examine, is_named, open_archive, refuse_lost
from tenants.errors import BadArchive, BrokenJournal, IllegalTransition, ServerUnusable, TenantUnavailable
from tenants.faults import fault_of
from tenants.lifecycle.holding import begun_before, held_tenant
from tenants.lifecycle.states import refuse_unless
from tenants.stores import store_of
from tenants.stores.store import Store
from tenants.tenancy import Tenancy
from tenants.tenant import WITH_DATA, Tenant
from tenants.unfinished import Unfinished

_VERB = "restore"
# A database that is gone is the server's word; one whose tables are not as they were, SQLAlchemy's.
_DAMAGE = (TenantUnavailable, ServerUnusable, BrokenJournal, SQLAlchemyError)
_STAGING = "staging"
_SWAPPING = "swapping"


@dataclass(frozen=True, slots=True)
class Restored:
    """How a restore ended: with what was in which backup, and what was there before kept in which."""

    tenant: Tenant
    backup_id: UUID
    made_at: datetime
    safety: UUID | None


def restore_tenant(
    tenancy: Tenancy,
    slug: str,
    prepare: Prepare,
    *,
    backup_id: str = "",
    path: Path | None = None,
    damaged: bool = False,
) -> Restored:
    """Put a backup in place of what a tenant has, after a backup of that. Every cookie becomes worthless.

    ``damaged`` goes on when what there is cannot be backed up. Which backup: this id, this file, that of a restore
    that was cut short, or the newest. Raises BadArchive, NoSuchBackup, BackupFailed, TenantUnavailable,
    ServerUnusable, IllegalTransition or Busy with nothing changed.
    """
    refuse_lost(tenancy, path)
    with held_tenant(tenancy, slug) as tenant:
        begun = begun_before(tenancy, tenant, _VERB)
        if begun is not None and begun.step == _SWAPPING:
            _refuse_another(begun, backup_id, path)
            return _go_on(tenancy, tenant, begun)
        chosen = choose_again(tenancy, tenant, backup_id, path)
        with examined(tenancy, tenant, chosen) as (source, header, manifest):
            begun = _begin(tenancy, tenant, chosen, header)
            with _undone_on_failure(tenancy, tenant, begun):
                contents = stage(tenancy, tenant, source, Return(header, manifest))
                # From here to the end nobody writes: what is saved before is in the backup of what there is.
                with _stopped(tenancy, tenant, damaged) as stopped:
                    there = tenancy.files_of(tenant).names()
                    back_to = Return(header, manifest, *_leave(tenancy, tenant, damaged, stopped))
                    surplus = finish(tenancy, tenant, contents, back_to, prepare)
                    store_of(tenancy, tenant.server).fence(tenant)
                    begun = _advance(tenancy, begun, back_to.safety)
                restored = _take_place(tenancy, tenant, begun)
            put_missing_back(tenancy, tenant, source, back_to)
        _end(tenancy, tenant)
        # No row names them any more, so nobody could find them to erase them. In that backup they are kept, which one
        # that has come since it was made is not.
        for name in set(surplus).intersection(there) if back_to.safety else ():
            tenancy.files_of(tenant).remove(name)
        return restored


def rehearse(tenancy: Tenancy, slug: str, *, backup_id: str = "", path: Path | None = None) -> Return:
    """Do of a restore what changes nothing, raising what it would raise; return what it would bring back."""
    refuse_lost(tenancy, path)
    with (
        held_tenant(tenancy, slug) as tenant,
        examined(tenancy, tenant, choose_again(tenancy, tenant, backup_id, path)) as (_, header, manifest),
    ):
        return Return(header, manifest)


def choose_again(tenancy: Tenancy, tenant: Tenant, backup_id: str, path: Path | None) -> Chosen:
    """Do as ``choose`` does, but mean the archive of a restore that was cut short rather than the newest."""
    begun = begun_before(tenancy, tenant, _VERB)
    if begun is not None and not backup_id and path is None:
        path = Path(begun.details["path"])
    return choose(tenancy, tenant, backup_id, path)


@contextmanager
def examined(tenancy: Tenancy, tenant: Tenant, chosen: Chosen) -> Iterator[tuple[BinaryIO, Header, Manifest]]:
    """Yield an archive that holds, and fits; it stays open, so that it is the same one that is restored."""
    refuse_unless(tenant, *WITH_DATA)
    with open_archive(chosen.path) as source:
        manifest = examine(tenancy, tenant, source, chosen.digest)
        newest, found = schema.head(tenancy.history), manifest.moment.schema_version
        if found > newest:
            raise BadArchive(f"This backup has schema {found}: a newer release made it. This one knows {newest}.")
        source.seek(0)
        yield source, read_header(source), manifest


@contextmanager
def _stopped(tenancy: Tenancy, tenant: Tenant, damaged: bool) -> Iterator[bool]:
    """Let nobody write while this is open; yield False for what is too damaged to be locked."""
    with ExitStack() as stack:
        try:
            stack.enter_context(store_of(tenancy, tenant.server).stopping(tenant))
            stopped = True
        except _DAMAGE as error:
            _refuse_to_replace(error, damaged)
            stopped = False
        yield stopped


def _leave(tenancy: Tenancy, tenant: Tenant, damaged: bool, stopped: bool) -> tuple[UUID | None, Mapping[str, Head]]:
    try:
        backup, moment = make(tenancy, tenant, stopped=stopped, safety=True)
    except _DAMAGE as error:
        _refuse_to_replace(error, damaged)
        return None, {}
    return backup.id, moment.journals


def _refuse_to_replace(error: Exception, damaged: bool) -> None:
    if not damaged:
        raise TenantUnavailable(
            f"What there is now cannot be backed up first: {fault_of(error).rstrip('.')}. "
            "To replace it all the same, say --damaged."
        ) from error


def _go_on(tenancy: Tenancy, tenant: Tenant, begun: Unfinished) -> Restored:
    with _undone_on_failure(tenancy, tenant, begun):
        restored = _take_place(tenancy, tenant, begun)
    try:
        _look_for_files(tenancy, tenant, restored, Path(begun.details["path"]))
    except BadArchive as error:
        # One that is gone stays gone, and must not keep every other command from this tenant.
        _end(tenancy, tenant)
        raise BadArchive(
            f"{tenant.slug} is restored, but whether all its files are there is not known: {error}"
        ) from error
    _end(tenancy, tenant)
    return restored


def _look_for_files(tenancy: Tenancy, tenant: Tenant, restored: Restored, path: Path) -> None:
    # Until now people worked with the rows of before: whoever replaced a picture has removed the one that is missing.
    with examined(tenancy, tenant, choose(tenancy, tenant, path=path)) as (source, header, manifest):
        if header.id != restored.backup_id:
            raise BadArchive(f"{path} is another backup now.")
        put_missing_back(tenancy, tenant, source, Return(header, manifest))


def _take_place(tenancy: Tenancy, tenant: Tenant, begun: Unfinished) -> Restored:
    store = store_of(tenancy, tenant.server)
    if store.aside().remains(tenant.uuid):
        # First: no cookie of before is to meet the rows of long before.
        tenant = tenancy.registry.raise_epoch(tenant)
    store.swap(tenant)
    tenancy.databases.forget(tenant)
    safety = begun.details["safety"]
    made_at = datetime.fromisoformat(begun.details["made_at"])
    return Restored(tenant, UUID(begun.details["backup"]), made_at, UUID(safety) if safety else None)


def _refuse_another(begun: Unfinished, backup_id: str, path: Path | None) -> None:
    same_file = path is None or str(path.absolute()) == begun.details["path"]
    if not (same_file and is_named(UUID(begun.details["backup"]), backup_id)):
        raise IllegalTransition(
            f"The restore of backup {begun.details['backup']} was cut short at its last step: run that again first."
        )


def _begin(tenancy: Tenancy, tenant: Tenant, chosen: Chosen, header: Header) -> Unfinished:
    details = {
        "path": str(chosen.path.absolute()),
        "backup": str(header.id),
        "made_at": header.made_at.isoformat(),
    }
    # One that was killed with everybody stopped: what is served again is what there was.
    store_of(tenancy, tenant.server).unfence(tenant)
    with tenancy.registry.writing() as connection:
        begun = unfinished.begin(connection, tenant.uuid, _VERB, _STAGING)
        # One that was cut short at this step has changed nothing, and begins anew.
        return unfinished.advance(connection, begun, _STAGING, **details)


def _advance(tenancy: Tenancy, begun: Unfinished, safety: UUID | None) -> Unfinished:
    with tenancy.registry.writing() as connection:
        return unfinished.advance(connection, begun, _SWAPPING, safety=str(safety) if safety else "")


def _end(tenancy: Tenancy, tenant: Tenant) -> None:
    with tenancy.registry.writing() as connection:
        unfinished.end(connection, tenant.uuid)


@contextmanager
def _undone_on_failure(tenancy: Tenancy, tenant: Tenant, begun: Unfinished) -> Iterator[None]:
    try:
        yield
    except BaseException:
        store = store_of(tenancy, tenant.server)
        noted = begun_before(tenancy, tenant, _VERB)
        swapped = noted is not None and noted.step == _SWAPPING and not store.aside().remains(tenant.uuid)
        if not swapped:
            _undo(tenancy, tenant, begun, store)
        raise


def _undo(tenancy: Tenancy, tenant: Tenant, begun: Unfinished, store: Store) -> None:
    # An interrupt can come after the last step was noted: without what is ready that would not be true any more.
    with tenancy.registry.writing() as connection:
        unfinished.advance(connection, begun, _STAGING)
    store.unfence(tenant)
    store.aside().destroy(tenant.uuid)
    _end(tenancy, tenant)
