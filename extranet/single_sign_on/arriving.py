"""What becomes of somebody the identity provider vouches for: they come in, link, accept, or prove who they are.

Only issuer and subject say who it is. Each of these runs in one transaction of its own: all of it happens, or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from extranet.accounts.browsers import describe_browser
from extranet.accounts.invitations import accept_by_identity, find_invited
from extranet.accounts.logins import StartedLogin, confirm_login, end_logins, forget_browsers, renew_secret, start_login
from extranet.accounts.notices import stranger_link
from extranet.activity.changes import Change
from extranet.activity.operations import note_change
from extranet.admin.operations import one_at_a_time
from extranet.errors import InvitationRefused, NotFound
from extranet.factors import second_step
from extranet.factors.operations import Here
from extranet.factors.policy import PROVIDED, SIGN_ON
from extranet.factors.second_step import Pending, Visitor
from extranet.mail.kinds import MailKind
from extranet.mail.outbox import post
from extranet.models import Identity, IdentityProvider, Login, User, UserState
from extranet.models.base import utc_now
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin
from extranet.single_sign_on.consents import consent_stands, keep_consent
from extranet.single_sign_on.creating import create_person
from extranet.single_sign_on.protocol import Vouched
from extranet.single_sign_on.provider import confirming_provider, identity_of, provider_of
from extranet.single_sign_on.refusals import ConsentMissing, Reason, SignOnRefused
from extranet.single_sign_on.roles import follow_role


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody who came back: whom the provider vouches for, and when they agreed, if they were asked this time."""

    vouched: Vouched
    consented_at: datetime | None
    visitor: Visitor


def sign_in(db: Session, arrival: Arrival) -> StartedLogin | Pending:
    """Let somebody in who linked their account, or make them one; raise SignOnRefused or ConsentMissing."""
    provider = _provider(db, arrival.vouched)
    identity = _identity(db, arrival.vouched)
    if identity is None:
        user = _newcomer(db, provider, arrival)
    else:
        user = db.get_one(User, identity.user_id)
        if user.state != UserState.ACTIVE or user.is_shut:
            raise SignOnRefused(Reason.CLOSED, user.id)
        _insist(db, user.id, arrival)
        follow_role(db, provider, user, arrival.vouched.claims, arrival.visitor.origin)
        identity.last_used_at, identity.name = utc_now(), arrival.vouched.name
    return _enter(db, provider, user, arrival)


def accept(db: Session, arrival: Arrival, token: str) -> StartedLogin:
    """Accept an invitation by linking it: no password is needed. Raises SignOnRefused or ConsentMissing."""
    provider = _provider(db, arrival.vouched)
    try:
        _insist(db, find_invited(db, token).id, arrival)
        user = accept_by_identity(db, token, arrival.visitor.origin)
    except InvitationRefused as error:
        raise SignOnRefused(Reason.INVITATION) from error
    db.refresh(user)
    _add_identity(db, provider, user, arrival)
    _note_link(db, provider, user, arrival.visitor.origin)
    follow_role(db, provider, user, arrival.vouched.claims, arrival.visitor.origin)
    return _start(db, provider, user, arrival)


def link(db: Session, arrival: Arrival, here: Here) -> bytes:
    """Link the account in use and return its login's new secret; raise SignOnRefused or ConsentMissing.

    As when a second factor is added, what else was signed in ends.
    """
    provider = _provider(db, arrival.vouched)
    user, login = db.get_one(User, here.user_id), db.get_one(Login, here.login_id)
    if user.state != UserState.ACTIVE or user.must_change_password or login.ended_at is not None:
        raise SignOnRefused(Reason.OTHER_SESSION, user.id)
    _insist(db, user.id, arrival)
    if identity_of(db, user.id, provider.issuer) is not None:
        raise SignOnRefused(Reason.LINKED_ALREADY, user.id)
    _add_identity(db, provider, user, arrival)
    forget_browsers(db, user.id, but=login.browser_id)
    end_logins(db, user.id, "identity_linked", but=login.id)
    secret = renew_secret(db, login.id)
    _note_link(db, provider, user, here.origin)
    return secret


def confirm(db: Session, arrival: Arrival, here: Here) -> bytes:
    """Take the provider's word that the owner of the login in use is there; return the login's new secret."""
    identity = _identity(db, arrival.vouched)
    if identity is None or identity.user_id != here.user_id:
        raise SignOnRefused(Reason.OTHER_ACCOUNT, here.user_id)
    if confirming_provider(db, here.user_id) is None:
        raise SignOnRefused(Reason.PROVIDER_CHANGED, here.user_id)
    _insist(db, here.user_id, arrival)
    try:
        secret = confirm_login(db, here.user_id, here.login_id)
    except NotFound as error:
        raise SignOnRefused(Reason.OTHER_SESSION, here.user_id) from error
    record(db, Event.IDENTITY_CONFIRMED, here.origin, actor=here.user_id, details={"factor": SIGN_ON})
    return secret


def _provider(db: Session, vouched: Vouched) -> IdentityProvider:
    # Before anything else is read or written: what changes roles waits for others here, and logs come after that.
    one_at_a_time(db)
    provider = provider_of(db)
    if provider is None or provider.issuer != vouched.issuer:
        raise SignOnRefused(Reason.PROVIDER_CHANGED)
    return provider


def _identity(db: Session, vouched: Vouched) -> Identity | None:
    known = select(Identity).where(Identity.issuer == vouched.issuer, Identity.subject == vouched.subject)
    return db.scalars(known).one_or_none()


def _newcomer(db: Session, provider: IdentityProvider, arrival: Arrival) -> User:
    try:
        with db.begin_nested():
            user = create_person(db, provider, arrival.vouched, arrival.visitor.origin)
            if arrival.consented_at is None:
                raise ConsentMissing("This browser's consent is somebody else's.")
            _add_identity(db, provider, user, arrival)
    except IntegrityError as error:
        # Somebody of the same address was faster, or another tab of theirs.
        raise SignOnRefused(Reason.ADDRESS_IN_USE) from error
    _note_link(db, provider, user, arrival.visitor.origin)
    return user


def _insist(db: Session, user_id: str, arrival: Arrival) -> None:
    """See to it that somebody agreed themselves, not another person at the same browser."""
    if arrival.consented_at is None and not consent_stands(db, user_id, arrival.vouched.issuer):
        raise ConsentMissing("This browser's consent is somebody else's.")
    if arrival.consented_at is not None:
        keep_consent(db, user_id, arrival.vouched.issuer, arrival.consented_at)


def _add_identity(db: Session, provider: IdentityProvider, user: User, arrival: Arrival) -> None:
    vouched, now = arrival.vouched, utc_now()
    if _identity(db, vouched) is not None:
        raise SignOnRefused(Reason.TAKEN, user.id)
    identity = Identity(user_id=user.id, issuer=vouched.issuer, subject=vouched.subject, name=vouched.name)
    identity.linked_at = identity.last_used_at = now
    try:
        with db.begin_nested():
            db.add(identity)
    except IntegrityError as error:
        raise SignOnRefused(Reason.TAKEN, user.id) from error
    if arrival.consented_at is not None:
        keep_consent(db, user.id, vouched.issuer, arrival.consented_at)
    post(
        db,
        MailKind.IDENTITY_LINKED,
        user,
        provider=provider.name,
        account=vouched.name,
        when=now,
        browser=describe_browser(arrival.visitor.origin.user_agent),
        seen_from=arrival.visitor.origin.address,
        stranger_link=stranger_link(db, user),
    )


def _note_link(db: Session, provider: IdentityProvider, user: User, origin: Origin) -> None:
    identity = identity_of(db, user.id, provider.issuer)
    after = {"linked": [identity.name if identity else ""]}
    note_change(db, Change.IDENTITY_LINKED, actor=user.id, subject=user.id, label=user.name, after=after)
    record(db, Event.IDENTITY_LINKED, origin, actor=user.id, details={"issuer": provider.issuer})


def _enter(db: Session, provider: IdentityProvider, user: User, arrival: Arrival) -> StartedLogin | Pending:
    if not provider.proves_second_factor and second_step.is_needed(db, user.id):
        return second_step.begin(db, user, arrival.visitor.origin, SIGN_ON)
    return _start(db, provider, user, arrival)


def _start(db: Session, provider: IdentityProvider, user: User, arrival: Arrival) -> StartedLogin:
    visitor = arrival.visitor
    factors = (SIGN_ON, PROVIDED) if provider.proves_second_factor else (SIGN_ON,)
    is_proved = arrival.vouched.is_fresh
    started = start_login(db, user, visitor.device, visitor.origin, factors=factors, is_proved=is_proved)
    details = {"factors": list(factors), "login": started.login_id, "browser": started.browser_id}
    record(db, Event.SIGNED_IN, visitor.origin, actor=user.id, details=details)
    return started
