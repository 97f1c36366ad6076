"""Preferences > Security: undoing the link with the identity provider. Linking goes by way of that provider."""

from __future__ import annotations

from flask import redirect, url_for
from werkzeug.wrappers import Response

from extranet.errors import Invalid
from extranet.preferences.blueprint import blueprint
from extranet.preferences.security_page import security_page
from extranet.request import pages
from extranet.request.access import form_on, sensitive
from extranet.request.cookies import start_session
from extranet.request.current import current
from extranet.request.state import Kind
from extranet.single_sign_on.unlinking import unlink_own


@blueprint.post("/security/sign-on/unlink")
@sensitive
@form_on("preferences.security")
def unlink_sign_on() -> Response:
    """Let nobody come in as this person by way of the provider any more, and take their consent back."""
    try:
        secret = unlink_own(current.db, current.user.id, current.user.login_id, current.origin)
    except Invalid as refused:
        current.db.rollback()
        return security_page(422, trouble=refused.message)
    if secret is not None:
        start_session(Kind.LOGIN, secret, notice=pages.UNLINKED)
    return redirect(url_for("preferences.security"), 303)
