"""Forgetting whom accounts are linked to, and what was agreed to for it. Tells nobody: whoever calls it does."""

from __future__ import annotations

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from extranet.models import Consent, Identity
from extranet.models.base import utc_now
from extranet.single_sign_on.consents import SIGN_ON


def forget_identities(db: Session, user_id: str = "") -> None:
    """Forget somebody's links and take their consent back, or everybody's."""
    links = delete(Identity)
    consents = update(Consent).where(Consent.purpose == SIGN_ON, Consent.withdrawn_at.is_(None))
    if user_id:
        links, consents = links.where(Identity.user_id == user_id), consents.where(Consent.user_id == user_id)
    db.execute(links)
    db.execute(consents.values(withdrawn_at=utc_now()))
