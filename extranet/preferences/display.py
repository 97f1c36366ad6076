"""Preferences > Language and display: every time and look setting on one page."""

from __future__ import annotations

from typing import Any

from flask import make_response, redirect, request, url_for
from werkzeug.wrappers import Response

from extranet.models import User
from extranet.preferences import operations
from extranet.preferences.blueprint import blueprint
from extranet.preferences.forms import DisplayForm
from extranet.request import pages
from extranet.request.cookies import change_session
from extranet.request.current import current


@blueprint.get("/display")
def display() -> Response:
    """Show the settings."""
    return _page(DisplayForm.of(_stored()))


@blueprint.post("/display")
def change_display() -> Response:
    """Save the settings."""
    form = DisplayForm(request.form)
    if not form.validate():
        return _page(form, 422)
    if form.is_overtaken_by(_stored()):
        return _page(form, 409)
    operations.change_display(current.db, current.user.id, form.values)
    change_session(notice=pages.SAVED)
    return redirect(url_for("preferences.display"), 303)


def _stored() -> dict[str, Any]:
    user = current.db.get_one(User, current.user.id)
    return {name: getattr(user, name) for name in DisplayForm().values}


def _page(form: DisplayForm, status: int = 200) -> Response:
    return make_response(pages.render("preferences/display.html", form=form), status)
