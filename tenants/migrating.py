"""What both migration histories do when Alembic loads their ``env.py``."""

from __future__ import annotations

from alembic import context, op


def run() -> None:
    """Run the pending revisions on the caller's connection and note the version where it is quick to read."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    # In the file's header: a fleet's versions are read without opening a database.
    connection.exec_driver_sql(f"PRAGMA user_version = {int(context.get_context().get_current_revision() or 0)}")


def make_append_only(journal: str) -> None:
    """Let SQLite refuse what no program should ever do to a journal; only its sealed part may be erased."""
    op.execute(
        f"CREATE TRIGGER {journal}_no_delete BEFORE DELETE ON {journal} "
        "BEGIN SELECT RAISE(ABORT, 'journal entries are never deleted'); END"
    )
    # REPLACE deletes the row in its way without asking the trigger above.
    op.execute(
        f"CREATE TRIGGER {journal}_no_replace BEFORE INSERT ON {journal} "  # noqa: S608 - a name from our own code
        f"WHEN EXISTS (SELECT 1 FROM {journal} WHERE sequence = NEW.sequence) "
        "BEGIN SELECT RAISE(ABORT, 'journal entries are never replaced'); END"
    )
    op.execute(
        f"CREATE TRIGGER {journal}_no_update BEFORE UPDATE ON {journal} "
        "WHEN NEW.private IS NOT NULL OR NEW.sequence <> OLD.sequence OR NEW.at <> OLD.at OR NEW.event <> OLD.event "
        "OR NEW.outcome <> OLD.outcome OR NEW.actor <> OLD.actor OR NEW.subject <> OLD.subject "
        "OR NEW.body <> OLD.body OR NEW.mac <> OLD.mac "
        "BEGIN SELECT RAISE(ABORT, 'journal entries are never changed'); END"
    )
