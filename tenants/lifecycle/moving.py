"""Taking a tenant's database to another server, in either direction between SQLite and PostgreSQL.

What the registry says is where the database is. Before it says so of the new server nothing has happened to the old
one, and whatever cuts the move short is undone; after that the move is only finished. The tenant keeps its UUID, key,
epoch and files, and everybody who is signed in stays so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tenants import schema, unfinished
from tenants.copying import Progress, copy_all, count_rows
from tenants.errors import IllegalTransition, TenantUnavailable
from tenants.lifecycle.holding import begun_before, held_tenant
from tenants.lifecycle.states import refuse_unless
from tenants.lifecycle.telling import Tell
from tenants.stores import store_of
from tenants.stores.placement import destroy_or_leave, refuse_unreachable
from tenants.stores.store import Store, in_the_way
from tenants.tenancy import Tenancy
from tenants.tenant import WITH_DATA, Tenant
from tenants.unfinished import Unfinished

_VERB = "move"
# Another word than before there was the other: what was begun then may be fenced.
_COPYING = "copying rows"
_FENCING = "fencing"


@dataclass(frozen=True, slots=True)
class MovePlan:
    """What a move would do: how many rows it copies from where to where, and how much room they take there now."""

    origin: str
    target: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class _Move:
    tenant: Tenant
    origin: Store
    target: Store


def plan_move(tenancy: Tenancy, slug: str, to: str) -> MovePlan:
    """Return what moving a tenant would do, and change nothing; raise what keeps it from being moved."""
    with held_tenant(tenancy, slug) as tenant:
        refuse_unless(tenant, *WITH_DATA)
        _found(tenancy, tenant, to)
        store_of(tenancy, to)
        origin = store_of(tenancy, tenant.server)
        with origin.reading(tenant) as connection:
            rows = count_rows(connection, schema.tables_of(tenancy.history).sorted_tables)
        return MovePlan(tenant.server, to, rows, origin.size(tenant))


def move_tenant(
    tenancy: Tenancy, slug: str, to: str, tell: Tell | None = None, progress: Progress = lambda _done, _total: None
) -> Tenant:
    """Move a tenant's database to a server, or to ``embedded``. One that is there already stays as it is.

    Its people read on meanwhile; who writes is told to try again, and nothing that was saved is lost. A move that was
    killed goes on when it is asked for again, and is undone when the tenant is to stay where it is. Where it is not
    waits for nobody: what a server has that is lost meanwhile is left there.
    Raises NoSuchServer, ServerUnusable, TenantUnavailable, CopyFailed, BrokenJournal, IllegalTransition or Busy, with
    the tenant where it was.
    """
    with held_tenant(tenancy, slug) as tenant:
        refuse_unless(tenant, *WITH_DATA)
        found = _found(tenancy, tenant, to)
        if found is None and tenant.server == to:
            return tenant
        if found is not None and tenant.server == to:
            return _stay(tenancy, tenant, found)
        begun = found or _begin(tenancy, tenant, to)
        move = _Move(tenant, *(store_of(tenancy, begun.details[end]) for end in ("origin", "target")))
        if found is not None:
            # Half a copy may be there from before.
            _undo(tenancy, move)
        with _undone_on_failure(tenancy, move):
            _copy(tenancy, move, tell, progress)
        tenancy.databases.forget(tenant)
        move.origin.destroy(tenant.uuid)
        return _end(tenancy, tenant)


def _found(tenancy: Tenancy, tenant: Tenant, to: str) -> Unfinished | None:
    """Return the move that is to go on, or to be taken back; raise IllegalTransition for one that went elsewhere."""
    found = begun_before(tenancy, tenant, _VERB)
    if found is not None and to not in {found.details["target"], tenant.server}:
        target = found.details["target"]
        raise IllegalTransition(f"There is an unfinished move of {tenant.slug} to {target}: run that again first.")
    return found


def _begin(tenancy: Tenancy, tenant: Tenant, to: str) -> Unfinished:
    # What is undone later is destroyed there: it must be nothing but what this move has made. Two names of one server
    # would find the tenant's own database here.
    if left := store_of(tenancy, to).remains(tenant.uuid):
        raise TenantUnavailable(f"{in_the_way(left)}; nothing was moved.")
    refuse_unreachable(tenancy, tenant.server)
    with tenancy.registry.writing() as connection:
        return unfinished.begin(connection, tenant.uuid, _VERB, _COPYING, origin=tenant.server, target=to)


def _copy(tenancy: Tenancy, move: _Move, tell: Tell | None, progress: Progress) -> None:
    tenant, keys = move.tenant, tenancy.keys_of(move.tenant)
    move.target.create(tenant)
    with move.origin.changing_schema(tenant) as source:
        with move.target.filling(tenant) as db:
            db.info["keys"] = keys
            copy_all(source, db.connection(), tenancy.history, keys, progress)
            if tell is not None:
                tell(db, {"from": move.origin.name, "to": move.target.name})
        # From here on the copy is whole and durable, and nothing more is written to the original.
        _note(tenancy, tenant, _FENCING)
        move.origin.fence(tenant)
        tenancy.registry.change_server(tenant, move.target.name)


@contextmanager
def _undone_on_failure(tenancy: Tenancy, move: _Move) -> Iterator[None]:
    try:
        yield
    except BaseException:
        # The registry is asked, not remembered: an interrupt can come after it was changed.
        if tenancy.registry.by_uuid(move.tenant.uuid).server == move.origin.name:
            _undo(tenancy, move)
            _end(tenancy, move.tenant)
        raise


def _undo(tenancy: Tenancy, move: _Move) -> None:
    _unfence(tenancy, move.tenant, move.origin)
    move.target.destroy(move.tenant.uuid)


def _stay(tenancy: Tenancy, tenant: Tenant, begun: Unfinished) -> Tenant:
    origin, target = begun.details["origin"], begun.details["target"]
    if tenant.server == origin:
        _unfence(tenancy, tenant, store_of(tenancy, origin))
    tenancy.databases.forget(tenant)
    destroy_or_leave(tenancy, target if tenant.server == origin else origin, tenant.uuid)
    return _end(tenancy, tenant)


def _unfence(tenancy: Tenancy, tenant: Tenant, origin: Store) -> None:
    # The tenant is of use again before anything else. Where there cannot be a fence, nobody has to be asked.
    begun = begun_before(tenancy, tenant, _VERB)
    if begun is None or begun.step != _COPYING:
        origin.unfence(tenant)


def _note(tenancy: Tenancy, tenant: Tenant, step: str) -> None:
    with tenancy.registry.writing() as connection:
        unfinished.advance(connection, unfinished.begin(connection, tenant.uuid, _VERB, step), step)


def _end(tenancy: Tenancy, tenant: Tenant) -> Tenant:
    with tenancy.registry.writing() as connection:
        unfinished.end(connection, tenant.uuid)
    return tenancy.registry.by_uuid(tenant.uuid)
