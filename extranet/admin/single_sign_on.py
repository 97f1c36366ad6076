"""Administration > Single sign-on: where people sign in elsewhere, and who gets in that way."""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import make_response, redirect, request, url_for
from werkzeug.wrappers import Response

from extranet.accounts.limits import reserve_all
from extranet.admin import sign_on_operations as operations
from extranet.admin.blueprint import blueprint, for_admins
from extranet.admin.sign_on_forms import SignOnForm, known_kinds, stored_values
from extranet.errors import Invalid, NotFound, ProviderFault
from extranet.i18n import gettext as _
from extranet.models import IdentityProvider
from extranet.request import pages
from extranet.request.access import form_on, sensitive
from extranet.request.cookies import change_session
from extranet.request.current import current
from extranet.single_sign_on.discovery import Metadata, discover, fetch_keys
from extranet.single_sign_on.limits import try_limits
from extranet.single_sign_on.provider import answer_address

_PAGE = "admin.single_sign_on"


@dataclass(frozen=True, slots=True)
class _Tried:
    """What came of asking the provider what it is: one of the two."""

    found: Metadata | None = None
    trouble: str = ""


@blueprint.get("/single-sign-on")
@for_admins
@sensitive
def single_sign_on() -> Response:
    """Show the settings."""
    return _page()


@blueprint.post("/single-sign-on")
@for_admins
@sensitive
def save_single_sign_on() -> Response:
    """Change the settings."""
    provider = operations.the_provider(current.db)
    was_on = provider is not None and provider.is_enabled
    form = SignOnForm(request.form)
    if not form.validate() or not form.check(provider):
        return _page(form, status=422)
    if form.is_overtaken_by(stored_values(provider)):
        return _page(form, status=409)
    operations.save_provider(current.db, form.provider_values(), form.new_secret(), current.origin, current.user.id)
    is_on = _the_provider().is_enabled
    return _done(pages.SIGN_ON_NOW_OFF if was_on and not is_on else pages.SAVED)


@blueprint.post("/single-sign-on/try")
@for_admins
@sensitive
@form_on(_PAGE)
def try_single_sign_on() -> Response:
    """Ask the provider what it is, and show it; nothing is changed."""
    tried = _try(_the_provider().issuer)
    return _page(tried=tried, status=422 if tried.trouble else 200)


@blueprint.post("/single-sign-on/on")
@for_admins
@sensitive
@form_on(_PAGE)
def turn_on_single_sign_on() -> Response:
    """Ask the provider what it is and, when it answers as one should, let people sign in with it."""
    issuer = _the_provider().issuer
    tried = _try(issuer)
    if tried.trouble:
        return _page(tried=tried, status=422)
    try:
        operations.turn_on(current.db, issuer, current.origin, current.user.id)
    except Invalid as refused:
        current.db.rollback()
        return _page(tried=_Tried(trouble=refused.message), status=409)
    return _done(pages.SIGN_ON_ON)


@blueprint.post("/single-sign-on/off")
@for_admins
@sensitive
@form_on(_PAGE)
def turn_off_single_sign_on() -> Response:
    """Let nobody sign in with it any more."""
    operations.turn_off(current.db, current.origin, current.user.id)
    return _done(pages.SIGN_ON_OFF)


@blueprint.get("/single-sign-on/remove")
@for_admins
@sensitive
def ask_to_remove_single_sign_on() -> Response:
    """Say what removing means, before it is done."""
    linked = operations.count_linked(current.db)
    html = pages.render(
        "admin/single_sign_on_remove.html",
        provider=_the_provider(),
        linked=linked.now + linked.before,
        stranded=operations.count_stranded(current.db),
    )
    return make_response(html)


@blueprint.post("/single-sign-on/remove")
@for_admins
@sensitive
@form_on("admin.ask_to_remove_single_sign_on")
def remove_single_sign_on() -> Response:
    """Forget the provider and everybody's link with it."""
    operations.remove_provider(current.db, current.origin, current.user.id)
    return _done(pages.SIGN_ON_REMOVED)


def _try(issuer: str) -> _Tried:
    wait = reserve_all(current.db, try_limits(current.keys), int(time.time()))
    # Somebody else's server is asked, for seconds: nobody of the company waits for this one's database meanwhile.
    current.db.commit()
    if wait:
        return _Tried(trouble=_("Too many tries. Please wait a quarter of an hour."))
    try:
        found = discover(current.platform.outbound, issuer)
        fetch_keys(current.platform.outbound, found)
    except ProviderFault as fault:
        return _Tried(trouble=str(fault))
    return _Tried(found)


def _the_provider() -> IdentityProvider:
    provider = operations.the_provider(current.db)
    if provider is None:
        raise NotFound("There is no identity provider.")
    return provider


def _done(notice: int) -> Response:
    change_session(notice=notice)
    return redirect(url_for(_PAGE), 303)


def _page(form: SignOnForm | None = None, *, tried: _Tried | None = None, status: int = 200) -> Response:
    provider = operations.the_provider(current.db)
    html = pages.render(
        "admin/single_sign_on.html",
        form=form or SignOnForm.of(stored_values(provider)),
        provider=provider,
        tried=tried,
        host=urlsplit(tried.found.authorization_endpoint).netloc if tried and tried.found else "",
        linked=operations.count_linked(current.db),
        kinds=known_kinds(),
        redirect_address=answer_address(current.db.info),
    )
    return make_response(html, status)
