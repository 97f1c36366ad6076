from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from tenants.databases import Databases
from tenants.errors import WrongStamp
from tenants.stamp import check_stamp, write_stamp
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant


@pytest.fixture
def raw(tenancy: Tenancy, acme: Tenant) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tenancy.databases.path_of(acme), isolation_level=None)
    yield connection
    connection.close()


def test_a_database_is_its_own_tenants_and_nobody_elses(raw: sqlite3.Connection, acme: Tenant, globex: Tenant) -> None:
    check_stamp(raw, acme)
    with pytest.raises(WrongStamp, match=f"not for {globex.uuid}"):
        check_stamp(raw, globex)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM stamp",
        "UPDATE stamp SET tenant_uuid = 'nonsense'",
        "UPDATE stamp SET tenant_uuid = 7",
        "UPDATE stamp SET tenant_uuid = x'00'",
        f"INSERT INTO stamp VALUES (0, '{uuid4().hex}')",
        f"INSERT INTO stamp VALUES (2, '{uuid4().hex}')",
    ],
)
def test_a_missing_malformed_or_doubled_stamp_is_refused(raw: sqlite3.Connection, acme: Tenant, damage: str) -> None:
    raw.execute(damage)
    with pytest.raises(WrongStamp):
        check_stamp(raw, acme)


def test_a_stamp_is_never_written_over(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    databases: Databases = tenancy.databases
    with databases.open(acme, writing=True) as db, pytest.raises(IntegrityError):
        write_stamp(db.connection(), globex)
