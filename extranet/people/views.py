"""A colleague's picture."""

from __future__ import annotations

from flask import Blueprint, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from extranet.errors import NotFound
from extranet.models import User
from extranet.request.access import while_password_expired
from extranet.request.current import current

blueprint = Blueprint("people", __name__, url_prefix="/people")


@blueprint.get("/<user_id>/avatar")
@while_password_expired
def avatar(user_id: str) -> Response:
    """Serve a picture to signed-in members of the same tenant, and to nobody else."""
    picture = current.files.read(picture_of(current.db, user_id))
    response = Response(picture, mimetype="image/webp")
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["Content-Disposition"] = 'inline; filename="picture.webp"'
    # Private: it may be kept by this browser, never by a proxy; the address changes with the picture.
    response.headers["Cache-Control"] = "private, max-age=3600"
    return response


def picture_of(db: Session, user_id: str) -> str:
    """Return the name of a colleague's picture; raise NotFound for nobody's and for none."""
    name = db.execute(select(User.avatar).where(User.id == user_id)).scalar_one_or_none()
    if not name:
        raise NotFound("No picture.")
    return name
