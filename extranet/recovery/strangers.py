"""A stranger in the account: shutting everybody out by a link, and taking a change of address back."""

from __future__ import annotations

from werkzeug.wrappers import Response

from extranet.accounts import new_addresses, recovery
from extranet.accounts.shutting_out import WayBack
from extranet.errors import LinkRefused
from extranet.models import LinkPurpose
from extranet.recovery.blueprint import blueprint
from extranet.recovery.carried import carried_token, leave_to_sign_in, open_link, page, refuse_link
from extranet.request import pages
from extranet.request.access import public
from extranet.request.current import current

_NOTICES = {
    WayBack.MAILED: pages.SHUT_OUT,
    WayBack.ADMINISTRATOR: pages.SHUT_OUT_FOR_GOOD,
    WayBack.OPERATOR: pages.SHUT_OUT_ALONE,
}


@blueprint.get("/stranger/<token>")
@public
def open_report(token: str) -> Response:
    """Take the token out of the address."""
    return open_link(LinkPurpose.REPORT_STRANGER, token, "recovery.report")


@blueprint.get("/stranger")
@public
def report() -> Response:
    """Say what reporting a stranger does, before it is done."""
    try:
        person = recovery.find_reporting(current.db, carried_token())
    except LinkRefused:
        return refuse_link(LinkPurpose.REPORT_STRANGER)
    return page("recovery/stranger.html", person=person)


@blueprint.post("/stranger")
@public
def report_now() -> Response:
    """Shut everybody out."""
    try:
        way_back = recovery.report_stranger_by_link(current.db, carried_token(), current.origin)
    except LinkRefused:
        return refuse_link(LinkPurpose.REPORT_STRANGER)
    return _leave(way_back)


@blueprint.get("/email/undo/<token>")
@public
def open_undo(token: str) -> Response:
    """Take the token out of the address."""
    return open_link(LinkPurpose.UNDO_EMAIL, token, "recovery.undo")


@blueprint.get("/email/undo")
@public
def undo() -> Response:
    """Say what taking the change back does, before it is done."""
    try:
        person, address = new_addresses.find_undoing(current.db, carried_token())
    except LinkRefused:
        return refuse_link(LinkPurpose.UNDO_EMAIL)
    return page("recovery/undo.html", person=person, address=address)


@blueprint.post("/email/undo")
@public
def undo_now() -> Response:
    """Put the old address back and shut everybody out."""
    try:
        way_back = new_addresses.undo_new_address(current.db, carried_token(), current.origin)
    except LinkRefused:
        return refuse_link(LinkPurpose.UNDO_EMAIL)
    return _leave(way_back)


def _leave(way_back: WayBack) -> Response:
    return leave_to_sign_in(_NOTICES[way_back])
