"""What mails say to administrators when the operator's support asks to be let in, is, comes, and no longer is."""

from __future__ import annotations

from extranet.i18n import gettext as _
from extranet.i18n import ngettext
from extranet.mail.words import Cause, Words


def asked(cause: Cause) -> Words:
    """Say who asks for access, and what for."""
    hours = int(cause.values["hours"])
    return Words(
        _("Support asks for access to %(company)s", company=cause.company),
        (
            _(
                "%(staff)s of support asks to be let into the extranet of %(company)s.",
                staff=cause.text("staff"),
                company=cause.company,
            ),
            _("Nobody gets in unless an administrator grants it. Without an answer the request lapses after 7 days."),
        ),
        _("Answer the request"),
        cause.link(),
        facts=(
            (_("Reason"), cause.text("reason")),
            (_("How long"), ngettext("%(num)s hour", "%(num)s hours", hours)),
            (_("What for"), _what_for(cause)),
        ),
        then=(_("If you expect no help from support, decline it."),),
    )


def granted(cause: Cause) -> Words:
    """Say who let whom in, and until when."""
    return Words(
        _("Support has been given access to %(company)s", company=cause.company),
        (
            _(
                "%(name)s has given %(staff)s of support access to the extranet of %(company)s.",
                name=cause.by,
                staff=cause.text("staff"),
                company=cause.company,
            ),
            _("It ends by itself. Every page that support opens is in your security log."),
        ),
        _("See or revoke it"),
        cause.link(),
        facts=((_("Until"), cause.moment("until")), (_("What for"), _what_for(cause))),
    )


def entered(cause: Cause) -> Words:
    """Say that somebody of support has come in."""
    return Words(
        _("Support has entered %(company)s", company=cause.company),
        (
            _(
                "%(staff)s of support has entered the extranet of %(company)s, as an administrator allowed.",
                staff=cause.text("staff"),
                company=cause.company,
            ),
            _("Every page that support opens is in your security log. You can revoke the access at any moment."),
        ),
        _("See or revoke it"),
        cause.link(),
        facts=(
            (_("When"), cause.moment("when")),
            (_("Until"), cause.moment("until")),
            (_("What for"), _what_for(cause)),
        ),
    )


def ended(cause: Cause) -> Words:
    """Say that the access is over before its time."""
    return Words(
        _("Support no longer has access to %(company)s", company=cause.company),
        (
            _(
                "The access of %(staff)s of support to the extranet of %(company)s has ended.",
                staff=cause.text("staff"),
                company=cause.company,
            ),
        ),
        _("See what was opened"),
        cause.link(),
        facts=((_("When"), cause.moment("when")),),
    )


def _what_for(cause: Cause) -> str:
    if cause.values["writes"]:
        return _("Reading, and changing the company’s registration and look")  # noqa: RUF001
    return _("Reading only")
