"""Preferences: importing this declares the views of every section."""

from __future__ import annotations

from flask import redirect, url_for
from werkzeug.wrappers import Response

from extranet.preferences import (
    company,
    display,
    email,
    factors,
    history,
    notices,
    profile,
    security,
    sessions,
    sign_on,
)
from extranet.preferences.blueprint import blueprint

__all__ = [
    "blueprint",
    "company",
    "display",
    "email",
    "factors",
    "history",
    "notices",
    "profile",
    "security",
    "sessions",
    "sign_on",
]


@blueprint.get("/")
def index() -> Response:
    """Lead to the first section."""
    return redirect(url_for("preferences.profile"), 303)
