"""Creating the people of a file, and inviting them: in batches, each of which happens whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from extranet.accounts.invitations import invite
from extranet.accounts.operations import NewUser, create_user
from extranet.activity.changes import Change
from extranet.activity.operations import note_change
from extranet.admin.imports.checking import Checked, Verdict, check_rows
from extranet.admin.imports.columns import map_columns
from extranet.admin.imports.reading import read_table
from extranet.admin.operations import one_at_a_time
from extranet.models import Profile, User
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import EVERYBODY, Origin

BATCH = 250
"""So many at once in one transaction: others' changes wait that long and no longer."""

SECONDS = 12
"""After so long the answer says how far it is; the rest goes on from there. The server gives up at thirty."""


def check_file(db: Session, content: bytes) -> list[Checked]:
    """Return every row of a file with what would become of it; raise Invalid for a file that is no list of people."""
    headings, rows = read_table(content)
    return check_rows(db, rows, map_columns(headings))


def import_people(
    db: Session, content: bytes, origin: Origin, actor: str, *, seconds: float = SECONDS
) -> tuple[list[int], bool]:
    """Create and invite a file's new people; return the lines that became people, and whether none is left.

    Commits after each batch. Who has come since the rows were checked is left out, under the lock.
    """
    until, created = time.monotonic() + seconds, list[int]()
    new = [row for row in check_file(db, content) if row.verdict is Verdict.NEW]
    for start in range(0, len(new), BATCH):
        if start and time.monotonic() > until:
            return created, False
        created += _import_batch(db, new[start : start + BATCH], origin, actor)
    return created, True


def _import_batch(db: Session, batch: Sequence[Checked], origin: Origin, actor: str) -> list[int]:
    one_at_a_time(db)
    free = _still_free(db, batch)
    for row in free:
        _create(db, row, origin, actor)
    if free:
        note_change(db, Change.USERS_IMPORTED, actor=actor, subject=EVERYBODY, after={"count": len(free)})
        record(db, Event.USERS_IMPORTED, origin, actor=actor, details={"count": len(free)})
    db.commit()
    return [row.line for row in free]


def _still_free(db: Session, batch: Sequence[Checked]) -> list[Checked]:
    names = [name for row in batch for name in (row.cells["username"], row.cells["email"])]
    taken = select(User.username, User.email).where(or_(User.username.in_(names), User.email.in_(names)))
    there = {name for person in db.execute(taken) for name in person}
    return [row for row in batch if not {row.cells["username"], row.cells["email"]} & there]


def _create(db: Session, row: Checked, origin: Origin, actor: str) -> None:
    cells = row.cells
    new = NewUser(cells["username"], cells["email"], cells["first_name"], cells["last_name"], row.role)
    user = create_user(db, new, origin, actor)
    profile = db.get_one(Profile, user.id)
    profile.department, profile.position = cells["department"], cells["position"]
    invite(db, user, origin, actor)
