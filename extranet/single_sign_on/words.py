"""What somebody reads whom the identity provider's word did not let in: what is wrong, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from extranet.i18n import lazy
from extranet.single_sign_on.attempts import Purpose
from extranet.single_sign_on.refusals import Reason


@dataclass(frozen=True, slots=True)
class Refusal:
    """A page: what happened and what helps. ``%(provider)s`` and ``%(address)s`` are filled in when it is shown."""

    title: Any
    text: Any
    advice: Any
    status: int = 403


_NOTHING = lazy("You were not signed in")
_NOT_LINKED = lazy("Your account was not linked")
_NOT_CONFIRMED = lazy("This did not confirm that it is you")
_AGAIN = lazy("Start again from the beginning. If it happens again, tell your administrator the code below.")

_STALE = Refusal(
    _NOTHING,
    lazy("This attempt is too old, was made already, or was begun in another browser. Nothing has been changed."),
    _AGAIN,
)
_SILENT = Refusal(
    lazy("%(provider)s cannot be reached"),
    lazy("%(provider)s did not answer as it should. Nothing has been changed."),
    lazy("Try again in a few minutes. If you have a password here, you can sign in with that."),
    503,
)
_UNTRUSTED = Refusal(
    _NOTHING,
    lazy("What %(provider)s sent could not be trusted, so it opened nothing. Nothing has been changed."),
    _AGAIN,
)
_LINK_FIRST = lazy(
    "If you have an account here, sign in with your password, then link it: Preferences, Security. Otherwise ask your "
    "administrator for an invitation."
)

TITLES: dict[Purpose, Any] = {
    Purpose.LINK: _NOT_LINKED,
    Purpose.CONFIRM: _NOT_CONFIRMED,
}
"""For whoever wanted something else than to sign in."""

REFUSALS: dict[Reason, Refusal] = {
    Reason.OTHER_HOST: Refusal(
        lazy("Not at this address"),
        lazy("%(provider)s sends people back to %(address)s alone. Nothing has been changed."),
        lazy("Go there and start again."),
    ),
    Reason.NO_ATTEMPT: _STALE,
    Reason.STATE: _STALE,
    Reason.USED: _STALE,
    Reason.OTHER_SESSION: _STALE,
    Reason.PROVIDER_CHANGED: _STALE,
    Reason.DECLINED: Refusal(
        _NOTHING,
        lazy("You stopped at %(provider)s, or it did not let you through. Nothing has been changed."),
        lazy("Start again when you want to, or sign in with your password."),
    ),
    Reason.PROVIDER_ERROR: _SILENT,
    Reason.UNREACHABLE: _SILENT,
    Reason.UNFIT: _SILENT,
    Reason.EXCHANGE: _SILENT,
    Reason.SIGNATURE: _UNTRUSTED,
    Reason.ISSUER: _UNTRUSTED,
    Reason.AUDIENCE: _UNTRUSTED,
    Reason.NONCE: _UNTRUSTED,
    Reason.CLOCK: _UNTRUSTED,
    Reason.CLAIMS: _UNTRUSTED,
    Reason.NOT_FRESH: Refusal(
        _NOT_CONFIRMED,
        lazy("%(provider)s did not ask you anew who you are, or does not say when it did. Nothing has been changed."),
        lazy("Sign out at %(provider)s and try again, or use another way."),
    ),
    Reason.OTHER_ACCOUNT: Refusal(
        _NOT_CONFIRMED,
        lazy("At %(provider)s you are somebody else than your account here is linked to. Nothing has been changed."),
        lazy("Sign in at %(provider)s as yourself and try again."),
    ),
    Reason.UNKNOWN: Refusal(
        _NOTHING,
        lazy("No account here is linked to who you are at %(provider)s. Nothing has been changed."),
        _LINK_FIRST,
    ),
    Reason.ADDRESS_IN_USE: Refusal(
        _NOTHING,
        lazy("Somebody here has your e-mail address, but is not linked to you. Nothing has been changed."),
        lazy("If that is you, sign in with your password, then link your account: Preferences, Security."),
    ),
    Reason.ADDRESS_UNVERIFIED: Refusal(
        _NOTHING,
        lazy("%(provider)s does not say that your e-mail address is verified, so no account was made."),
        _LINK_FIRST,
    ),
    Reason.ADDRESS_FOREIGN: Refusal(
        _NOTHING,
        lazy("People with your e-mail address get no account here by themselves. Nothing has been changed."),
        _LINK_FIRST,
    ),
    Reason.CLOSED: Refusal(
        _NOTHING,
        lazy("Your account here is not open. Nothing has been changed."),
        lazy("If a mail of ours holds a link to a new password, use it. Otherwise ask your administrator."),
    ),
    Reason.TAKEN: Refusal(
        _NOT_LINKED,
        lazy("Who you are at %(provider)s is linked to another account here already. Nothing has been changed."),
        lazy("Unlink the other account first, or ask your administrator to."),
    ),
    Reason.LINKED_ALREADY: Refusal(
        _NOT_LINKED,
        lazy("Your account is linked already. Nothing has been changed."),
        lazy("To link it to another one, unlink it first: Preferences, Security."),
    ),
    Reason.INVITATION: Refusal(
        lazy("This invitation link is not valid"),
        lazy("The link may have expired, may have been used already, or may be incomplete."),
        lazy("Otherwise, ask the person who invited you for a new invitation."),
    ),
}
