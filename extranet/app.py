"""create_app: what the application is made of, and in which order. The only place that wires."""

from __future__ import annotations

from typing import Any

import structlog
from flask import Flask, Response, current_app

from extranet import request
from extranet.accounts import views as accounts
from extranet.accounts.limits import AddressLimits
from extranet.accounts.passwords import Cost, Passwords
from extranet.admin import views as admin
from extranet.admin_logs import views as admin_logs
from extranet.branding import views as branding
from extranet.confirmation import views as confirmation
from extranet.factors import views as factors
from extranet.people import views as people
from extranet.platform import EXTENSION, Platform
from extranet.preferences import views as preferences
from extranet.recovery import views as recovery
from extranet.request import log
from extranet.request.access import platform_page
from extranet.request.no_session import NoFlaskSession
from extranet.single_sign_on import views as single_sign_on
from extranet.single_sign_on.discovery import KnownProviders
from extranet.single_sign_on.outbound import Outbound
from extranet.strength import views as strength
from extranet.support import views as support
from extranet.today import views as today
from extranet.well_known import views as well_known
from tenants.settings import Settings
from tenants.shared_store import open_store
from tenants.tenancy import Tenancy, check_home
from tenants.throttle_redis import RedisThrottle

HISTORY = "extranet.migrations"
"""The package with the tenant databases' migrations."""

logger = structlog.get_logger("extranet.app")


def create_app(settings: Settings, cost: Cost | None = None) -> Flask:
    """Return the application for one home; raise the tenancy error that says why it must not start.

    ``cost`` is for tests: no setting can weaken password hashing.
    """
    log.configure()
    app = _Application("extranet", static_folder=None)
    _close_defaults(app)
    app.extensions[EXTENSION] = _make_platform(settings, cost or Cost())
    request.init_app(app)
    for feature in (
        well_known,
        accounts,
        factors,
        confirmation,
        strength,
        today,
        preferences,
        people,
        recovery,
        branding,
        admin,
        admin_logs,
        support,
        single_sign_on,
    ):
        app.register_blueprint(feature.blueprint)
    return app


def _make_platform(settings: Settings, cost: Cost) -> Platform:
    check_home(settings)
    tenancy = Tenancy.open(settings, HISTORY, serving=True)
    outbound = Outbound(settings.sso_inside)
    return Platform(
        settings=settings,
        tenancy=tenancy,
        # As many hashes at a time as there are workers: more would only share the same cores, at 32 MiB each.
        passwords=Passwords(cost, settings.workers, settings.home / "slots"),
        addresses=AddressLimits(
            tenancy.registry,
            tenancy.platform_keys,
            _shared_throttle(tenancy),
            lambda: logger.warning("sign-ins", why="far too many fail, over all tenants"),
        ),
        outbound=outbound,
        providers=KnownProviders(outbound),
    )


def _shared_throttle(tenancy: Tenancy) -> RedisThrottle | None:
    store = open_store(tenancy.settings, lambda why: logger.error("redis", why=why, instead="the registry counts"))
    if store is None:
        return None
    tenancy.opened.callback(store.close)
    return RedisThrottle(store)


def _close_defaults(app: Flask) -> None:
    # Flask's own session is signed with one key for all tenants; its automatic OPTIONS runs past login checks.
    app.session_interface = NoFlaskSession()
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.config["MAX_FORM_PARTS"] = 100
    app.config["MAX_FORM_MEMORY_SIZE"] = 128 * 1024
    app.url_map.strict_slashes = True
    # Only now: Flask's own rule for static files would have been made with the defaults above.
    app.static_folder = "static"
    # At any host: a page that says "suspended" wants to look like one of ours, and no tenant's data is in these.
    app.add_url_rule("/static/<path:filename>", "static", platform_page(_static_file), methods=["GET"])


class _Application(Flask):
    def log_exception(self, *_: Any) -> None:
        """Say nothing: request/errors.py logs what failed, and Flask would add the address, which may hold a token."""


def _static_file(filename: str) -> Response:
    return current_app.send_static_file(filename)
