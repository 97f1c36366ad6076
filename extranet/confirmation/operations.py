"""Proving once more who one is, inside a login: throttled, recorded, and answered with a new secret.

Whoever has a second factor proves it with that; a password alone is then not enough.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from extranet.accounts.limits import noted_limits, reauthentication_limits, reserve_all, second_step_limits
from extranet.accounts.logins import confirm_login
from extranet.accounts.passwords import Passwords, opened
from extranet.errors import FactorRefused, Invalid, NoSlot, NotFound, TooManyAttempts
from extranet.factors import second_step
from extranet.factors.operations import Here
from extranet.factors.second_step import Proof, Way
from extranet.i18n import gettext as _
from extranet.models import User, UserState
from extranet.security_log.events import Event, Outcome
from extranet.security_log.operations import record
from tenants.throttle import Limit, refund, reset

_PASSWORD = "password"  # noqa: S105


def confirm_by_password(db: Session, passwords: Passwords, here: Here, password: str) -> bytes:
    """Confirm one's identity by the password and return the login's new secret.

    Raises Invalid (field ``password``), TooManyAttempts or NoSlot.
    """
    keys = db.info["keys"]
    stored = db.get_one(User, here.user_id).password
    before = opened(keys, here.user_id, stored)
    limits = reauthentication_limits(keys, here.user_id)
    _reserve(db, here, limits)
    try:
        matches = passwords.verify(keys, here.user_id, stored, password)
    except NoSlot:
        refund(db, *limits)
        db.commit()
        raise
    if second_step.is_needed(db, here.user_id):
        # A page from before the factor was added, or somebody who knows no more than the password.
        _refuse(db, here, _PASSWORD)
        raise Invalid("", _("Your password is not enough here: use your second factor."))
    if not matches or opened(keys, here.user_id, _password_now(db, here.user_id)) != before:
        _refuse(db, here, _PASSWORD)
        raise Invalid("password", _("This is not your current password."))
    return _confirm(db, here, _PASSWORD)


def confirm_by_factor(db: Session, here: Here, proof: Proof) -> bytes:
    """Confirm one's identity by a second factor and return the login's new secret.

    Raises FactorRefused, Invalid (no field: the login ended) or TooManyAttempts.
    """
    keys = db.info["keys"]
    steps = second_step_limits(keys, here.user_id)
    _reserve(db, here, [*steps, *reauthentication_limits(keys, here.user_id)])
    user = db.get_one(User, here.user_id)
    try:
        second_step.check_proof(db, user, proof)
    except FactorRefused as refused:
        # What the refused answer had begun to write goes, its reservation was committed before.
        db.rollback()
        second_step.note_fall(db, refused, here.origin)
        _refuse(db, here, str(proof.way))
        raise
    secret = _confirm(db, here, str(proof.way))
    refund(db, *steps)
    if proof.way is Way.RECOVERY:
        second_step.tell_recovery_used(db, user, here.origin)
    return secret


def has_password(db: Session, user_id: str) -> bool:
    """Tell whether somebody has a password to prove themselves with: not who came by way of an identity provider."""
    return bool(_password_now(db, user_id))


def _reserve(db: Session, here: Here, limits: Sequence[Limit]) -> None:
    """Count the attempt before it is made, and commit: no lock may be held while a password is verified."""
    now = int(time.time())
    wait = reserve_all(db, limits, now)
    if wait and reserve_all(db, noted_limits(db.info["keys"], here.user_id), now) == 0:
        _record(db, here, Event.IDENTITY_NOT_CONFIRMED, Outcome.REFUSED, {"throttled": True})
    db.commit()
    if wait:
        raise TooManyAttempts(wait)


def _password_now(db: Session, user_id: str) -> bytes:
    # The account may have been disabled, or its password changed, while this one was being verified.
    mine = (User.id == user_id) & (User.state == UserState.ACTIVE)
    return db.scalars(select(User.password).where(mine)).one_or_none() or b""


def _refuse(db: Session, here: Here, factor: str) -> None:
    _record(db, here, Event.IDENTITY_NOT_CONFIRMED, Outcome.REFUSED, {"factor": factor})
    db.commit()


def _confirm(db: Session, here: Here, factor: str) -> bytes:
    try:
        secret = confirm_login(db, here.user_id, here.login_id)
    except NotFound as error:
        db.rollback()
        raise Invalid("", _("You were signed out meanwhile. Please sign in again.")) from error
    reset(db, *reauthentication_limits(db.info["keys"], here.user_id))
    _record(db, here, Event.IDENTITY_CONFIRMED, Outcome.OK, {"factor": factor})
    return secret


def _record(db: Session, here: Here, event: Event, outcome: Outcome, details: dict[str, object]) -> None:
    record(db, event, here.origin, actor=here.user_id, outcome=outcome, details=details)
