"""The one door to tenant databases: a bounded number of engines, one a tenant, and a ``db`` that knows whose it is."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Engine, event, inspect
from sqlalchemy.orm import InstanceState, Session

from tenants import postgresql, sqlite, sqlite_files
from tenants.errors import NoSuchServer, NoTenant, TenantClosed, TenantUnavailable, WrongTenant
from tenants.servers import Servers
from tenants.settings import Settings
from tenants.stamp import check_database, check_stamp
from tenants.tenant import EMBEDDED, State, Tenant

# Two kept connections an engine, three descriptors and 155 KiB each: about 60 MiB and 1,200 descriptors a worker.
_KEPT_ENGINES = 200

Entity = TypeVar("Entity")


class TenantSession(Session):
    """An open ``db``: a session that carries its tenant and refuses objects of any other."""

    @property
    def tenant(self) -> Tenant:
        """The tenant whose database this is."""
        return tenant_of(self)

    def merge(self, instance: Entity, **options: Any) -> Entity:
        """Merge as SQLAlchemy does, but nothing that came from another tenant."""
        _refuse_foreign_graph(self, instance)
        return super().merge(instance, **options)

    def merge_all(self, instances: Iterable[Entity], **options: Any) -> Sequence[Entity]:
        """Merge several."""
        return [self.merge(instance, **options) for instance in instances]

    def bulk_save_objects(self, objects: Iterable[object], *args: Any, **options: Any) -> None:
        """Save as SQLAlchemy does, but nothing that came from another tenant."""
        ours = list(objects)
        for instance in ours:
            _refuse_foreign_graph(self, instance)
        super().bulk_save_objects(ours, *args, **options)


@dataclass(slots=True)
class _Slot:
    server: str
    reader: Engine
    writer: Engine
    leases: int = 0
    retired: bool = False


class Databases:
    """Opens tenant databases. The least recently used engine goes first, but never one that is in use."""

    def __init__(
        self, settings: Settings, schema_version: int, servers: Servers, kept_engines: int = _KEPT_ENGINES
    ) -> None:
        self._settings = settings
        self._servers = servers
        self._schema_version = schema_version
        self._kept_engines = kept_engines
        self._lock = threading.Lock()
        self._slots: OrderedDict[UUID, _Slot] = OrderedDict()

    @contextmanager
    def open(self, tenant: Tenant, *, writing: bool = False) -> Iterator[TenantSession]:
        """Yield a ``db`` on one tenant's database; what was not committed is rolled back at the end.

        A ``db`` opened for reading refuses every write. Raises TenantClosed when a closed tenant is to be written to;
        TenantUnavailable and its leaves, at the first statement, and ReadOnlyDatabase.
        """
        if writing and tenant.state in {State.CLOSED, State.PURGED}:
            raise TenantClosed(f"{tenant.slug} is {tenant.state}: it can be read, not changed.")
        slot = self._lease(tenant)
        try:
            with session_on(slot.writer if writing else slot.reader, tenant) as db:
                yield db
        finally:
            self._release(slot)

    def path_of(self, tenant: Tenant) -> Path:
        """Return where an embedded tenant's database file is."""
        return database_file(self._settings, tenant.uuid)

    def forget(self, tenant: Tenant) -> None:
        """Close a tenant's kept connections; those in use, when they are given back."""
        self._retire([tenant.uuid])

    def close(self) -> None:
        """Close everything; what is in use, when it is given back."""
        self._retire(list(self._slots))

    def __len__(self) -> int:
        return len(self._slots)

    def _lease(self, tenant: Tenant) -> _Slot:
        slot = self._known(tenant)
        if slot is None:
            # Not under the lock: making one may ask the registry, and others must not wait for its answer.
            slot = self._add(tenant, self._make_slot(tenant))
        with self._lock:
            surplus = self._surplus()
        if surplus:
            self._retire(surplus)
        return slot

    def _known(self, tenant: Tenant) -> _Slot | None:
        with self._lock:
            slot = self._slots.get(tenant.uuid)
            if slot is None or slot.server != tenant.server:
                return None
            self._slots.move_to_end(tenant.uuid)
            slot.leases += 1
            return slot

    def _add(self, tenant: Tenant, made: _Slot) -> _Slot:
        with self._lock:
            known = self._slots.get(tenant.uuid)
            slot = known if known is not None and known.server == tenant.server else made
            self._slots[tenant.uuid] = slot
            self._slots.move_to_end(tenant.uuid)
            slot.leases += 1
        if known is not None and known is not slot:
            self._let_go([known])
        return slot

    def _release(self, slot: _Slot) -> None:
        with self._lock:
            slot.leases -= 1
            done = slot.retired and slot.leases == 0
        if done:
            slot.reader.pool.dispose()

    def _surplus(self) -> list[UUID]:
        count = max(0, len(self._slots) - self._kept_engines)
        return list(islice((uuid for uuid, slot in self._slots.items() if slot.leases == 0), count))

    def _retire(self, uuids: list[UUID]) -> None:
        with self._lock:
            slots = [slot for uuid in uuids if (slot := self._slots.pop(uuid, None))]
        self._let_go(slots)

    def _let_go(self, slots: list[_Slot]) -> None:
        with self._lock:
            for slot in slots:
                slot.retired = True
            idle = [slot for slot in slots if slot.leases == 0]
        for slot in idle:
            slot.reader.pool.dispose()

    def _make_slot(self, tenant: Tenant) -> _Slot:
        engine = self._embedded(tenant) if tenant.server == EMBEDDED else self._on_server(tenant)
        return _Slot(tenant.server, engine, engine.execution_options(writing=True))

    def _embedded(self, tenant: Tenant) -> Engine:
        path = self.path_of(tenant)

        def check(connection: Any) -> None:
            sqlite_files.check_folder(path.parent)
            check_stamp(connection, tenant)

        return sqlite.make_engine(path, self._schema_version, check)

    def _on_server(self, tenant: Tenant) -> Engine:
        try:
            budget = self._servers.budget_of(tenant.server, lambda: self._make_room(tenant.server))
        except NoSuchServer as error:
            raise TenantUnavailable(
                f"{tenant.slug} lives on the server {tenant.server!r}, which is not known here."
            ) from error
        return postgresql.make_engine(
            f"The database of {tenant.slug} on {tenant.server}",
            lambda: self._servers.connect(tenant, budget),
            lambda connection: check_database(connection, tenant, self._schema_version),
            most=budget.limit,
            has_room=lambda: budget.has_room,
        )

    def _make_room(self, server: str) -> bool:
        """Close a connection to a server that is kept open and not in use; tell whether there was one."""
        with self._lock:
            slots = [slot for slot in self._slots.values() if slot.server == server]
        # Second ones first, else some tenants had several and others none; then those of tenants that nobody visits
        # just now. Of each the least recently visited first.
        return any(postgresql.close_idle(slot.reader) for slot in sorted(slots, key=_cost_of_closing))


def database_file(settings: Settings, tenant_uuid: UUID) -> Path:
    """Return where an embedded tenant's database is.

    The file is named after its tenant as well as the folder: SQLite replays a log that lies beside a database, and
    another tenant's, copied here by mistake, then has a name that it does not look for.
    """
    return settings.folder_of(tenant_uuid) / f"{tenant_uuid}.sqlite3"


def tenant_of(db: Session) -> Tenant:
    """Return the tenant of an open ``db``; raise NoTenant when it has none."""
    tenant: Tenant | None = db.info.get("tenant")
    if tenant is None:
        raise NoTenant("This session was not opened for a tenant.")
    return tenant


def _cost_of_closing(slot: _Slot) -> tuple[bool, bool]:
    return not postgresql.has_spare(slot.reader), slot.leases > 0


def session_on(engine: Engine | Connection, tenant: Tenant) -> TenantSession:
    """Return a ``db`` that knows whose it is, on an engine or connection that the caller vouches for."""
    return TenantSession(engine, expire_on_commit=False, info={"tenant": tenant})


@event.listens_for(TenantSession, "loaded_as_persistent")
@event.listens_for(TenantSession, "pending_to_persistent")
def _remember_owner(db: Session, instance: Any) -> None:
    inspect(instance).info["tenant"] = tenant_of(db).uuid


@event.listens_for(TenantSession, "before_attach")
def _refuse_foreign(db: Session, instance: Any) -> None:
    _refuse_foreign_state(db, inspect(instance))


def _refuse_foreign_graph(db: Session, instance: Any) -> None:
    # A merge or a bulk save copies values without attaching the object that holds them.
    state = inspect(instance)
    _refuse_foreign_state(db, state)
    for _, _, related, _ in state.mapper.cascade_iterator("merge", state):
        _refuse_foreign_state(db, related)


def _refuse_foreign_state(db: Session, state: InstanceState[Any]) -> None:
    owner = state.info.get("tenant")
    if owner is not None and owner != tenant_of(db).uuid:
        raise WrongTenant(f"An object of tenant {owner} was given to the database of {tenant_of(db).uuid}.")
