"""Every column of every table of a tenant says whether it concerns a person, and what becomes of it."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Integer, MetaData, create_engine

from extranet.models import Base
from extranet.models.base import PRIVACY_WORDS, TECHNICAL, personal
from tenants import stamp
from tests.platform import Platform

TABLES = [*Base.metadata.sorted_tables, stamp.stamp_table]
COLUMNS = [column for table in TABLES for column in table.columns]


def problem_of(column: Column[object]) -> str:
    """Return what is wrong with a column's class; "" when nothing is."""
    # With what a column is sealed is no matter of privacy.
    info = {name: value for name, value in column.info.items() if name != "sealed"}
    if info.get("personal") is False:
        return "" if info == TECHNICAL else "technical, yet classified further"
    if info.get("personal") is not True:
        return "not classified"
    if set(info) != {"personal", *PRIVACY_WORDS}:
        return f"has {sorted(info)}"
    unknown = [name for name, words in PRIVACY_WORDS.items() if info[name] not in words]
    return f"unknown word for {unknown}" if unknown else ""


@pytest.mark.parametrize("column", COLUMNS, ids=str)
def test_it_is_classified(column: Column[object]) -> None:
    assert problem_of(column) == ""


def test_a_column_without_a_class_or_with_half_of_one_is_found() -> None:
    assert problem_of(Column("x", Integer)) == "not classified"
    assert problem_of(Column("x", Integer, info={"personal": True})).startswith("has")
    half = personal("identity", erase="null")
    del half["retention"]
    assert problem_of(Column("x", Integer, info=half)).startswith("has")
    assert problem_of(Column("x", Integer, info=personal("identity", erase="shred"))) == "unknown word for ['erase']"
    assert problem_of(Column("x", Integer, info={**TECHNICAL, "erase": "null"})).startswith("technical")


def test_every_personal_column_can_be_erased_and_ends() -> None:
    for column in COLUMNS:
        if column.info["personal"]:
            assert column.info["erase"], column
            assert column.info["retention"], column


def test_a_column_that_is_erased_to_nothing_can_hold_nothing() -> None:
    for column in COLUMNS:
        if column.info.get("erase") == "null" and not column.nullable:
            # Not nullable: emptied to "" or to its default, and a key or a reference can be neither.
            assert not column.primary_key, column
            assert not column.foreign_keys, column


def test_a_migrated_database_is_what_the_models_say(platform: Platform) -> None:
    together = MetaData(naming_convention=Base.metadata.naming_convention)
    for table in TABLES:
        table.to_metadata(together)
    path = platform.tenancy.databases.path_of(platform.tenant("acme"))
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        differences = [
            difference for difference in compare_metadata(context, together) if "alembic_version" not in str(difference)
        ]
    engine.dispose()
    assert differences == []
