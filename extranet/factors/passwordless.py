"""Signing in by a passkey alone: the device has verified its owner, so no password is asked for."""

from __future__ import annotations

import time

from sqlalchemy.orm import Session

from extranet.accounts.limits import AddressLimits
from extranet.accounts.logins import StartedLogin, start_login
from extranet.errors import FactorRefused, TooManyAttempts
from extranet.factors import passkeys
from extranet.factors.challenges import Binding
from extranet.factors.second_step import Visitor, Way, note_fall, note_throttled, record_sign_in
from extranet.models import Passkey, User, UserState
from extranet.security_log.events import Event, Outcome
from extranet.security_log.operations import record
from extranet.security_log.origin import NOBODY
from tenants.throttle import sweep


def sign_in_by_passkey(
    db: Session, addresses: AddressLimits, answer: str, binding: Binding, visitor: Visitor
) -> StartedLogin:
    """Sign in whoever's passkey has signed, without a password; raise TooManyAttempts or FactorRefused."""
    wait = addresses.reserve_second_step(visitor.origin.address, int(time.time()))
    if wait:
        note_throttled(db, Event.SIGN_IN_THROTTLED, NOBODY, visitor.origin)
        db.commit()
        raise TooManyAttempts(wait)
    try:
        user = _owner_of(db, passkeys.prove(db, answer, binding))
    except FactorRefused as refused:
        db.rollback()
        subject = refused.user_id if isinstance(refused, passkeys.CounterFell) else NOBODY
        details = {"factors": [str(Way.PASSKEY)]}
        note_fall(db, refused, visitor.origin)
        record(db, Event.SIGN_IN_REFUSED, visitor.origin, subject=subject, outcome=Outcome.REFUSED, details=details)
        db.commit()
        raise
    sweep(db, int(time.time()))
    factors = (str(Way.PASSKEY),)
    started = start_login(db, user, visitor.device, visitor.origin, factors=factors)
    record_sign_in(db, started, factors, visitor.origin)
    addresses.refund_second_step(visitor.origin.address)
    return started


def _owner_of(db: Session, passkey: Passkey) -> User:
    user = db.get_one(User, passkey.user_id)
    # While a reported stranger waits to be shut out by a new password, the passkey may be theirs.
    if user.state != UserState.ACTIVE or user.must_change_password:
        raise FactorRefused("This account is not open.")
    return user
