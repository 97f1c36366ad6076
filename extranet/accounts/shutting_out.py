"""Somebody else was in an account: shutting them out, and how its owner comes in again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import update
from sqlalchemy.orm import Session

from extranet.accounts.held import hold, is_held
from extranet.accounts.links import Link, end_links_of_password, make_link
from extranet.accounts.logins import end_logins, forget_browsers
from extranet.accounts.new_passwords import withdraw_password
from extranet.accounts.notices import administrators_of, tell_administrators
from extranet.activity.changes import Change
from extranet.activity.operations import note_change
from extranet.factors.second_step import is_needed
from extranet.factors.withdrawing import withdraw_factors
from extranet.mail.kinds import MailKind
from extranet.mail.outbox import post
from extranet.models import LinkPurpose, Login, PendingSignIn, User
from extranet.models.base import utc_now
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin
from extranet.single_sign_on.identities import forget_identities

# What a mail tells of is written before the mail, in one transaction.
_BEFORE_ITS_MAIL = timedelta(minutes=1)


class WayBack(StrEnum):
    """How somebody comes in again who was shut out of their own account."""

    MAILED = "mailed"
    ADMINISTRATOR = "administrator"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class ShutOut:
    """What became of an account: how many logins ended, and how its owner comes in again."""

    logins_ended: int
    way_back: WayBack


def report_stranger(db: Session, user_id: str, *, login_id: str, origin: Origin) -> bool:
    """Act on "this wasn't me": every other login and browser ends, and a new password has to be chosen now.

    Second factors stay, as it is not known since when somebody else was there: their owner looks through them. Return
    whether there is a password to change.
    """
    user = db.get_one(User, user_id)
    # Whoever has no password could not type it to choose another one.
    user.must_change_password = bool(user.password)
    if user.password:
        # Whoever knew it may have linked the account to somebody of their own. Without one, the link is the owner's.
        forget_identities(db, user_id)
    forget_browsers(db, user_id, but=db.get_one(Login, login_id).browser_id)
    ended = end_logins(db, user_id, "stranger_reported", but=login_id)
    end_links_of_password(db, user_id, "reported")
    tell_administrators(db, user)
    after = {"logins_ended": ended}
    note_change(db, Change.STRANGER_REPORTED, actor=user_id, subject=user_id, label=user.name, after=after)
    record(db, Event.STRANGER_REPORTED, origin, actor=user_id, details={"logins_ended": ended})
    return user.must_change_password


def shut_out(db: Session, user: User, link: Link, origin: Origin) -> ShutOut:
    """Shut whoever knows a user's password out of their account, the user too, and tell the administrators.

    What proves who somebody is and was added since ``link`` was made goes as well. The way back in is mailed to the
    address that the link was mailed to, if it is the account's, and to no other.
    """
    withdraw_password(db, user)
    # Whoever was in it may have linked it to somebody of their own; its owner links it again.
    forget_identities(db, user.id)
    ended = sign_out_everywhere(db, user, "reported")
    leaves_none = _withdraw_factors(db, user, link, origin)
    if leaves_none or user.email != link.detail:
        hold(db, user)
    is_kept_out = is_held(db, user.id)
    if not is_kept_out:
        reset = make_link(db, user, LinkPurpose.RESET)
        post(db, MailKind.RESET, user, link=reset.path, until=reset.until)
    tell_administrators(db, user, is_held=is_kept_out)
    return ShutOut(ended, _way_back(db, user) if is_kept_out else WayBack.MAILED)


def sign_out_everywhere(db: Session, user: User, reason: str) -> int:
    """End all that is signed in, known or begun; return how many logins ended."""
    half_way = (PendingSignIn.user_id == user.id) & PendingSignIn.ended_at.is_(None)
    db.execute(update(PendingSignIn).where(half_way).values(ended_at=utc_now()))
    end_links_of_password(db, user.id, reason)
    forget_browsers(db, user.id)
    return end_logins(db, user.id, reason)


def _withdraw_factors(db: Session, user: User, link: Link, origin: Origin) -> bool:
    """Withdraw what was added since a link was made; tell whether something was and no second factor is left.

    Who added them is not known. If the owner did, whoever merely reads their mail would be rid of them by this.
    """
    withdrawn = withdraw_factors(db, user.id, link.created_at - _BEFORE_ITS_MAIL)
    if not withdrawn:
        return False
    before = withdrawn.counts
    note_change(db, Change.FACTORS_WITHDRAWN, actor=user.id, subject=user.id, label=user.name, before=before)
    record(db, Event.FACTORS_WITHDRAWN, origin, actor=user.id, details=withdrawn.counts)
    return not is_needed(db, user.id)


def _way_back(db: Session, user: User) -> WayBack:
    # One who is shut out too helps nobody in.
    helpers = [admin for admin in administrators_of(db, but=user.id) if not admin.is_shut]
    return WayBack.ADMINISTRATOR if helpers else WayBack.OPERATOR
