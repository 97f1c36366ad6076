"""Making a tenant out of another one: new UUID, new key, and of the old one's secrets none that opens anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import Connection, select

from tenants import schema
from tenants.copying import Progress, cloned_tables, copy_resealed, count_rows
from tenants.databases import TenantSession
from tenants.errors import NoSuchFile
from tenants.files import Files
from tenants.keys import TenantKeys
from tenants.lifecycle.creating import NewTenant, make_tenant
from tenants.lifecycle.holding import held_tenant
from tenants.lifecycle.naming import refuse_taken
from tenants.lifecycle.states import refuse_unless
from tenants.lifecycle.telling import Tell
from tenants.stamp import stamp_table
from tenants.stores import store_of
from tenants.tenancy import Tenancy
from tenants.tenant import WITH_DATA, Tenant, parse_slug


@dataclass(frozen=True, slots=True)
class Original:
    """What a new tenant is copied from.

    ``rows`` is a connection that sees its database at one moment, ``files`` its files' names and contents in clear;
    all files are taken before the first row. ``keys`` open what is sealed in the rows.
    """

    uuid: UUID
    keys: TenantKeys
    rows: Connection
    files: Iterable[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class ClonePlan:
    """What a clone would be made of, and where."""

    server: str
    rows: int
    files: int


def plan_clone(tenancy: Tenancy, slug: str, new: NewTenant) -> ClonePlan:
    """Return what cloning a tenant would do, and change nothing; raise what keeps it from being done."""
    with held_tenant(tenancy, slug) as tenant:
        refuse_unless(tenant, *WITH_DATA)
        refuse_taken(tenancy, parse_slug(new.slug))
        store_of(tenancy, new.server)
        with store_of(tenancy, tenant.server).reading(tenant) as rows:
            count = count_rows(rows, cloned_tables(schema.tables_of(tenancy.history)))
        return ClonePlan(new.server, count, len(tenancy.files_of(tenant).names()))


def clone_tenant(
    tenancy: Tenancy,
    slug: str,
    new: NewTenant,
    tell: Tell | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Tenant:
    """Make a tenant that has what another one has at this moment, while that one is in use, and serve it.

    People keep their passwords; nobody is signed in, known or invited there, and no custom host leads to it.
    Any failure undoes everything; after a kill, the next ``clone`` or ``create`` of the same slug does.
    Raises what ``create_tenant`` raises, and IllegalTransition, BrokenJournal, CopyFailed, SchemaBehind.
    """
    with held_tenant(tenancy, slug) as tenant:
        refuse_unless(tenant, *WITH_DATA)
        refuse_taken(tenancy, parse_slug(new.slug))
        with store_of(tenancy, tenant.server).reading(tenant) as rows:
            files = _in_two_looks(tenancy.files_of(tenant), rows)
            original = Original(tenant.uuid, tenancy.keys_of(tenant), rows, files)
            marked = replace(new, verb="clone", details={"source": slug})
            return copy_as_new(tenancy, original, marked, tell, progress)


def copy_as_new(
    tenancy: Tenancy,
    original: Original,
    new: NewTenant,
    tell: Tell | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Tenant:
    """Make a tenant from rows and files that were another's, wherever they are read from, and serve it.

    ``tell`` gets the original's UUID and its journals' heads. Raises what ``clone_tenant`` raises.
    """

    def fill(db: TenantSession) -> None:
        keys: TenantKeys = db.info["keys"]
        files = tenancy.files_of(db.tenant)
        for name, content in original.files:
            files.keep(name, content)
        both = (original.keys, keys)
        heads = copy_resealed(original.rows, db.connection(), tenancy.history, both, progress)
        if tell is not None:
            tell(db, {"source": str(original.uuid), "heads": heads})

    return make_tenant(tenancy, new, fill)[0]


def _in_two_looks(files: Files, rows: Connection) -> Iterator[tuple[str, bytes]]:
    """Yield every file that the rows, seen for the first time in between, can name."""
    seen = set(files.names())
    yield from _contents(files, seen)
    # From this question on the rows are as they are now: they name what was there before, or has come since.
    rows.execute(select(stamp_table)).all()
    yield from _contents(files, set(files.names()) - seen)


def _contents(files: Files, names: set[str]) -> Iterator[tuple[str, bytes]]:
    for name in sorted(names):
        try:
            yield name, files.read(name)
        except NoSuchFile:
            # Its owner has removed it meanwhile, or it never opened.
            continue
