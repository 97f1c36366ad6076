"""The second step of signing in: a password that was right waits until a factor proves who typed it.

So does an identity provider's word, unless the company says that it asks for a second factor itself.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import bindparam, delete, exists, or_, select, update
from sqlalchemy.orm import Session

from extranet.accounts.browsers import describe_browser
from extranet.accounts.limits import AddressLimits, noted_limits, reserve_all, second_step_limits
from extranet.accounts.logins import StartedLogin, start_login
from extranet.accounts.notices import stranger_link, tell_locked
from extranet.errors import FactorRefused, SecondStepOver, TooManyAttempts
from extranet.factors import passkeys, recovery_codes, totp
from extranet.factors.challenges import Binding
from extranet.mail.kinds import MailKind
from extranet.mail.outbox import post
from extranet.models import Passkey, PendingSignIn, Totp, User, UserState
from extranet.models.base import new_id, utc_now
from extranet.models.login import hash_secret
from extranet.security_log.events import Event, Outcome
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin
from tenants.throttle import refund

PENDING_LIFE = timedelta(minutes=5)
_PASSWORD = "password"  # noqa: S105
# Built once: every sign-in asks it.
_HAS_FACTOR = select(
    or_(
        exists().where(Totp.user_id == bindparam("user_id"), Totp.confirmed_at.is_not(None)),
        exists().where(Passkey.user_id == bindparam("user_id")),
    )
)


class Way(StrEnum):
    """With what somebody takes the second step; the values are those of ``Login.factors``."""

    CODE = "totp"
    PASSKEY = "passkey"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class Pending:
    """A first step that was right and waits: the secret for the session cookie."""

    secret: bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """Whose first step was right, with what, when they still have what they are asked for."""

    id: str
    user: User
    factors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """What somebody answered: a code, or what a passkey signed for this ``binding``."""

    way: Way
    answer: str
    binding: Binding | None = None


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is at the other end: their browser's id (b"" for none), and where it comes from."""

    device: bytes
    origin: Origin


def is_needed(db: Session, user_id: str) -> bool:
    """Tell whether a person has a factor that a password alone must not stand in for."""
    return bool(db.execute(_HAS_FACTOR, {"user_id": user_id}).scalar_one())


def begin(db: Session, user: User, origin: Origin, factor: str = _PASSWORD) -> Pending:
    """Let somebody whose first ``factor`` was right go on to the second. It is no login, and recognises no browser."""
    now = utc_now()
    # What is over is of no use to anybody; what happened is in the security log.
    db.execute(delete(PendingSignIn).where(PendingSignIn.expires_at <= now))
    secret = secrets.token_bytes(32)
    db.add(
        PendingSignIn(
            id=new_id(),
            secret_hash=hash_secret(secret),
            user_id=user.id,
            factors=factor,
            created_at=now,
            expires_at=now + PENDING_LIFE,
        )
    )
    record(db, Event.SECOND_STEP_ASKED, origin, subject=user.id)
    return Pending(secret)


def find(db: Session, secret: bytes) -> Waiting:
    """Return who waits under a secret; raise SecondStepOver. Changes nothing.

    Whatever ends a person's logins, a new password for example, ends this too: see ``end_logins``.
    """
    alive = (PendingSignIn.ended_at.is_(None)) & (PendingSignIn.expires_at > utc_now())
    waiting = select(PendingSignIn).where(PendingSignIn.secret_hash == hash_secret(secret), alive)
    pending = db.scalars(waiting.execution_options(populate_existing=True)).one_or_none()
    user = db.get(User, pending.user_id, populate_existing=True) if pending else None
    if pending is None or user is None or user.state != UserState.ACTIVE or user.is_shut:
        raise SecondStepOver("Nobody waits under this secret.")
    return Waiting(pending.id, user, tuple(pending.factors.split(",")))


def take(db: Session, addresses: AddressLimits, secret: bytes, proof: Proof, visitor: Visitor) -> StartedLogin:
    """Take the second step and start the login; raise SecondStepOver, TooManyAttempts or FactorRefused."""
    user = find(db, secret).user
    _reserve(db, addresses, user, visitor.origin)
    # Committed meanwhile: of several browsers' answers one may have been first.
    waiting = find(db, secret)
    try:
        check_proof(db, waiting.user, proof)
    except FactorRefused as refused:
        _note_refusal(db, waiting.user, proof.way, refused, visitor.origin)
        raise
    _end(db, waiting.id)
    refund(db, *second_step_limits(db.info["keys"], user.id))
    factors = (*waiting.factors, str(proof.way))
    started = start_login(db, waiting.user, visitor.device, visitor.origin, factors=factors)
    if proof.way is Way.RECOVERY:
        tell_recovery_used(db, waiting.user, visitor.origin)
    record_sign_in(db, started, factors, visitor.origin)
    addresses.refund_second_step(visitor.origin.address)
    return started


def _reserve(db: Session, addresses: AddressLimits, user: User, origin: Origin) -> None:
    """Count the attempt before it is made, and commit, so that it counts even if this process dies."""
    now, keys = int(time.time()), db.info["keys"]
    wait = addresses.reserve_second_step(origin.address, now) or reserve_all(db, second_step_limits(keys, user.id), now)
    if wait:
        # Whoever guesses here knows the password: its owner ought to hear of that.
        tell_locked(db, user.id, "")
        note_throttled(db, Event.SECOND_STEP_THROTTLED, user.id, origin)
    db.commit()
    if wait:
        raise TooManyAttempts(wait)


def note_throttled(db: Session, event: Event, subject: str, origin: Origin) -> None:
    """Record that an attempt was refused unseen: the first few of a quarter of an hour."""
    # What is thrown at the limit is not bounded: only the first few are worth a row.
    if reserve_all(db, noted_limits(db.info["keys"], f"step/{subject}"), int(time.time())) == 0:
        record(db, event, origin, subject=subject, outcome=Outcome.REFUSED)


def check_proof(db: Session, user: User, proof: Proof) -> None:
    """Check what somebody answered, and use it up; raise FactorRefused."""
    match proof.way:
        case Way.CODE:
            if not totp.use_code(db, user.id, proof.answer):
                raise FactorRefused("Not a code of this minute, or used before.")
        case Way.RECOVERY:
            if not recovery_codes.use_code(db, user.id, proof.answer):
                raise FactorRefused("No recovery code, or used before.")
        case Way.PASSKEY if proof.binding is not None:
            passkeys.prove(db, proof.answer, proof.binding, user.id)
        case _:
            raise FactorRefused("A passkey that signed for nothing.")


def _note_refusal(db: Session, user: User, way: Way, refused: FactorRefused, origin: Origin) -> None:
    user_id = user.id
    # What the refused answer had begun to write goes, its reservation was committed before.
    db.rollback()
    note_fall(db, refused, origin)
    details = {"factor": str(way)}
    record(db, Event.SECOND_STEP_REFUSED, origin, subject=user_id, outcome=Outcome.REFUSED, details=details)
    db.commit()


def note_fall(db: Session, refused: FactorRefused, origin: Origin) -> None:
    """Record that a passkey counted backwards, if that is why it was refused."""
    if isinstance(refused, passkeys.CounterFell):
        details = {"passkey": refused.passkey_id}
        subject = refused.user_id
        record(db, Event.PASSKEY_COUNTER_FELL, origin, subject=subject, outcome=Outcome.REFUSED, details=details)


def _end(db: Session, pending_id: str) -> None:
    living = (PendingSignIn.id == pending_id) & PendingSignIn.ended_at.is_(None)
    ended = db.execute(update(PendingSignIn).where(living).values(ended_at=utc_now()))
    if ended.rowcount != 1:  # type: ignore[attr-defined]
        db.rollback()
        raise SecondStepOver("This second step was taken a moment ago.")


def record_sign_in(db: Session, started: StartedLogin, factors: tuple[str, ...], origin: Origin) -> None:
    """Record with what somebody signed in, and commit: nothing comes after it."""
    details = {"factors": list(factors), "login": started.login_id, "browser": started.browser_id}
    record(db, Event.SIGNED_IN, origin, actor=started.user_id, details=details)
    db.commit()


def tell_recovery_used(db: Session, user: User, origin: Origin) -> None:
    """Mail somebody that one of their recovery codes was used, and record it."""
    left = recovery_codes.codes_left(db, user.id)
    post(
        db,
        MailKind.RECOVERY_CODE_USED,
        user,
        when=utc_now(),
        left=left,
        browser=describe_browser(origin.user_agent),
        seen_from=origin.address,
        stranger_link=stranger_link(db, user),
    )
    record(db, Event.RECOVERY_CODE_USED, origin, actor=user.id, details={"left": left})
