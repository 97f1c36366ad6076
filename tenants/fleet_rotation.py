"""Every tenant's key, replaced: several tenants at once, each as ``rotation`` does it, past those that fail."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from tenants import unfinished
from tenants.errors import TenancyError
from tenants.faults import fault_of
from tenants.keys import PLATFORM
from tenants.lifecycle.telling import Tell
from tenants.registry_tables import unfinished_table, wrapped_key_table
from tenants.rotation import EndLogins, Rotated, rotate_keys
from tenants.tenancy import Tenancy
from tenants.tenant import WITH_DATA

# No slug holds a dot.
_LOCK = "fleet.keys"
_VERB = "rotate-fleet"
# Each waits a second until the web knows its new key; the work itself is a few hundredths.
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one tenant: ``rotated``, or the ``fault``."""

    slug: str
    rotated: Rotated | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which tenants are to get a new key. ``done`` got theirs before an earlier run was cut short."""

    begun_at: datetime
    slugs: list[str]
    done: int


def plan_rotation(tenancy: Tenancy) -> Plan:
    """Begin a rotation of all tenants, or find out what is left of one that was cut short."""
    with tenancy.registry.writing() as connection:
        # Under the platform's own id, where no tenant's undertakings are.
        begun = unfinished.begin(connection, PLATFORM, _VERB, "tenants")
        done = _rotated_since(connection, begun.begun_at)
    kept = [tenant for tenant in tenancy.registry.all() if tenant.state in WITH_DATA]
    left = [tenant.slug for tenant in kept if tenant.uuid not in done]
    return Plan(begun.begun_at, left, len(kept) - len(left))


def rotate_fleet(
    tenancy: Tenancy, plan: Plan, end_logins: EndLogins, tell: Tell | None = None
) -> Generator[Outcome, None, None]:
    """Give the planned tenants new keys and yield what became of each, as they end. Raises Busy."""
    with tenancy.locks.hold(_LOCK):
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            begun = {pool.submit(rotate_keys, tenancy, slug, end_logins, tell=tell): slug for slug in plan.slugs}
            try:
                for future in as_completed(begun):
                    yield _outcome(begun[future], future)
            finally:
                # Whoever stops listening wants no more of them begun.
                pool.shutdown(cancel_futures=True)
        with tenancy.registry.writing() as connection:
            unfinished.end(connection, PLATFORM)


def _outcome(slug: str, future: Future[Rotated]) -> Outcome:
    try:
        return Outcome(slug, future.result())
    except (TenancyError, SQLAlchemyError, OSError) as error:
        return Outcome(slug, None, fault_of(error))


def _rotated_since(connection: Connection, moment: datetime) -> set[object]:
    made = select(wrapped_key_table.c.tenant_uuid).group_by(wrapped_key_table.c.tenant_uuid)
    rotated = made.having(func.max(wrapped_key_table.c.created_at) >= moment, func.max(wrapped_key_table.c.version) > 1)
    cut_short = select(unfinished_table.c.tenant_uuid)
    return set(connection.execute(rotated).scalars()) - set(connection.execute(cut_short).scalars())
