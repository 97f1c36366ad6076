"""The pages that say why the identity provider's word did not let somebody in; each refusal is on record."""

from __future__ import annotations

from flask import make_response, url_for
from werkzeug.wrappers import Response

from extranet.accounts.entering import please_wait, with_retry_after
from extranet.errors import ProviderFault, ProviderUnreachable, TooManyAttempts
from extranet.i18n import gettext as _
from extranet.request import pages
from extranet.request.current import current
from extranet.request.events import note
from extranet.security_log.events import Event, Outcome
from extranet.security_log.operations import record
from extranet.security_log.origin import NOBODY
from extranet.single_sign_on.attempts import Purpose
from extranet.single_sign_on.provider import provider_of
from extranet.single_sign_on.refusals import Reason, SignOnRefused
from extranet.single_sign_on.words import REFUSALS, TITLES

_BACK = {
    Purpose.SIGN_IN: "accounts.login",
    Purpose.LINK: "preferences.security",
    Purpose.ACCEPT: "accounts.invitation",
    Purpose.CONFIRM: "confirmation.show",
}


def way_back(purpose: Purpose) -> str:
    """Return the path of the page somebody set out from."""
    return url_for(_BACK[purpose])


def refuse(refused: SignOnRefused, purpose: Purpose) -> Response:
    """Say what was wrong, once and clearly; it is on record, and nothing has been changed."""
    # The event has a transaction of its own, and waits for nobody's.
    current.db.rollback()
    _note(refused, purpose)
    said, provider = REFUSALS[refused.reason], provider_of(current.db)
    own = current.db.info["origin"]
    words = {"provider": provider.name if provider else _("your company's sign-on"), "address": own}
    elsewhere = own if refused.reason is Reason.OTHER_HOST else ""
    return page(
        "single_sign_on/refused.html",
        said.status,
        title=str(said.title if elsewhere else TITLES.get(purpose, said.title)) % words,
        text=str(said.text) % words,
        advice=str(said.advice) % words,
        code=refused.reason,
        back=elsewhere + way_back(purpose),
    )


def _note(refused: SignOnRefused, purpose: Purpose) -> None:
    details = {"reason": str(refused.reason), "for": str(purpose), "said": refused.detail}
    if not refused.subject:
        note(Event.SIGN_ON_REFUSED, details=details)
        return
    actor = current.user.id if current.is_signed_in else NOBODY
    with current.aside() as db:
        outcome, subject = Outcome.REFUSED, refused.subject
        record(
            db, Event.SIGN_ON_REFUSED, current.origin, actor=actor, subject=subject, outcome=outcome, details=details
        )


def not_working(fault: ProviderFault) -> SignOnRefused:
    """Return the refusal that a provider's fault comes down to for whoever wanted to sign in."""
    return SignOnRefused(Reason.UNREACHABLE if isinstance(fault, ProviderUnreachable) else Reason.UNFIT)


def wait(refused: TooManyAttempts, purpose: Purpose) -> Response:
    """Ask for patience."""
    shown = page(
        "single_sign_on/refused.html",
        429,
        title=_("Too many attempts"),
        text=please_wait(refused),
        advice="",
        code="",
        back=way_back(purpose),
    )
    return with_retry_after(shown, refused.retry_after)


def page(template: str, status: int = 200, **values: object) -> Response:
    """Show a page of these, and tell nobody from where one goes on."""
    response = make_response(pages.render(template, **values), status)
    # The address may hold a code of the provider's.
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
