"""A password that was forgotten or is in wrong hands: links to a new one, and shutting out whoever has the old."""

from __future__ import annotations

import time

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from extranet.accounts.held import is_held, let_in_again
from extranet.accounts.invitations import LastInvitation, last_invitation, mail_again
from extranet.accounts.limits import AddressLimits, reserve_all, reset_limits
from extranet.accounts.links import (
    Link,
    end_links,
    find_link,
    living_links,
    make_link,
    use_link,
)
from extranet.accounts.new_passwords import password_rules, store_password
from extranet.accounts.notices import name_of, tell_password_changed, user_or_any
from extranet.accounts.operations import forget_failures
from extranet.accounts.passwords import Passwords
from extranet.accounts.shutting_out import WayBack, shut_out, sign_out_everywhere
from extranet.activity.changes import Change
from extranet.activity.operations import note_change
from extranet.errors import Invalid, LinkRefused
from extranet.i18n import gettext as _
from extranet.mail.kinds import MailKind
from extranet.mail.outbox import post
from extranet.models import LinkPurpose, User, UserState
from extranet.security_log.events import Event, Outcome
from extranet.security_log.operations import record
from extranet.security_log.origin import NOBODY, Origin


def ask_reset(db: Session, addresses: AddressLimits, name: str, origin: Origin) -> None:
    """Mail a link to a new password to whoever has this username or address, if anybody may have one now.

    Says nothing about that, not by the time it takes either: for everybody the same is written, and taken back where
    nobody is to get it.
    """
    now = int(time.time())
    if addresses.reserve_reset(origin.address, now):
        return
    wanted = name.strip().lower()
    found = db.scalars(select(User).where(or_(User.username == wanted, User.email == wanted))).one_or_none()
    user_id = found.id if found else ""
    wait = reserve_all(db, reset_limits(db.info["keys"], user_id or f"name/{wanted}"), now)
    person = user_or_any(db, user_id)
    invitation = last_invitation(db, person)
    waits_for_first = person.state == UserState.INVITED and invitation.stands
    is_open = not is_held(db, person.id) and person.state == UserState.ACTIVE
    is_sent = found is not None and not wait and (is_open or waits_for_first)
    with db.begin_nested() as work:
        _mail_way_in(db, person, invitation)
        db.flush()
        if not is_sent:
            work.rollback()
    record(
        db,
        Event.RESET_ASKED,
        origin,
        subject=user_id or NOBODY,
        outcome=Outcome.OK if is_sent else Outcome.REFUSED,
        details={"throttled": True} if wait else {},
        typed="" if user_id else name,
    )


def start_reset(db: Session, user: User, actor: str, origin: Origin) -> None:
    """Mail somebody a link to a new password on behalf of an administrator, who never sees it; raise Invalid.

    Whoever was held after a report is let in again by this.
    """
    if user.state == UserState.DISABLED:
        raise Invalid("username", _("This account is disabled. Enable it first."))
    if user.state == UserState.INVITED:
        raise Invalid("username", _("This account has no password yet. Send a new invitation instead."))
    let_in_again(db, user.id)
    link = make_link(db, user, LinkPurpose.RESET)
    post(db, MailKind.RESET_BY_ADMIN, user, link=link.path, until=link.until, by=name_of(db, actor))
    record(db, Event.RESET_STARTED, origin, actor=actor, subject=user.id)


def find_resetting(db: Session, token: bytes) -> User:
    """Return whom a living link to a new password is for; raise LinkRefused. Changes nothing."""
    return db.get_one(User, _find_reset(db, token).user_id)


def reset_password(db: Session, passwords: Passwords, token: bytes, password: str, origin: Origin) -> None:
    """Set a new password by a link. It signs nobody in, and second factors go on being asked for.

    Raises LinkRefused, Invalid (field ``password``) or NoSlot.
    """
    link = _find_reset(db, token)
    rules = password_rules(db, db.get_one(User, link.user_id))
    # No lock is held while guessing and hashing; using the link up decides who of several came first.
    db.commit()
    encoded = rules.encoded(passwords, password)
    use_link(db, link)
    user = db.get_one(User, link.user_id, populate_existing=True)
    _refuse_held(db, user.id)
    # Whoever has the link has the account's mail.
    forget_failures(db, user)
    store_password(db, user, encoded)
    ended = sign_out_everywhere(db, user, "password_reset")
    tell_password_changed(db, user, origin)
    note_change(db, Change.PASSWORD_CHANGED, actor=user.id, subject=user.id, label=user.name)
    record(db, Event.PASSWORD_RESET, origin, actor=user.id, details={"logins_ended": ended})


def find_reporting(db: Session, token: bytes) -> User:
    """Return whose account a living link reports a stranger in; raise LinkRefused. Changes nothing."""
    return db.get_one(User, find_link(db, LinkPurpose.REPORT_STRANGER, token).user_id)


def report_stranger_by_link(db: Session, token: bytes, origin: Origin) -> WayBack:
    """Act on "this wasn't me" in a mail: shut everybody out. Return how the owner comes in again.

    A link to a new password is mailed when the account's address is still the one that mail went to, or can be put
    back, unless that mailbox would be all that is left to prove who they are.
    """
    link = find_link(db, LinkPurpose.REPORT_STRANGER, token)
    use_link(db, link)
    user = db.get_one(User, link.user_id)
    undo = next((one for one in living_links(db, user.id, LinkPurpose.UNDO_EMAIL) if one.detail == link.detail), None)
    if undo is not None:
        put_address_back(db, user, undo)
    shut = shut_out(db, user, link, origin)
    after = {"logins_ended": shut.logins_ended}
    note_change(db, Change.STRANGER_REPORTED, actor=user.id, subject=user.id, label=user.name, after=after)
    details = {"logins_ended": shut.logins_ended, "by": "link", "way_back": shut.way_back}
    record(db, Event.STRANGER_REPORTED, origin, actor=user.id, details=details)
    return shut.way_back


def put_address_back(db: Session, user: User, undo: Link) -> bool:
    """Give a user the address back that they had when a link was made; tell whether it is theirs now.

    What was changed or begun later goes with it; what took back an earlier change stays.
    """
    # Reports too: those mailed since went to whoever reads the other address.
    end_links(db, user.id, "undone", LinkPurpose.UNDO_EMAIL, LinkPurpose.REPORT_STRANGER, since=undo.created_at)
    if user.email == undo.detail:
        return True
    if is_taken(db, undo.detail):
        return False
    addresses = {"before": {"email": user.email}, "after": {"email": undo.detail}}
    user.email = undo.detail
    note_change(db, Change.EMAIL_CHANGED, actor=user.id, subject=user.id, label=user.name, **addresses)
    return True


def is_taken(db: Session, address: str) -> bool:
    """Tell whether an address belongs to an account, or would be mistaken for one's name."""
    theirs = (User.email == address) | (User.username == address)
    return db.scalars(select(User.id).where(theirs).limit(1)).one_or_none() is not None


def _find_reset(db: Session, token: bytes) -> Link:
    link = find_link(db, LinkPurpose.RESET, token)
    _refuse_held(db, link.user_id)
    return link


def _refuse_held(db: Session, user_id: str) -> None:
    # A link may have been asked for at the very moment the account was closed to links.
    if is_held(db, user_id):
        raise LinkRefused("An administrator has to let this person in.")


def _mail_way_in(db: Session, user: User, invitation: LastInvitation) -> None:
    if user.state == UserState.INVITED:
        mail_again(db, user, invitation)
        return
    link = make_link(db, user, LinkPurpose.RESET)
    post(db, MailKind.RESET, user, link=link.path, until=link.until)
