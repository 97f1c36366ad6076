"""A link's token on its way from the address to the form: through the sealed cookie, and no further."""

from __future__ import annotations

from flask import make_response, redirect, url_for
from werkzeug.wrappers import Response

from extranet.accounts.links import find_link, token_bytes
from extranet.accounts.logins import sign_out
from extranet.errors import LinkRefused
from extranet.models import LinkPurpose
from extranet.request import pages
from extranet.request.cookies import carry_link, change_session, start_session
from extranet.request.current import current
from extranet.request.events import note
from extranet.request.state import NO_SECRET, Kind
from extranet.security_log.events import Event


def open_link(purpose: LinkPurpose, token: str, endpoint: str) -> Response:
    """Take a living link's token out of the address bar and lead to its page. Uses nothing up."""
    try:
        carried = token_bytes(token)
        find_link(current.db, purpose, carried)
    except LinkRefused:
        return refuse_link(purpose)
    carry_link(carried)
    return unreferred(redirect(url_for(endpoint), 303))


def carried_token() -> bytes:
    """Return the token this browser carries; raise LinkRefused."""
    if current.cookie.link == NO_SECRET:
        raise LinkRefused("This browser carries no link.")
    return current.cookie.link


def refuse_link(purpose: LinkPurpose) -> Response:
    """Say that a link is not valid, whatever the reason, and note it."""
    current.db.rollback()
    if current.cookie.link != NO_SECRET:
        change_session(link=NO_SECRET)
    note(Event.LINK_REFUSED, details={"purpose": purpose})
    return page("recovery/refused.html", 410, purpose=purpose)


def page(template: str, status: int = 200, **values: object) -> Response:
    """Answer with a page that tells no other where its reader came from."""
    return unreferred(make_response(pages.render(template, **values), status))


def unreferred(response: Response) -> Response:
    """Keep an address out of what the browser says of where it came from."""
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def leave_to_sign_in(notice: int) -> Response:
    """End whatever login this browser is in and lead to the sign-in page, with a word of what was done."""
    if current.is_signed_in:
        sign_out(current.db, current.user.id, current.user.login_id, current.origin)
    start_session(Kind.ANONYMOUS, notice=notice)
    return redirect(url_for("accounts.login"), 303)
