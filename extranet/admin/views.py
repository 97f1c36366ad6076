"""Administration: importing this declares the views of every section."""

from __future__ import annotations

from flask import redirect, url_for
from werkzeug.wrappers import Response

from extranet.admin import helping, importing, invitations, look, people, person, policy, single_sign_on, usage
from extranet.admin.blueprint import blueprint, for_admins
from extranet.request.access import for_support

__all__ = [
    "blueprint",
    "helping",
    "importing",
    "invitations",
    "look",
    "people",
    "person",
    "policy",
    "single_sign_on",
    "usage",
]


@blueprint.get("/")
@for_admins
@for_support
def index() -> Response:
    """Lead to the first section."""
    return redirect(url_for("admin.people"), 303)
