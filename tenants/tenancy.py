"""The core in one object: registry, resolver, keys and databases, opened together and closed together."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from sqlalchemy import Connection, insert

from tenants import schema, sqlite_files
from tenants.databases import Databases, TenantSession
from tenants.durable import sync
from tenants.errors import BadSettings, KeyUnavailable, NotInitialised, TenantUnavailable
from tenants.files import Files
from tenants.generation import Generation
from tenants.journal import Journal
from tenants.keyrings import Keyrings
from tenants.keys import PLATFORM, MasterKeys, TenantKeys, create_master_key, new_key, read_master_keys
from tenants.locks import Locks
from tenants.outboxes import Outboxes
from tenants.registry import Registry, WrappedKey, add_key
from tenants.registry_database import (
    changing_registry,
    drafting_registry,
    is_postgresql,
    open_registry,
    registry_exists,
    registry_file,
    upgrade_registry,
)
from tenants.registry_tables import generation_table, operator_event_head_table, operator_event_table
from tenants.resolver import Resolver
from tenants.servers import Server, Servers
from tenants.settings import Settings
from tenants.shared_store import open_store
from tenants.shares import take_share
from tenants.staff import Staff
from tenants.tenant import Tenant
from tenants.wakeups import MAIL_CHANNEL, Wakeups

_OPERATORS_CONNECTIONS = 4


class Tenancy:
    """Everything the application and the command line need to reach tenants. Made by ``open``."""

    def __init__(
        self, settings: Settings, registry: Registry, master_keys: MasterKeys, history: str, *, serving: bool
    ) -> None:
        self.settings = settings
        self.registry = registry
        self.master_keys = master_keys
        self.history = history
        self.generation = Generation(registry)
        self.resolver = Resolver(registry, settings.domain, self.generation)
        self.keyrings = Keyrings(registry, master_keys, self.generation)
        self.servers = Servers(registry, self.keys_of, self._serving_share if serving else _operators_share)
        self.databases = Databases(settings, schema.head(history), self.servers)
        self.locks = Locks(settings.home / "locks", registry.engine)
        self.outboxes = Outboxes(registry)
        self.staff = Staff(registry)
        # What operators' commands opened in this tenancy's name, closed with it.
        self.opened = ExitStack()
        if store := open_store(settings):
            self._connect_wakeups(Wakeups(store, self.generation.forget), serving)
            self.outboxes.announce = Wakeups(store, lambda: None, MAIL_CHANNEL).announce
        # The platform's key proves at start that the master key is the one this home was made with.
        self.platform_keys = self.keyrings.of(PLATFORM)
        self.operator_journal = Journal(operator_event_table, operator_event_head_table, self.platform_keys)

    @classmethod
    def open(cls, settings: Settings, history: str, *, serving: bool = False) -> Self:
        """Open an initialised home; ``history`` is the package with the tenant databases' migrations.

        ``serving`` is for the web: many processes at once, each with its share of every server's connections.
        Raises NotInitialised, KeyUnavailable, SchemaBehind.
        """
        engine = open_registry(settings)
        try:
            master_keys = read_master_keys(settings.master_key_file)
            return cls(settings, Registry(engine), master_keys, history, serving=serving)
        except BaseException:
            engine.dispose()
            raise

    def keys_of(self, tenant: Tenant) -> TenantKeys:
        """Return a tenant's keys, unwrapped at first use; raise KeyUnavailable."""
        return self.keyrings.of(tenant.uuid)

    def make_key(self, owner: UUID, version: int) -> WrappedKey:
        """Return a new key for a tenant, wrapped under the newest master key there is; raise KeyUnavailable.

        Call it in the transaction that stores it: no master key is dropped while one is open. Or check it afterwards.
        """
        self.master_keys.read_again()
        # Named, not twice the newest: another thread may read another line between the two.
        newest = self.master_keys.newest
        return WrappedKey(version, newest, self.master_keys.wrap(owner, version, new_key(), newest))

    def check_key(self, key: WrappedKey) -> None:
        """Raise KeyUnavailable when the master key of one that was just stored has been dropped meanwhile."""
        self.master_keys.read_again()
        if key.master_id not in self.master_keys.ids:
            raise KeyUnavailable(f"The master key {key.master_id} was dropped a moment ago; try again.")

    @contextmanager
    def open_db(self, tenant: Tenant, *, writing: bool = False) -> Iterator[TenantSession]:
        """Yield a ``db`` on a tenant's database; ``db.info`` has its ``keys``, and its ``origin``, for links to it."""
        with self.databases.open(tenant, writing=writing) as db:
            self.equip(db)
            yield db

    def equip(self, db: TenantSession) -> None:
        """Give a ``db`` what operations find in its ``info``."""
        db.info["keys"] = self.keys_of(db.tenant)
        db.info["origin"] = self.origin_of(db.tenant)
        db.info["outboxes"] = self.outboxes

    def origin_of(self, tenant: Tenant) -> str:
        """Return where browsers find a tenant: scheme, host and port."""
        return self.settings.origin(self.settings.host_of(tenant.slug))

    def files_of(self, tenant: Tenant) -> Files:
        """Return a tenant's own files."""
        return Files(self.settings.folder_of(tenant.uuid) / "files", self.keys_of(tenant))

    def close(self) -> None:
        """Close every connection."""
        self.opened.close()
        self.databases.close()
        self.registry.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect_wakeups(self, wakeups: Wakeups, serving: bool) -> None:
        self.opened.callback(wakeups.close)
        self.registry.announce = wakeups.announce
        if serving:
            self.resolver.listen = wakeups.listen

    def _serving_share(self, server: Server) -> int:
        processes = _serving_processes(self.settings)
        take_share(self.settings.home / "slots" / "connections", processes)
        return max(1, (server.connections - _operators_share(server)) // (processes * self.settings.nodes))


def fewest_connections(settings: Settings) -> int:
    """Return how many connections to a server it takes for every process to have one, and operators theirs."""
    return _OPERATORS_CONNECTIONS + _serving_processes(settings) * settings.nodes


def _serving_processes(settings: Settings) -> int:
    # One more than workers: one that is being replaced still ends its requests while the next one begins.
    return settings.workers + 1


def _operators_share(_server: Server) -> int:
    # Commands open one or two each; what is left for them is never given to the web.
    return _OPERATORS_CONNECTIONS


def initialise(settings: Settings) -> int | None:
    """Make the home folder, master key and registry. Safe to run again after a crash or in passing.

    An existing key is kept as it is, the schema of an older registry is returned, which is then brought to this code's;
    a registry without its key is refused, never given a new one.
    """
    folders = [settings.home, settings.home / "tenants"]
    if not is_postgresql(settings):
        folders.append(registry_file(settings).parent)
    for folder in folders:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_home(settings)
    with _alone(settings.home):
        upgraded_from = _initialise(settings)
    sync(settings.home)
    return upgraded_from


def check_home(settings: Settings) -> None:
    """Raise BadSettings unless the home folder is for its owner alone: in an open one, others swap what is inside."""
    try:
        sqlite_files.check_folder(settings.home)
    except TenantUnavailable as error:
        raise BadSettings(f"The home folder is not safe: {error}") from error


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    # Two at once would each put their own registry in place, and the first one's tenants would be gone.
    descriptor = os.open(home / "initialise.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _initialise(settings: Settings) -> int | None:
    exists = registry_exists(settings)
    if not exists and any((settings.home / "tenants").iterdir()):
        raise NotInitialised(
            f"There are tenants in {settings.home} but no registry {_where(settings)}. "
            "Put the registry back: their keys are in it and nowhere else."
        )
    if not settings.master_key_file.exists():
        if exists:
            raise KeyUnavailable(
                f"The registry {_where(settings)} exists but its master key {settings.master_key_file} does not. "
                "Put the key back: a new one could not open what the old one sealed."
            )
        settings.master_key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_master_key(settings.master_key_file)
    master_keys = read_master_keys(settings.master_key_file)
    if exists:
        return upgrade_registry(settings)
    if is_postgresql(settings):
        with changing_registry(settings) as connection:
            schema.upgrade(connection, schema.REGISTRY_HISTORY)
            _fill_registry(connection, master_keys)
    else:
        with drafting_registry(settings) as connection:
            _fill_registry(connection, master_keys)
    return None


def _where(settings: Settings) -> str:
    return "in its PostgreSQL database" if is_postgresql(settings) else f"at {registry_file(settings)}"


def _fill_registry(connection: Connection, master_keys: MasterKeys) -> None:
    connection.execute(insert(generation_table).values(id=1, number=1))
    connection.execute(insert(operator_event_head_table).values(id=1, sequence=0, mac=bytes(32)))
    add_key(connection, PLATFORM, WrappedKey(1, master_keys.newest, master_keys.wrap(PLATFORM, 1, new_key())))
