"""How often visitors may set out for the identity provider: each time, something is written down or asked."""

from __future__ import annotations

from extranet.accounts.limits import network_of
from tenants.keys import TenantKeys
from tenants.throttle import Limit

_QUARTER = 15 * 60
# A company's whole office comes from one address on a Monday morning, and nobody fails by setting out.
_OF_ADDRESS = 200
_OF_TENANT = 2_000
_TRIES = 20


def setting_out_limits(keys: TenantKeys, address: str) -> list[Limit]:
    """Return the limits on setting out, from one address and in a whole tenant."""
    return [
        Limit(keys.mac("throttle", f"sign-on/{network_of(address)}".encode()), _OF_ADDRESS, _QUARTER),
        Limit(keys.mac("throttle", b"sign-on"), _OF_TENANT, _QUARTER),
    ]


def try_limits(keys: TenantKeys) -> list[Limit]:
    """Return the limit on asking a provider what it is: an administrator types whom, and we do the asking."""
    return [Limit(keys.mac("throttle", b"sign-on-try"), _TRIES, _QUARTER)]
