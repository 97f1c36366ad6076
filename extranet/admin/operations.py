"""What administrators change about people, by the web and by the command line. No Flask."""

from __future__ import annotations

import re

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from extranet.accounts import operations as accounts
from extranet.accounts.held import is_held
from extranet.accounts.invitations import end_invitations, invite
from extranet.accounts.logins import end_logins
from extranet.accounts.names import parse_email, parse_username
from extranet.accounts.notices import name_of
from extranet.accounts.operations import NewUser, create_user
from extranet.accounts.recovery import start_reset
from extranet.activity.changes import Change
from extranet.activity.operations import note_change
from extranet.admin.finding import active_admins
from extranet.errors import Invalid, NotFound
from extranet.i18n import gettext as _
from extranet.mail.kinds import MailKind
from extranet.mail.outbox import post
from extranet.models import Company, Invitation, Role, User, UserState
from extranet.models.base import utc_now
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import EVERYBODY, Origin

# Anything else is nobody's, and a database need not be asked about it.
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


def one_at_a_time(db: Session) -> None:
    """Wait for other administrators' changes: two who demote each other at once must not both succeed."""
    db.execute(select(Company.id).with_for_update())
    # What was read before the wait may have been changed meanwhile.
    db.flush()
    db.expire_all()


def find_person(db: Session, user_id: str) -> User:
    """Return a person by id; raise NotFound."""
    user = db.get(User, user_id) if _ID.fullmatch(user_id) else None
    if user is None:
        raise NotFound("There is no such person.")
    return user


def invite_person(db: Session, new: NewUser, origin: Origin, actor: str) -> User:
    """Create an account and mail an invitation; raise Invalid."""
    one_at_a_time(db)
    user = create_user(db, new, origin, actor)
    invite(db, user, origin, actor)
    return user


def change_role(db: Session, user: User, role: Role, origin: Origin, actor: str) -> bool:
    """Give somebody another role, end their logins, and say so by mail; return whether it differs.

    No secret that was good under one role is good under another (ASVS 7.2.4). Raises Invalid (field ``role``).
    """
    one_at_a_time(db)
    if user.role == role:
        return False
    refuse_last_admin(db, user, "role")
    _refuse_oneself(user, actor, "role", _("Ask another administrator to change your own role."))
    before, user.role = user.role, role
    end_logins(db, user.id, "role_changed")
    post(db, MailKind.ROLE_CHANGED, user, role=role.value, by=name_of(db, actor))
    changed = {"before": {"role": before}, "after": {"role": role.value}}
    note_change(db, Change.ROLE_CHANGED, actor=actor, subject=user.id, label=user.name, **changed)
    record(db, Event.ROLE_CHANGED, origin, actor=actor, subject=user.id, details={"from": before, "to": role.value})
    return True


def change_username(db: Session, user: User, username: str, origin: Origin, actor: str) -> bool:
    """Let somebody sign in under another name; raise Invalid. Return whether it differs."""
    one_at_a_time(db)
    wanted = parse_username(username)
    if wanted == user.username:
        return False
    taken = select(func.count()).where((User.username == wanted) | (User.email == wanted), User.id != user.id)
    if db.execute(taken).scalar_one():
        raise Invalid("username", _("The username %(name)s is taken.", name=wanted))
    before, user.username = user.username, wanted
    changed = {"before": {"username": before}, "after": {"username": wanted}}
    note_change(db, Change.USERNAME_CHANGED, actor=actor, subject=user.id, label=user.name, **changed)
    record(db, Event.USERNAME_CHANGED, origin, actor=actor, subject=user.id)
    return True


def deactivate(db: Session, user: User, origin: Origin, actor: str) -> bool:
    """Shut an account at once and tell its owner; raise Invalid. Return whether it was open."""
    one_at_a_time(db)
    if user.state == UserState.DISABLED:
        return False
    refuse_last_admin(db, user, "")
    _refuse_oneself(user, actor, "", _("Ask another administrator to deactivate your own account."))
    post(db, MailKind.ACCOUNT_DISABLED, user, by=name_of(db, actor))
    accounts.disable_user(db, user, origin, actor)
    return True


def correct_address(db: Session, user: User, email: str, origin: Origin, actor: str) -> bool:
    """Mail somebody's way in to another address; raise Invalid. Return whether it differs.

    Only of who has no password: invited, or shut out after a report. Whoever has one confirms a new address themselves.
    """
    one_at_a_time(db)
    if user.state != UserState.INVITED and not is_held(db, user.id):
        raise Invalid("email", _("This person changes their address themselves, in their preferences."))
    wanted = parse_email(email)
    if wanted == user.email:
        return False
    taken = select(func.count()).where((User.username == wanted) | (User.email == wanted), User.id != user.id)
    if db.execute(taken).scalar_one():
        raise Invalid("email", _("The address %(email)s belongs to another account.", email=wanted))
    before, user.email = user.email, wanted
    changed = {"before": {"email": before}, "after": {"email": wanted}}
    note_change(db, Change.EMAIL_CHANGED, actor=actor, subject=user.id, label=user.name, **changed)
    record(db, Event.EMAIL_CHANGED, origin, actor=actor, subject=user.id)
    way_in = invite if user.state == UserState.INVITED else start_reset
    way_in(db, user, origin=origin, actor=actor)
    return True


def note_export(db: Session, count: int, *, everybody: bool, origin: Origin, actor: str) -> None:
    """Note that a list of people was downloaded."""
    after = {"people": count, "everybody": everybody}
    note_change(db, Change.EXPORTED, actor=actor, subject=EVERYBODY, after=after)
    record(db, Event.USERS_EXPORTED, origin, actor=actor, details={"count": count, "everybody": everybody})


def end_all_logins_of(db: Session, user: User, origin: Origin, actor: str) -> int:
    """Sign somebody out everywhere; return how many of their browsers were signed in."""
    ended = end_logins(db, user.id, "admin")
    note_change(db, Change.LOGIN_ENDED, actor=actor, subject=user.id, label=user.name, after={"logins_ended": ended})
    record(db, Event.LOGIN_ENDED, origin, actor=actor, subject=user.id, details={"logins_ended": ended})
    return ended


def invite_again(db: Session, user: User, origin: Origin, actor: str) -> None:
    """Mail a new invitation; the one before stops working. Raise Invalid for who needs none."""
    invite(db, user, origin, actor)


def revoke_invitation(db: Session, user: User, origin: Origin, actor: str) -> bool:
    """Make an open invitation worthless; the account stays. Return whether there was one."""
    if open_invitation(db, user) is None:
        return False
    end_invitations(db, user, "revoked")
    note_change(db, Change.INVITATION_REVOKED, actor=actor, subject=user.id, label=user.name)
    record(db, Event.INVITATION_REVOKED, origin, actor=actor, subject=user.id)
    return True


def open_invitation(db: Session, user: User) -> Invitation | None:
    """Return somebody's invitation that can still be accepted, if any."""
    alive = select(Invitation).where(
        Invitation.user_id == user.id, Invitation.ended_at.is_(None), Invitation.expires_at > utc_now()
    )
    return db.scalars(alive.order_by(Invitation.created_at.desc()).limit(1)).one_or_none()


def refuse_last_admin(db: Session, user: User, field: str) -> None:
    """Raise Invalid for the one active administrator there is: nobody could make another."""
    is_active_admin = user.role == Role.ADMIN and user.state == UserState.ACTIVE
    if is_active_admin and active_admins(db, but=[user.id]) == 0:
        raise Invalid(field, _("This is the last active administrator. Make somebody else one first."))


def _refuse_oneself(user: User, actor: str, field: str, message: str) -> None:
    if user.id == actor:
        raise Invalid(field, message)
