"""Changing one's e-mail address: asked for, confirmed at the new address, and taken back from the old one.

Whoever reads an account's mail can get into it. So the new address has to answer first, and the old one can undo.
"""

from __future__ import annotations

import time

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from extranet.accounts.held import is_held
from extranet.accounts.limits import new_address_limits, reserve_all
from extranet.accounts.links import Link, end_links, find_link, living_links, make_link, use_link
from extranet.accounts.names import parse_email
from extranet.accounts.recovery import is_taken, put_address_back
from extranet.accounts.shutting_out import WayBack, shut_out
from extranet.activity.changes import Change
from extranet.activity.operations import note_change
from extranet.errors import Invalid, LinkRefused, TooManyAttempts
from extranet.i18n import gettext as _
from extranet.mail.kinds import MailKind
from extranet.mail.outbox import post
from extranet.models import LinkPurpose, User
from extranet.security_log.events import Event, Outcome
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin


def ask_new_address(db: Session, user_id: str, typed: str, origin: Origin) -> str:
    """Ask a new address to confirm itself and tell the old one; return it as it will be stored.

    Raises Invalid (field ``email``) or TooManyAttempts. Whether another account has it is not said here: the mail
    goes to its owner, and what they are told depends on it.
    """
    user = db.get_one(User, user_id)
    address = parse_email(typed)
    if address == user.email:
        raise Invalid("email", _("This is your address already."))
    wait = reserve_all(db, new_address_limits(db.info["keys"], user_id), int(time.time()))
    if wait:
        raise TooManyAttempts(wait)
    confirm = make_link(db, user, LinkPurpose.CONFIRM_EMAIL, address)
    undo = make_link(db, user, LinkPurpose.UNDO_EMAIL, user.email)
    post(db, MailKind.CONFIRM_EMAIL, user, address=address, link=confirm.path, until=confirm.until)
    post(db, MailKind.EMAIL_CHANGING, user, new=masked(address), link=undo.path, until=undo.until)
    record(db, Event.EMAIL_CHANGE_ASKED, origin, actor=user_id)
    return address


def awaited_address(db: Session, user_id: str) -> Link | None:
    """Return the link whose ``detail`` is the address somebody is changing to; None when they are not."""
    return next(iter(living_links(db, user_id, LinkPurpose.CONFIRM_EMAIL)), None)


def cancel_new_address(db: Session, user_id: str, origin: Origin) -> None:
    """Forget the address somebody was changing to; nothing happens when there is none."""
    if awaited_address(db, user_id) is not None:
        end_links(db, user_id, "cancelled", LinkPurpose.CONFIRM_EMAIL)
        record(db, Event.EMAIL_CHANGE_UNDONE, origin, actor=user_id, details={"cancelled": True})


def find_confirming(db: Session, token: bytes) -> tuple[User, str]:
    """Return who changes to which address by a living link; raise LinkRefused. Changes nothing."""
    link = find_link(db, LinkPurpose.CONFIRM_EMAIL, token)
    return db.get_one(User, link.user_id), link.detail


def confirm_new_address(db: Session, token: bytes, origin: Origin) -> None:
    """Make the new address the account's and mail the old one how to undo that.

    Raises LinkRefused, or Invalid when the address belongs to another account: whoever has the link reads its mail.
    """
    link = find_link(db, LinkPurpose.CONFIRM_EMAIL, token)
    use_link(db, link)
    user = db.get_one(User, link.user_id)
    if user.is_shut or is_held(db, user.id):
        raise LinkRefused("Who asked for this was shut out since.")
    before = user.email
    _store_address(db, user, link.detail)
    end_links(db, user.id, "email_changed", LinkPurpose.RESET)
    undo = make_link(db, user, LinkPurpose.UNDO_EMAIL, before)
    post(db, MailKind.EMAIL_CHANGED, user, address=before, new=masked(link.detail), link=undo.path, until=undo.until)
    addresses = {"before": {"email": before}, "after": {"email": link.detail}}
    note_change(db, Change.EMAIL_CHANGED, actor=user.id, subject=user.id, label=user.name, **addresses)
    record(db, Event.EMAIL_CHANGED, origin, actor=user.id)


def find_undoing(db: Session, token: bytes) -> tuple[User, str]:
    """Return who gets which address back by a living link; raise LinkRefused. Changes nothing."""
    link = find_link(db, LinkPurpose.UNDO_EMAIL, token)
    return db.get_one(User, link.user_id), link.detail


def undo_new_address(db: Session, token: bytes, origin: Origin) -> WayBack:
    """Put the old address back, or keep it, and shut out whoever asked for another: they knew the password.

    Return how the owner comes in again. No link is mailed to that address when another account has it by now.
    """
    link = find_link(db, LinkPurpose.UNDO_EMAIL, token)
    use_link(db, link)
    user = db.get_one(User, link.user_id)
    is_back = put_address_back(db, user, link)
    shut = shut_out(db, user, link, origin)
    outcome = Outcome.OK if is_back else Outcome.REFUSED
    details = {"logins_ended": shut.logins_ended, "way_back": shut.way_back}
    record(db, Event.EMAIL_CHANGE_UNDONE, origin, actor=user.id, outcome=outcome, details=details)
    return shut.way_back


def masked(address: str) -> str:
    """Return an address by which its owner knows it and nobody else learns it: the old mailbox may be another's."""
    name, _at, domain = address.partition("@")
    return f"{name[0]}•••@{domain}"


def _store_address(db: Session, user: User, address: str) -> None:
    try:
        # Two accounts may be given the same address at the same moment; the database knows which was first.
        with db.begin_nested():
            taken = is_taken(db, address)
            if not taken:
                user.email = address
    except IntegrityError:
        taken = True
    if taken:
        db.rollback()
        raise Invalid("", _("The address %(email)s belongs to another account.", email=address))
