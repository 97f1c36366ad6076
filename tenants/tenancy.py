"""The core in one object: registry, resolver, keys and databases, opened together and closed together."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from cachetools import LRUCache
from sqlalchemy import Engine, insert

from tenants import schema, sqlite
from tenants.databases import Databases, TenantSession
from tenants.durable import sync
from tenants.errors import BadSettings, KeyUnavailable, NotInitialised, TenantUnavailable
from tenants.files import Files
from tenants.journal import Journal
from tenants.keys import PLATFORM, MasterKeys, TenantKeys, create_master_key, new_key, read_master_keys
from tenants.registry import Registry, WrappedKey, add_key
from tenants.registry_tables import generation_table, operator_event_head_table, operator_event_table
from tenants.resolver import Resolver
from tenants.settings import Settings
from tenants.tenant import Tenant

_REMEMBERED_KEYS = 2_000


class Tenancy:
    """Everything the application and the command line need to reach tenants. Made by ``open``."""

    def __init__(self, settings: Settings, registry: Registry, master_keys: MasterKeys, history: str) -> None:
        self.settings = settings
        self.registry = registry
        self.master_keys = master_keys
        self.history = history
        self.resolver = Resolver(registry, settings.domain)
        self.databases = Databases(settings, schema.head(history))
        # The platform's key proves at start that the master key is the one this home was made with.
        self.platform_keys = self._unwrap(PLATFORM)
        self.operator_journal = Journal(operator_event_table, operator_event_head_table, self.platform_keys)
        self._keys_lock = threading.Lock()
        self._keys: LRUCache[tuple[UUID, int], TenantKeys] = LRUCache(_REMEMBERED_KEYS)

    @classmethod
    def open(cls, settings: Settings, history: str) -> Self:
        """Open an initialised home; ``history`` is the package with the tenant databases' migrations.

        Raises NotInitialised, KeyUnavailable, SchemaBehind.
        """
        path = registry_file(settings)
        if not path.exists():
            raise NotInitialised(f"There is no registry at {path}. Run: extranet init")
        engine = sqlite.make_engine(path, schema.head(schema.REGISTRY_HISTORY), lambda _connection: None)
        try:
            return cls(settings, Registry(engine), read_master_keys(settings.master_key_file), history)
        except BaseException:
            engine.dispose()
            raise

    def keys_of(self, tenant: Tenant) -> TenantKeys:
        """Return a tenant's keys, unwrapped at first use; raise KeyUnavailable."""
        wanted = (tenant.uuid, tenant.key_version)
        with self._keys_lock:
            keys = self._keys.get(wanted)
        if keys is None:
            keys = self._unwrap(tenant.uuid)
            with self._keys_lock:
                self._keys[wanted] = keys
        return keys

    @contextmanager
    def open_db(self, tenant: Tenant, *, writing: bool = False) -> Iterator[TenantSession]:
        """Yield a ``db`` on a tenant's database, its keys in ``db.info["keys"]``."""
        with self.databases.open(tenant, writing=writing) as db:
            db.info["keys"] = self.keys_of(tenant)
            yield db

    def files_of(self, tenant: Tenant) -> Files:
        """Return a tenant's own files."""
        return Files(self.settings.folder_of(tenant.uuid) / "files", self.keys_of(tenant))

    def close(self) -> None:
        """Close every connection."""
        self.databases.close()
        self.registry.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _unwrap(self, owner: UUID) -> TenantKeys:
        wrapped = self.registry.keys_of(owner)
        if not wrapped:
            raise KeyUnavailable(f"The registry holds no key of {owner}.")
        return TenantKeys(
            owner,
            {key.version: self.master_keys.unwrap(key.master_id, owner, key.version, key.wrapped) for key in wrapped},
        )


def registry_file(settings: Settings) -> Path:
    """Return the registry's SQLite file; raise BadSettings for an engine that is not supported."""
    before, prefix, path = settings.registry_url.partition("sqlite:///")
    if before or not prefix or path in {"", ":memory:"}:
        raise BadSettings("EXTRANET_REGISTRY_URL must be sqlite:///PATH.")
    return Path(path).absolute()


def initialise(settings: Settings) -> None:
    """Make the home folder, master key and registry. Safe to run again after a crash or in passing.

    An existing key or registry is kept as it is; a registry without its key is refused, never given a new one.
    """
    path = registry_file(settings)
    for folder in (settings.home, settings.home / "tenants", path.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_home(settings)
    with _alone(settings.home):
        _initialise(settings, path)
    sync(settings.home)


def check_home(settings: Settings) -> None:
    """Raise BadSettings unless the home folder is for its owner alone: in an open one, others swap what is inside."""
    try:
        sqlite.check_folder(settings.home)
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


def _initialise(settings: Settings, path: Path) -> None:
    if not path.exists() and any((settings.home / "tenants").iterdir()):
        raise NotInitialised(
            f"There are tenants in {settings.home} but no registry at {path}. "
            "Put the registry back: their keys are in it and nowhere else."
        )
    if not settings.master_key_file.exists():
        if path.exists():
            raise KeyUnavailable(
                f"The registry {path} exists but its master key {settings.master_key_file} does not. "
                "Put the key back: a new one could not open what the old one sealed."
            )
        settings.master_key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_master_key(settings.master_key_file)
    master_keys = read_master_keys(settings.master_key_file)
    if not path.exists():
        _create_registry(settings, path, master_keys)


def _create_registry(settings: Settings, path: Path, master_keys: MasterKeys) -> None:
    sqlite.refuse_leftovers(path)
    draft = path.with_name(f"{path.name}.part")
    for leftover in (draft, *(Path(f"{draft}{suffix}") for suffix in sqlite.SIDE_FILES)):
        leftover.unlink(missing_ok=True)
    template = schema.template_file(settings.home / "templates", schema.REGISTRY_HISTORY)
    sqlite.copy_template(template, draft)
    _with_engine(draft, lambda engine: _fill_registry(engine, master_keys))
    sync(draft)
    draft.replace(path)
    sync(path.parent)


def _fill_registry(engine: Engine, master_keys: MasterKeys) -> None:
    with engine.execution_options(writing=True).begin() as connection:
        connection.execute(insert(generation_table).values(id=1, number=1))
        connection.execute(insert(operator_event_head_table).values(id=1, sequence=0, mac=bytes(32)))
        add_key(connection, PLATFORM, WrappedKey(1, master_keys.newest, master_keys.wrap(PLATFORM, 1, new_key())))


def _with_engine(path: Path, fill: Callable[[Engine], None]) -> None:
    engine = sqlite.make_engine(path, schema.head(schema.REGISTRY_HISTORY), lambda _connection: None)
    try:
        fill(engine)
    finally:
        engine.dispose()
