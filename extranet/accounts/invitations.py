"""Invitations: a one-time link that lets one person choose their first password."""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from extranet.accounts.held import let_in_again
from extranet.accounts.new_passwords import password_rules
from extranet.accounts.notices import name_of
from extranet.accounts.passwords import Passwords, seal
from extranet.activity.changes import Change
from extranet.activity.operations import note_change
from extranet.errors import Invalid, InvitationRefused
from extranet.i18n import gettext as _
from extranet.mail.kinds import MailKind
from extranet.mail.outbox import post
from extranet.models import Invitation, User, UserState
from extranet.models.base import utc_now
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import OPERATOR, Origin
from tenants.keys import TenantKeys

INVITATION_LIFE = timedelta(hours=72)
_TOKEN_PURPOSE = "invitation"  # noqa: S105
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


def invite(db: Session, user: User, origin: Origin, actor: str) -> str:
    """Mail a user a new one-time token with which they choose a password; earlier ones stop working. Return it."""
    if user.state == UserState.DISABLED:
        raise Invalid("username", _("This account is disabled. Enable it first."))
    if user.state == UserState.ACTIVE:
        raise Invalid("username", _("This account has a password already."))
    let_in_again(db, user.id)
    token = _mail_new(db, user, actor, name_of(db, actor))
    note_change(db, Change.USER_INVITED, actor=actor, subject=user.id, label=user.name)
    record(db, Event.USER_INVITED, origin, actor=actor, subject=user.id)
    return token


@dataclass(frozen=True, slots=True)
class LastInvitation:
    """The newest invitation somebody was sent: by whom, and whether nobody took it back, be it too old by now."""

    invited_by: str
    by: object
    stands: bool


def last_invitation(db: Session, user: User) -> LastInvitation:
    """Return somebody's newest invitation; for whoever has none, one that does not stand."""
    mine = select(Invitation).where(Invitation.user_id == user.id)
    last = db.scalars(mine.order_by(Invitation.created_at.desc()).limit(1)).one_or_none()
    invited_by = last.invited_by if last else OPERATOR
    return LastInvitation(invited_by, name_of(db, invited_by), last is not None and last.ended_at is None)


def mail_again(db: Session, user: User, last: LastInvitation) -> None:
    """Mail an invited user a new invitation in place of the one they lost, from the same person."""
    _mail_new(db, user, last.invited_by, last.by)


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
    """Set the invited user's first password and use the invitation up.

    Raises InvitationRefused, Invalid (field ``password``) or NoSlot.
    """
    user = find_invited(db, token)
    invitation_id = _living_invitation(db, token).id
    rules = password_rules(db, user)
    # No lock is held while guessing and hashing; the update below decides who of several came first.
    db.commit()
    encoded = rules.encoded(passwords, password)
    _accept(db, invitation_id, user, encoded, origin)
    return user


def accept_by_identity(db: Session, token: str, origin: Origin) -> User:
    """Open the invited user's account to whom the company's identity provider vouches for, without a password.

    Linking it is the caller's, in the same transaction. Raises InvitationRefused.
    """
    user = find_invited(db, token)
    _accept(db, _living_invitation(db, token).id, user, "", origin)
    return user


def _accept(db: Session, invitation_id: str, user: User, encoded: str, origin: Origin) -> None:
    if not _use(db, invitation_id, user.id, encoded):
        db.rollback()
        raise InvitationRefused("This invitation was used a moment ago.")
    note_change(db, Change.INVITATION_ACCEPTED, actor=user.id, subject=user.id, label=user.name)
    record(db, Event.INVITATION_ACCEPTED, origin, actor=user.id)


def end_invitations(db: Session, user: User, reason: str) -> None:
    """End a user's living invitations."""
    living = (Invitation.user_id == user.id) & (Invitation.ended_at.is_(None))
    db.execute(update(Invitation).where(living).values(ended_at=utc_now(), end_reason=reason))


def _mail_new(db: Session, user: User, actor: str, by: object) -> str:
    end_invitations(db, user, "replaced")
    token, now = token_text(secrets.token_bytes(32)), utc_now()
    until = now + INVITATION_LIFE
    db.add(
        Invitation(
            token_mac=_token_mac(db.info["keys"], token),
            user_id=user.id,
            invited_by=actor,
            created_at=now,
            expires_at=until,
        )
    )
    post(db, MailKind.INVITATION, user, link=f"/invitation/{token}", until=until, by=by)
    return token


def _use(db: Session, invitation_id: str, user_id: str, encoded: str) -> bool:
    """Use an invitation up and store the password it was good for, "" for none; tell whether it was still unused."""
    used = (
        update(Invitation)
        .where(Invitation.id == invitation_id, Invitation.ended_at.is_(None))
        .values(ended_at=utc_now(), end_reason="used")
    )
    if db.execute(used).rowcount != 1:  # type: ignore[attr-defined]
        return False
    sealed = seal(db.info["keys"], user_id, encoded) if encoded else b""
    password = {"password": sealed, "password_changed_at": utc_now()} if encoded else {}
    taken = (
        update(User)
        .where(User.id == user_id, User.state == UserState.INVITED)
        .values(must_change_password=False, state=UserState.ACTIVE, **password)
    )
    return bool(db.execute(taken).rowcount == 1)  # type: ignore[attr-defined]


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
