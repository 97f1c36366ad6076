"""What the tests of a tenant's life share: its rows and files as they are, and a death before or after any step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import select

from tenants import schema, unfinished
from tenants.journal import Journal
from tenants.journal_tables import journals_in
from tenants.stores import store_of
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant
from tests.tenants.world import HISTORY, kill_this_process

TABLES = schema.tables_of(HISTORY).sorted_tables

Rows = dict[str, list[tuple[Any, ...]]]


def rows_of(tenancy: Tenancy, tenant: Tenant) -> Rows:
    """Every row of a tenant's database, wherever that is, as Python sees it."""
    with store_of(tenancy, tenant.server).reading(tenant) as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr) for table in TABLES
        }


def files_of(tenancy: Tenancy, tenant: Tenant) -> dict[str, bytes]:
    """Every file of a tenant, in clear."""
    files = tenancy.files_of(tenant)
    return {name: files.read(name) for name in files.names()}


def everything_of(tenancy: Tenancy, slug: str) -> Any:
    """All there is of a tenant but its generation: two of these are equal when nothing was touched."""
    tenant = tenancy.registry.by_slug(slug)
    registry = tenancy.registry
    return (
        tenant,
        registry.keys_of(tenant.uuid),
        registry.hosts_of(tenant),
        registry.former_slugs_of(tenant),
        rows_of(tenancy, tenant),
        files_of(tenancy, tenant),
    )


def assert_journals_hold(tenancy: Tenancy, tenant: Tenant) -> None:
    with tenancy.open_db(tenant) as db:
        for entries, head in journals_in(schema.tables_of(HISTORY)):
            assert Journal(entries, head, db.info["keys"]).verify(db) > 0


def nothing_is_unfinished(tenancy: Tenancy) -> bool:
    with tenancy.registry.engine.connect() as connection:
        return unfinished.find_all(connection) == [] and tenancy.registry.unfinished() == []


def killed_before(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return what dies instead of taking a step."""
    return kill_this_process


def killed_after(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return what takes a step and dies; one that is a ``with``, at its end."""

    def then_die(*arguments: Any, **options: Any) -> Any:
        result = step(*arguments, **options)
        if isinstance(result, AbstractContextManager):
            return _until_its_end(result)
        kill_this_process()
        return None

    return then_die


@contextmanager
def _until_its_end(manager: AbstractContextManager[Any]) -> Iterator[Any]:
    with manager as value:
        yield value
    kill_this_process()
