"""What does not go with a tenant to another address: passkeys, and what an identity provider was told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provisioning.console import Console
    from tenants.tenant import Tenant


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """How many people it concerns. ``stranded`` are those who have passkeys and no other second factor at all."""

    passkeys: int
    stranded: int
    provider: str
    linked: int
    answer_address: str

    @property
    def is_something(self) -> bool:
        """Whether anybody has to do anything."""
        return bool(self.passkeys or self.provider)

    def document(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "people_with_passkeys": self.passkeys,
            "of_them_without_another_factor": self.stranded,
            "single_sign_on": self.provider or None,
            "people_linked": self.linked,
            "answer_address": self.answer_address,
        }

    def lines(self) -> Iterator[str]:
        """Say it to a person, with what is to be done."""
        if self.passkeys:
            have = "1 person has" if self.passkeys == 1 else f"{self.passkeys} people have"
            yield f"{have} passkeys, which work at the old address alone. At the new one they sign in"
            yield "  with their password and an app or a recovery code, and add new passkeys."
        if self.stranded:
            have = "1 of them has" if self.stranded == 1 else f"{self.stranded} of them have"
            yield f"  {have} neither: afterwards, extranet user reset-factors lets them in again."
        if self.provider:
            linked = "1 person is" if self.linked == 1 else f"{self.linked} people are"
            yield f"{linked} linked to single sign-on ({self.provider}). It works again once the"
            yield f"  provider has this redirect address: {self.answer_address}"


def left_behind(console: Console, tenant: Tenant, new_slug: str) -> LeftBehind:
    """Look what stops working when a tenant gets another slug."""
    from sqlalchemy import distinct, exists, func, select

    from extranet.models import Identity, IdentityProvider, Passkey, RecoveryCode, Totp
    from extranet.single_sign_on.provider import answer_address

    has_app = exists().where(Totp.user_id == Passkey.user_id, Totp.confirmed_at.is_not(None))
    has_code = exists().where(RecoveryCode.user_id == Passkey.user_id, RecoveryCode.used_at.is_(None))
    people = select(func.count(distinct(Passkey.user_id)))
    origin = console.settings.origin(console.settings.host_of(new_slug))
    with console.tenancy.open_db(tenant, writing=False) as db:
        provider = db.scalars(select(IdentityProvider)).one_or_none()
        linked = select(func.count()).select_from(Identity)
        return LeftBehind(
            passkeys=db.scalars(people).one(),
            stranded=db.scalars(people.where(~has_app, ~has_code)).one(),
            provider=provider.name if provider else "",
            linked=db.scalars(linked.where(Identity.issuer == provider.issuer)).one() if provider else 0,
            answer_address=answer_address({"origin": origin}),
        )
