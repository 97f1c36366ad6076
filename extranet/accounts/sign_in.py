"""Signing in: reserve an attempt, verify, start a login. Every refusal looks and takes the same."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from extranet.accounts.limits import (
    LONGEST_RETRY_AFTER,
    AddressLimits,
    account_limits,
    browser_limits,
    noted_limits,
    reserve_all,
    row_limit,
)
from extranet.accounts.logins import StartedLogin, find_known_browser, start_login
from extranet.accounts.passwords import Passwords, opened
from extranet.errors import NoSlot, SignInRefused, TooManyAttempts
from extranet.models import User, UserState
from extranet.security_log.events import Event, Outcome
from extranet.security_log.operations import record
from extranet.security_log.origin import NOBODY, Origin
from tenants.throttle import Limit, refund, reset, sweep


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
) -> StartedLogin:
    """Sign somebody in, or raise SignInRefused, TooManyAttempts or NoSlot.

    Commits before the password is verified: the reservation must count even if this process dies, and no
    lock may be held for the 100 ms that takes.
    """
    account = _find_account(db, attempt)
    _reserve(db, addresses, account, attempt, origin)
    try:
        matches = passwords.verify(db.info["keys"], account.user_id, account.stored, attempt.password)
    except NoSlot:
        _give_back(db, addresses, account, origin)
        raise
    user = _reload(db, account) if matches else None
    if user is None:
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
    user = db.scalars(select(User).where(or_(User.username == name, User.email == name))).one_or_none()
    keys = db.info["keys"]
    if user is None:
        return _Account("", b"", "", account_limits(keys, f"name/{name}"), trusted=False)
    browser = find_known_browser(db, user, attempt.device)
    stored = user.password if user.state == UserState.ACTIVE else b""
    encoded = opened(keys, user.id, stored)
    if browser is None:
        return _Account(user.id, stored, encoded, account_limits(keys, user.id), trusted=False)
    return _Account(user.id, stored, encoded, browser_limits(keys, browser.id), trusted=True)


def _reserve(db: Session, addresses: AddressLimits, account: _Account, attempt: Attempt, origin: Origin) -> None:
    now = int(time.time())
    # A known browser is not held against the office address it shares with a stranger's failures. The address comes
    # first: one that is refused does not count against the accounts it names, nor makes a row for each.
    wait = 0 if account.trusted else addresses.reserve(origin.address, now)
    wait = wait or reserve_all(db, account.limits, now)
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
    db.commit()
    if wait:
        # In whole minutes: the second at which the last guess was made is nobody's business.
        raise TooManyAttempts(min(-(-wait // 60) * 60, LONGEST_RETRY_AFTER))


def _give_back(db: Session, addresses: AddressLimits, account: _Account, origin: Origin) -> None:
    refund(db, *account.limits)
    db.commit()
    if not account.trusted:
        addresses.refund(origin.address)


def _reload(db: Session, account: _Account) -> User | None:
    # The account may have been disabled, or its password changed, while this one was being verified.
    mine = (User.id == account.user_id) & (User.state == UserState.ACTIVE)
    user = db.scalars(select(User).where(mine).execution_options(populate_existing=True)).one_or_none()
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
) -> StartedLogin:
    keys = db.info["keys"]
    if passwords.needs_rehash(keys, user.id, user.password):
        # No slot free: the next sign-in will do it.
        with suppress(NoSlot):
            user.password = passwords.hash(keys, user.id, attempt.password)
    # What strangers did to the account goes on counting in its quarter of an hour, but their row is broken.
    reset(db, *account.limits, row_limit(keys, user.id))
    sweep(db, int(time.time()))
    started = start_login(db, user, attempt.device, origin)
    details = {"factors": ["password"], "login": started.login_id, "browser": started.browser_id}
    record(db, Event.SIGNED_IN, origin, actor=user.id, details=details)
    db.commit()
    if not account.trusted:
        addresses.refund(origin.address)
    return started
