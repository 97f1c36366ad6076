"""Accounts that no mail opens any more: after a report that left nothing to prove whose they are but a mailbox.

Their owner is let in again by an administrator or an operator: ``recovery.start_reset``, ``operations.set_password``
and ``invitations.invite`` lift the hold. It lies in the table of one-time links, though nobody has a token of it, and
it does not end by age: waiting must be no way in.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, exists, select, update
from sqlalchemy.orm import Session

from extranet.accounts.links import HELD, end_links
from extranet.models import LinkPurpose, OneTimeLink, User, UserState
from extranet.models.base import new_id, utc_now
from extranet.models.one_time_link import DETAIL_SEAL

_NEVER = datetime(9000, 1, 1, tzinfo=UTC)
_STANDING = (OneTimeLink.purpose == HELD, OneTimeLink.ended_at.is_(None))


def hold(db: Session, user: User) -> None:
    """See to it that no link to a new password is mailed to somebody, nor works, before they are let in again."""
    if is_held(db, user.id):
        return
    link_id = new_id()
    db.add(
        OneTimeLink(
            id=link_id,
            purpose=HELD,
            token_mac=secrets.token_bytes(32),
            user_id=user.id,
            detail=db.info["keys"].seal(DETAIL_SEAL.purpose, b"", context=DETAIL_SEAL.bound_to(link_id)),
            created_at=utc_now(),
            expires_at=_NEVER,
        )
    )
    db.flush()


def is_held(db: Session, user_id: str) -> bool:
    """Tell whether somebody has to be let in again."""
    return bool(db.execute(select(exists().where(*_standing(user_id)))).scalar_one())


def held_people(db: Session) -> Sequence[User]:
    """Return who has to be let in again, by name."""
    held = select(User).join(OneTimeLink, OneTimeLink.user_id == User.id).where(*_STANDING)
    return db.scalars(held.where(User.state == UserState.ACTIVE).order_by(User.last_name, User.first_name)).all()


def let_in_again(db: Session, user_id: str) -> None:
    """Lift the hold, and end what was mailed before and could bring it back; nothing happens to who is not held."""
    lifted = update(OneTimeLink).where(*_standing(user_id)).values(ended_at=utc_now(), end_reason="let_in")
    if db.execute(lifted).rowcount:  # type: ignore[attr-defined]
        end_links(db, user_id, "let_in", LinkPurpose.REPORT_STRANGER, LinkPurpose.UNDO_EMAIL)


def _standing(user_id: str) -> tuple[ColumnElement[bool], ...]:
    return OneTimeLink.user_id == user_id, *_STANDING
