from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine, inspect

from tenants import registry_tables, schema, stamp
from tenants.errors import TenancyError
from tenants.sqlite_files import read_schema_version
from tests.tenants.world import HISTORY, in_children


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("templates")
    for history in (schema.REGISTRY_HISTORY, HISTORY):
        schema.template_file(folder, history)
    return folder


@pytest.mark.parametrize("history", [schema.REGISTRY_HISTORY, HISTORY])
def test_a_template_is_closed_private_and_at_the_head(templates: Path, history: str) -> None:
    template = schema.template_file(templates, history)
    assert read_schema_version(template) == schema.head(history) >= 1
    assert template.stat().st_mode & 0o777 == 0o600
    assert [name for name in os.listdir(templates) if not name.endswith(".sqlite3")] == []
    raw = sqlite3.connect(template)
    assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()


def test_a_template_is_made_once(templates: Path) -> None:
    before = schema.template_file(templates, HISTORY).stat()
    assert schema.template_file(templates, HISTORY).stat() == before


def test_a_changed_history_never_meets_an_older_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = tmp_path / "changing_history" / "versions"
    versions.mkdir(parents=True)
    for folder in (versions.parent, versions):
        (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    (versions / "0001_first.py").write_text("one")
    (versions / "notes.txt").write_text("not a revision")
    first = schema.digest("changing_history"), schema.head("changing_history")
    schema._revisions.cache_clear()
    schema.digest.cache_clear()
    (versions / "0001_first.py").write_text("another")
    (versions / "0002_second.py").write_text("two")
    second = schema.digest("changing_history"), schema.head("changing_history")
    assert first[0] != second[0]
    assert (first[1], second[1]) == (1, 2)


def test_a_home_with_any_name_gets_its_template(tmp_path: Path) -> None:
    # The path used to be read as a URL: what followed a question mark was lost, and another file was made.
    template = schema.template_file(tmp_path / "a?b=c %41 #d", schema.REGISTRY_HISTORY)
    assert os.listdir(tmp_path) == ["a?b=c %41 #d"]
    assert read_schema_version(template) == schema.head(schema.REGISTRY_HISTORY)


def test_processes_that_make_the_same_template_agree(tmp_path: Path) -> None:
    made = in_children([lambda: str(schema.template_file(tmp_path, schema.REGISTRY_HISTORY))] * 3)
    assert len(set(made)) == 1
    assert os.listdir(tmp_path) == [Path(made[0]).name]


def test_a_drive_without_a_write_ahead_log_is_refused() -> None:
    # A database in memory has none either.
    engine = create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(TenancyError, match="network drive"):
        schema._keep_write_ahead_log(connection)
    engine.dispose()


def test_the_registrys_tables_are_the_ones_the_code_expects(templates: Path) -> None:
    assert columns_in(schema.template_file(templates, schema.REGISTRY_HISTORY)) == columns_of(registry_tables.metadata)


def test_a_tenant_database_has_the_stamp_the_code_expects(templates: Path) -> None:
    found = columns_in(schema.template_file(templates, HISTORY))
    assert columns_of(stamp.metadata).items() <= found.items()


def columns_of(metadata: MetaData) -> dict[str, set[str]]:
    return {table.name: set(table.c.keys()) for table in metadata.sorted_tables}


def columns_in(template: Path) -> dict[str, set[str]]:
    engine = create_engine(f"sqlite:///{template}")
    found = inspect(engine)
    tables = {
        name: {column["name"] for column in found.get_columns(name)}
        for name in found.get_table_names()
        if name != "alembic_version"
    }
    engine.dispose()
    return tables
