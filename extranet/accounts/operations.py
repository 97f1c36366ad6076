"""Changes to accounts: create, invite, accept, disable, enable, unlock, and passwords."""

from __future__ import annotations

import base64
import re
import secrets
import time
import unicodedata
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from extranet.accounts.limits import account_limits, browser_limits, reauthentication_limits, reserve_all, reset_all
from extranet.accounts.logins import end_logins, forget_browsers, known_browsers, renew_secret
from extranet.accounts.passwords import Passwords, check_new_password
from extranet.errors import Invalid, InvitationRefused, NotFound, TooManyAttempts
from extranet.i18n import gettext as _
from extranet.models import Company, Invitation, Login, Profile, Role, User, UserState
from extranet.models.base import new_id, utc_now
from extranet.models.company import THE_COMPANY
from extranet.security_log.events import Event, Outcome
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin
from tenants.databases import tenant_of
from tenants.keys import TenantKeys

INVITATION_LIFE = timedelta(days=7)
_TOKEN_PURPOSE = "invitation"  # noqa: S105
_USERNAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{1,62})[a-z0-9]", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class NewUser:
    """What an account begins with."""

    username: str
    email: str
    first_name: str
    last_name: str
    role: Role = Role.MEMBER


def create_user(db: Session, new: NewUser, origin: Origin, actor: str) -> User:
    """Create an account that can be invited or given a password; raise Invalid."""
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
    record(db, Event.USER_CREATED, origin, actor=actor, subject=user.id, details={"role": new.role})
    return user


def find_user(db: Session, name: str) -> User:
    """Return the user with this username or e-mail address; raise NotFound."""
    wanted = name.strip().lower()
    user = db.scalars(select(User).where(or_(User.username == wanted, User.email == wanted))).one_or_none()
    if user is None:
        raise NotFound(f"There is no user {name!r}.")
    return user


def invite(db: Session, user: User, origin: Origin, actor: str) -> str:
    """Make a new one-time token that lets a user choose a password; earlier ones stop working. Return it."""
    if user.state == UserState.DISABLED:
        raise Invalid("username", _("This account is disabled. Enable it first."))
    if user.state == UserState.ACTIVE:
        raise Invalid("username", _("This account has a password already."))
    _end_invitations(db, user, "replaced")
    token = token_text(secrets.token_bytes(32))
    now = utc_now()
    db.add(
        Invitation(
            token_mac=_token_mac(db.info["keys"], token),
            user_id=user.id,
            invited_by=actor,
            created_at=now,
            expires_at=now + INVITATION_LIFE,
        )
    )
    record(db, Event.USER_INVITED, origin, actor=actor, subject=user.id)
    return token


def token_text(token: bytes) -> str:
    """Return a token as it stands in a link."""
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def token_bytes(text: str) -> bytes:
    """Return a token's 32 bytes, for the sealed cookie; raise InvitationRefused."""
    if not _TOKEN.fullmatch(text):
        raise InvitationRefused("Not an invitation.")
    return base64.urlsafe_b64decode(text + "=")


def find_invited(db: Session, token: str) -> User:
    """Return whom a living invitation is for; raise InvitationRefused. Changes nothing."""
    invitation = _living_invitation(db, token)
    user = db.get_one(User, invitation.user_id)
    if user.state != UserState.INVITED:
        raise InvitationRefused("This invitation is no longer valid.")
    return user


def accept_invitation(db: Session, passwords: Passwords, token: str, password: str, origin: Origin) -> User:
    """Set the invited user's first password and use the invitation up; raise InvitationRefused or Invalid."""
    user = find_invited(db, token)
    check_new_password(password, guessable_words(db, user))
    invitation_id = _living_invitation(db, token).id
    # No lock is held while hashing; the update below decides who of several came first.
    db.commit()
    stored = passwords.hash(db.info["keys"], user.id, password)
    used = (
        update(Invitation)
        .where(Invitation.id == invitation_id, Invitation.ended_at.is_(None))
        .values(ended_at=utc_now(), end_reason="used")
    )
    taken = (
        update(User)
        .where(User.id == user.id, User.state == UserState.INVITED)
        .values(password=stored, password_changed_at=utc_now(), state=UserState.ACTIVE)
    )
    if db.execute(used).rowcount != 1 or db.execute(taken).rowcount != 1:  # type: ignore[attr-defined]
        db.rollback()
        raise InvitationRefused("This invitation was used a moment ago.")
    record(db, Event.INVITATION_ACCEPTED, origin, actor=user.id)
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
    before = user.password
    db.commit()
    if wait:
        raise TooManyAttempts(wait)
    if not passwords.verify(keys, user_id, before, current):
        record(db, Event.PASSWORD_CHANGE_REFUSED, origin, actor=user_id, outcome=Outcome.REFUSED)
        db.commit()
        raise Invalid("current", _("This is not your current password."))
    _check_changed(db, user, current, new)
    db.rollback()
    stored = passwords.hash(keys, user_id, new)
    browser_id = _store_password(db, user_id, before, stored, login_id)
    reset_all(db, limits)
    forget_browsers(db, user_id, but=browser_id)
    ended = end_logins(db, user_id, "password_changed", but=login_id)
    secret = renew_secret(db, login_id)
    record(db, Event.PASSWORD_CHANGED, origin, actor=user_id, details={"logins_ended": ended})
    return secret


def report_stranger(db: Session, user_id: str, *, login_id: str, origin: Origin) -> None:
    """Act on "this wasn't me": every other login and browser ends, and a new password has to be chosen now."""
    db.get_one(User, user_id).must_change_password = True
    forget_browsers(db, user_id, but=db.get_one(Login, login_id).browser_id)
    ended = end_logins(db, user_id, "stranger_reported", but=login_id)
    record(db, Event.STRANGER_REPORTED, origin, actor=user_id, details={"logins_ended": ended})


def set_password(db: Session, passwords: Passwords, user: User, password: str, origin: Origin, actor: str) -> None:
    """Give a user a password on their behalf, ending all their logins; raise Invalid."""
    check_new_password(password, guessable_words(db, user))
    user.password = passwords.hash(db.info["keys"], user.id, password)
    user.password_changed_at = utc_now()
    user.must_change_password = False
    if user.state == UserState.INVITED:
        user.state = UserState.ACTIVE
        _end_invitations(db, user, "password_set")
    forget_browsers(db, user.id)
    ended = end_logins(db, user.id, "password_changed")
    record(db, Event.PASSWORD_CHANGED, origin, actor=actor, subject=user.id, details={"logins_ended": ended})


def disable_user(db: Session, user: User, origin: Origin, actor: str) -> None:
    """Shut an account at once: logins, invitations and browsers end. Raise Invalid for the last admin."""
    if user.state == UserState.DISABLED:
        return
    if user.role == Role.ADMIN and _other_active_admins(db, user) == 0:
        raise Invalid("username", _("This is the last active administrator. Make somebody else one first."))
    user.state = UserState.DISABLED
    _end_invitations(db, user, "disabled")
    forget_browsers(db, user.id)
    ended = end_logins(db, user.id, "disabled")
    record(db, Event.USER_DISABLED, origin, actor=actor, subject=user.id, details={"logins_ended": ended})


def enable_user(db: Session, user: User, origin: Origin, actor: str) -> None:
    """Open a disabled account again; without a password it waits for an invitation."""
    if user.state != UserState.DISABLED:
        return
    user.state = UserState.ACTIVE if user.password else UserState.INVITED
    record(db, Event.USER_ENABLED, origin, actor=actor, subject=user.id)


def unlock_user(db: Session, user: User, origin: Origin, actor: str) -> None:
    """Forget the failed attempts against an account."""
    keys = db.info["keys"]
    limits = account_limits(keys, user.id) + reauthentication_limits(keys, user.id)
    for browser in known_browsers(db, user.id):
        limits += browser_limits(keys, browser.id)
    reset_all(db, limits)
    record(db, Event.USER_UNLOCKED, origin, actor=actor, subject=user.id)


def guessable_words(db: Session, user: User) -> list[str]:
    """Return what a guesser would try first for this person."""
    tenant = tenant_of(db)
    local_part, _at, mail_domain = user.email.partition("@")
    words = [user.username, user.first_name, user.last_name, local_part, mail_domain, tenant.slug, "extranet"]
    return words + tenant.name.split()


def parse_username(text: str) -> str:
    """Return a username in its one spelling; raise Invalid."""
    username = text.strip().lower()
    if not _USERNAME.fullmatch(username):
        raise Invalid(
            "username",
            _("A username has 3 to 64 of a-z, 0-9, dot, hyphen and underscore, and begins with a letter or digit."),
        )
    return username


def parse_email(text: str) -> str:
    """Return an e-mail address in its one spelling, lower case; raise Invalid."""
    from email_validator import EmailNotValidError, validate_email

    try:
        return validate_email(text.strip(), check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        raise Invalid("email", _("%(text)s is not an e-mail address.", text=repr(text[:100]))) from error


def parse_person_name(text: str, field: str) -> str:
    """Return a first or last name, NFC and trimmed, 1 to 100 printable characters; raise Invalid."""
    name = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(name) <= 100 or any(unicodedata.category(character)[0] == "C" for character in name):
        raise Invalid(field, _("A name has 1 to 100 printable characters."))
    return name


def _refuse_taken(db: Session, username: str, email: str) -> None:
    # A name that is somebody else's address would let two people answer to one sign-in.
    for user in db.scalars(
        select(User).where(or_(User.username.in_([username, email]), User.email.in_([username, email])))
    ):
        if user.username in {username, email}:
            raise Invalid("username", _("The username %(name)s is taken.", name=username))
        raise Invalid("email", _("The address %(email)s belongs to another account.", email=email))


def _check_changed(db: Session, user: User, current: str, new: str) -> None:
    try:
        check_new_password(new, guessable_words(db, user))
    except Invalid as refused:
        raise Invalid("new", refused.message) from refused
    if new == current:
        raise Invalid("new", _("This is the password you have already."))


def _store_password(db: Session, user_id: str, before: bytes, stored: bytes, login_id: str) -> str:
    """Store a new hash if nobody did so meanwhile; return the id of the browser in use."""
    mine = (User.id == user_id) & (User.password == before) & (User.state == UserState.ACTIVE)
    changed = (
        update(User).where(mine).values(password=stored, password_changed_at=utc_now(), must_change_password=False)
    )
    if db.execute(changed).rowcount != 1:  # type: ignore[attr-defined]
        raise Invalid("current", _("Your password was changed a moment ago, elsewhere."))
    return db.get_one(Login, login_id).browser_id


def _living_invitation(db: Session, token: str) -> Invitation:
    token_bytes(token)
    mine = Invitation.token_mac == _token_mac(db.info["keys"], token)
    alive = (Invitation.ended_at.is_(None)) & (Invitation.expires_at > utc_now())
    invitation = db.scalars(select(Invitation).where(mine, alive)).one_or_none()
    if invitation is None:
        raise InvitationRefused("This invitation is no longer valid.")
    return invitation


def _token_mac(keys: TenantKeys, token: str) -> bytes:
    # The tenant's key and the purpose are what make a token worthless elsewhere.
    return keys.mac(_TOKEN_PURPOSE, token.encode())


def _end_invitations(db: Session, user: User, reason: str) -> None:
    living = (Invitation.user_id == user.id) & (Invitation.ended_at.is_(None))
    db.execute(update(Invitation).where(living).values(ended_at=utc_now(), end_reason=reason))


def _other_active_admins(db: Session, user: User) -> int:
    others = select(func.count()).where(User.role == Role.ADMIN, User.state == UserState.ACTIVE, User.id != user.id)
    return db.execute(others).scalar_one()
