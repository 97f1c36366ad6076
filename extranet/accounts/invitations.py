"""Invitations: a one-time link that lets one person choose their first password."""

from __future__ import annotations

import base64
import re
import secrets
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from extranet.accounts.names import guessable_words
from extranet.accounts.passwords import Passwords, check_new_password, seal
from extranet.errors import Invalid, InvitationRefused
from extranet.i18n import gettext as _
from extranet.models import Invitation, User, UserState
from extranet.models.base import utc_now
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin
from tenants.keys import TenantKeys

INVITATION_LIFE = timedelta(days=7)
_TOKEN_PURPOSE = "invitation"  # noqa: S105
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


def invite(db: Session, user: User, origin: Origin, actor: str) -> str:
    """Make a new one-time token that lets a user choose a password; earlier ones stop working. Return it."""
    if user.state == UserState.DISABLED:
        raise Invalid("username", _("This account is disabled. Enable it first."))
    if user.state == UserState.ACTIVE:
        raise Invalid("username", _("This account has a password already."))
    end_invitations(db, user, "replaced")
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
    """Set the invited user's first password and use the invitation up.

    Raises InvitationRefused, Invalid (field ``password``) or NoSlot.
    """
    user = find_invited(db, token)
    invitation_id = _living_invitation(db, token).id
    # No lock is held while guessing and hashing; the update below decides who of several came first.
    db.commit()
    check_new_password(password, guessable_words(db, user))
    encoded = passwords.encoded(password)
    if not _use(db, invitation_id, user.id, encoded):
        db.rollback()
        raise InvitationRefused("This invitation was used a moment ago.")
    record(db, Event.INVITATION_ACCEPTED, origin, actor=user.id)
    return user


def end_invitations(db: Session, user: User, reason: str) -> None:
    """End a user's living invitations."""
    living = (Invitation.user_id == user.id) & (Invitation.ended_at.is_(None))
    db.execute(update(Invitation).where(living).values(ended_at=utc_now(), end_reason=reason))


def _use(db: Session, invitation_id: str, user_id: str, encoded: str) -> bool:
    """Use an invitation up and store the password it was good for; tell whether it was still unused."""
    used = (
        update(Invitation)
        .where(Invitation.id == invitation_id, Invitation.ended_at.is_(None))
        .values(ended_at=utc_now(), end_reason="used")
    )
    if db.execute(used).rowcount != 1:  # type: ignore[attr-defined]
        return False
    taken = (
        update(User)
        .where(User.id == user_id, User.state == UserState.INVITED)
        .values(password=seal(db.info["keys"], user_id, encoded), password_changed_at=utc_now(), state=UserState.ACTIVE)
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
