"""What looking into the logs leaves in them: that their purpose was read, who looked for what, and why."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from extranet.errors import Invalid
from extranet.i18n import gettext as _
from extranet.models import User, security_event_table
from extranet.models.base import utc_now
from extranet.security_log.events import Event
from extranet.security_log.operations import journal, record
from extranet.security_log.origin import EVERYBODY, Origin, printable
from tenants.journal_tables import as_written
from tenants.throttle import Limit, reserve

_QUARTER = 15 * 60
_INVESTIGATION_LIFE = timedelta(hours=12)
_SHORTEST_REASON, LONGEST_REASON = 10, 300


def has_read_notice(db: Session, user_id: str) -> bool:
    """Tell whether somebody has said that they read what the logs are for."""
    return db.execute(select(User.log_notice_at).where(User.id == user_id)).scalar_one() is not None


def read_notice(db: Session, user_id: str, origin: Origin) -> None:
    """Note that somebody read what the logs are for, once."""
    user = db.get_one(User, user_id)
    if user.log_notice_at is None:
        user.log_notice_at = utc_now()
        record(db, Event.LOG_NOTICE_READ, origin, actor=user_id)


def investigate(db: Session, user_id: str, person: User, reason: str, origin: Origin) -> None:
    """Begin to look at one person's entries, for a reason that is kept; raise Invalid without one."""
    cleaned = printable(" ".join(reason.split()), LONGEST_REASON)
    if len(cleaned) < _SHORTEST_REASON:
        raise Invalid("reason", _("Say in a few words why: at least %(count)s characters.", count=_SHORTEST_REASON))
    details = {"investigation": True}
    record(db, Event.LOG_VIEWED, origin, actor=user_id, subject=person.id, details=details, sealed={"reason": cleaned})


def is_investigating(db: Session, user_id: str, person_id: str) -> bool:
    """Tell whether somebody gave a reason to look at a person's entries in the last twelve hours."""
    columns = security_event_table.c
    mine = select(security_event_table).where(
        columns.event == Event.LOG_VIEWED,
        columns.subject == person_id,
        columns.actor == user_id,
        columns.at >= as_written(utc_now() - _INVESTIGATION_LIFE),
    )
    entries = journal(db.info["keys"]).read(iter(db.execute(mine)))
    return any(entry.details.get("investigation") for entry in entries)


def note_viewed(
    db: Session, user_id: str, person: User | None, log: str, asked: Mapping[str, str], origin: Origin
) -> None:
    """Record that somebody looked, at most once for the same filter and quarter of an hour: paging is no new look."""
    bucket = json.dumps(["viewed", user_id, log, sorted(asked.items())]).encode()
    if reserve(db, Limit(db.info["keys"].mac("throttle", bucket), 1, _QUARTER), int(time.time())) == 0:
        _record(db, Event.LOG_VIEWED, user_id, person, {"log": log}, asked, origin)


def note_exported(
    db: Session, user_id: str, person: User | None, log: str, count: int, asked: Mapping[str, str], origin: Origin
) -> None:
    """Record that somebody took entries away."""
    _record(db, Event.LOG_EXPORTED, user_id, person, {"log": log, "count": count}, asked, origin)


def _record(
    db: Session,
    event: Event,
    user_id: str,
    person: User | None,
    details: dict[str, str | int],
    asked: Mapping[str, str],
    origin: Origin,
) -> None:
    # The filter may hold a name or an address.
    words = "&".join(f"{name}={value}" for name, value in sorted(asked.items()))
    subject = person.id if person else EVERYBODY
    record(db, event, origin, actor=user_id, subject=subject, details=dict(details), sealed={"filter": words})
