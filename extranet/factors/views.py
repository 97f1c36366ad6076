"""The second step of signing in, and signing in by a passkey alone."""

from __future__ import annotations

from flask import Blueprint, jsonify, make_response, redirect, request, url_for
from werkzeug.wrappers import Response

from extranet.accounts.entering import (
    asked_for,
    let_in,
    login_page,
    passkeys_work,
    please_wait,
    with_retry_after,
)
from extranet.accounts.forms import LoginForm
from extranet.errors import FactorRefused, SecondStepOver, TooManyAttempts
from extranet.factors import passkeys, passwordless, recovery_codes, second_step
from extranet.factors.challenges import Binding, Ceremony
from extranet.factors.forms import CodeForm, RecoveryForm
from extranet.factors.operations import factors_of
from extranet.factors.policy import SIGN_ON
from extranet.factors.second_step import Proof, Visitor, Way
from extranet.i18n import gettext as _
from extranet.request import pages
from extranet.request.access import public
from extranet.request.cookies import keep_session, start_session
from extranet.request.current import current
from extranet.request.state import Kind

blueprint = Blueprint("factors", __name__)


@blueprint.get("/login/second-step")
@public
def second_step_page() -> Response:
    """Show what there is to prove oneself with."""
    return _page()


@blueprint.post("/login/second-step")
@public
def take_second_step() -> Response:
    """Take a code: of the app, or a recovery code."""
    if "recovery" in request.form:
        recovery = RecoveryForm(request.form)
        return _take(Proof(Way.RECOVERY, recovery.recovery.data or ""), recovery)
    code = CodeForm(request.form)
    return _take(Proof(Way.CODE, code.code.data or ""), code)


@blueprint.get("/login/second-step/passkey")
@public
def second_step_options() -> Response:
    """Tell the browser what to have signed, by one of the person's passkeys."""
    try:
        waiting = second_step.find(current.db, _secret())
    except SecondStepOver:
        return _over()
    return jsonify(passkeys.request_options(current.db, binding(Ceremony.SECOND_STEP), waiting.user.id))


@blueprint.post("/login/second-step/passkey")
@public
def take_second_step_by_passkey() -> Response:
    """Take what a passkey has signed."""
    proof = Proof(Way.PASSKEY, request.form.get("credential", ""), binding(Ceremony.SECOND_STEP))
    return _take(proof, CodeForm())


@blueprint.get("/login/passkey")
@public
def passkey_options() -> Response:
    """Tell the browser what to have signed, by any passkey it has for this host. Nothing is stored of that."""
    keep_session()
    return jsonify(passkeys.request_options(current.db, binding(Ceremony.SIGN_IN)))


@blueprint.post("/login/passkey")
@public
def sign_in_by_passkey() -> Response:
    """Sign in by what a passkey has signed."""
    form, answer = LoginForm(), request.form.get("credential", "")
    visitor = Visitor(current.state.device, current.origin)
    try:
        started = passwordless.sign_in_by_passkey(
            current.db, current.platform.addresses, answer, binding(Ceremony.SIGN_IN), visitor
        )
    except FactorRefused:
        form.reject("", _("This passkey does not open an account here. Sign in with your password instead."))
        return login_page(form, 422)
    except TooManyAttempts as refused:
        form.reject("", please_wait(refused))
        return login_page(form, 429, refused.retry_after)
    return let_in(started)


def binding(ceremony: Ceremony) -> Binding:
    """Return what ties a challenge to the browser at hand: both secrets of its session cookie."""
    return Binding(ceremony, current.cookie.csrf + current.cookie.secret)


def _take(proof: Proof, form: CodeForm | RecoveryForm) -> Response:
    visitor = Visitor(current.state.device, current.origin)
    if proof.way is not Way.PASSKEY and not form.validate():
        return _page(form, 422)
    try:
        started = second_step.take(current.db, current.platform.addresses, _secret(), proof, visitor)
    except SecondStepOver:
        return _over()
    except FactorRefused:
        form.reject(*_refusal(proof.way))
        return _page(form, 422)
    except TooManyAttempts as refused:
        form.reject("", please_wait(refused))
        return _page(form, 429, refused.retry_after)
    return let_in(started, _notice(started.user_id) if proof.way is Way.RECOVERY else 0)


def _refusal(way: Way) -> tuple[str, str]:
    match way:
        case Way.CODE:
            return "code", _("This code is not right, or was used already. Wait for the next one.")
        case Way.RECOVERY:
            return "recovery", _("This is none of your unused recovery codes.")
        case _:
            return "", _("This passkey was not accepted. Please try again, or use something else.")


def _notice(user_id: str) -> int:
    left = recovery_codes.codes_left(current.db, user_id)
    return pages.RECOVERY_CODES_FEW if left <= recovery_codes.FEW else pages.RECOVERY_CODE_USED


def _page(form: CodeForm | RecoveryForm | None = None, status: int = 200, retry_after: int = 0) -> Response:
    try:
        waiting = second_step.find(current.db, _secret())
    except SecondStepOver:
        return _over()
    page = pages.render(
        "factors/second_step.html",
        person=waiting.user,
        by_sign_on=SIGN_ON in waiting.factors,
        factors=factors_of(current.db, waiting.user.id),
        form=form or CodeForm(),
        code=form if isinstance(form, CodeForm) else CodeForm(),
        recovery=form if isinstance(form, RecoveryForm) else RecoveryForm(),
        passkeys_work=passkeys_work(),
        next=asked_for(),
    )
    return with_retry_after(make_response(page, status), retry_after)


def _over() -> Response:
    if current.cookie.kind is Kind.PENDING:
        start_session(Kind.ANONYMOUS, notice=pages.SIGN_IN_TOO_LATE)
    return redirect(url_for("accounts.login", next=asked_for() or None), 303)


def _secret() -> bytes:
    if current.cookie.kind is not Kind.PENDING:
        raise SecondStepOver("This browser waits for nothing.")
    return current.cookie.secret
