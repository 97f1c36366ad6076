"""What the tests of backups look at: a tenant's notes and files, and everything that a refusal must leave as it was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import inspect, select

from tenants.backups.catalogue import Backup, catalogue_of
from tenants.backups.staging import Return
from tenants.databases import TenantSession
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant
from tests.tenants.world import Note, journal_of, kill_this_process, note

NOT_LOOKED_AT = ("-wal", "-shm", ".lock", ".sqlite3")
RESTORED = "restored"


def write(tenancy: Tenancy, slug: str, text: str) -> None:
    """Save one note more, and an entry in the journal that says so."""
    with tenancy.open_db(tenancy.registry.by_slug(slug), writing=True) as db:
        db.add(note(text, text))
        _tell(db, text)
        db.commit()


def notes(tenancy: Tenancy, slug: str) -> list[str]:
    """Return a tenant's notes, after its journal held."""
    tenant = tenancy.registry.by_slug(slug)
    with tenancy.open_db(tenant) as db:
        journal_of(tenancy.keys_of(tenant)).verify(db)
        return sorted(db.scalars(select(Note.changes)))


def prepare_restored(db: TenantSession, back_to: Return) -> None:
    """What the command line does to restored rows, with the means of these tests."""
    db.add(note(RESTORED, back_to.header.id.hex))
    _tell(db, RESTORED)


def path_of(tenancy: Tenancy, backup: Backup) -> Path:
    return catalogue_of(tenancy).path_of(backup)


def state_of(tenancy: Tenancy) -> Any:
    """Return everything there is: the registry's rows, every tenant's, and all files but those of SQLite."""
    rows = {"registry": _rows_of(tenancy.registry.engine)}
    for tenant in tenancy.registry.all():
        with tenancy.open_db(tenant) as db:
            rows[tenant.slug] = _rows_of(db.get_bind())
    return rows, files_of(tenancy.settings.home)


def files_of(home: Path) -> dict[str, str]:
    return {
        str(file.relative_to(home)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in home.rglob("*")
        if file.is_file() and not file.name.endswith(NOT_LOOKED_AT)
    }


def left_over(tenancy: Tenancy, tenant: Tenant) -> list[str]:
    """Return what is in a tenant's folders, and anywhere for a moment, that belongs to no tenant at rest."""
    settings = tenancy.settings
    folders = (settings.folder_of(tenant.uuid), settings.backups_of(tenant.uuid), settings.home / "scratch")
    rest = ("files", "files.lock", f"{tenant.uuid}.sqlite3", f"{tenant.uuid}.sqlite3-wal", f"{tenant.uuid}.sqlite3-shm")
    found = [file.name for folder in folders if folder.exists() for file in folder.iterdir()]
    return [name for name in found if name not in rest and not name.endswith(".extranet-backup")]


@contextmanager
def kill_at(place: Any, name: str, nth: int = 1) -> Any:
    """Let the ``nth`` call of something kill this process, as a power cut would."""
    real: Callable[..., Any] = getattr(place, name)
    calls = 0

    def called(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            kill_this_process()
        return real(*arguments, **options)

    with patch.object(place, name, called):
        yield


def _rows_of(engine: Any) -> dict[str, list[str]]:
    with engine.connect() as connection:
        return {
            name: sorted(repr(tuple(row)) for row in connection.exec_driver_sql(f'SELECT * FROM "{name}"'))
            for name in inspect(connection).get_table_names()
        }


def _tell(db: TenantSession, text: str) -> None:
    journal = journal_of(db.info["keys"])
    journal.append(db, "noted", "ok", actor="somebody", subject="", details={"text": text}, private={"address": "::1"})
