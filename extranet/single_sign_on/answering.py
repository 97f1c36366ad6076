"""The answer of the provider, from the browser's hands: whether it belongs to a try of this very browser, and once."""

from __future__ import annotations

import time
from collections.abc import Mapping

from extranet.errors import TooManyAttempts
from extranet.request.cookies import carried_attempt
from extranet.request.current import current
from extranet.request.state import Kind
from extranet.single_sign_on.attempts import Attempt, Purpose, opened, tied_to
from extranet.single_sign_on.operations import come_back
from extranet.single_sign_on.protocol import Asked, Vouched, vouch, word_of
from extranet.single_sign_on.provider import answer_address
from extranet.single_sign_on.refusals import Reason, SignOnRefused
from tenants.keys import same


def answered(given: Mapping[str, str]) -> Attempt:
    """Return the try that an answer belongs to; raise SignOnRefused."""
    attempt = opened(carried_attempt())
    if attempt is None:
        raise SignOnRefused(Reason.NO_ATTEMPT)
    if not same(given.get("state", "").encode(), attempt.state.encode()):
        raise SignOnRefused(Reason.STATE)
    return attempt


def vouched_for(attempt: Attempt, given: Mapping[str, str]) -> Vouched:
    """Return whom the provider vouches for; no transaction is open while it is asked.

    Raises SignOnRefused, ProviderUnreachable, ProviderUnfit or TooManyAttempts.
    """
    if attempt.about != _tie(attempt.purpose):
        raise SignOnRefused(Reason.OTHER_SESSION)
    platform = current.platform
    wait = platform.addresses.reserve_second_step(current.client.address, int(time.time()))
    if wait:
        raise TooManyAttempts(wait)
    origin = answer_address(current.db.info)
    with current.aside() as db:
        client = come_back(db, attempt)
    if given.get("iss", attempt.issuer) != attempt.issuer:
        raise SignOnRefused(Reason.ISSUER, detail="iss")
    if "error" in given:
        declined = given["error"] == "access_denied"
        raise SignOnRefused(Reason.DECLINED if declined else Reason.PROVIDER_ERROR, detail=word_of(given["error"]))
    asked = Asked(str(current.tenant.uuid), client, origin)
    if platform.providers.metadata(asked.tenant, client.issuer).names_itself and "iss" not in given:
        raise SignOnRefused(Reason.ISSUER, detail="iss")
    return vouch(platform.outbound, platform.providers, asked, attempt, given.get("code", ""))


def _tie(purpose: Purpose) -> str:
    """Return what a try has to be tied to for this browser to go on with it."""
    match purpose:
        case Purpose.LINK | Purpose.CONFIRM:
            return current.user.login_id if current.is_signed_in else "nobody"
        case Purpose.ACCEPT:
            return tied_to(current.cookie.secret) if current.cookie.kind is Kind.INVITATION else "nobody"
        case _:
            return ""
