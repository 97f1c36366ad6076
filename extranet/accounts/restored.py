"""What becomes of accounts when a backup is restored: nothing that was sent out before may come back to life."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from extranet.accounts.links import HELD
from extranet.activity.changes import Change
from extranet.activity.operations import TENANT, note_change
from extranet.models import (
    Consent,
    Invitation,
    KnownBrowser,
    Login,
    Mail,
    OneTimeLink,
    PendingSignIn,
    RecoveryCode,
    SupportGrant,
    SupportVisit,
)
from extranet.models.base import utc_now
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin

_REASON = "restored"


def begin_anew(db: Session, origin: Origin, actor: str, details: dict[str, Any]) -> None:
    """End every login, invitation, link, recovery code and consent, forget every browser, send no mail again; log that.

    Which of them had ended since the backup was made is not in it: all of them end.
    """
    now = utc_now()
    db.execute(update(Login).where(Login.ended_at.is_(None)).values(ended_at=now, end_reason=_REASON))
    db.execute(update(Invitation).where(Invitation.ended_at.is_(None)).values(ended_at=now, end_reason=_REASON))
    # A hold is no link: it keeps somebody out.
    links = update(OneTimeLink).where(OneTimeLink.ended_at.is_(None), OneTimeLink.purpose != HELD)
    db.execute(links.values(ended_at=now, end_reason=_REASON))
    for access in (SupportGrant, SupportVisit):
        db.execute(update(access).where(access.ended_at.is_(None)).values(ended_at=now, end_reason=_REASON))
    for table in (PendingSignIn, RecoveryCode):
        db.execute(delete(table))
    unsent = Mail.sent_at.is_(None) & Mail.given_up_at.is_(None)
    db.execute(update(Mail).where(unsent).values(given_up_at=now, due_at=None, content=b"", fault=_REASON))
    db.execute(update(KnownBrowser).where(KnownBrowser.forgotten_at.is_(None)).values(forgotten_at=now))
    # Somebody may have taken theirs back since: everybody is asked again before anything is exchanged.
    db.execute(update(Consent).where(Consent.withdrawn_at.is_(None)).values(withdrawn_at=now))
    note_restored(db, actor, details)
    record(db, Event.RESTORED, origin, actor=actor, details=details)


def note_restored(db: Session, actor: str, details: Mapping[str, Any]) -> None:
    """Say in the activity log to which backup everything went back."""
    after = {name: details[name] for name in ("backup", "made_at", "source") if name in details}
    note_change(db, Change.RESTORED, actor=actor, subject=TENANT, after=after)
