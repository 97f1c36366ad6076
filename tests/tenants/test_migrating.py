from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import IntegrityError

from tenants import schema
from tests.tenants.world import HISTORY

HISTORIES = {schema.REGISTRY_HISTORY: "operator_event", HISTORY: "security_event"}


@pytest.fixture(params=HISTORIES)
def history(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def connection(tmp_path: Path, history: str) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{tmp_path / 'database'}")
    with engine.begin() as connection:
        schema.upgrade(connection, history)
        yield connection
    engine.dispose()


def test_an_upgrade_notes_its_version_in_the_file(connection: Connection, history: str) -> None:
    assert connection.execute(text("PRAGMA user_version")).scalar_one() == schema.head(history)
    assert int(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()) == schema.head(history)


def test_upgrading_twice_changes_nothing(connection: Connection, history: str) -> None:
    before = connection.execute(text("SELECT sql FROM sqlite_master ORDER BY name")).all()
    schema.upgrade(connection, history)
    assert connection.execute(text("SELECT sql FROM sqlite_master ORDER BY name")).all() == before


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("DELETE FROM {}", False),
        ("UPDATE {} SET mac = x'01'", False),
        ("UPDATE {} SET private = x'01'", False),
        ("UPDATE {} SET body = x'01', private = NULL", False),
        ("REPLACE INTO {} VALUES (1, 'at', 'e', 'o', 'a', 's', x'01', NULL, x'01')", False),
        ("INSERT INTO {} VALUES (2, 'at', 'e', 'o', 'a', 's', x'00', NULL, x'00')", True),
        ("UPDATE {} SET private = NULL", True),
    ],
)
def test_a_journal_can_be_added_to_and_its_sealed_part_erased(
    connection: Connection, history: str, statement: str, allowed: bool
) -> None:
    table = HISTORIES[history]
    connection.execute(text(f"INSERT INTO {table} VALUES (1, 'at', 'e', 'o', 'a', 's', x'00', x'00', x'00')"))
    change = text(statement.format(table))
    if allowed:
        connection.execute(change)
    else:
        with pytest.raises(IntegrityError, match="journal entries are never"):
            connection.execute(change)
