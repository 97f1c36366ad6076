"""Administration > one person > ways back in: a password reset, and second factors that were lost."""

from __future__ import annotations

from flask import redirect, url_for
from werkzeug.wrappers import Response

from extranet.accounts.recovery import start_reset
from extranet.admin import factor_resets, operations
from extranet.admin.blueprint import blueprint, for_admins
from extranet.admin.person import refuse
from extranet.errors import Invalid
from extranet.request import pages
from extranet.request.access import sensitive
from extranet.request.cookies import change_session
from extranet.request.current import current
from extranet.single_sign_on.unlinking import unlink


@blueprint.post("/people/<user_id>/reset-password")
@for_admins
@sensitive
def start_password_reset(user_id: str) -> Response:
    """Mail somebody a link with which they choose a new password."""
    user = operations.find_person(current.db, user_id)
    try:
        start_reset(current.db, user, current.user.id, current.origin)
    except Invalid as refused:
        return refuse(user_id, refused)
    return _done(user_id, pages.RESET_MAILED)


@blueprint.post("/people/<user_id>/factors/reset")
@for_admins
@sensitive
def ask_factor_reset(user_id: str) -> Response:
    """Ask for somebody's second factors to be taken away."""
    user = operations.find_person(current.db, user_id)
    try:
        done = factor_resets.ask(current.db, user, current.origin, current.user.id)
    except Invalid as refused:
        return refuse(user_id, refused)
    return _done(user_id, pages.FACTORS_RESET if done else pages.FACTOR_RESET_ASKED)


@blueprint.post("/people/<user_id>/factors/approve")
@for_admins
@sensitive
def approve_factor_reset(user_id: str) -> Response:
    """Approve what another administrator asked for."""
    user = operations.find_person(current.db, user_id)
    try:
        factor_resets.approve(current.db, user, current.origin, current.user.id)
    except Invalid as refused:
        return refuse(user_id, refused)
    return _done(user_id, pages.FACTORS_RESET)


@blueprint.post("/people/<user_id>/factors/withdraw")
@for_admins
def withdraw_factor_reset(user_id: str) -> Response:
    """Drop a request."""
    factor_resets.withdraw(current.db, operations.find_person(current.db, user_id), current.origin, current.user.id)
    return _done(user_id, pages.FACTOR_RESET_WITHDRAWN)


@blueprint.post("/people/<user_id>/unlink")
@for_admins
@sensitive
def unlink_person(user_id: str) -> Response:
    """Let nobody come in as somebody by way of the identity provider any more."""
    user = operations.find_person(current.db, user_id)
    try:
        unlink(current.db, user.id, current.origin, current.user.id)
    except Invalid as refused:
        return refuse(user_id, refused)
    return _done(user_id, pages.PERSON_UNLINKED)


def _done(user_id: str, notice: int) -> Response:
    change_session(notice=notice)
    return redirect(url_for("admin.person", user_id=user_id), 303)
