"""The company's logo: the one file of a tenant that strangers may see."""

from __future__ import annotations

from flask import Blueprint, Response
from sqlalchemy import select

from extranet.errors import NotFound
from extranet.models import Company
from extranet.request.access import for_support, public
from extranet.request.current import current

blueprint = Blueprint("branding", __name__)


@blueprint.get("/logo")
@public
@for_support
def logo() -> Response:
    """Serve the logo to anybody: it stands on the sign-in page. The address names no file, so no other can be asked."""
    name = current.db.execute(select(Company.logo)).scalar_one()
    if not name:
        raise NotFound("No logo.")
    response = Response(current.files.read(name), mimetype="image/webp")
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["Content-Disposition"] = 'inline; filename="logo.webp"'
    # The address changes with the picture. Private: no proxy is to answer one company's host with another's logo.
    response.headers["Cache-Control"] = "private, max-age=86400"
    return response
