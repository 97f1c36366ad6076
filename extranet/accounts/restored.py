"""What becomes of accounts when a backup is restored: nothing that was sent out before may come back to life."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from extranet.models import Invitation, KnownBrowser, Login
from extranet.models.base import utc_now
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin

_REASON = "restored"


def begin_anew(db: Session, origin: Origin, actor: str, details: dict[str, Any]) -> None:
    """End every login and invitation and forget every browser, and say so in the log.

    Which of them had ended since the backup was made is not in it: all of them end.
    """
    now = utc_now()
    db.execute(update(Login).where(Login.ended_at.is_(None)).values(ended_at=now, end_reason=_REASON))
    db.execute(update(Invitation).where(Invitation.ended_at.is_(None)).values(ended_at=now, end_reason=_REASON))
    db.execute(update(KnownBrowser).where(KnownBrowser.forgotten_at.is_(None)).values(forgotten_at=now))
    record(db, Event.RESTORED, origin, actor=actor, details=details)
