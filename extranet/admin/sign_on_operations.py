"""What administrators change about the company's identity provider. No Flask, and nothing here goes out to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import Session

from extranet.activity.changes import Change
from extranet.activity.operations import COMPANY, note_change
from extranet.admin.operations import one_at_a_time
from extranet.errors import Invalid
from extranet.i18n import gettext as _
from extranet.models import Identity, IdentityProvider, User, UserState
from extranet.models.base import utc_now
from extranet.models.single_sign_on import CLIENT_SECRET_SEAL, THE_PROVIDER
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin
from extranet.single_sign_on.unlinking import HAS_PASSKEY, record_unlinked, unlink_all

_NOTED = ("name", "issuer", "client_id", "is_enabled", "creates_people", "email_domains", "proves_second_factor")

# What the activity log says in place of the secret.
_STORED, _CHANGED = "stored", "changed"
_Said = dict[str, str]


@dataclass(frozen=True, slots=True)
class Linked:
    """How many people are linked with the issuer that is stored, and with others before it."""

    now: int
    before: int


def the_provider(db: Session) -> IdentityProvider | None:
    """Return the company's identity provider, on or off; None when none was ever set up."""
    return db.get(IdentityProvider, THE_PROVIDER)


def count_linked(db: Session) -> Linked:
    """Return how many people are linked."""
    provider = the_provider(db)
    by_issuer: Select[str, int] = select(Identity.issuer, func.count()).group_by(Identity.issuer)
    counts = {issuer: count for issuer, count in db.execute(by_issuer)}  # noqa: C416
    now = counts.get(provider.issuer, 0) if provider else 0
    return Linked(now, sum(counts.values()) - now)


def save_provider(db: Session, values: Mapping[str, Any], secret: str | None, origin: Origin, actor: str) -> bool:
    """Change the settings; return whether anything differed. A ``secret`` of None keeps the one there is.

    With another issuer it is off until somebody turns it on again: nobody has tried the new one.
    """
    one_at_a_time(db)
    provider = the_provider(db) or IdentityProvider(id=THE_PROVIDER, client_secret=b"", is_enabled=False)
    before, issuer = _noted(provider), provider.issuer
    for name, value in values.items():
        setattr(provider, name, value)
    provider.is_enabled = provider.is_enabled and provider.issuer == issuer
    secret_before, secret_after = _change_secret(db, provider, secret)
    db.add(provider)
    return _note(db, provider, {**before, **secret_before}, {**_noted(provider), **secret_after}, origin, actor)


def turn_on(db: Session, tried: str, origin: Origin, actor: str) -> bool:
    """Let people sign in through it, after the issuer ``tried`` has answered; raise Invalid when it is another by now.

    Return whether it was off.
    """
    one_at_a_time(db)
    provider = the_provider(db)
    if provider is None or provider.issuer != tried:
        raise Invalid("", _("The settings were changed meanwhile. Please try again."))
    return _switch(db, provider, on=True, origin=origin, actor=actor)


def turn_off(db: Session, origin: Origin, actor: str) -> bool:
    """Let nobody sign in through it any more; links and sessions stay. Return whether it was on."""
    one_at_a_time(db)
    provider = the_provider(db)
    return provider is not None and _switch(db, provider, on=False, origin=origin, actor=actor)


def count_stranded(db: Session) -> int:
    """Return how many people would be left without a way in if nobody were linked any more."""
    linked = exists().where(Identity.user_id == User.id)
    without = select(func.count()).where(User.state == UserState.ACTIVE, User.password == b"", linked, ~HAS_PASSKEY)
    return db.execute(without).scalar_one()


def remove_provider(db: Session, origin: Origin, actor: str) -> bool:
    """Forget the settings, the secret and everybody's link; tell them. Return whether there was anything to forget."""
    one_at_a_time(db)
    provider = the_provider(db)
    if provider is None:
        return False
    people = unlink_all(db, origin, actor)
    db.delete(provider)
    before = {**_noted(provider), "client_secret": _STORED if provider.client_secret else ""}
    sides = {"before": {name: value for name, value in before.items() if value}, "after": {"people": len(people)}}
    note_change(db, Change.IDENTITY_PROVIDER_CHANGED, actor=actor, subject=COMPANY, label=provider.name, **sides)
    details = {"removed": True, "links": len(people)}
    record(db, Event.IDENTITY_PROVIDER_CHANGED, origin, actor=actor, details=details)
    record_unlinked(db, people, origin, actor)
    return True


def _switch(db: Session, provider: IdentityProvider, *, on: bool, origin: Origin, actor: str) -> bool:
    before = _noted(provider)
    provider.is_enabled = on
    return _note(db, provider, before, _noted(provider), origin, actor)


def _change_secret(
    db: Session, provider: IdentityProvider, secret: str | None
) -> tuple[dict[str, str], dict[str, str]]:
    """Store another secret; return what the log may say of it: whether there is one, and that it is another."""
    stored = _STORED if provider.client_secret else ""
    if secret is None or (not secret and not stored):
        return {}, {}
    context = CLIENT_SECRET_SEAL.bound_to(THE_PROVIDER)
    sealed = db.info["keys"].seal(CLIENT_SECRET_SEAL.purpose, secret.encode(), context=context) if secret else b""
    provider.client_secret = sealed
    return {"client_secret": stored}, {"client_secret": (_CHANGED if stored else _STORED) if secret else ""}


def _note(
    db: Session,
    provider: IdentityProvider,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    origin: Origin,
    actor: str,
) -> bool:
    fields = [name for name in after if (before.get(name) or None) != (after[name] or None)]
    if not fields:
        return False
    provider.changed_at = utc_now()
    sides = {"before": {name: before.get(name) for name in fields}, "after": {name: after[name] for name in fields}}
    note_change(db, Change.IDENTITY_PROVIDER_CHANGED, actor=actor, subject=COMPANY, label=provider.name, **sides)
    record(db, Event.IDENTITY_PROVIDER_CHANGED, origin, actor=actor, details={"fields": fields})
    return True


def _noted(provider: IdentityProvider) -> dict[str, Any]:
    """Return what the logs say of the settings: everything but the secret."""
    roles = json.loads(provider.role_values or "{}")
    plain = {name: getattr(provider, name) for name in _NOTED}
    claim = {"role_claim": provider.role_claim, "role_values": [f"{value} = {role}" for value, role in roles.items()]}
    return {**plain, **claim}
