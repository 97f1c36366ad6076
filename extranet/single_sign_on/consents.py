"""What somebody agreed to before anything was exchanged with their company's identity provider."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session

from extranet.models import Consent, KnownBrowser
from extranet.models.base import utc_now
from extranet.models.login import hash_secret

SIGN_ON = "sign_on"
TEXT_VERSION = "2026-11"
"""Of the text on the consent page. Another text has another version, and everybody is asked again."""


def consent_stands(db: Session, user_id: str, issuer: str) -> bool:
    """Tell whether somebody agreed to the text as it is today, and did not take it back."""
    return bool(db.execute(select(exists().where(Consent.user_id == user_id, _stands(issuer)))).scalar_one())


def browser_consents(db: Session, device: bytes, issuer: str) -> bool:
    """Tell whether all who sign in with this browser agreed: so far nobody knows which of them it is."""
    if not device:
        return False
    agreed = exists().where(Consent.user_id == KnownBrowser.user_id, _stands(issuer))
    known = select(agreed).where(
        KnownBrowser.device_hash == hash_secret(device),
        KnownBrowser.forgotten_at.is_(None),
        KnownBrowser.expires_at > utc_now(),
    )
    return set(db.scalars(known)) == {True}


def keep_consent(db: Session, user_id: str, issuer: str, given_at: datetime) -> None:
    """Write down that somebody agreed to today's text, unless that is on record."""
    if not consent_stands(db, user_id, issuer):
        consent = {"purpose": SIGN_ON, "detail": issuer, "text_version": TEXT_VERSION, "given_at": given_at}
        db.add(Consent(user_id=user_id, **consent))
        db.flush()


def _stands(issuer: str) -> ColumnElement[bool]:
    of_today = (Consent.purpose == SIGN_ON) & (Consent.text_version == TEXT_VERSION)
    return of_today & (Consent.detail == issuer) & Consent.withdrawn_at.is_(None)
