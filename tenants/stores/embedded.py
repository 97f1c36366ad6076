"""Tenant databases as SQLite files in the home folder, each in its tenant's own."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from sqlalchemy import Connection, Engine

from tenants import schema, sqlite, sqlite_files
from tenants.databases import TenantSession, database_file, session_on
from tenants.durable import sync
from tenants.errors import TenantUnavailable
from tenants.settings import Settings
from tenants.stamp import check_stamp, rewrite_stamp, write_stamp
from tenants.stores import copies
from tenants.stores.scratch import scratch_file
from tenants.tenant import EMBEDDED, Tenant

_ASIDE = ".next"
_READERS = 8


class EmbeddedStore:
    """The embedded engine's files. See ``Store`` for what each method promises.

    ``suffix`` is what the names of its files end in, after a tenant's own.
    """

    name = EMBEDDED

    def __init__(self, settings: Settings, history: str, suffix: str = "") -> None:
        self._settings = settings
        self._history = history
        self._suffix = suffix

    def create(self, tenant: Tenant) -> None:
        """Copy the template into the tenant's folder, which is made when it is not there yet."""
        template = schema.template_file(self._settings.home / "templates", self._history)
        self._make_folder(tenant)
        sqlite_files.copy_template(template, self._path(tenant))

    @contextmanager
    def filling(self, tenant: Tenant, origin: UUID | None = None) -> Iterator[TenantSession]:
        """Stamp and fill a database that nobody else knows of yet."""
        path = self._path(tenant)
        # One sync at the end does what one a commit would do three times slower.
        engine = sqlite.make_engine(path, schema.head(self._history), sqlite.sync_later)
        try:
            with session_on(engine.execution_options(writing=True), tenant) as db:
                if origin is None:
                    write_stamp(db.connection(), tenant)
                else:
                    rewrite_stamp(db.connection(), origin, tenant)
                yield db
                db.commit()
        finally:
            engine.dispose()
        for file in path.parent.glob(f"{path.name}*"):
            sync(file)
        sync(path.parent)
        sync(path.parent.parent)

    def destroy(self, tenant_uuid: UUID) -> None:
        """Remove the database and its side files; the folder and the tenant's other files stay."""
        folder = self._settings.folder_of(tenant_uuid)
        if folder.exists():
            for file in self._files(tenant_uuid):
                file.unlink(missing_ok=True)
            sync(folder)

    def remains(self, tenant_uuid: UUID) -> list[str]:
        """Return the paths of what is left."""
        return [str(file) for file in self._files(tenant_uuid)]

    def versions(self) -> Mapping[UUID, int]:
        """Read every file's header (30 us each). Never in a process that has one of them open."""
        uuids = _uuids(os.listdir(self._settings.home / "tenants"))
        # What was not read lately comes from the disk (500 us each), which serves several at once.
        with ThreadPoolExecutor(_READERS) as readers:
            parts = readers.map(self._versions_of, [uuids[number::_READERS] for number in range(_READERS)])
            return {uuid: version for part in parts for uuid, version in part}

    @contextmanager
    def changing_schema(self, tenant: Tenant) -> Iterator[Connection]:
        """Hold the file's one write lock for the whole transaction."""
        path = self._path(tenant)
        engine = sqlite.make_engine(path, 0, lambda connection: _prepare_change(connection, tenant))
        try:
            with engine.execution_options(writing=True).begin() as connection:
                yield connection
                _check_references(connection, path)
            # One that was fenced meanwhile has another name, and is read no more.
            if path.exists():
                _empty_log(engine)
        finally:
            engine.dispose()

    @contextmanager
    def reading(self, tenant: Tenant) -> Iterator[Connection]:
        """Read the file as it is when the first question is asked."""
        engine = sqlite.make_engine(self._path(tenant), 0, lambda connection: check_stamp(connection, tenant))
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()

    def stopping(self, tenant: Tenant) -> AbstractContextManager[None]:
        """Hold the file's one write lock."""
        return copies.write_lock(self._path(tenant))

    def fence(self, tenant: Tenant) -> None:
        """Give the file another name: a writer that waits for its lock finds that out before it writes."""
        path = self._path(tenant)
        if os.path.lexists(path):
            path.rename(copies.fenced(path))
            sync(path.parent)

    def unfence(self, tenant: Tenant) -> None:
        """Give the file its name back."""
        copies.take_back(self._path(tenant))

    def renew_login(self, tenant: Tenant) -> None:
        """Do nothing: a file has no login."""

    def dump(self, tenant: Tenant, target: BinaryIO) -> None:
        """Copy the database with SQLite's own backup, which sees one moment and stops no writer."""
        with self.dumping(tenant, target, lambda: None):
            pass

    @contextmanager
    def dumping(
        self, tenant: Tenant, target: BinaryIO, at_moment: Callable[[], None], *, stopped: bool = False
    ) -> Iterator[Connection]:
        """Dump, and let the caller read what was dumped."""
        with copies.dumped(self._path(tenant), target, at_moment, stopped=stopped) as connection:
            yield connection

    def load(self, tenant: Tenant, source: BinaryIO) -> None:
        """Write the file anew, where nothing of an older database may be left."""
        self._make_folder(tenant)
        path = self._path(tenant)
        sqlite_files.refuse_leftovers(path)
        try:
            _write(path, source)
            with closing(copies.open_raw(path)) as connection:
                check_stamp(connection, tenant)
                connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.Error as error:
            self.destroy(tenant.uuid)
            raise TenantUnavailable(f"What was loaded for {tenant.slug} is no database: {error}.") from error
        except BaseException:
            self.destroy(tenant.uuid)
            raise

    @contextmanager
    def scratch(self, source: BinaryIO) -> Iterator[Connection]:
        """Write the dump to a file that belongs to no tenant and is gone at the end."""
        with scratch_file(self._settings.home / "scratch", source) as connection:
            yield connection

    def aside(self) -> EmbeddedStore:
        """Return the store of files that lie beside the tenants' own."""
        return EmbeddedStore(self._settings, self._history, _ASIDE)

    def swap(self, tenant: Tenant) -> None:
        """Give the file that lies beside the database its name."""
        path = self._path(tenant)
        copies.put_in_place(path.with_name(f"{path.name}{_ASIDE}"), path)

    def size(self, tenant: Tenant) -> int:
        """Return the bytes of the database and its log."""
        return sum(file.stat().st_size for file in self._files(tenant.uuid))

    def _make_folder(self, tenant: Tenant) -> None:
        folder = self._settings.folder_of(tenant.uuid)
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        sqlite_files.check_folder(folder)

    def _versions_of(self, uuids: list[UUID]) -> list[tuple[UUID, int]]:
        paths = ((uuid, self._path_of(uuid)) for uuid in uuids)
        return [(uuid, _version_or_zero(path)) for uuid, path in paths if path.exists()]

    def _path(self, tenant: Tenant) -> Path:
        return self._path_of(tenant.uuid)

    def _path_of(self, tenant_uuid: UUID) -> Path:
        path = database_file(self._settings, tenant_uuid)
        return path.with_name(f"{path.name}{self._suffix}")

    def _files(self, tenant_uuid: UUID) -> list[Path]:
        path = self._path_of(tenant_uuid)
        return sorted(path.parent.glob(f"{path.name}*"))


def _uuids(names: list[str]) -> list[UUID]:
    found = []
    for name in names:
        with suppress(ValueError):
            found.append(UUID(name))
    return found


def _version_or_zero(path: Path) -> int:
    try:
        return sqlite_files.read_schema_version(path)
    except TenantUnavailable:
        return 0


def _prepare_change(connection: sqlite3.Connection, tenant: Tenant) -> None:
    check_stamp(connection, tenant)
    # A change that rebuilds a table drops the old one, and what refers to its rows would be deleted with it.
    connection.execute("PRAGMA foreign_keys=OFF")


def _check_references(connection: Connection, path: Path) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise TenantUnavailable(f"{path}: after the change, rows of {broken[0]} would refer to none of {broken[2]}.")


def _empty_log(engine: Engine) -> None:
    # The header that fleets are read from is only as new as the last checkpoint. A busy reader may put it off.
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _write(path: Path, source: BinaryIO) -> None:
    with open(path, "xb") as file:
        shutil.copyfileobj(source, file, copies.CHUNK)
        file.flush()
    path.chmod(0o600)
    sync(path)
