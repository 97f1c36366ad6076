"""Setting out for the company's identity provider, and coming back from it."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response

from extranet.accounts.entering import asked_for, passkeys_work
from extranet.accounts.invitations import token_text
from extranet.accounts.logins import StartedLogin, sign_out
from extranet.errors import ProviderFault, TooManyAttempts
from extranet.factors.operations import Here
from extranet.factors.second_step import Pending, Visitor
from extranet.i18n import current_language
from extranet.request import pages
from extranet.request.access import form_on, public, sensitive, while_password_expired
from extranet.request.cookies import carry_attempt, remember_device, start_session
from extranet.request.current import current
from extranet.request.paths import local_path
from extranet.request.state import Kind
from extranet.single_sign_on import arriving
from extranet.single_sign_on.answering import answered, vouched_for
from extranet.single_sign_on.arriving import Arrival
from extranet.single_sign_on.attempts import Attempt, Errand, Purpose, tied_to
from extranet.single_sign_on.consents import TEXT_VERSION
from extranet.single_sign_on.operations import set_out
from extranet.single_sign_on.protocol import Asked, way_out
from extranet.single_sign_on.provider import answer_address, provider_of
from extranet.single_sign_on.refusals import ConsentMissing, Reason, SignOnRefused
from extranet.single_sign_on.refusing import not_working, page, refuse, wait, way_back

blueprint = Blueprint("single_sign_on", __name__, url_prefix="/sign-on")

_FORMS = {Purpose.SIGN_IN: "start", Purpose.LINK: "link", Purpose.ACCEPT: "accept", Purpose.CONFIRM: "confirm"}


@blueprint.post("/start")
@public
def start() -> Response:
    """Set out to sign in."""
    return _set_out(Errand(Purpose.SIGN_IN, next=local_path(asked_for())))


@blueprint.post("/accept")
@public
def accept() -> Response:
    """Set out to accept the invitation that this browser carries, without a password."""
    if current.cookie.kind is not Kind.INVITATION:
        return refuse(SignOnRefused(Reason.INVITATION), Purpose.ACCEPT)
    return _set_out(Errand(Purpose.ACCEPT, tied_to(current.cookie.secret)))


@blueprint.post("/link")
@sensitive
@form_on("preferences.security")
def link() -> Response:
    """Set out to link the account in use."""
    return _set_out(Errand(Purpose.LINK, current.user.login_id))


@blueprint.post("/confirm")
@while_password_expired
def confirm() -> Response:
    """Set out to prove once more who one is."""
    return _set_out(Errand(Purpose.CONFIRM, current.user.login_id, local_path(asked_for())))


@blueprint.get("/answer")
@public
def answer() -> Response:
    """Take what the provider says, once."""
    try:
        attempt = answered(request.args)
    except SignOnRefused as refused:
        return refuse(refused, Purpose.SIGN_IN)
    carry_attempt(b"")
    try:
        arrival = Arrival(vouched_for(attempt, request.args), attempt.consented_at, _visitor())
        return _ARRIVE[attempt.purpose](arrival, attempt)
    except SignOnRefused as refused:
        return refuse(refused, attempt.purpose)
    except ProviderFault as fault:
        return refuse(not_working(fault), attempt.purpose)
    except ConsentMissing:
        return _ask(Errand(attempt.purpose, attempt.about, attempt.next), is_back=True)
    except TooManyAttempts as refused:
        return wait(refused, attempt.purpose)


def _set_out(errand: Errand) -> Response:
    if not passkeys_work():
        # At a customer's own name for it: what this browser carries is not sent where the provider leads it back to.
        return refuse(SignOnRefused(Reason.OTHER_HOST), errand.purpose)
    agrees = request.form.get("agreed") == TEXT_VERSION
    user_id = current.user.id if current.is_signed_in else ""
    try:
        client, attempt = set_out(current.db, errand, _visitor(), user_id, agrees=agrees)
        asked = Asked(str(current.tenant.uuid), client, answer_address(current.db.info))
        metadata = current.platform.providers.metadata(asked.tenant, client.issuer)
    except ConsentMissing:
        return _ask(errand)
    except TooManyAttempts as refused:
        return wait(refused, errand.purpose)
    except ProviderFault as fault:
        return refuse(not_working(fault), errand.purpose)
    carry_attempt(attempt.sealed_part())
    # A page that leads on by itself: browsers hold the address a form is answered with against ``form-action``.
    url = way_out(metadata, asked, attempt, current_language())
    return page("single_sign_on/going.html", provider=client.name, url=url)


def _sign_in(arrival: Arrival, attempt: Attempt) -> Response:
    with current.aside() as db:
        welcomed = arriving.sign_in(db, arrival)
        if current.is_signed_in:
            sign_out(db, current.user.id, current.user.login_id, current.origin)
    current.platform.addresses.refund_second_step(current.client.address)
    return _let_in(welcomed, attempt.next)


def _accept(arrival: Arrival, _attempt: Attempt) -> Response:
    with current.aside() as db:
        started = arriving.accept(db, arrival, token_text(current.cookie.secret))
    current.platform.addresses.refund_second_step(current.client.address)
    return _let_in(started, "")


def _link(arrival: Arrival, _attempt: Attempt) -> Response:
    with current.aside() as db:
        secret = arriving.link(db, arrival, _here())
    current.platform.addresses.refund_second_step(current.client.address)
    start_session(Kind.LOGIN, secret, notice=pages.LINKED)
    return redirect(url_for("preferences.security"), 303)


def _confirm(arrival: Arrival, attempt: Attempt) -> Response:
    with current.aside() as db:
        secret = arriving.confirm(db, arrival, _here())
    current.platform.addresses.refund_second_step(current.client.address)
    start_session(Kind.LOGIN, secret, notice=pages.CONFIRMED)
    return redirect(local_path(attempt.next), 303)


_ARRIVE: dict[Purpose, Callable[[Arrival, Attempt], Response]] = {
    Purpose.SIGN_IN: _sign_in,
    Purpose.ACCEPT: _accept,
    Purpose.LINK: _link,
    Purpose.CONFIRM: _confirm,
}


def _let_in(welcomed: StartedLogin | Pending, target: str) -> Response:
    if isinstance(welcomed, Pending):
        start_session(Kind.PENDING, welcomed.secret)
        return redirect(url_for("factors.second_step_page", next=target or None), 303)
    start_session(Kind.LOGIN, welcomed.secret)
    remember_device(welcomed.device)
    return redirect(local_path(target), 303)


def _ask(errand: Errand, *, is_back: bool = False) -> Response:
    """Show what would be exchanged, and ask whether they agree.

    Nothing has left by then, unless they are back by what another person at this browser agreed to (``is_back``).
    """
    provider = provider_of(current.db)
    action = url_for(f"single_sign_on.{_FORMS[errand.purpose]}", next=errand.next or None)
    return page(
        "single_sign_on/consent.html",
        provider=provider,
        action=action,
        version=TEXT_VERSION,
        is_back=is_back,
        back=way_back(errand.purpose),
        is_signed_in=current.is_signed_in,
    )


def _visitor() -> Visitor:
    return Visitor(current.state.device, current.origin)


def _here() -> Here:
    return Here(current.user.id, current.user.login_id, current.origin)
