"""The application's services in one object, made once by create_app and reached through ``current``."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app

from extranet.accounts.limits import AddressLimits
from extranet.accounts.passwords import Passwords
from extranet.single_sign_on.discovery import KnownProviders
from extranet.single_sign_on.outbound import Outbound
from tenants.settings import Settings
from tenants.tenancy import Tenancy

EXTENSION = "extranet"


@dataclass(frozen=True, slots=True)
class Platform:
    """Settings, tenancy, password hashing, address limits, and what identity providers are asked through."""

    settings: Settings
    tenancy: Tenancy
    passwords: Passwords
    addresses: AddressLimits
    outbound: Outbound
    providers: KnownProviders


def platform() -> Platform:
    """Return the services of the running application."""
    services: Platform = current_app.extensions[EXTENSION]
    return services
