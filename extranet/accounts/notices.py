"""Mails that tell somebody what was done to their account, each with a way to say that it was not them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, select
from sqlalchemy.orm import Session

from extranet.accounts.browsers import describe_browser
from extranet.accounts.limits import reserve_all, row_nears_its_end
from extranet.accounts.links import make_link
from extranet.accounts.mail_limits import locked_mail_limits, new_browser_mail_limits
from extranet.i18n import lazy
from extranet.mail.kinds import MailKind
from extranet.mail.outbox import post
from extranet.models import Company, KnownBrowser, LinkPurpose, Passkey, Role, User, UserState
from extranet.models.base import utc_now
from extranet.models.company import THE_COMPANY
from extranet.security_log.origin import PROVIDER, Origin
from tenants.throttle import reserve


def stranger_link(db: Session, user: User) -> str:
    """Make the link with which somebody says that what a mail tells was not them; return its path for the mail."""
    # To whom the mail goes: when the account's address is another one by then, somebody may have changed it.
    return make_link(db, user, LinkPurpose.REPORT_STRANGER, user.email).path


def tell_password_changed(db: Session, user: User, origin: Origin) -> None:
    """Tell somebody that their password was changed, by whomever."""
    names = select(Passkey.name).where(Passkey.user_id == user.id).order_by(Passkey.created_at, Passkey.id)
    _tell_with_browser(db, MailKind.PASSWORD_CHANGED, user, origin, passkeys=list(db.scalars(names)))


def tell_new_browser(db: Session, user: User, browser: KnownBrowser, origin: Origin) -> None:
    """Tell somebody that a browser never seen has signed in as them, unless it is their first or they chose not to.

    After ten in a day one mail more says that there are many, and then none: each is in the log all the same.
    """
    others = select(KnownBrowser.id).where(KnownBrowser.user_id == user.id, KnownBrowser.id != browser.id).limit(1)
    if db.scalars(others).one_or_none() is None:
        return
    if user.wants_browser_mail or db.get_one(Company, THE_COMPANY).forces_browser_mail:
        one, many = new_browser_mail_limits(db.info["keys"], user.id)
        now = int(time.time())
        if not reserve(db, one, now):
            _tell_with_browser(db, MailKind.NEW_BROWSER, user, origin)
        elif not reserve(db, many, now):
            _tell_with_browser(db, MailKind.MANY_NEW_BROWSERS, user, origin)


def tell_browser_reused(db: Session, user: User, origin: Origin) -> None:
    """Tell somebody that a browser of theirs is no longer recognised, because a copy of what marked it turned up."""
    _tell_with_browser(db, MailKind.BROWSER_REUSED, user, origin)


def tell_administrators(db: Session, user: User, *, is_held: bool = False) -> None:
    """Tell the administrators that somebody reported a stranger in their account, and has to be let in by them."""
    told: dict[str, Any] = {"person": user.name, "when": utc_now()}
    for admin in administrators_of(db, but=user.id):
        if is_held:
            post(db, MailKind.LET_IN_AGAIN, admin, link=f"/admin/people/{user.id}", **told)
        else:
            post(db, MailKind.STRANGER_REPORTED, admin, **told)


def administrators_of(db: Session, *, but: str) -> Sequence[User]:
    """Return the active administrators except one person."""
    admins = select(User).where(User.role == Role.ADMIN, User.state == UserState.ACTIVE, User.id != but)
    return db.scalars(admins.order_by(User.username)).all()


def tell_locked(db: Session, user_id: str, typed: str) -> None:
    """Tell somebody, once a day, that many tried to sign in as them from browsers never seen.

    For a name nobody has (no ``user_id``) the same work is done and taken back: how long the answer takes must not
    tell which names exist.
    """
    limits = locked_mail_limits(db.info["keys"], user_id or _name_typed(typed))
    if reserve_all(db, limits, int(time.time())):
        return
    with db.begin_nested() as work:
        user = user_or_any(db, user_id)
        post(db, MailKind.ACCOUNT_LOCKED, user, when=utc_now())
        db.flush()
        if user.id != user_id or user.state != UserState.ACTIVE:
            work.rollback()


def tell_if_row_nears_its_end(db: Session, user_id: str, typed: str) -> None:
    """Tell somebody of failed attempts before there are so many in a row that unknown browsers are shut out."""
    if row_nears_its_end(db, db.info["keys"], user_id or _name_typed(typed)):
        tell_locked(db, user_id, typed)


def user_or_any(db: Session, user_id: str) -> User:
    """Return the user with an id; if nobody has it, some other, for work that is taken back."""
    wanted_first = case((User.id == user_id, 0), (User.state == UserState.ACTIVE, 1), else_=2)
    return db.scalars(select(User).order_by(wanted_first, User.id).limit(1)).one()


def name_of(db: Session, actor: str) -> object:
    """Return how a mail calls who did something: their name, or what the operator is called in its language."""
    if actor == PROVIDER:
        return lazy("the identity provider")
    user = db.get(User, actor)
    return user.name if user else lazy("the operator of this service")


def _name_typed(typed: str) -> str:
    # As sign_in counts it.
    return f"name/{typed.strip().lower()}"


def _tell_with_browser(db: Session, kind: MailKind, user: User, origin: Origin, **more: Any) -> None:
    browser = describe_browser(origin.user_agent)
    link = stranger_link(db, user)
    post(db, kind, user, when=utc_now(), browser=browser, seen_from=origin.address, stranger_link=link, **more)
