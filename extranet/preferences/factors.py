"""Preferences > Security: setting up, renaming and removing second factors. Each wants a fresh proof of who one is."""

from __future__ import annotations

from flask import jsonify, make_response, redirect, request, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response

from extranet.accounts.browsers import describe_browser
from extranet.accounts.entering import passkeys_work
from extranet.errors import FactorRefused, Invalid
from extranet.factors import operations, passkeys, totp
from extranet.factors.challenges import Binding, Ceremony
from extranet.factors.forms import AppForm, PasskeyForm
from extranet.factors.operations import Changed, Here
from extranet.i18n import gettext as _
from extranet.models import User
from extranet.preferences.blueprint import blueprint
from extranet.preferences.codes_page import codes_page
from extranet.preferences.security_page import RefusedName, security_page
from extranet.request import pages
from extranet.request.access import form_on, sensitive
from extranet.request.cookies import change_session, start_session
from extranet.request.current import current
from extranet.request.obligations import while_factor_missing
from extranet.request.state import Kind


@blueprint.get("/security/app")
@while_factor_missing
@sensitive
def app() -> Response:
    """Show a new secret as a drawing, a key and a link. It is stored once a code of it was typed."""
    return _app_page(AppForm(), totp.new_secret())


@blueprint.post("/security/app")
@while_factor_missing
@sensitive
@form_on("preferences.app")
def add_app() -> Response:
    """Store the secret whose code was typed."""
    form = AppForm(request.form)
    try:
        secret = totp.opened_setup(current.keys, current.user.login_id, form.setup.data or "")
    except FactorRefused:
        form.reject("", _("This page was open too long. Scan the new QR code, and delete the entry you made before."))
        return _app_page(form, totp.new_secret(), 422)
    if not form.validate():
        return _app_page(form, secret, 422)
    try:
        changed = operations.add_app(current.db, _here(), secret, form.code.data or "")
    except Invalid as refused:
        form.reject(refused.field, refused.message)
        return _app_page(form, secret, 422)
    return _done(changed, pages.APP_ADDED)


@blueprint.post("/security/app/remove")
@sensitive
@form_on("preferences.security")
def remove_app() -> Response:
    """Remove the authenticator app."""
    try:
        changed = operations.remove_app(current.db, _here())
    except Invalid as refused:
        return _refused(refused)
    return _done(changed, pages.APP_REMOVED)


@blueprint.get("/security/passkeys/new")
@while_factor_missing
@sensitive
def new_passkey() -> Response:
    """Show the form that adds a passkey."""
    return _passkey_page(PasskeyForm(data={"name": describe_browser(current.client.user_agent)}))


@blueprint.get("/security/passkeys")
@while_factor_missing
@sensitive
@form_on("preferences.new_passkey")
def passkey_options() -> Response:
    """Tell the browser what kind of passkey to make."""
    user_id = current.user.id
    if current.db.get_one(User, user_id).passkey_handle is None:
        # The first time: their name towards authenticators is made now, and stays.
        with current.aside() as db:
            operations.make_handle(db, user_id)
    user = current.db.get_one(User, user_id, populate_existing=True)
    return jsonify(passkeys.creation_options(current.db, user, current.tenant.name, _binding()))


@blueprint.post("/security/passkeys")
@while_factor_missing
@sensitive
@form_on("preferences.new_passkey")
def add_passkey() -> Response:
    """Store the passkey that the browser has made."""
    form = PasskeyForm(request.form)
    if not form.validate():
        return _passkey_page(form, 422)
    try:
        made = passkeys.check_new(current.db, form.credential.data or "", _binding())
        changed = operations.add_passkey(current.db, _here(), made, form.name.data or "")
    except FactorRefused:
        current.db.rollback()
        form.reject("", _("The passkey could not be added. Please try again."))
        return _passkey_page(form, 422)
    except Invalid as refused:
        current.db.rollback()
        form.reject(refused.field, refused.message)
        return _passkey_page(form, 422)
    return _done(changed, pages.PASSKEY_ADDED)


@blueprint.post("/security/passkeys/<passkey_id>/rename")
@sensitive
@form_on("preferences.security")
def rename_passkey(passkey_id: str) -> Response:
    """Give a passkey another name."""
    typed = request.form.get("name", "")
    try:
        operations.rename_passkey(current.db, _here(), passkey_id, typed)
    except Invalid as refused:
        return security_page(422, refused_names={passkey_id: RefusedName(typed, refused.message)})
    change_session(notice=pages.PASSKEY_RENAMED)
    return redirect(url_for("preferences.security"), 303)


@blueprint.post("/security/passkeys/<passkey_id>/remove")
@sensitive
@form_on("preferences.security")
def remove_passkey(passkey_id: str) -> Response:
    """Remove a passkey."""
    try:
        changed = operations.remove_passkey(current.db, _here(), passkey_id)
    except Invalid as refused:
        return _refused(refused)
    return _done(changed, pages.PASSKEY_REMOVED)


@blueprint.post("/security/recovery-codes")
@sensitive
@form_on("preferences.security")
def renew_codes() -> Response:
    """Make ten new recovery codes and show them, this once."""
    return codes_page(operations.renew_codes(current.db, _here()))


def _here() -> Here:
    return Here(current.user.id, current.user.login_id, current.origin)


def _binding() -> Binding:
    return Binding(Ceremony.ADD, current.cookie.csrf + current.cookie.secret + current.user.id.encode())


def _done(changed: Changed, notice: int) -> Response:
    if changed.codes:
        start_session(Kind.LOGIN, changed.secret)
        return codes_page(changed.codes, is_first=True)
    start_session(Kind.LOGIN, changed.secret, notice=notice)
    return redirect(url_for("preferences.security"), 303)


def _refused(refused: Invalid) -> Response:
    current.db.rollback()
    return security_page(422, trouble=refused.message)


def _app_page(form: AppForm, secret: bytes, status: int = 200) -> Response:
    link = totp.link_of(secret, current.user.username, current.tenant.name)
    form.setup.data = totp.sealed_setup(current.keys, current.user.login_id, secret)
    key = totp.key_text(secret)
    page = pages.render(
        "preferences/app.html",
        form=form,
        link=link,
        key=" ".join(key[start : start + 4] for start in range(0, len(key), 4)),
        # Made by segno of the link alone: no text of anybody's stands in it.
        drawing=Markup(totp.drawing_of(link)),  # noqa: S704
    )
    return make_response(page, status)


def _passkey_page(form: PasskeyForm, status: int = 200) -> Response:
    page = pages.render("preferences/passkey.html", form=form, passkeys_work=passkeys_work())
    return make_response(page, status)
