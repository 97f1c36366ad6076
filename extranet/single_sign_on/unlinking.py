"""Undoing links between accounts and identity providers. No Flask, and nothing here goes out to anybody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from extranet.accounts.browsers import describe_browser
from extranet.accounts.logins import end_logins, forget_browsers, renew_secret
from extranet.accounts.notices import name_of, stranger_link
from extranet.activity.changes import Change
from extranet.activity.operations import note_change
from extranet.errors import Invalid
from extranet.i18n import gettext as _
from extranet.mail.kinds import MailKind
from extranet.mail.outbox import post
from extranet.models import Identity, IdentityProvider, Login, Passkey, User, UserState
from extranet.models.base import utc_now
from extranet.models.single_sign_on import THE_PROVIDER
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin
from extranet.single_sign_on.identities import forget_identities
from extranet.single_sign_on.shown import call

HAS_PASSKEY = exists().where(Passkey.user_id == User.id)


def unlink_own(db: Session, user_id: str, login_id: str, origin: Origin) -> bytes | None:
    """Undo one's own links; raise Invalid. Return the new secret of the login in use, or None when there was none."""
    return renew_secret(db, login_id) if unlink(db, user_id, origin, but_login=login_id) else None


def unlink(db: Session, user_id: str, origin: Origin, actor: str = "", *, but_login: str = "") -> bool:
    """Undo somebody's links and take their consent back; raise Invalid when they would have no way in without.

    Whoever came in by them is signed out, but for the login that it is done from. ``actor`` is the administrator who
    does it for them, or "". Return whether there was a link.
    """
    if actor == user_id:
        raise Invalid("", _("Your own link is in your preferences."))
    user = db.get_one(User, user_id, with_for_update=True)
    identities = db.scalars(select(Identity).where(Identity.user_id == user_id).order_by(Identity.linked_at)).all()
    if not identities:
        return False
    if not user.password and not db.execute(select(HAS_PASSKEY).where(User.id == user_id)).scalar_one():
        raise Invalid("", _("Without this link there would be no way in. Set a password or a passkey first."))
    _tell(db, user, identities[0].issuer, origin, actor)
    forget_identities(db, user_id)
    kept = db.get(Login, but_login)
    forget_browsers(db, user_id, but=kept.browser_id if kept else "")
    ended = end_logins(db, user_id, "identity_unlinked", but=but_login)
    by = actor or user_id
    before = {"linked": [identity.name for identity in identities]}
    note_change(db, Change.IDENTITY_UNLINKED, actor=by, subject=user_id, label=user.name, before=before)
    record(db, Event.IDENTITY_UNLINKED, origin, actor=by, subject=user_id, details={"logins_ended": ended})
    return True


def unlink_all(db: Session, origin: Origin, actor: str) -> Sequence[str]:
    """Undo everybody's links, whether or not they have another way in, and tell each; return whose, by id.

    The caller notes the change, and records what has happened to each of them (``record_unlinked``) after that.
    """
    linked = db.execute(select(User, Identity.issuer).join(Identity).order_by(User.id, Identity.linked_at)).all()
    issuers = {user: issuer for user, issuer in linked}  # noqa: C416
    for user, issuer in issuers.items():
        _tell(db, user, issuer, origin, actor)
    forget_identities(db)
    return [user.id for user in issuers]


def record_unlinked(db: Session, people: Sequence[str], origin: Origin, actor: str) -> None:
    """Record for each of some people that their link was undone."""
    for user_id in people:
        record(db, Event.IDENTITY_UNLINKED, origin, actor=actor, subject=user_id)


def _tell(db: Session, user: User, issuer: str, origin: Origin, actor: str) -> None:
    if user.state != UserState.ACTIVE:
        # Whoever cannot sign in at all need not know of one way less.
        return
    provider = call(issuer, db.get(IdentityProvider, THE_PROVIDER))
    about: dict[str, Any] = {"provider": provider, "when": utc_now()}
    if actor:
        # Where the administrator sits is nobody else's business.
        post(db, MailKind.IDENTITY_UNLINKED, user, by=name_of(db, actor), **about)
        return
    about |= {"browser": describe_browser(origin.user_agent), "seen_from": origin.address}
    post(db, MailKind.IDENTITY_UNLINKED, user, stranger_link=stranger_link(db, user), **about)
