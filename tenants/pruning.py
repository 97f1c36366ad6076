"""What has grown old leaves the journals: a tenant's two in one go, and the operators' own.

A journal is verified whole first, and a broken one is left as it is. Then its oldest entries go, a few thousand a
transaction, each of which leaves a signed base. Cut short at any step, it goes on when it is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from tenants import schema
from tenants.databases import TenantSession, session_on
from tenants.journal import Journal
from tenants.journal_pruning import BATCH, count_older, remove_some
from tenants.journal_tables import journals_in
from tenants.lifecycle.holding import begun_before, held_tenant
from tenants.lifecycle.states import refuse_unless
from tenants.stores import store_of
from tenants.tenancy import Tenancy
from tenants.tenant import WITH_DATA, State, Tenant

VERB = "prune"

Before = Callable[[TenantSession], datetime]
"""Says what is old, by the tenant's own rules as they are at this moment."""


@dataclass(slots=True)
class Pruned:
    """What came of it, by journal: how many entries went, and at which one it begins now."""

    before: datetime
    removed: dict[str, int] = field(default_factory=dict)
    begins_at: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many entries went, of all journals together."""
        return sum(self.removed.values())


Tell = Callable[[TenantSession, Pruned], None]
"""Writes what was done into the tenant's own logs, in the transaction of the last batch."""


def prune_logs(tenancy: Tenancy, slug: str, before: Before, tell: Tell) -> Pruned:
    """Remove what is old from a tenant's journals, and say so in them, while it is served.

    A closed tenant's logs take no more entries; theirs go without a word. Raises NoSuchTenant, Busy,
    IllegalTransition, TenantUnavailable, ServerUnusable, and BrokenJournal with nothing removed.
    """
    with held_tenant(tenancy, slug) as tenant:
        refuse_unless(tenant, *WITH_DATA)
        begun_before(tenancy, tenant, VERB)
        journals = _journals(tenancy, tenant)
        store = store_of(tenancy, tenant.server)
        with store.reading(tenant) as connection:
            since = _verified(connection, journals)
        removed = dict.fromkeys(journals, 0)
        more = True
        while more:
            with store.changing_schema(tenant) as connection, session_on(connection, tenant) as db:
                tenancy.equip(db)
                pruned = Pruned(before(db), removed)
                more = _remove_batch(connection, journals, since, pruned)
                pruned.begins_at = _beginnings(connection, journals)
                if not more and pruned.total and tenant.state is not State.CLOSED:
                    tell(db, pruned)
                db.flush()
        return pruned


def plan_pruning(tenancy: Tenancy, slug: str, before: Before) -> Pruned:
    """Return what pruning a tenant's logs would do, and change nothing; raise what keeps it from being done."""
    tenant = tenancy.registry.by_slug(slug)
    refuse_unless(tenant, *WITH_DATA)
    journals = _journals(tenancy, tenant)
    with store_of(tenancy, tenant.server).reading(tenant) as connection, session_on(connection, tenant) as db:
        pruned = Pruned(before(db))
        since = _verified(connection, journals)
        for name, journal in journals.items():
            pruned.removed[name] = count_older(connection, journal, pruned.before)
            pruned.begins_at[name] = since[name] + pruned.removed[name] + 1
    return pruned


def prune_operators_journal(tenancy: Tenancy, before: datetime, *, dry_run: bool = False) -> Pruned:
    """Remove what is old from the operators' own journal; raise BrokenJournal with nothing removed.

    That it was done is in the base; whoever asked for it says so in the journal.
    """
    name, journal = "operators", tenancy.operator_journal
    pruned = Pruned(before, {name: 0})
    with tenancy.registry.engine.connect() as connection:
        since = _verified(connection, {name: journal})
        if dry_run:
            pruned.removed[name] = count_older(connection, journal, before)
            pruned.begins_at[name] = since[name] + pruned.removed[name] + 1
            return pruned
    more = True
    while more:
        with tenancy.registry.writing() as connection:
            more = _remove_batch(connection, {name: journal}, since, pruned)
            pruned.begins_at = _beginnings(connection, {name: journal})
    return pruned


def _journals(tenancy: Tenancy, tenant: Tenant) -> dict[str, Journal]:
    keys = tenancy.keys_of(tenant)
    return {
        entries.name: Journal(entries, head, keys) for entries, head in journals_in(schema.tables_of(tenancy.history))
    }


def _verified(connection: Connection, journals: Mapping[str, Journal]) -> dict[str, int]:
    """Verify every journal, and return the last entry that was removed from each before."""
    since = {}
    for name, journal in journals.items():
        journal.verify(connection)
        since[name] = journal.bases.newest(connection).sequence
    return since


def _remove_batch(
    connection: Connection, journals: Mapping[str, Journal], since: Mapping[str, int], pruned: Pruned
) -> bool:
    """Remove as much as one transaction may; tell whether there is more."""
    room, more = BATCH, False
    for name, journal in journals.items():
        batch = remove_some(connection, journal, pruned.before, since=since[name], most=room)
        pruned.removed[name] += batch.removed
        room -= batch.removed
        more = more or batch.more
    return more


def _beginnings(connection: Connection, journals: Mapping[str, Journal]) -> dict[str, int]:
    return {name: journal.bases.newest(connection).sequence + 1 for name, journal in journals.items()}
