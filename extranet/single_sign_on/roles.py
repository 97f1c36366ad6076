"""Which role the identity provider's word means here, and giving it to somebody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from extranet.admin.operations import change_role
from extranet.errors import Invalid
from extranet.models import IdentityProvider, Role, User
from extranet.security_log.events import Event, Outcome
from extranet.security_log.operations import record
from extranet.security_log.origin import PROVIDER, Origin

_HIGHEST_FIRST = (Role.ADMIN, Role.MANAGER, Role.MEMBER, Role.GUEST)
_GIVEN_UP = (Role.ADMIN, Role.MANAGER)


def role_of(provider: IdentityProvider, claims: Mapping[str, Any]) -> Role | None:
    """Return the highest role that the claim's values mean here; None when they mean none."""
    meant = json.loads(provider.role_values or "{}")
    found = {meant.get(value) for value in _values(claims, provider.role_claim)} if provider.role_claim else set()
    return next((role for role in _HIGHEST_FIRST if role in found), None)


def follow_role(db: Session, provider: IdentityProvider, user: User, claims: Mapping[str, Any], origin: Origin) -> None:
    """Give somebody the role the provider says; the last administrator stays one, whatever it says.

    Whoever no longer has the value that a role of theirs comes with loses that role. One that no value gives stays:
    the provider has no say in it.
    """
    role = role_of(provider, claims)
    if role is None and user.role in _GIVEN_UP and user.role in _given(provider):
        role = Role.MEMBER
    if role is None:
        return
    try:
        change_role(db, user, role, origin, PROVIDER)
    except Invalid:
        details = {"wanted": role.value}
        refused = Outcome.REFUSED
        record(db, Event.SIGN_ON_ROLE_KEPT, origin, actor=PROVIDER, subject=user.id, outcome=refused, details=details)


def _given(provider: IdentityProvider) -> set[str]:
    """Return the roles that some value of the claim gives."""
    return set(json.loads(provider.role_values or "{}").values()) if provider.role_claim else set()


def _values(claims: Mapping[str, Any], name: str) -> list[str]:
    """Return a claim's values; a dotted name leads into what is nested, as in Keycloak's ``realm_access.roles``."""
    value: Any = claims
    if name in claims:
        value = claims[name]
    else:
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    listed = value if isinstance(value, list) else [value]
    return [one for one in listed if isinstance(one, str)]
