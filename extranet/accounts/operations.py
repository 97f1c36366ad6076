"""Changes to accounts: create, disable, enable, unlock, and passwords. Invitations are next door."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from extranet.accounts.held import let_in_again
from extranet.accounts.invitations import end_invitations

# The command line reaches everything about accounts through this module.
from extranet.accounts.invitations import invite as invite
from extranet.accounts.limits import (
    account_limits,
    browser_limits,
    noted_limits,
    reauthentication_limits,
    reserve_all,
    second_step_limits,
)
from extranet.accounts.links import end_links, end_links_of_password
from extranet.accounts.logins import end_logins, forget_browsers, known_browsers, renew_secret
from extranet.accounts.names import parse_email, parse_person_name, parse_username
from extranet.accounts.new_passwords import PasswordRules, password_rules, store_password
from extranet.accounts.notices import tell_password_changed
from extranet.accounts.passwords import Passwords, normalised, opened
from extranet.activity.changes import Change
from extranet.activity.operations import note_change
from extranet.errors import Invalid, NoSlot, NotFound, TooManyAttempts
from extranet.i18n import gettext as _
from extranet.models import Company, Identity, Login, Profile, Role, User, UserState
from extranet.models.base import new_id
from extranet.models.company import THE_COMPANY
from extranet.security_log.events import Event, Outcome
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin
from tenants.throttle import refund, reset


@dataclass(frozen=True, slots=True)
class NewUser:
    """What an account begins with."""

    username: str
    email: str
    first_name: str
    last_name: str
    role: Role = Role.MEMBER


def create_user(db: Session, new: NewUser, origin: Origin, actor: str) -> User:
    """Create an account that can be invited, given a password, or linked; raise Invalid."""
    username, email = parse_username(new.username), parse_email(new.email)
    _refuse_taken(db, username, email)
    company = db.get_one(Company, THE_COMPANY)
    user = User(
        id=new_id(),
        username=username,
        email=email,
        first_name=parse_person_name(new.first_name, "first_name"),
        last_name=parse_person_name(new.last_name, "last_name"),
        role=new.role,
        state=UserState.INVITED,
        language=company.language,
        time_zone=company.time_zone,
    )
    db.add(user)
    db.flush()
    db.add(Profile(user_id=user.id))
    after = {"username": username, "email": email, "name": user.name, "role": new.role}
    note_change(db, Change.USER_CREATED, actor=actor, subject=user.id, label=user.name, after=after)
    record(db, Event.USER_CREATED, origin, actor=actor, subject=user.id, details={"role": new.role})
    return user


def find_user(db: Session, name: str) -> User:
    """Return the user with this username or e-mail address; raise NotFound."""
    wanted = name.strip().lower()
    user = db.scalars(select(User).where(or_(User.username == wanted, User.email == wanted))).one_or_none()
    if user is None:
        raise NotFound(f"There is no user {name!r}. See: extranet user list")
    return user


def change_password(
    db: Session, passwords: Passwords, user_id: str, current: str, new: str, *, login_id: str, origin: Origin
) -> bytes:
    """Change one's own password; every other login and browser is forgotten. Return this login's new secret.

    Raises Invalid (field ``current`` or ``new``), TooManyAttempts or NoSlot.
    """
    user = db.get_one(User, user_id)
    keys = db.info["keys"]
    limits = reauthentication_limits(keys, user_id)
    wait = reserve_all(db, limits, int(time.time()))
    stored, before = user.password, opened(keys, user_id, user.password)
    rules = password_rules(db, user)
    db.commit()
    if wait:
        _note_throttled(db, user_id, origin)
        raise TooManyAttempts(wait)
    try:
        matches = passwords.verify(keys, user_id, stored, current)
    except NoSlot:
        refund(db, *limits)
        db.commit()
        raise
    if not matches:
        record(db, Event.PASSWORD_CHANGE_REFUSED, origin, actor=user_id, outcome=Outcome.REFUSED)
        db.commit()
        raise Invalid("current", _("This is not your current password."))
    encoded = _encoded(rules, passwords, current, new)
    browser_id = _store_password(db, user_id, before, encoded, login_id)
    reset(db, *limits)
    forget_browsers(db, user_id, but=browser_id)
    ended = end_logins(db, user_id, "password_changed", but=login_id)
    secret = renew_secret(db, login_id)
    end_links_of_password(db, user_id, "password_changed")
    tell_password_changed(db, user, origin)
    note_change(db, Change.PASSWORD_CHANGED, actor=user_id, subject=user_id, label=user.name)
    record(db, Event.PASSWORD_CHANGED, origin, actor=user_id, details={"logins_ended": ended})
    return secret


def set_password(db: Session, passwords: Passwords, user: User, password: str, origin: Origin, actor: str) -> None:
    """Give a user a password on their behalf, ending all their logins; raise Invalid."""
    store_password(db, user, password_rules(db, user).encoded(passwords, password))
    let_in_again(db, user.id)
    if user.state == UserState.INVITED:
        user.state = UserState.ACTIVE
        # Their first: there is none that changed.
        end_invitations(db, user, "password_set")
    else:
        end_links_of_password(db, user.id, "password_changed")
        tell_password_changed(db, user, origin)
    forget_browsers(db, user.id)
    ended = end_logins(db, user.id, "password_changed")
    note_change(db, Change.PASSWORD_CHANGED, actor=actor, subject=user.id, label=user.name)
    record(db, Event.PASSWORD_CHANGED, origin, actor=actor, subject=user.id, details={"logins_ended": ended})


def disable_user(db: Session, user: User, origin: Origin, actor: str) -> None:
    """Shut an account at once: logins, invitations and browsers end. Raise Invalid for the last admin."""
    if user.state == UserState.DISABLED:
        return
    if user.role == Role.ADMIN and _other_active_admins(db, user) == 0:
        raise Invalid("username", _("This is the last active administrator. Make somebody else one first."))
    before, user.state = user.state, UserState.DISABLED
    end_invitations(db, user, "disabled")
    end_links(db, user.id, "disabled")
    forget_browsers(db, user.id)
    ended = end_logins(db, user.id, "disabled")
    _note_state(db, Change.USER_DISABLED, user, before, actor)
    record(db, Event.USER_DISABLED, origin, actor=actor, subject=user.id, details={"logins_ended": ended})


def enable_user(db: Session, user: User, origin: Origin, actor: str) -> None:
    """Open a disabled account again; without a password or a link it waits for an invitation."""
    if user.state != UserState.DISABLED:
        return
    linked = db.scalars(select(Identity.id).where(Identity.user_id == user.id).limit(1)).first()
    user.state = UserState.ACTIVE if user.password or linked else UserState.INVITED
    _note_state(db, Change.USER_ENABLED, user, UserState.DISABLED, actor)
    record(db, Event.USER_ENABLED, origin, actor=actor, subject=user.id)


def unlock_user(db: Session, user: User, origin: Origin, actor: str) -> None:
    """Forget the failed attempts against an account."""
    forget_failures(db, user)
    reset(db, *second_step_limits(db.info["keys"], user.id))
    note_change(db, Change.USER_UNLOCKED, actor=actor, subject=user.id, label=user.name)
    record(db, Event.USER_UNLOCKED, origin, actor=actor, subject=user.id)


def forget_failures(db: Session, user: User) -> None:
    """Give an account all its attempts back."""
    keys = db.info["keys"]
    limits = account_limits(keys, user.id) + reauthentication_limits(keys, user.id)
    for browser in known_browsers(db, user.id):
        limits += browser_limits(keys, browser.id)
    reset(db, *limits)


def _note_state(db: Session, change: Change, user: User, before: str, actor: str) -> None:
    states = {"before": {"state": before}, "after": {"state": user.state}}
    note_change(db, change, actor=actor, subject=user.id, label=user.name, **states)


def _refuse_taken(db: Session, username: str, email: str) -> None:
    # A name that is somebody else's address would let two people answer to one sign-in.
    for user in db.scalars(
        select(User).where(or_(User.username.in_([username, email]), User.email.in_([username, email])))
    ):
        if user.username in {username, email}:
            raise Invalid("username", _("The username %(name)s is taken.", name=username))
        raise Invalid("email", _("The address %(email)s belongs to another account.", email=email))


def _note_throttled(db: Session, user_id: str, origin: Origin) -> None:
    if reserve_all(db, noted_limits(db.info["keys"], user_id), int(time.time())) == 0:
        details = {"throttled": True}
        record(db, Event.PASSWORD_CHANGE_REFUSED, origin, actor=user_id, outcome=Outcome.REFUSED, details=details)
    db.commit()


def _encoded(rules: PasswordRules, passwords: Passwords, current: str, new: str) -> str:
    if normalised(new) == normalised(current):
        raise Invalid("new", _("This is the password you have already."))
    try:
        return rules.encoded(passwords, new)
    except Invalid as refused:
        raise Invalid("new", refused.message) from refused


def _store_password(db: Session, user_id: str, before: str, encoded: str, login_id: str) -> str:
    """Store a new hash if nobody did so meanwhile; return the id of the browser in use."""
    keys = db.info["keys"]
    mine = (User.id == user_id) & (User.state == UserState.ACTIVE)
    user = db.scalars(select(User).where(mine).execution_options(populate_existing=True)).one_or_none()
    if user is None or opened(keys, user_id, user.password) != before:
        raise Invalid("current", _("Your password was changed a moment ago, elsewhere."))
    store_password(db, user, encoded)
    return db.get_one(Login, login_id).browser_id


def _other_active_admins(db: Session, user: User) -> int:
    # Of two who shut each other out at the same moment, the second waits here, and then is the last.
    db.execute(select(Company.id).with_for_update())
    others = select(func.count()).where(User.role == Role.ADMIN, User.state == UserState.ACTIVE, User.id != user.id)
    return db.execute(others).scalar_one()
