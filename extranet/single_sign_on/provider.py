"""The tenant's identity provider as it is set up now, and whether it can do something for somebody. Reads alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from extranet.factors import second_step
from extranet.models import Identity, IdentityProvider
from extranet.models.single_sign_on import CLIENT_SECRET_SEAL, THE_PROVIDER


@dataclass(frozen=True, slots=True)
class Client:
    """What it takes to ask the provider: plain values, good without a transaction."""

    name: str
    issuer: str
    client_id: str
    client_secret: str


def provider_of(db: Session) -> IdentityProvider | None:
    """Return the provider people sign in with now; None when there is none, or it is off."""
    found = db.get(IdentityProvider, THE_PROVIDER)
    return found if found is not None and found.is_enabled else None


def client_of(db: Session, provider: IdentityProvider) -> Client:
    """Return what it takes to ask a provider, its secret opened."""
    secret = ""
    if provider.client_secret:
        context = CLIENT_SECRET_SEAL.bound_to(provider.id)
        secret = db.info["keys"].open(CLIENT_SECRET_SEAL.purpose, provider.client_secret, context=context).decode()
    return Client(provider.name, provider.issuer, provider.client_id, secret)


def identity_of(db: Session, user_id: str, issuer: str) -> Identity | None:
    """Return whom a provider knows somebody as, if they linked their account."""
    mine = select(Identity).where(Identity.user_id == user_id, Identity.issuer == issuer)
    return db.scalars(mine).one_or_none()


def confirming_provider(db: Session, user_id: str) -> IdentityProvider | None:
    """Return the provider by which somebody can prove anew who they are; None for who cannot.

    Whoever has a second factor here proves it with that, unless the provider asks for one itself.
    """
    provider = provider_of(db)
    if provider is None or identity_of(db, user_id, provider.issuer) is None:
        return None
    return provider if provider.proves_second_factor or not second_step.is_needed(db, user_id) else None


def answer_address(values: Mapping[str, str]) -> str:
    """Return where providers send people back to: on the tenant's own origin (``db.info``), never the request's."""
    return f"{values['origin']}/sign-on/answer"
