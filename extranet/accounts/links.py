"""One-time links: each does one thing, once, for one person, and dies of use, of age or when the account changes."""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from extranet.errors import LinkRefused
from extranet.models import LinkPurpose, OneTimeLink, User, UserState
from extranet.models.base import new_id, utc_now
from extranet.models.one_time_link import DETAIL_SEAL
from tenants.keys import TenantKeys

LIVES = {
    LinkPurpose.RESET: timedelta(minutes=60),
    LinkPurpose.CONFIRM_EMAIL: timedelta(hours=24),
    LinkPurpose.UNDO_EMAIL: timedelta(hours=72),
    LinkPurpose.REPORT_STRANGER: timedelta(days=7),
}

PATHS = {
    LinkPurpose.RESET: "/reset",
    LinkPurpose.CONFIRM_EMAIL: "/email/confirm",
    LinkPurpose.UNDO_EMAIL: "/email/undo",
    LinkPurpose.REPORT_STRANGER: "/stranger",
}
"""Where the page of each is; the link itself is that and the token."""

# A newer one of these ends the older. Not of the other two: they take back what a thief did, and the thief could end
# the owner's by doing it again.
_REPLACED = frozenset({LinkPurpose.RESET, LinkPurpose.CONFIRM_EMAIL})
# What a thief has begun ends with the password they knew.
_OF_ONE_PASSWORD = (LinkPurpose.RESET, LinkPurpose.CONFIRM_EMAIL)
HELD = "held"
"""What keeps somebody out is in the same table (see ``held``), and no end of links ends it."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)

_link: Any = OneTimeLink.__table__


@dataclass(frozen=True, slots=True)
class Link:
    """A living link. ``detail`` is what it will do it with: an address."""

    id: str
    user_id: str
    detail: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class MadeLink:
    """A link that was just made: where it leads, for the mail that carries it, and until when."""

    path: str
    until: datetime


def make_link(db: Session, user: User, purpose: LinkPurpose, detail: str = "") -> MadeLink:
    """Make a link; an older one for a new password or a new address stops working."""
    if purpose in _REPLACED:
        end_links(db, user.id, "replaced", purpose)
    token, link_id, now = _text(secrets.token_bytes(32)), new_id(), utc_now()
    keys = db.info["keys"]
    db.add(
        OneTimeLink(
            id=link_id,
            purpose=purpose,
            token_mac=_mac(keys, purpose, token),
            user_id=user.id,
            detail=keys.seal(DETAIL_SEAL.purpose, detail.encode(), context=DETAIL_SEAL.bound_to(link_id)),
            created_at=now,
            expires_at=now + LIVES[purpose],
        )
    )
    return MadeLink(f"{PATHS[purpose]}/{token}", now + LIVES[purpose])


def find_link(db: Session, purpose: LinkPurpose, token: bytes) -> Link:
    """Return the living link a token opens; raise LinkRefused. Changes nothing."""
    mine = OneTimeLink.token_mac == _mac(db.info["keys"], purpose, _text(token))
    of_the_living = (OneTimeLink.user_id == User.id) & (User.state == UserState.ACTIVE)
    row = db.scalars(select(OneTimeLink).join(User, of_the_living).where(mine, *_alive(purpose))).one_or_none()
    if row is None:
        raise LinkRefused("This link is no longer valid.")
    return _opened(db, row)


def living_links(db: Session, user_id: str, purpose: LinkPurpose) -> list[Link]:
    """Return a person's living links of one purpose, the newest first."""
    mine = select(OneTimeLink).where(OneTimeLink.user_id == user_id, *_alive(purpose))
    return [_opened(db, row) for row in db.scalars(mine.order_by(OneTimeLink.created_at.desc()))]


def use_link(db: Session, link: Link) -> None:
    """Use a link up, in the transaction of what it does; raise LinkRefused when somebody was faster or it ended."""
    used = (
        update(OneTimeLink)
        .where(OneTimeLink.id == link.id, OneTimeLink.ended_at.is_(None), OneTimeLink.expires_at > utc_now())
        .values(ended_at=utc_now(), end_reason="used")
    )
    if db.execute(used).rowcount != 1:  # type: ignore[attr-defined]
        raise LinkRefused("This link was used a moment ago.")


def end_links(db: Session, user_id: str, reason: str, *purposes: LinkPurpose, since: datetime | None = None) -> None:
    """End a person's living links, all of them or those of some purposes, or only those made ``since``."""
    living = (_link.c.user_id == user_id) & (_link.c.purpose != HELD) & _link.c.ended_at.is_(None)
    if purposes:
        living &= _link.c.purpose.in_(purposes)
    if since is not None:
        living &= _link.c.created_at >= since
    # On the table, not the class: at every sign-in, and looking for objects it may concern costs more than the rest.
    db.execute(update(_link).where(living).values(ended_at=utc_now(), end_reason=reason))


def end_links_of_password(db: Session, user_id: str, reason: str) -> None:
    """End what only who knew the password until now can have asked for."""
    end_links(db, user_id, reason, *_OF_ONE_PASSWORD)


def token_bytes(text: str) -> bytes:
    """Return the 32 bytes of a token as it stands in a link, for the sealed cookie; raise LinkRefused."""
    token = base64.urlsafe_b64decode(text + "=") if _TOKEN.fullmatch(text) else b""
    # The last letter has two bits to spare: one token has one spelling.
    if not token or _text(token) != text:
        raise LinkRefused("Not a link of ours.")
    return token


def _alive(purpose: LinkPurpose) -> tuple[ColumnElement[bool], ...]:
    return OneTimeLink.purpose == purpose, OneTimeLink.ended_at.is_(None), OneTimeLink.expires_at > utc_now()


def _opened(db: Session, row: OneTimeLink) -> Link:
    detail = db.info["keys"].open(DETAIL_SEAL.purpose, row.detail, context=DETAIL_SEAL.bound_to(row.id))
    return Link(row.id, row.user_id, detail.decode(), row.created_at, row.expires_at)


def _text(token: bytes) -> str:
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def _mac(keys: TenantKeys, purpose: LinkPurpose, token: str) -> bytes:
    # The tenant's key and the purpose are what make a token worthless elsewhere.
    return keys.mac(f"link/{purpose}", token.encode())
