"""Where the registry is kept, SQLite or PostgreSQL: opened by everybody, made and upgraded by ``extranet init``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, inspect

from tenants import schema, sqlite, sqlite_files
from tenants.durable import sync
from tenants.errors import BadSettings, NotInitialised, SchemaBehind, TenantUnavailable
from tenants.settings import Settings

_HISTORY = schema.REGISTRY_HISTORY


def open_registry(settings: Settings) -> Engine:
    """Return an engine on the registry; raise NotInitialised, SchemaBehind or TenantUnavailable."""
    if is_postgresql(settings):
        return _checked(_on_postgresql(settings))
    path = registry_file(settings)
    if not path.exists():
        raise NotInitialised(f"There is no registry at {path}. Run: extranet init")
    return _checked(_on_sqlite(path))


def registry_exists(settings: Settings) -> bool:
    """Tell whether there is a registry, of whatever version."""
    if not is_postgresql(settings):
        return registry_file(settings).exists()
    with _disposed(_on_postgresql(settings)) as engine:
        return inspect(engine).has_table("generation")


def upgrade_registry(settings: Settings) -> int | None:
    """Bring an existing registry to this code's schema, all or nothing; return which one it had if it was older."""
    with changing_registry(settings) as connection:
        found = _version(connection)
        if found >= schema.head(_HISTORY):
            return None
        schema.upgrade(connection, _HISTORY)
    return found


@contextmanager
def changing_registry(settings: Settings) -> Iterator[Connection]:
    """Yield a transaction that may change the registry's schema; a PostgreSQL registry may still be empty."""
    engine = _on_postgresql(settings) if is_postgresql(settings) else _on_sqlite(registry_file(settings))
    with _disposed(engine), engine.execution_options(writing=True).begin() as connection:
        yield connection
        if engine.dialect.name == "postgresql":
            _close_to_public(connection)


@contextmanager
def drafting_registry(settings: Settings) -> Iterator[Connection]:
    """Yield a transaction on a new registry file, which is put in place, whole and durable, at the end."""
    path = registry_file(settings)
    sqlite_files.refuse_leftovers(path)
    draft = path.with_name(f"{path.name}.part")
    for leftover in (draft, *(Path(f"{draft}{suffix}") for suffix in sqlite_files.SIDE_FILES)):
        leftover.unlink(missing_ok=True)
    sqlite_files.copy_template(schema.template_file(settings.home / "templates", _HISTORY), draft)
    with _disposed(_on_sqlite(draft)) as engine, engine.execution_options(writing=True).begin() as connection:
        yield connection
    sync(draft)
    draft.replace(path)
    sync(path.parent)


def forget_deleted(engine: Engine, table: str) -> None:
    """Leave nothing of a table's deleted rows in the registry's own files; raise TenantUnavailable.

    Copies of the registry, and the bare disk, are the operators' to forget.
    """
    if engine.dialect.name == "sqlite":
        _empty_log(engine)
    else:
        _rewrite(engine, table)


def is_open_to_public(engine: Engine) -> bool:
    """Tell whether every role of its server may connect to a PostgreSQL registry."""
    with engine.connect() as connection:
        asked = "SELECT has_database_privilege('public', current_database(), 'CONNECT')"
        return bool(connection.exec_driver_sql(asked).scalar_one())


def where_registry_is(settings: Settings) -> str:
    """Return where the registry is, without what is secret of it."""
    if not is_postgresql(settings):
        return str(registry_file(settings))
    given = _parsed(settings)
    return f"the database {given.get('dbname') or given.get('user')} on {given.get('host') or 'this machine'}"


def is_postgresql(settings: Settings) -> bool:
    """Tell which engine EXTRANET_REGISTRY_URL names."""
    return settings.registry_url.startswith(("postgresql://", "postgres://"))


def registry_file(settings: Settings) -> Path:
    """Return the registry's SQLite file; raise BadSettings for a URL that names none."""
    before, prefix, path = settings.registry_url.partition("sqlite:///")
    if before or not prefix or path in {"", ":memory:"}:
        raise BadSettings("EXTRANET_REGISTRY_URL must be sqlite:///PATH or postgresql://USER@HOST/DATABASE.")
    return Path(path).absolute()


def _on_sqlite(path: Path) -> Engine:
    return sqlite.make_engine(path, 0, lambda _connection: None)


def _on_postgresql(settings: Settings) -> Engine:
    from tenants import postgresql

    _parsed(settings)
    return postgresql.make_engine(
        "The registry",
        lambda: postgresql.connect(settings.registry_url),
        lambda _connection: None,
        # Its changes queue for the generation row, and its counters must not queue at all.
        one_writer=False,
    )


def _parsed(settings: Settings) -> dict[str, Any]:
    from psycopg import Error
    from psycopg.conninfo import conninfo_to_dict

    try:
        return conninfo_to_dict(settings.registry_url)
    except Error:
        # Its own words quote what it did not understand, which may be a password.
        raise BadSettings("EXTRANET_REGISTRY_URL cannot be read: postgresql://USER@HOST/DATABASE.") from None


def _empty_log(engine: Engine) -> None:
    # Deleted rows are overwritten where they were (secure_delete); pages of before are in the log until it is emptied.
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        (busy, *_) = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise TenantUnavailable("The registry's log cannot be emptied while others read it: do this again.")


def _rewrite(engine: Engine, table: str) -> None:
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        # A connection of its own: the table is written anew outside of any transaction, and the old file removed.
        connection.detach()
        raw.autocommit = True
        raw.execute(f'VACUUM (FULL) "{table}"')


def _close_to_public(connection: Connection) -> None:
    # Tenants' logins may be on the same server. Whoever does not own the database gets a warning, and doctor says it.
    name = connection.dialect.identifier_preparer.quote(
        connection.exec_driver_sql("SELECT current_database()").scalar_one()
    )
    connection.exec_driver_sql(f"GRANT CONNECT ON DATABASE {name} TO CURRENT_USER")
    connection.exec_driver_sql(f"REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC")


def _checked(engine: Engine) -> Engine:
    try:
        with engine.connect() as connection:
            found = _version(connection)
    except BaseException:
        engine.dispose()
        raise
    if found < schema.head(_HISTORY):
        engine.dispose()
        if not found:
            raise NotInitialised("The registry's database is empty. Run: extranet init")
        raise SchemaBehind(
            f"The registry has schema {found}, this code needs {schema.head(_HISTORY)}. Run: extranet init"
        )
    return engine


def _version(connection: Connection) -> int:
    if connection.dialect.name == "sqlite":
        return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    if not inspect(connection).has_table("alembic_version"):
        return 0
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
    return int(found or 0)


@contextmanager
def _disposed(engine: Engine) -> Iterator[Engine]:
    try:
        yield engine
    finally:
        engine.dispose()
