"""Administration > one person: who they are, what they may do, and what can be done for them."""

from __future__ import annotations

from flask import make_response, redirect, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from extranet.accounts import operations as accounts
from extranet.accounts.held import is_held
from extranet.accounts.logins import active_logins, known_browsers
from extranet.admin import factor_resets, operations
from extranet.admin.blueprint import blueprint, for_admins
from extranet.admin.finding import HAS_SECOND_FACTOR
from extranet.admin.forms import AddressForm, RoleForm, UsernameForm
from extranet.admin.words import ROLES, STATES
from extranet.errors import Invalid
from extranet.models import Profile, Role, User, UserState
from extranet.request import pages
from extranet.request.access import for_support, sensitive
from extranet.request.cookies import change_session
from extranet.request.current import current
from extranet.single_sign_on.shown import identities_of

_Form = RoleForm | UsernameForm | AddressForm


@blueprint.get("/people/<user_id>")
@for_admins
@for_support
def person(user_id: str) -> Response:
    """Show one person."""
    return _page(operations.find_person(current.db, user_id))


@blueprint.post("/people/<user_id>/role")
@for_admins
@sensitive
def change_role(user_id: str) -> Response:
    """Change what somebody may do."""
    user = operations.find_person(current.db, user_id)
    form = RoleForm(request.form)
    if not form.validate():
        return _page(user, form, status=422)
    try:
        operations.change_role(current.db, user, Role(form.role.data), current.origin, current.user.id)
    except Invalid as refused:
        return _refuse_form(user_id, form, refused)
    return _done(user_id, pages.ROLE_CHANGED)


@blueprint.post("/people/<user_id>/username")
@for_admins
@sensitive
def change_username(user_id: str) -> Response:
    """Change the name somebody signs in under."""
    user = operations.find_person(current.db, user_id)
    form = UsernameForm(request.form)
    if not form.validate():
        return _page(user, form, status=422)
    try:
        operations.change_username(current.db, user, form.username.data or "", current.origin, current.user.id)
    except Invalid as refused:
        return _refuse_form(user_id, form, refused)
    return _done(user_id, pages.USERNAME_CHANGED)


@blueprint.post("/people/<user_id>/address")
@for_admins
@sensitive
def correct_address(user_id: str) -> Response:
    """Mail an invitation, or the way back in, to another address."""
    user = operations.find_person(current.db, user_id)
    form = AddressForm(request.form)
    if not form.validate():
        return _page(user, form, status=422)
    try:
        operations.correct_address(current.db, user, form.email.data or "", current.origin, current.user.id)
    except Invalid as refused:
        return _refuse_form(user_id, form, refused)
    return _done(user_id, pages.INVITED if user.state == UserState.INVITED else pages.RESET_MAILED)


@blueprint.get("/people/<user_id>/deactivate")
@for_admins
def ask_to_deactivate(user_id: str) -> Response:
    """Say what deactivating means, before it is done."""
    return _question(operations.find_person(current.db, user_id))


@blueprint.post("/people/<user_id>/deactivate")
@for_admins
@sensitive
def deactivate(user_id: str) -> Response:
    """Shut an account."""
    try:
        operations.deactivate(current.db, operations.find_person(current.db, user_id), current.origin, current.user.id)
    except Invalid as refused:
        current.db.rollback()
        return _question(operations.find_person(current.db, user_id), refused.message, 422)
    return _done(user_id, pages.DEACTIVATED)


@blueprint.post("/people/<user_id>/reactivate")
@for_admins
@sensitive
def reactivate(user_id: str) -> Response:
    """Open an account again."""
    accounts.enable_user(current.db, operations.find_person(current.db, user_id), current.origin, current.user.id)
    return _done(user_id, pages.REACTIVATED)


@blueprint.post("/people/<user_id>/unlock")
@for_admins
def unlock(user_id: str) -> Response:
    """Forget failed attempts."""
    accounts.unlock_user(current.db, operations.find_person(current.db, user_id), current.origin, current.user.id)
    return _done(user_id, pages.UNLOCKED)


@blueprint.post("/people/<user_id>/sign-out")
@for_admins
def sign_out_person(user_id: str) -> Response:
    """End all of somebody's logins."""
    operations.end_all_logins_of(
        current.db, operations.find_person(current.db, user_id), current.origin, current.user.id
    )
    return _done(user_id, pages.SIGNED_OUT_EVERYWHERE)


def _done(user_id: str, notice: int) -> Response:
    change_session(notice=notice)
    return redirect(url_for("admin.person", user_id=user_id), 303)


def refuse(user_id: str, refused: Invalid) -> Response:
    """Show the page again and say above it what was refused; nothing was changed."""
    current.db.rollback()
    return _page(operations.find_person(current.db, user_id), refusal=refused.message, status=422)


def _refuse_form(user_id: str, form: _Form, refused: Invalid) -> Response:
    current.db.rollback()
    if refused.field == "role" and user_id == current.user.id:
        # One's own page has no such form.
        return refuse(user_id, refused)
    form.reject(refused.field, refused.message)
    return _page(operations.find_person(current.db, user_id), form, status=422)


def _question(user: User, refusal: str = "", status: int = 200) -> Response:
    return make_response(pages.render("admin/deactivate.html", person=user, refusal=refusal), status)


def _page(user: User, form: _Form | None = None, *, refusal: str = "", status: int = 200) -> Response:
    db = current.db
    html = pages.render(
        "admin/person.html",
        person=user,
        profile=db.get_one(Profile, user.id),
        role_form=form if isinstance(form, RoleForm) else RoleForm(role=user.role),
        username_form=form if isinstance(form, UsernameForm) else UsernameForm(username=user.username),
        address_form=form if isinstance(form, AddressForm) else AddressForm(email=user.email),
        refusal=refusal,
        last_sign_in=user.last_sign_in_at,
        logins=len(active_logins(db, user.id)),
        browsers=len(known_browsers(db, user.id)),
        has_second_factor=bool(db.execute(select(HAS_SECOND_FACTOR).where(User.id == user.id)).scalar_one()),
        identities=identities_of(db, user.id),
        invitation=operations.open_invitation(db, user),
        is_held=is_held(db, user.id),
        asked_reset=factor_resets.asked(db, user),
        approves_alone=factor_resets.approves_alone(db, user, current.user.id),
        roles=ROLES,
        states=STATES,
    )
    return make_response(html, status)
