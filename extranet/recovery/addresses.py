"""A new e-mail address says that it is there and wants to be the account's."""

from __future__ import annotations

from flask import redirect, url_for
from werkzeug.wrappers import Response

from extranet.accounts import new_addresses
from extranet.errors import Invalid, LinkRefused
from extranet.models import LinkPurpose
from extranet.recovery.blueprint import blueprint
from extranet.recovery.carried import carried_token, open_link, page, refuse_link
from extranet.request import pages
from extranet.request.access import public
from extranet.request.cookies import change_session
from extranet.request.current import current
from extranet.request.state import NO_SECRET


@blueprint.get("/email/confirm/<token>")
@public
def open_confirmation(token: str) -> Response:
    """Take the token out of the address."""
    return open_link(LinkPurpose.CONFIRM_EMAIL, token, "recovery.confirm")


@blueprint.get("/email/confirm")
@public
def confirm() -> Response:
    """Ask whether the address is to be the account's."""
    return _page()


@blueprint.post("/email/confirm")
@public
def confirm_now() -> Response:
    """Make it the account's."""
    try:
        new_addresses.confirm_new_address(current.db, carried_token(), current.origin)
    except LinkRefused:
        return refuse_link(LinkPurpose.CONFIRM_EMAIL)
    except Invalid as refused:
        return _page(refused.message, 422)
    change_session(link=NO_SECRET, notice=pages.EMAIL_CONFIRMED)
    # Who is not signed in in this browser is asked to, on the way there.
    return redirect(url_for("preferences.profile" if current.is_signed_in else "accounts.login"), 303)


def _page(error: str = "", status: int = 200) -> Response:
    try:
        person, address = new_addresses.find_confirming(current.db, carried_token())
    except LinkRefused:
        return refuse_link(LinkPurpose.CONFIRM_EMAIL)
    return page("recovery/confirm.html", status, person=person, address=address, error=error)
