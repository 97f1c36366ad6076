"""An account for somebody the identity provider vouches for and nobody invited: only where the company wants that."""

from __future__ import annotations

import re
import unicodedata

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from extranet.accounts.names import parse_email, parse_person_name, parse_username
from extranet.accounts.operations import NewUser, create_user
from extranet.accounts.recovery import is_taken
from extranet.errors import Invalid
from extranet.models import IdentityProvider, Role, User, UserState
from extranet.security_log.origin import PROVIDER, Origin
from extranet.single_sign_on.protocol import Vouched
from extranet.single_sign_on.refusals import Reason, SignOnRefused
from extranet.single_sign_on.roles import role_of

_NOT_IN_NAMES = re.compile(r"[^a-z0-9._-]+")
_MOST_NAMESAKES = 100
_NO_NAME = "-"


def create_person(db: Session, provider: IdentityProvider, vouched: Vouched, origin: Origin) -> User:
    """Make an account for whom the provider vouches for, open at once; raise SignOnRefused.

    Somebody's account is never opened because the address is the same: whoever runs the provider chooses addresses.
    """
    if not provider.creates_people:
        raise SignOnRefused(Reason.UNKNOWN)
    email = _address(provider, vouched)
    if is_taken(db, email):
        raise SignOnRefused(Reason.ADDRESS_IN_USE)
    first_name, last_name = _names(vouched, email)
    role = role_of(provider, vouched.claims) or Role.MEMBER
    new = NewUser(_free_username(db, vouched, email), email, first_name, last_name, role)
    user = create_user(db, new, origin, PROVIDER)
    user.state = UserState.ACTIVE
    return user


def _address(provider: IdentityProvider, vouched: Vouched) -> str:
    if not vouched.has_verified_email:
        raise SignOnRefused(Reason.ADDRESS_UNVERIFIED)
    try:
        email = parse_email(vouched.email)
    except Invalid as error:
        raise SignOnRefused(Reason.ADDRESS_UNVERIFIED) from error
    domains = provider.email_domains.lower().split()
    if domains and email.rpartition("@")[2] not in domains:
        raise SignOnRefused(Reason.ADDRESS_FOREIGN)
    return email


def _names(vouched: Vouched, email: str) -> tuple[str, str]:
    first, _blank, last = vouched.text("name").partition(" ")
    return (
        _name(vouched.text("given_name") or first or email.partition("@")[0], "first_name"),
        _name(vouched.text("family_name") or last, "last_name"),
    )


def _name(text: str, field: str) -> str:
    try:
        return parse_person_name(text[:100], field)
    except Invalid:
        return _NO_NAME


def _free_username(db: Session, vouched: Vouched, email: str) -> str:
    """Return a name to sign in with that nobody has: the provider's own, else the address's; if need be, numbered."""
    bases = [_spelled(name.partition("@")[0]) for name in (vouched.text("preferred_username"), email)]
    for base in filter(None, bases):
        taken = set(db.scalars(select(User.username).where(or_(User.username == base, User.username.like(f"{base}%")))))
        for name in (base, *(f"{base[:60]}{number}" for number in range(2, _MOST_NAMESAKES))):
            if name not in taken and _is_username(name):
                return name
    raise SignOnRefused(Reason.CLAIMS, detail="preferred_username")


def _spelled(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()
    return _NOT_IN_NAMES.sub("-", plain).strip("._-")[:64].strip("._-")


def _is_username(text: str) -> bool:
    try:
        return parse_username(text) == text
    except Invalid:
        return False
