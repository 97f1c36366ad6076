"""Preferences > Sessions: whether one is mailed when a browser never seen signs in."""

from __future__ import annotations

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from extranet.preferences import operations
from extranet.preferences.blueprint import blueprint
from extranet.preferences.forms import BrowserMailForm
from extranet.request import pages
from extranet.request.access import form_on, sensitive
from extranet.request.cookies import change_session
from extranet.request.current import current


@blueprint.post("/sessions/browser-mail")
@sensitive
@form_on("preferences.sessions")
def change_browser_mail() -> Response:
    """Save the choice. Sensitive: an intruder would like to sign in from elsewhere unseen."""
    form = BrowserMailForm(request.form)
    operations.change_browser_mail(current.db, current.user.id, wanted=bool(form.wants_browser_mail.data))
    change_session(notice=pages.SAVED)
    return redirect(url_for("preferences.sessions"), 303)
