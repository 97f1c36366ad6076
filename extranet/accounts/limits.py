"""How often signing in may be tried: per account, per known browser, per address."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

from sqlalchemy import text
from sqlalchemy.orm import Session

from tenants.keys import TenantKeys
from tenants.registry import Registry
from tenants.throttle import Limit, refund, reserve, sweep
from tenants.throttle_redis import RedisThrottle

_QUARTER = 15 * 60
_DAY = 24 * 3600
_QUARTER_YEAR = 90 * _DAY
_PURPOSE = "throttle"

# A stranger's five failures never lock out the owner, whose own browser has a count of its own.
_ACCOUNT_ATTEMPTS = 5
_BROWSER_ATTEMPTS = 10
# NIST allows 100 failures in a row before a password stops working; half of that leaves room for two readings.
_ACCOUNT_ATTEMPTS_IN_A_ROW = 50
_ADDRESS_ATTEMPTS = 20
_ADDRESS_ATTEMPTS_A_DAY = 100
# A provider hands a customer of IPv6 a /48 at most: 65,536 networks, each of which would have its own count.
_PREFIXES = {4: ((32, 1),), 6: ((64, 1), (48, 10))}
# So many failures from browsers never seen are no typing mistakes any more.
_TENANT_ATTEMPTS = 100
_TENANT_ATTEMPTS_A_PERSON = 10
_PLATFORM_ATTEMPTS = 1000
_HOUR = 3600
_STEP_PERIOD = 5 * 60
_STEPS = 5
_STEPS_AN_HOUR = 20
_STEPS_A_DAY = 50
_STEPS_OF_ADDRESS = 10
_RESETS_AN_HOUR = 3
_RESETS_A_DAY = 5
_RESETS_OF_ADDRESS = 10
_NEW_ADDRESSES_A_DAY = 5
_JUDGED = 300
# So many failures in a row that whoever owns the account ought to know before the last one is made.
_ROW_NEARS_ITS_END = 40
_COUNT = text("SELECT count FROM throttle WHERE bucket = :bucket")

# Enough to see what was tried, too few to fill the log.
_CROWD_ENTRIES = 500

LONGEST_RETRY_AFTER = _QUARTER
"""What a refused visitor is told at most: the true figure would tell how long an account has been under attack."""


def account_limits(keys: TenantKeys, account: str) -> list[Limit]:
    """Return the limits on one account from browsers it has not signed in with before."""
    return [
        Limit(keys.mac(_PURPOSE, f"account/{account}".encode()), _ACCOUNT_ATTEMPTS, _QUARTER),
        row_limit(keys, account),
    ]


def row_limit(keys: TenantKeys, account: str) -> Limit:
    """Return the limit on failures in a row against an account; signing in from anywhere ends the row."""
    return Limit(keys.mac(_PURPOSE, f"row/{account}".encode()), _ACCOUNT_ATTEMPTS_IN_A_ROW, _QUARTER_YEAR)


def browser_limits(keys: TenantKeys, browser_id: str) -> list[Limit]:
    """Return the limits on one account from one browser it knows."""
    return [
        Limit(keys.mac(_PURPOSE, f"browser/{browser_id}".encode()), _BROWSER_ATTEMPTS, _QUARTER),
        Limit(keys.mac(_PURPOSE, f"browser-row/{browser_id}".encode()), _ACCOUNT_ATTEMPTS_IN_A_ROW, _QUARTER_YEAR),
    ]


def reauthentication_limits(keys: TenantKeys, user_id: str) -> list[Limit]:
    """Return the limit on confirming a password inside a login."""
    return [Limit(keys.mac(_PURPOSE, f"confirm/{user_id}".encode()), _BROWSER_ATTEMPTS, _QUARTER)]


def second_step_limits(keys: TenantKeys, user_id: str) -> list[Limit]:
    """Return the limits on codes and passkeys tried against one person once their password was right.

    What failed goes on counting when its owner signs in: whoever guesses here knows the password.
    """
    return [
        Limit(keys.mac(_PURPOSE, f"step/{user_id}".encode()), _STEPS, _STEP_PERIOD),
        Limit(keys.mac(_PURPOSE, f"step-hour/{user_id}".encode()), _STEPS_AN_HOUR, _HOUR),
        Limit(keys.mac(_PURPOSE, f"step-day/{user_id}".encode()), _STEPS_A_DAY, _DAY),
    ]


def reset_limits(keys: TenantKeys, account: str) -> list[Limit]:
    """Return the limits on mails with which somebody who forgot their password chooses a new one."""
    return [
        Limit(keys.mac(_PURPOSE, f"reset/{account}".encode()), _RESETS_AN_HOUR, _HOUR),
        Limit(keys.mac(_PURPOSE, f"reset-day/{account}".encode()), _RESETS_A_DAY, _DAY),
    ]


def new_address_limits(keys: TenantKeys, user_id: str) -> list[Limit]:
    """Return the limit on mails that ask a new address to confirm itself: they go to whom somebody typed."""
    return [Limit(keys.mac(_PURPOSE, f"new-address/{user_id}".encode()), _NEW_ADDRESSES_A_DAY, _DAY)]


def row_nears_its_end(db: Session, keys: TenantKeys, account: str) -> bool:
    """Tell whether few failures are left before an account opens to no unknown browser."""
    counted = db.execute(_COUNT, {"bucket": row_limit(keys, account).bucket}).scalar_one_or_none()
    return counted is not None and counted >= _ROW_NEARS_ITS_END


def strength_limits(keys: TenantKeys, secret: str) -> list[Limit]:
    """Return the limit on passwords judged while they are typed, for one session: each costs up to 70 ms."""
    return [Limit(keys.mac(_PURPOSE, f"strength/{secret}".encode()), _JUDGED, _QUARTER)]


def tenant_limits(keys: TenantKeys, people: int) -> list[Limit]:
    """Return the limit on what fails from unknown browsers in a whole tenant. It shuts nobody out: see ``sign_in``."""
    attempts = max(_TENANT_ATTEMPTS, _TENANT_ATTEMPTS_A_PERSON * people)
    return [Limit(keys.mac(_PURPOSE, b"tenant"), attempts, _QUARTER)]


def flood_noted_limits(keys: TenantKeys) -> list[Limit]:
    """Return the limit on log entries that say so."""
    return [Limit(keys.mac(_PURPOSE, b"tenant-noted"), 1, _QUARTER)]


def crowd_noted_limits(keys: TenantKeys) -> list[Limit]:
    """Return the limit on log entries about single failures while there are far too many of them."""
    return [Limit(keys.mac(_PURPOSE, b"crowd-noted"), _CROWD_ENTRIES, _QUARTER)]


def noted_limits(keys: TenantKeys, about: str) -> list[Limit]:
    """Return the limit on log entries about refused attempts: a flood must not fill the log."""
    return [Limit(keys.mac(_PURPOSE, f"noted/{about}".encode()), _BROWSER_ATTEMPTS, _QUARTER)]


def reserve_all(db: Session, limits: Iterable[Limit], now: int) -> int:
    """Reserve one attempt in each bucket until one refuses; return 0, or the seconds to wait.

    What is refused is no attempt, so it does not count against the buckets that follow: else fifty requests in a
    minute, of which five were guesses, would shut an account for good.
    """
    return next((wait for limit in limits if (wait := reserve(db, limit, now))), 0)


class AddressLimits:
    """Attempts by client address over all tenants. Addresses are stored as MACs.

    Counted in Redis where there is one, in the registry while it does not answer: the gate is never open.
    """

    def __init__(
        self,
        registry: Registry,
        keys: TenantKeys,
        shared: RedisThrottle | None = None,
        alarm: Callable[[], None] = lambda: None,
    ) -> None:
        self._registry = registry
        self._keys = keys
        self._shared = shared
        self._alarm = alarm
        self._everywhere = Limit(keys.mac(_PURPOSE, b"platform"), _PLATFORM_ATTEMPTS, _STEP_PERIOD)
        self._alarmed = Limit(keys.mac(_PURPOSE, b"platform-noted"), 1, _STEP_PERIOD)

    def reserve(self, address: str, now: int) -> int:
        """Reserve one attempt for an address; return 0, or the seconds to wait."""
        return self._reserve(self._limits(address), now)

    def is_flood(self, now: int) -> bool:
        """Count one attempt from an unknown browser, over all tenants; tell whether there are far too many of them.

        The operator is told once in a while.
        """
        if not self._reserve([self._everywhere], now):
            return False
        if not self._reserve([self._alarmed], now):
            self._alarm()
        return True

    def reserve_reset(self, address: str, now: int) -> int:
        """Reserve one mail to somebody who forgot their password; return 0, or the seconds to wait."""
        bucket = self._keys.mac(_PURPOSE, b"reset-address/" + network_of(address).encode())
        return self._reserve([Limit(bucket, _RESETS_OF_ADDRESS, _HOUR)], now)

    def reserve_second_step(self, address: str, now: int) -> int:
        """Reserve one code or passkey for an address; return 0, or the seconds to wait."""
        return self._reserve(self._step_limits(address), now)

    def refund(self, address: str) -> None:
        """Give an attempt back: it succeeded, or was never made. Others' failures at the address still count."""
        self._refund([*self._limits(address), self._everywhere])

    def refund_second_step(self, address: str) -> None:
        """Give a second step back that succeeded."""
        self._refund(self._step_limits(address))

    def _refund(self, limits: list[Limit]) -> None:
        if self._shared is not None and self._shared.refund(limits) is not None:
            return
        with self._registry.counting() as connection:
            refund(connection, *limits)

    def _reserve(self, limits: list[Limit], now: int) -> int:
        if self._shared is not None and (answer := self._shared.reserve(limits, now)) is not None:
            return answer
        with self._registry.counting() as connection:
            if now % 997 == 0:
                sweep(connection, now)
            return next((wait for limit in limits if (wait := reserve(connection, limit, now))), 0)

    def _step_limits(self, address: str) -> list[Limit]:
        bucket = self._keys.mac(_PURPOSE, b"step-address/" + network_of(address).encode())
        return [Limit(bucket, _STEPS_OF_ADDRESS, _STEP_PERIOD)]

    def _limits(self, address: str) -> list[Limit]:
        return [
            Limit(self._keys.mac(_PURPOSE, kind + network.encode()), times * attempts, seconds)
            for network, times in _networks_of(address)
            for kind, attempts, seconds in (
                (b"address/", _ADDRESS_ATTEMPTS, _QUARTER),
                (b"address-day/", _ADDRESS_ATTEMPTS_A_DAY, _DAY),
            )
        ]


def network_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 an IPv6 customer is given. "" stays ""."""
    return _networks_of(address)[0][0]


def _networks_of(address: str) -> list[tuple[str, int]]:
    """Return the networks an address counts for, the smallest first, and how many times as much each may try."""
    if not address:
        return [("", 1)]
    parsed = ipaddress.ip_address(address)
    return [
        (str(ipaddress.ip_network((parsed, prefix), strict=False)), times)
        for prefix, times in _PREFIXES[parsed.version]
    ]
