"""How often signing in may be tried: per account, per known browser, per address."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

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

    def __init__(self, registry: Registry, keys: TenantKeys, shared: RedisThrottle | None = None) -> None:
        self._registry = registry
        self._keys = keys
        self._shared = shared

    def reserve(self, address: str, now: int) -> int:
        """Reserve one attempt for an address; return 0, or the seconds to wait."""
        limits = self._limits(address)
        if self._shared is not None and (answer := self._shared.reserve(limits, now)) is not None:
            return answer
        with self._registry.counting() as connection:
            if now % 997 == 0:
                sweep(connection, now)
            return next((wait for limit in limits if (wait := reserve(connection, limit, now))), 0)

    def refund(self, address: str) -> None:
        """Give an attempt back: it succeeded, or was never made. Others' failures at the address still count."""
        limits = self._limits(address)
        if self._shared is not None and self._shared.refund(limits) is not None:
            return
        with self._registry.counting() as connection:
            refund(connection, *limits)

    def _limits(self, address: str) -> list[Limit]:
        network = network_of(address).encode()
        return [
            Limit(self._keys.mac(_PURPOSE, b"address/" + network), _ADDRESS_ATTEMPTS, _QUARTER),
            Limit(self._keys.mac(_PURPOSE, b"address-day/" + network), _ADDRESS_ATTEMPTS_A_DAY, _DAY),
        ]


def network_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 an IPv6 customer is given. "" stays ""."""
    if not address:
        return ""
    parsed = ipaddress.ip_address(address)
    prefix = 32 if parsed.version == 4 else 64
    return str(ipaddress.ip_network((parsed, prefix), strict=False))
