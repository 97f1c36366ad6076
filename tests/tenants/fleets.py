"""What the tests of fleets share: homes with several tenants, later histories, and a look into a database file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from tenants import lifecycle, schema
from tenants.databases import database_file
from tenants.fleet.crew import Errand
from tenants.fleet.journal import Report, RunJournal, Step, StepState
from tenants.fleet.migration import migrate_tenant
from tenants.fleet.run import MIGRATE
from tenants.fleet.waves import Progress
from tenants.settings import Settings
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant
from tests.tenants.world import HISTORY, note, prepare

NOW = schema.head(HISTORY)
"""The product's own schema, which tenants in these tests have; the histories below lead to the next one."""
LATER = NOW + 1

ADDED = "tests.histories.added_column"
COUNTED = "tests.histories.counted"
STRICT = "tests.histories.strict"
REBUILT = "tests.histories.rebuilt"
FORGETFUL = "tests.histories.forgetful"
ORPHANING = "tests.histories.orphaning"


def fill(settings: Settings, slugs: Iterable[str]) -> None:
    """Create tenants as the product does, each with one note."""
    with Tenancy.open(settings, HISTORY) as tenancy:
        for slug in slugs:
            lifecycle.create_tenant(tenancy, slug, slug.capitalize(), prepare)


def forbid(settings: Settings, *slugs: str) -> None:
    """Save what the strict history does not allow."""
    with Tenancy.open(settings, HISTORY) as tenancy:
        for slug in slugs:
            with tenancy.open_db(tenancy.registry.by_slug(slug), writing=True) as db:
                db.add(note("a second one by the same", "2"))
                db.commit()


def allow(settings: Settings, *slugs: str) -> None:
    """Take it away again."""
    for slug in slugs:
        with closing(sqlite3.connect(file_of(settings, slug))) as raw, raw:
            raw.execute("DELETE FROM company_version WHERE id = '2'")


def tenant_of(settings: Settings, slug: str) -> Tenant:
    with Tenancy.open(settings, HISTORY) as tenancy:
        return tenancy.registry.by_slug(slug)


def file_of(settings: Settings, slug: str) -> Path:
    return database_file(settings, tenant_of(settings, slug).uuid)


def asked(settings: Settings, slug: str, question: str) -> list[tuple[Any, ...]]:
    """Ask a tenant's file past the product."""
    with closing(sqlite3.connect(file_of(settings, slug))) as raw:
        return raw.execute(question).fetchall()


def asked_all(settings: Settings, slugs: Iterable[str], question: str) -> dict[str, Any]:
    """Ask many tenants' files past the product for one value each."""
    with Tenancy.open(settings, HISTORY) as tenancy:
        files = {tenant.slug: database_file(settings, tenant.uuid) for tenant in tenancy.registry.all()}
    answers = {}
    for slug in slugs:
        with closing(sqlite3.connect(files[slug])) as raw:
            ((answers[slug],),) = raw.execute(question).fetchall()
    return answers


def dump_of(settings: Settings, slug: str) -> list[str]:
    """Everything in a tenant's database, as SQL."""
    with closing(sqlite3.connect(file_of(settings, slug))) as raw:
        return list(raw.iterdump())


def version_of(settings: Settings, slug: str) -> int:
    ((version,),) = asked(settings, slug, "PRAGMA user_version")
    return int(version)


def last_steps(tenancy: Tenancy) -> dict[str, Step]:
    """The last run's steps by slug."""
    journal = RunJournal(tenancy.registry, MIGRATE)
    run = journal.last()
    assert run is not None
    slugs = {tenant.uuid: tenant.slug for tenant in tenancy.registry.all()}
    return {slugs[step.tenant_uuid]: step for step in journal.steps(run) if step.tenant_uuid in slugs}


def states(tenancy: Tenancy) -> dict[str, StepState]:
    return {slug: step.state for slug, step in last_steps(tenancy).items()}


@contextmanager
def later(settings: Settings, history: str) -> Iterator[Tenancy]:
    """Open a home with code of a later release."""
    with Tenancy.open(settings, history) as tenancy:
        yield tenancy


class InlineCrew:
    """A crew of one, in this process: for what does not depend on processes, which take half a second to start."""

    has_room = True

    def __init__(self, _size: int, errand: Errand) -> None:
        self._tenancy = Tenancy.open(errand.settings, errand.history)
        self._snapshot = errand.snapshot
        self._begun: Tenant | None = None

    def begin(self, tenant: Tenant) -> None:
        self._begun, self.has_room = tenant, False

    def wait(self) -> Report | None:
        tenant, self._begun, self.has_room = self._begun, None, True
        return None if tenant is None else migrate_tenant(self._tenancy, tenant, self._snapshot)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._tenancy.close()


def silent(_progress: Progress) -> None:
    """Hear nothing of a run."""
