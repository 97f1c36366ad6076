"""Links and consents as pages show them: to whom they belong, and to an administrator who helps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from extranet.models import Consent, Identity, IdentityProvider
from extranet.models.single_sign_on import THE_PROVIDER
from extranet.single_sign_on.consents import SIGN_ON


@dataclass(frozen=True, slots=True)
class ShownIdentity:
    """One link: ``name`` is what somebody is called ``at`` the provider."""

    name: str
    at: str
    linked_at: datetime
    last_used_at: datetime | None
    works: bool


@dataclass(frozen=True, slots=True)
class ShownConsent:
    """One consent, and whether it was taken back."""

    at: str
    text_version: str
    given_at: datetime
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class SignOn:
    """What somebody's card about signing in elsewhere shows."""

    name: str
    is_enabled: bool
    identities: Sequence[ShownIdentity]
    consents: Sequence[ShownConsent]

    @property
    def is_shown(self) -> bool:
        """Whether there is anything to do, or to undo."""
        return self.is_enabled or bool(self.identities)

    @property
    def is_linked(self) -> bool:
        """Whether this person can come in that way."""
        return any(identity.works for identity in self.identities)

    @property
    def can_link(self) -> bool:
        """Whether there is a provider to link with."""
        return self.is_enabled and not self.is_linked


def sign_on_of(db: Session, user_id: str) -> SignOn:
    """Return what concerns one person."""
    provider = db.get(IdentityProvider, THE_PROVIDER)
    identities = _identities(db, user_id, provider)
    is_enabled = provider is not None and provider.is_enabled
    name = provider.name if provider else next((identity.at for identity in identities), "")
    consents = _consents(db, user_id, provider) if is_enabled or identities else ()
    return SignOn(name, is_enabled, identities, consents)


def identities_of(db: Session, user_id: str) -> Sequence[ShownIdentity]:
    """Return somebody's links, the one with the provider of today first."""
    return _identities(db, user_id, db.get(IdentityProvider, THE_PROVIDER))


def _identities(db: Session, user_id: str, provider: IdentityProvider | None) -> Sequence[ShownIdentity]:
    rows = db.scalars(select(Identity).where(Identity.user_id == user_id).order_by(Identity.linked_at.desc()))
    shown = [
        ShownIdentity(
            row.name,
            call(row.issuer, provider),
            row.linked_at,
            row.last_used_at,
            provider is not None and provider.is_enabled and provider.issuer == row.issuer,
        )
        for row in rows
    ]
    return sorted(shown, key=lambda identity: not identity.works)


def _consents(db: Session, user_id: str, provider: IdentityProvider | None) -> Sequence[ShownConsent]:
    """Return what somebody consented to about signing in elsewhere, newest first."""
    mine = select(Consent).where(Consent.user_id == user_id, Consent.purpose == SIGN_ON)
    rows = db.scalars(mine.order_by(Consent.given_at.desc(), Consent.id))
    return [ShownConsent(call(row.detail, provider), row.text_version, row.given_at, row.withdrawn_at) for row in rows]


def call(issuer: str, provider: IdentityProvider | None) -> str:
    """Return how an issuer is called: by the name it has here, or by its host when it is not the one of today."""
    if provider is not None and provider.issuer == issuer:
        return provider.name
    return urlsplit(issuer).hostname or issuer
