"""Asking somebody who is signed in to prove once more who they are, and leading them back to where they were."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, jsonify, make_response, redirect, request
from werkzeug.wrappers import Response

from extranet.accounts.entering import passkeys_work
from extranet.confirmation.forms import ConfirmForm
from extranet.confirmation.operations import confirm_by_factor, confirm_by_password, has_password
from extranet.errors import FactorRefused, Invalid, NoSlot, TooManyAttempts
from extranet.factors.challenges import Binding, Ceremony
from extranet.factors.forms import CodeForm, RecoveryForm
from extranet.factors.operations import Here, factors_of
from extranet.factors.passkeys import request_options
from extranet.factors.second_step import Proof, Way
from extranet.forms import BaseForm
from extranet.i18n import gettext as _
from extranet.request import pages
from extranet.request.access import while_password_expired
from extranet.request.cookies import start_session
from extranet.request.current import current
from extranet.request.paths import local_path
from extranet.request.state import Kind
from extranet.single_sign_on.provider import confirming_provider

blueprint = Blueprint("confirmation", __name__)


@blueprint.get("/confirm")
@while_password_expired
def show() -> Response:
    """Show what there is to prove oneself with, or lead on whoever has no need of it."""
    if current.user.is_proved:
        return redirect(_next(), 303)
    return _page()


@blueprint.post("/confirm")
@while_password_expired
def confirm() -> Response:
    """Take the password, a code of the app, or a recovery code; the login goes on under a new secret."""
    if "code" in request.form:
        code = CodeForm(request.form)
        return _take(code, lambda: _by_factor(Proof(Way.CODE, code.code.data or "")))
    if "recovery" in request.form:
        recovery = RecoveryForm(request.form)
        return _take(recovery, lambda: _by_factor(Proof(Way.RECOVERY, recovery.recovery.data or "")))
    form = ConfirmForm(request.form)
    passwords = current.platform.passwords
    return _take(form, lambda: confirm_by_password(current.db, passwords, _here(), form.password.data or ""))


@blueprint.get("/confirm/passkey")
@while_password_expired
def passkey_options() -> Response:
    """Tell the browser what to have signed, by one of the person's passkeys."""
    return jsonify(request_options(current.db, _binding(), current.user.id))


@blueprint.post("/confirm/passkey")
@while_password_expired
def confirm_by_passkey() -> Response:
    """Take what a passkey has signed."""
    proof = Proof(Way.PASSKEY, request.form.get("credential", ""), _binding())
    return _take(BaseForm(), lambda: _by_factor(proof))


def _take(form: BaseForm, prove: Callable[[], bytes]) -> Response:
    if not form.validate():
        return _page(form, 422)
    try:
        secret = prove()
    except Invalid as refused:
        form.reject(refused.field, refused.message)
        return _page(form, 422)
    except FactorRefused:
        form.reject(*_refusal(form))
        return _page(form, 422)
    except TooManyAttempts:
        form.reject("", _("Too many attempts. Please wait a quarter of an hour and try again."))
        return _page(form, 429)
    except NoSlot:
        form.reject("", _("The server is very busy. Please try again in a few seconds."))
        return _page(form, 503)
    start_session(Kind.LOGIN, secret, notice=pages.CONFIRMED)
    return redirect(_next(), 303)


def _by_factor(proof: Proof) -> bytes:
    return confirm_by_factor(current.db, _here(), proof)


def _here() -> Here:
    return Here(current.user.id, current.user.login_id, current.origin)


def _binding() -> Binding:
    return Binding(Ceremony.CONFIRM, current.cookie.csrf + current.cookie.secret)


def _refusal(form: BaseForm) -> tuple[str, str]:
    match form:
        case CodeForm():
            return "code", _("This code is not right, or was used already. Wait for the next one.")
        case RecoveryForm():
            return "recovery", _("This is none of your unused recovery codes.")
        case _:
            return "", _("This passkey was not accepted. Please try again, or use something else.")


def _next() -> str:
    return local_path(request.args.get("next", ""))


def _page(form: BaseForm | None = None, status: int = 200) -> Response:
    page = pages.render(
        "confirmation/confirm.html",
        form=form or BaseForm(),
        password=form if isinstance(form, ConfirmForm) else ConfirmForm(),
        code=form if isinstance(form, CodeForm) else CodeForm(),
        recovery=form if isinstance(form, RecoveryForm) else RecoveryForm(),
        factors=factors_of(current.db, current.user.id),
        passkeys_work=passkeys_work(),
        sign_on=confirming_provider(current.db, current.user.id),
        has_password=has_password(current.db, current.user.id),
        next=_next(),
    )
    return make_response(page, status)
