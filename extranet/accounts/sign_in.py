"""Signing in: reserve an attempt, verify, start a login or the second step. Every refusal looks and takes the same."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import bindparam, func, or_, select
from sqlalchemy.orm import Session

from extranet.accounts.devices import find_known_browser, refuse_copies
from extranet.accounts.limits import (
    LONGEST_RETRY_AFTER,
    AddressLimits,
    account_limits,
    browser_limits,
    crowd_noted_limits,
    flood_noted_limits,
    noted_limits,
    reserve_all,
    tenant_limits,
)
from extranet.accounts.logins import StartedLogin, start_login
from extranet.accounts.notices import tell_if_row_nears_its_end, tell_locked
from extranet.accounts.passwords import Passwords, opened
from extranet.errors import NoSlot, SignInRefused, TooManyAttempts
from extranet.factors import second_step
from extranet.factors.second_step import Pending
from extranet.models import User, UserState
from extranet.security_log.events import Event, Outcome
from extranet.security_log.operations import record
from extranet.security_log.origin import EVERYBODY, NOBODY, Origin
from tenants.throttle import Limit, refund, reset, sweep

# Built once, for what surrounds the hash counts in a burst: to build a statement takes longer than to run it.
_BY_NAME = select(User).where(or_(User.username == bindparam("name"), User.email == bindparam("name")))
_AS_IT_IS_NOW = (
    select(User)
    .where(User.id == bindparam("user_id"), User.state == UserState.ACTIVE)
    .execution_options(populate_existing=True)
)
_PEOPLE = select(func.count()).select_from(User)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody typed, and the id their browser brought (b"" when it brought none)."""

    name: str
    password: str
    device: bytes


@dataclass(frozen=True, slots=True)
class _Account:
    """Whom the attempt is against: a user, or a name nobody has, treated alike. ``encoded`` is ``stored`` unsealed."""

    user_id: str
    stored: bytes
    encoded: str
    limits: list[Limit]
    trusted: bool


def sign_in(
    db: Session, passwords: Passwords, addresses: AddressLimits, attempt: Attempt, origin: Origin
) -> StartedLogin | Pending:
    """Sign somebody in, or let whoever has a second factor go on to it.

    Raises SignInRefused, TooManyAttempts or NoSlot.

    Commits before the password is verified: the reservation must count even if this process dies, and no
    lock may be held for the 100 ms that takes.
    """
    refuse_copies(db, attempt.device, origin)
    account = _find_account(db, attempt)
    in_crowd = _reserve(db, addresses, account, attempt, origin)
    try:
        matches = passwords.verify(
            db.info["keys"], account.user_id, account.stored, attempt.password, in_crowd=in_crowd
        )
    except NoSlot:
        _give_back(db, addresses, account, origin)
        raise
    user = _reload(db, account) if matches else None
    if user is None:
        tell_if_row_nears_its_end(db, account.user_id, attempt.name)
        # In a flood not each is worth a row, whether there is such an account or not: that one is on is on record.
        if not in_crowd or reserve_all(db, crowd_noted_limits(db.info["keys"]), int(time.time())) == 0:
            record(
                db,
                Event.SIGN_IN_REFUSED,
                origin,
                subject=account.user_id or NOBODY,
                outcome=Outcome.REFUSED,
                typed="" if account.user_id else attempt.name,
            )
        db.commit()
        raise SignInRefused("Name or password refused.")
    return _welcome(db, passwords, addresses, account, user, attempt, origin)


def _find_account(db: Session, attempt: Attempt) -> _Account:
    name = attempt.name.strip().lower()
    user = db.scalars(_BY_NAME, {"name": name}).one_or_none()
    keys = db.info["keys"]
    if user is None:
        return _Account("", b"", "", account_limits(keys, f"name/{name}"), trusted=False)
    browser = find_known_browser(db, user, attempt.device)
    stored = user.password if user.state == UserState.ACTIVE else b""
    encoded = opened(keys, user.id, stored)
    if browser is None:
        return _Account(user.id, stored, encoded, account_limits(keys, user.id), trusted=False)
    return _Account(user.id, stored, encoded, browser_limits(keys, browser.id), trusted=True)


def _reserve(db: Session, addresses: AddressLimits, account: _Account, attempt: Attempt, origin: Origin) -> bool:
    """Count the attempt, or raise TooManyAttempts; tell whether it is one of far too many."""
    now = int(time.time())
    # A known browser is not held against the office address it shares with a stranger's failures. The address comes
    # first: one that is refused does not count against the accounts it names, nor makes a row for each.
    wait = 0 if account.trusted else addresses.reserve(origin.address, now)
    if not wait and (wait := reserve_all(db, account.limits, now)) and not account.trusted:
        tell_locked(db, account.user_id, attempt.name)
    # The guesses themselves are bounded, what is thrown at the bound is not: only the first few are worth a row.
    if wait and reserve_all(db, noted_limits(db.info["keys"], account.user_id or NOBODY), now) == 0:
        record(
            db,
            Event.SIGN_IN_THROTTLED,
            origin,
            subject=account.user_id or NOBODY,
            outcome=Outcome.REFUSED,
            typed="" if account.user_id else attempt.name,
        )
    in_crowd = not wait and not account.trusted and _is_flood(db, addresses, origin, now)
    db.commit()
    if wait:
        # In whole minutes: the second at which the last guess was made is nobody's business.
        raise TooManyAttempts(min(-(-wait // 60) * 60, LONGEST_RETRY_AFTER))
    return in_crowd


def _is_flood(db: Session, addresses: AddressLimits, origin: Origin, now: int) -> bool:
    """Count what fails over all names: one password tried on everybody never comes near an account's own limit."""
    keys = db.info["keys"]
    in_tenant = reserve_all(db, _flood_limits(db), now) > 0
    if in_tenant and reserve_all(db, flood_noted_limits(keys), now) == 0:
        record(db, Event.SIGN_INS_FLOODED, origin, subject=EVERYBODY, outcome=Outcome.REFUSED)
    return addresses.is_flood(now) or in_tenant


def _flood_limits(db: Session) -> list[Limit]:
    return tenant_limits(db.info["keys"], db.execute(_PEOPLE).scalar_one())


def _flood_counter(db: Session) -> list[Limit]:
    # To give back to a bucket it need not be known how much it holds.
    return tenant_limits(db.info["keys"], 0)


def _give_back(db: Session, addresses: AddressLimits, account: _Account, origin: Origin) -> None:
    refund(db, *account.limits, *([] if account.trusted else _flood_counter(db)))
    db.commit()
    if not account.trusted:
        addresses.refund(origin.address)


def _reload(db: Session, account: _Account) -> User | None:
    # The account may have been disabled, or its password changed, while this one was being verified.
    user = db.scalars(_AS_IT_IS_NOW, {"user_id": account.user_id}).one_or_none()
    if user is None or opened(db.info["keys"], user.id, user.password) != account.encoded:
        return None
    return user


def _welcome(
    db: Session,
    passwords: Passwords,
    addresses: AddressLimits,
    account: _Account,
    user: User,
    attempt: Attempt,
    origin: Origin,
) -> StartedLogin | Pending:
    keys = db.info["keys"]
    if passwords.needs_rehash(keys, user.id, user.password):
        # No slot free: the next sign-in will do it.
        with suppress(NoSlot):
            user.password = passwords.hash(keys, user.id, attempt.password)
    # Whoever comes with a browser the account knows opens it to others again, too.
    reset(db, *account.limits, *account_limits(keys, user.id))
    if not account.trusted:
        refund(db, *_flood_counter(db))
    sweep(db, int(time.time()))
    welcomed = (
        second_step.begin(db, user, origin) if second_step.is_needed(db, user.id) else _start(db, user, attempt, origin)
    )
    db.commit()
    if not account.trusted:
        addresses.refund(origin.address)
    return welcomed


def _start(db: Session, user: User, attempt: Attempt, origin: Origin) -> StartedLogin:
    started = start_login(db, user, attempt.device, origin)
    details = {"factors": ["password"], "login": started.login_id, "browser": started.browser_id}
    record(db, Event.SIGNED_IN, origin, actor=user.id, details=details)
    return started
