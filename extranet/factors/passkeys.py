"""Passkeys: what the browser is asked for, and whether what it answered is true. Bound to this tenant's own host."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from extranet.errors import FactorRefused
from extranet.factors.challenges import LIFE_SECONDS, Binding, Ceremony, is_ours, make_challenge, use_up
from extranet.models import Passkey, User
from extranet.models.base import utc_now
from tenants.keys import same

if TYPE_CHECKING:
    from webauthn.helpers.structs import AuthenticationCredential, PublicKeyCredentialDescriptor, RegistrationCredential
    from webauthn.registration.verify_registration_response import VerifiedRegistration

# webauthn is imported where it is used: it takes a quarter of a second, and few processes ever need it.

LONGEST_ANSWER = 16 * 1024
_LONGEST_CREDENTIAL_ID = 1023


class CounterFell(FactorRefused):
    """Raised when a passkey counts backwards: there may be a copy of it."""

    def __init__(self, passkey: Passkey) -> None:
        super().__init__("The passkey's counter fell.")
        self.passkey_id = passkey.id
        self.user_id = passkey.user_id


@dataclass(frozen=True, slots=True)
class Registered:
    """A new passkey as the browser made it, checked."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    aaguid: str
    transports: str
    is_backed_up: bool


def host_of(db: Session) -> str:
    """Return the host a passkey of this tenant is good at: from the tenant's record, never from a request."""
    return urlsplit(db.info["origin"]).hostname or ""


def passkeys_of(db: Session, user_id: str) -> Sequence[Passkey]:
    """Return a person's passkeys, the oldest first."""
    return db.scalars(select(Passkey).where(Passkey.user_id == user_id).order_by(Passkey.created_at, Passkey.id)).all()


def creation_options(db: Session, user: User, site: str, binding: Binding) -> dict[str, Any]:
    """Return what the browser is asked to make for a person; raise ValueError when they have no ``passkey_handle``."""
    from webauthn import generate_registration_options
    from webauthn.helpers import options_to_json_dict
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    if user.passkey_handle is None:
        # The library would make one up, which nobody would find again.
        raise ValueError("This person has no handle yet.")
    options = generate_registration_options(
        rp_id=host_of(db),
        rp_name=site,
        user_id=user.passkey_handle,
        user_name=user.username,
        user_display_name=user.name,
        challenge=make_challenge(db.info["keys"], binding),
        timeout=LIFE_SECONDS * 1000,
        # A key without PIN is still a good second step; to sign in without a password it will be asked for one.
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.PREFERRED
        ),
        exclude_credentials=_descriptors(db, user.id),
    )
    return options_to_json_dict(options)


def request_options(db: Session, binding: Binding, user_id: str = "") -> dict[str, Any]:
    """Return what the browser is asked to sign: with one of a person's passkeys, or any that it keeps for this host."""
    from webauthn import generate_authentication_options
    from webauthn.helpers import options_to_json_dict
    from webauthn.helpers.structs import UserVerificationRequirement

    passwordless = binding.ceremony is Ceremony.SIGN_IN
    options = generate_authentication_options(
        rp_id=host_of(db),
        challenge=make_challenge(db.info["keys"], binding),
        timeout=LIFE_SECONDS * 1000,
        allow_credentials=_descriptors(db, user_id) if user_id else None,
        user_verification=UserVerificationRequirement.REQUIRED
        if passwordless
        else UserVerificationRequirement.PREFERRED,
    )
    return options_to_json_dict(options)


def check_new(db: Session, answer: str, binding: Binding) -> Registered:
    """Return the passkey a browser has made; raise FactorRefused."""
    from webauthn import verify_registration_response
    from webauthn.helpers import parse_registration_credential_json

    try:
        made: RegistrationCredential = parse_registration_credential_json(_parsed(answer))
        challenge = _challenge(made.response.client_data_json)
        verified: VerifiedRegistration = verify_registration_response(
            credential=made,
            expected_challenge=challenge,
            expected_rp_id=host_of(db),
            expected_origin=db.info["origin"],
        )
        transports = ",".join(str(transport.value) for transport in made.response.transports or ())
    except Exception as error:
        # Whatever the library stumbles over in a stranger's bytes, the answer is one and the same.
        raise FactorRefused("This is no new passkey.") from error
    if not is_ours(db.info["keys"], challenge, binding) or len(verified.credential_id) > _LONGEST_CREDENTIAL_ID:
        raise FactorRefused("Not what was asked for.")
    if not use_up(db, challenge):
        raise FactorRefused("Answered before.")
    return Registered(
        verified.credential_id,
        verified.credential_public_key,
        verified.sign_count,
        verified.aaguid,
        transports[:100],
        verified.credential_backed_up,
    )


def prove(db: Session, answer: str, binding: Binding, user_id: str = "") -> Passkey:
    """Return the passkey a browser has signed with: this person's, or anybody's when none is named.

    Without a name the person must have been verified by the authenticator, for there was no password before.
    Raises FactorRefused, or CounterFell.
    """
    try:
        given = _authentication(answer)
        challenge = _challenge(given.response.client_data_json)
    except Exception as error:
        raise FactorRefused("This is no answer of a passkey.") from error
    if not is_ours(db.info["keys"], challenge, binding):
        raise FactorRefused("Not what was asked for.")
    passkey = _passkey(db, given, user_id)
    count, is_backed_up = _verify(db, given, challenge, passkey, verified=not user_id)
    if not use_up(db, challenge):
        raise FactorRefused("Answered before.")
    _count(db, passkey, count, is_backed_up)
    return passkey


def _authentication(answer: str) -> AuthenticationCredential:
    from webauthn.helpers import parse_authentication_credential_json

    return parse_authentication_credential_json(_parsed(answer))


def _parsed(answer: str) -> dict[str, Any]:
    if len(answer) > LONGEST_ANSWER:
        raise FactorRefused("Too long.")
    parsed = json.loads(answer)
    if not isinstance(parsed, dict):
        raise FactorRefused("Not an object.")
    return parsed


def _challenge(client_data: bytes) -> bytes:
    from webauthn.helpers import parse_client_data_json

    parsed = parse_client_data_json(client_data)
    if parsed.cross_origin:
        raise FactorRefused("Asked for by a page inside another.")
    return parsed.challenge


def _passkey(db: Session, given: AuthenticationCredential, user_id: str) -> Passkey:
    passkey = db.scalars(select(Passkey).where(Passkey.credential_id == given.raw_id)).one_or_none()
    if passkey is None or (user_id and passkey.user_id != user_id):
        raise FactorRefused("No such passkey.")
    handle = given.response.user_handle
    owner = db.get_one(User, passkey.user_id).passkey_handle or b""
    # A key that kept nothing about the person may leave the handle out, but only where the person is known already.
    if not (same(handle, owner) if handle else bool(user_id)):
        raise FactorRefused("Another person's.")
    return passkey


def _verify(
    db: Session, given: AuthenticationCredential, challenge: bytes, passkey: Passkey, *, verified: bool
) -> tuple[int, bool]:
    from webauthn import verify_authentication_response

    try:
        answered = verify_authentication_response(
            credential=given,
            expected_challenge=challenge,
            expected_rp_id=host_of(db),
            expected_origin=db.info["origin"],
            credential_public_key=passkey.public_key,
            # Compared below, once the signature says that the count is the passkey's own.
            credential_current_sign_count=0,
            require_user_verification=verified,
        )
    except Exception as error:
        raise FactorRefused("The signature does not hold.") from error
    return answered.new_sign_count, answered.credential_backed_up


def _count(db: Session, passkey: Passkey, count: int, is_backed_up: bool) -> None:
    # Synced passkeys do not count: they say 0 for ever.
    rises = or_(Passkey.sign_count < count, (Passkey.sign_count == 0) & (count == 0))
    values = {"sign_count": count, "is_backed_up": is_backed_up, "last_used_at": utc_now()}
    used = update(Passkey).where(Passkey.id == passkey.id, rises).values(**values)
    if db.execute(used.execution_options(synchronize_session=False)).rowcount != 1:  # type: ignore[attr-defined]
        raise CounterFell(passkey)


def _descriptors(db: Session, user_id: str) -> list[PublicKeyCredentialDescriptor]:
    from webauthn.helpers.structs import AuthenticatorTransport, PublicKeyCredentialDescriptor

    known = {transport.value for transport in AuthenticatorTransport}
    return [
        PublicKeyCredentialDescriptor(
            id=passkey.credential_id,
            transports=[AuthenticatorTransport(name) for name in passkey.transports.split(",") if name in known],
        )
        for passkey in passkeys_of(db, user_id)
    ]
