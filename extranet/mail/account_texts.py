"""What mails say about an account: how to open it, where its mails go, what it may do."""

from __future__ import annotations

from extranet.i18n import gettext as _
from extranet.mail.words import Cause, Words


def invitation(cause: Cause) -> Words:
    """Say how to open a new account."""
    return Words(
        _("Your account at %(company)s", company=cause.company),
        (
            _("%(name)s has invited you to the extranet of %(company)s.", name=cause.by, company=cause.company),
            _("Choose a password to open your account. Your username is %(username)s.", username=cause.username),
        ),
        _("Choose a password"),
        cause.link(),
        then=(
            _once(cause),
            _("If you expect no invitation, do nothing: without a password the account stays closed."),
        ),
    )


def reset(cause: Cause) -> Words:
    """Say how to choose a new password, to who asked for one."""
    return Words(
        _("A new password for %(company)s", company=cause.company),
        (
            _(
                "Somebody, most likely you, asked for a new password for your account at %(company)s.",
                company=cause.company,
            ),
        ),
        _("Choose a new password"),
        cause.link(),
        then=(_once(cause), _("If it was not you, do nothing: your password stays as it is.")),
    )


def reset_by_admin(cause: Cause) -> Words:
    """Say how to choose a new password, to whom an administrator asks to."""
    return Words(
        _("A new password for %(company)s", company=cause.company),
        (
            _(
                "%(name)s asks you to choose a new password for your account at %(company)s.",
                name=cause.by,
                company=cause.company,
            ),
        ),
        _("Choose a new password"),
        cause.link(),
        then=(_once(cause),),
    )


def confirm_email(cause: Cause) -> Words:
    """Ask at a new address whether it is right."""
    return Words(
        _("Confirm your new address"),
        (_("Mails about your account at %(company)s are to come to this address from now on.", company=cause.company),),
        _("Confirm this address"),
        cause.link(),
        then=(_once(cause), _("If you know nothing of this, do nothing: the address stays as it was.")),
    )


def email_changing(cause: Cause) -> Words:
    """Say at the old address what is about to happen."""
    new = cause.text("new")
    return Words(
        _("Your address is about to change"),
        (
            _(
                "Somebody, most likely you, wants mails about your account at %(company)s elsewhere.",
                company=cause.company,
            ),
            _("They are to go to %(new)s as soon as that address is confirmed.", new=new),
            _("If it was not you, stop it here:"),
        ),
        _("Keep my address"),
        cause.link(),
        then=(_once(cause),),
    )


def email_changed(cause: Cause) -> Words:
    """Say at the old address what has happened."""
    return Words(
        _("Your address has been changed"),
        (
            _(
                "Mails about your account at %(company)s now go to another address: %(new)s.",
                company=cause.company,
                new=cause.text("new"),
            ),
            _("If it was not you, take it back here:"),
        ),
        _("Take it back"),
        cause.link(),
        then=(_once(cause),),
    )


def account_disabled(cause: Cause) -> Words:
    """Say that an account was closed."""
    return Words(
        _("Your account at %(company)s is closed", company=cause.company),
        (
            _(
                "%(name)s has closed your account at %(company)s. You can no longer sign in.",
                name=cause.by,
                company=cause.company,
            ),
            _("If you think this is a mistake, ask an administrator of your company."),
        ),
    )


def role_changed(cause: Cause) -> Words:
    """Say what somebody is from now on."""
    roles = {"admin": _("Administrator"), "manager": _("Manager"), "member": _("Member"), "guest": _("Guest")}
    role = cause.text("role")
    return Words(
        _("Your role has changed"),
        (
            _("%(name)s has changed your role at %(company)s.", name=cause.by, company=cause.company),
            _("Wherever you were signed in, you are asked to sign in again."),
        ),
        facts=((_("Your role now"), roles.get(role, role)),),
    )


def _once(cause: Cause) -> str:
    return _("The link works once, until %(moment)s.", moment=cause.moment("until"))
