"""Pages for programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import Blueprint, Response, redirect, request, url_for
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response as AnyResponse

from extranet.i18n import LANGUAGES
from extranet.request.access import platform_page, public
from extranet.request.current import current
from tenants.errors import TenancyError
from tenants.hosts import parse_host

blueprint = Blueprint("well_known", __name__)

_SECURITY_TXT_LIFE = timedelta(days=180)


@blueprint.get("/.well-known/change-password")
@public
def change_password() -> AnyResponse:
    """Lead password managers to the page (W3C, "A Well-Known URL for Changing Passwords")."""
    return redirect(url_for("preferences.security"), 303)


@blueprint.get("/.well-known/security.txt")
@public
def security_txt() -> Response:
    """Say where to report a weakness (RFC 9116)."""
    settings = current.platform.settings
    expires = (datetime.now(UTC) + _SECURITY_TXT_LIFE).strftime("%Y-%m-%dT00:00:00Z")
    own = settings.origin(parse_host(request.environ["HTTP_HOST"]))
    lines = (
        f"Contact: mailto:security@{settings.domain}",
        f"Expires: {expires}",
        f"Preferred-Languages: {', '.join(LANGUAGES)}",
        f"Canonical: {own}/.well-known/security.txt",
    )
    return Response("\n".join(lines) + "\n", mimetype="text/plain")


@blueprint.get("/robots.txt")
@public
def robots() -> Response:
    """Ask search engines to stay out."""
    return Response("User-agent: *\nDisallow: /\n", mimetype="text/plain")


@blueprint.get("/healthz")
@platform_page
def healthz() -> Response:
    """Say that this process is alive. nginx does not let it out."""
    return Response("ok\n", mimetype="text/plain")


@blueprint.get("/readyz")
@platform_page
def readyz() -> Response:
    """Say whether this process can serve: the registry answers and its key opens. nginx does not let it out."""
    try:
        current.platform.tenancy.registry.generation()
    except (SQLAlchemyError, TenancyError):
        return Response("registry unreachable\n", 503, mimetype="text/plain")
    return Response("ok\n", mimetype="text/plain")
