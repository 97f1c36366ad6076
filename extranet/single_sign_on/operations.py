"""Setting out for the company's identity provider: only who agreed does, and that is on record before they go."""

from __future__ import annotations

import time

from sqlalchemy.orm import Session

from extranet.accounts.limits import reserve_all
from extranet.errors import NotFound, TooManyAttempts
from extranet.factors.challenges import use_up
from extranet.factors.second_step import Visitor
from extranet.models.base import utc_now
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import NOBODY
from extranet.single_sign_on.attempts import Attempt, Errand, Purpose, begin
from extranet.single_sign_on.consents import TEXT_VERSION, browser_consents, consent_stands
from extranet.single_sign_on.limits import setting_out_limits
from extranet.single_sign_on.provider import Client, client_of, provider_of
from extranet.single_sign_on.refusals import ConsentMissing, Reason, SignOnRefused


def set_out(db: Session, errand: Errand, visitor: Visitor, user_id: str, *, agrees: bool) -> tuple[Client, Attempt]:
    """Begin a try and return it, with what it takes to ask the provider. ``user_id`` is "" for who is not signed in.

    Raises NotFound when there is no provider, ConsentMissing, or TooManyAttempts. Commits: what somebody agreed to is
    on record before the provider hears anything, and no transaction waits for it.
    """
    provider = provider_of(db)
    if provider is None:
        raise NotFound("There is no identity provider.")
    wait = reserve_all(db, setting_out_limits(db.info["keys"], visitor.origin.address), int(time.time()))
    if wait:
        db.commit()
        raise TooManyAttempts(wait)
    if not agrees and not _stands(db, errand, provider.issuer, user_id, visitor.device):
        raise ConsentMissing("Nobody agreed to this exchange yet.")
    now = utc_now() if agrees else None
    if now is not None:
        # Among what they agreed to once they are back: of who turns round on the way, only the log knows.
        details = {"issuer": provider.issuer, "text_version": TEXT_VERSION}
        record(db, Event.SIGN_ON_CONSENTED, visitor.origin, actor=user_id or NOBODY, details=details)
    client = client_of(db, provider)
    db.commit()
    return client, begin(errand, client.issuer, client.client_id, now)


def come_back(db: Session, attempt: Attempt) -> Client:
    """Use a try up and return what it takes to ask the provider; raise SignOnRefused."""
    if not use_up(db, attempt.challenge):
        raise SignOnRefused(Reason.USED)
    provider = provider_of(db)
    if provider is None or (provider.issuer, provider.client_id) != (attempt.issuer, attempt.client_id):
        raise SignOnRefused(Reason.PROVIDER_CHANGED)
    return client_of(db, provider)


def _stands(db: Session, errand: Errand, issuer: str, user_id: str, device: bytes) -> bool:
    if errand.purpose is Purpose.ACCEPT:
        # Whoever is invited has not been here before.
        return False
    return consent_stands(db, user_id, issuer) if user_id else browser_consents(db, device, issuer)
