"""Schema history of the registry and of tenant databases (Alembic). Operators only; the web never changes a schema."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from tenants.durable import sync
from tenants.errors import TenancyError

if TYPE_CHECKING:
    from alembic.runtime.migration import RevisionStep
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection, MetaData

REGISTRY_HISTORY = "tenants.migrations"
_REVISION = re.compile(r"([0-9]{4})_\w+\.py")


def head(history: str) -> int:
    """Return the newest revision number in a history package, read from its file names."""
    return max(number for number, _ in _revisions(history))


def tables_of(history: str) -> MetaData:
    """Return the tables that a history leads to."""
    metadata: MetaData = importlib.import_module(f"{history}.tables").metadata
    return metadata


def version_of(connection: Connection) -> int:
    """Return which revision a tenant database is at, from a connection to it."""
    return int(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one())


def upgrade(connection: Connection, history: str) -> None:
    """Bring one database to the head of a history, in the caller's transaction."""
    # Alembic costs 150 ms to import and is wanted by very few commands.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    config, scripts = Config(attributes={"connection": connection}), _scripts(history)
    # What Alembic's own command does, without reading every revision's file again for each database of a fleet.
    with EnvironmentContext(config, scripts, fn=lambda found, _context: _steps(history, found)):
        scripts.run_env()


@cache
def _scripts(history: str) -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(files(history)))


@cache
def _steps(history: str, found: tuple[str, ...]) -> list[RevisionStep]:
    # What Alembic's manual tells to call here; its own command passes a tuple too, whatever the annotation says.
    return _scripts(history)._upgrade_revs("head", found)  # type: ignore[arg-type]  # noqa: SLF001


def template_file(folder: Path, history: str) -> Path:
    """Return an empty, closed SQLite database at the head of a history, made once and copied from then on.

    Its name holds a digest of the history, so that a changed history never meets an older template.
    """
    template = folder / f"{history}-{head(history):04}-{digest(history)}.sqlite3"
    if not template.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _build_template(template, history)
    return template


def _build_template(template: Path, history: str) -> None:
    from sqlalchemy import URL, create_engine

    descriptor, name = tempfile.mkstemp(dir=template.parent, suffix=".part")
    os.close(descriptor)
    draft = Path(name)
    try:
        engine = create_engine(URL.create("sqlite", database=str(draft)))
        with engine.begin() as connection:
            upgrade(connection, history)
        with engine.connect() as connection:
            _keep_write_ahead_log(connection)
        engine.dispose()
        sync(draft)
        draft.replace(template)
        sync(template.parent)
    finally:
        draft.unlink(missing_ok=True)


def _keep_write_ahead_log(connection: Connection) -> None:
    if connection.exec_driver_sql("PRAGMA journal_mode=WAL").scalar_one() != "wal":
        raise TenancyError("SQLite cannot use a write-ahead log in the home folder; is it a network drive?")


@cache
def _revisions(history: str) -> list[tuple[int, bytes]]:
    found = []
    for file in files(history).joinpath("versions").iterdir():
        match = _REVISION.fullmatch(file.name)
        if match:
            found.append((int(match[1]), file.read_bytes()))
    return sorted(found)


@cache
def digest(history: str) -> str:
    """Return a short digest of a history: another one for any change to it."""
    digest = hashlib.sha256(files("tenants").joinpath("migrating.py").read_bytes())
    for _, content in _revisions(history):
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]
