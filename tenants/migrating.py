"""What both migration histories do when Alembic loads their ``env.py``, on either engine."""

from __future__ import annotations

from alembic import context, op
from sqlalchemy import Connection

from tenants.errors import UnsafeChange

_NEVER = "journal entries are never changed, replaced or deleted"
_KEPT = ("sequence", "at", "event", "outcome", "actor", "subject", "body", "mac")


def run() -> None:
    """Run the pending revisions on the caller's connection and note the version where it is quick to read."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, render_as_batch=True)
    guards = _guards(connection)
    with context.begin_transaction():
        context.run_migrations()
    if lost := guards - _guards(connection):
        # A table that is rebuilt comes back without its triggers.
        raise UnsafeChange(f"A journal would lose {', '.join(sorted(lost))}: make_append_only in the same revision.")
    if connection.dialect.name == "sqlite":
        # In the file's header: a fleet's versions are read without opening a database.
        connection.exec_driver_sql(f"PRAGMA user_version = {int(context.get_context().get_current_revision() or 0)}")


def _guards(connection: Connection) -> set[str]:
    """Return the names of the triggers that keep journals as they are."""
    asked = (
        "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"
        if connection.dialect.name == "sqlite"
        else "SELECT tgname, relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE NOT tgisinternal"
    )
    return {name for name, table in connection.exec_driver_sql(asked) if name.startswith(f"{table}_no_")}


def make_append_only(journal: str) -> None:
    """Let the database refuse what no program should ever do to a journal; only its sealed part may be erased."""
    if op.get_bind().dialect.name == "sqlite":
        _guard_sqlite(journal)
    else:
        _guard_postgresql(journal)


def _guard_sqlite(journal: str) -> None:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{_NEVER}'); END"
    changed = " OR ".join(f"NEW.{column} <> OLD.{column}" for column in _KEPT)
    op.execute(f"CREATE TRIGGER {journal}_no_delete BEFORE DELETE ON {journal} {refuse}")
    # REPLACE deletes the row in its way without asking the trigger above.
    op.execute(
        f"CREATE TRIGGER {journal}_no_replace BEFORE INSERT ON {journal} "  # noqa: S608 - a name from our own code
        f"WHEN EXISTS (SELECT 1 FROM {journal} WHERE sequence = NEW.sequence) {refuse}"
    )
    op.execute(
        f"CREATE TRIGGER {journal}_no_update BEFORE UPDATE ON {journal} "
        f"WHEN NEW.private IS NOT NULL OR {changed} {refuse}"
    )


def _guard_postgresql(journal: str) -> None:
    changed = " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in _KEPT)
    refuse = f"EXECUTE FUNCTION {journal}_refuse()"
    op.execute(
        f"CREATE FUNCTION {journal}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_NEVER}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(f"CREATE TRIGGER {journal}_no_delete BEFORE DELETE OR TRUNCATE ON {journal} {refuse}")
    op.execute(
        f"CREATE TRIGGER {journal}_no_update BEFORE UPDATE ON {journal} FOR EACH ROW "
        f"WHEN (NEW.private IS NOT NULL OR {changed}) {refuse}"
    )
