"""How somebody of the operator's support comes in, and leaves: by a link that is taken out of the address first."""

from __future__ import annotations

from flask import make_response, redirect, url_for
from werkzeug.wrappers import Response

from extranet.accounts.entering import end_login_in_use
from extranet.accounts.links import token_bytes
from extranet.errors import LinkRefused
from extranet.request import pages
from extranet.request.access import for_support, public
from extranet.request.cookies import carry_link, change_session, start_session
from extranet.request.current import current
from extranet.request.events import note
from extranet.request.state import NO_SECRET, Kind
from extranet.security_log.events import Event
from extranet.support.blueprint import blueprint
from extranet.support.visits import Entry, begin_visit, end_visit, find_entry
from tenants.errors import NoSuchStaff, StaffNotReady


@blueprint.get("/support/<token>")
@public
@for_support
def open_link(token: str) -> Response:
    """Take a living link's token out of the address bar and lead to its page. Uses nothing up."""
    try:
        carried = token_bytes(token)
        find_entry(current.db, carried)
    except LinkRefused:
        return _refuse_link()
    carry_link(carried)
    return _unreferred(redirect(url_for("support.enter"), 303))


@blueprint.get("/support")
@public
@for_support
def enter() -> Response:
    """Say what is about to be entered, and on which terms."""
    try:
        entry = _entry()
    except LinkRefused:
        return _refuse_link()
    until = entry.until.strftime("%Y-%m-%d %H:%M")
    return _unreferred(make_response(pages.render("support/enter.html", entry=entry, until=until)))


@blueprint.post("/support")
@public
@for_support
def enter_now() -> Response:
    """Begin the visit. Whoever was signed in with this browser no longer is."""
    try:
        member = current.platform.tenancy.staff.by_name(_entry().staff)
        secret = begin_visit(current.db, current.cookie.link, member, current.origin)
    except (LinkRefused, NoSuchStaff, StaffNotReady):
        return _refuse_link()
    _end_what_is_in_use("replaced")
    start_session(Kind.SUPPORT, secret)
    return redirect(url_for("today.show"), 303)


@blueprint.post("/support/leave")
@public
@for_support
def leave() -> Response:
    """End the visit."""
    if not current.is_signed_in or current.user.visit is None:
        return redirect(url_for("today.show"), 303)
    _end_what_is_in_use("left")
    start_session(Kind.ANONYMOUS, notice=pages.VISIT_LEFT)
    response = redirect(url_for("accounts.login"), 303)
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


def _end_what_is_in_use(reason: str) -> None:
    if current.is_signed_in and current.user.visit is not None:
        end_visit(current.db, current.user.login_id, current.user.id, reason, current.origin)
    else:
        end_login_in_use()


def _entry() -> Entry:
    if current.cookie.link == NO_SECRET:
        raise LinkRefused("This browser carries no link.")
    return find_entry(current.db, current.cookie.link)


def _refuse_link() -> Response:
    current.db.rollback()
    if current.cookie.link != NO_SECRET:
        change_session(link=NO_SECRET)
    note(Event.LINK_REFUSED, details={"purpose": "support"})
    return _unreferred(make_response(pages.render("support/refused.html"), 410))


def _unreferred(response: Response) -> Response:
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
