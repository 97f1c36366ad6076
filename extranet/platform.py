"""The application's services in one object, made once by create_app and reached through ``current``."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app

from extranet.accounts.limits import AddressLimits
from extranet.accounts.passwords import Passwords
from tenants.settings import Settings
from tenants.tenancy import Tenancy

EXTENSION = "extranet"


@dataclass(frozen=True, slots=True)
class Platform:
    """Settings, tenancy, password hashing and address limits."""

    settings: Settings
    tenancy: Tenancy
    passwords: Passwords
    addresses: AddressLimits


def platform() -> Platform:
    """Return the services of the running application."""
    services: Platform = current_app.extensions[EXTENSION]
    return services
