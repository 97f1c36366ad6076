"""What mails say when something happened that its owner should know of, and perhaps did not do."""

from __future__ import annotations

from extranet.i18n import gettext as _
from extranet.i18n import ngettext
from extranet.mail.words import Cause, Words


def password_changed(cause: Cause) -> Words:
    """Say that a password was changed."""
    return Words(
        _("Your password has been changed"),
        (_("The password of your account at %(company)s has been changed.", company=cause.company), _passkeys(cause)),
        facts=cause.where,
        guarded=True,
    )


def new_browser(cause: Cause) -> Words:
    """Say that somebody signed in with a browser that was not known."""
    return Words(
        _("Signed in with a new browser"),
        (_("Your account at %(company)s was opened with a browser that was not known before.", company=cause.company),),
        facts=cause.where,
        may_be_off=True,
        guarded=True,
    )


def many_new_browsers(cause: Cause) -> Words:
    """Say that there were so many new browsers in a day that no more of them are told of."""
    return Words(
        _("Signed in with many new browsers"),
        (
            _(
                "Your account at %(company)s was opened with more than ten browsers in one day that were never seen.",
                company=cause.company,
            ),
            _("You get no more mails about new browsers today. Your sign-in history lists them all."),
        ),
        facts=cause.where,
        may_be_off=True,
        guarded=True,
    )


def browser_reused(cause: Cause) -> Words:
    """Say that what a browser is known by was used a second time, as after it was copied."""
    return Words(
        _("A copy of one of your browsers was used"),
        (
            _(
                "Somebody came to your account at %(company)s with what a browser of yours is known by.",
                company=cause.company,
            ),
            _("That browser is no longer known. The next sign-in with it is treated like one with a new browser."),
        ),
        facts=cause.where,
        guarded=True,
    )


def stranger_reported(cause: Cause) -> Words:
    """Tell administrators that somebody reported a stranger."""
    return Words(
        _("Somebody else may have used the account of %(person)s", person=cause.text("person")),
        (
            _(
                "%(person)s reports that their account at %(company)s was used by somebody else.",
                person=cause.text("person"),
                company=cause.company,
            ),
            _("It has been signed out everywhere, and a new password has to be chosen."),
            _("Please find out together what happened."),
        ),
        facts=cause.where,
    )


def let_in_again(cause: Cause) -> Words:
    """Tell administrators that somebody reported a stranger, and that no mail lets them in again."""
    person = cause.text("person")
    return Words(
        _("%(person)s waits for you to let them in again", person=person),
        (
            _(
                "%(person)s reports that their account at %(company)s was used by somebody else.",
                person=person,
                company=cause.company,
            ),
            _(
                "It has been signed out everywhere and its password no longer works. What was added to it since, to "
                "sign in with, has been removed."
            ),
            _(
                "No link to a new password was mailed to them: whoever merely reads their mail must not get in that "
                "way."
            ),
            _(
                "Speak to them, face to face or on the phone, and ask whether they sent this report themselves. If "
                "not, somebody else reads their mail, which has to end first."
            ),
            _(
                "Once you are sure that it is them and that their address is right, mail them a link from their page: "
                "Help them in, Mail a link. The address can be corrected there."
            ),
        ),
        _("Open their page"),
        cause.link(),
        facts=cause.where,
    )


def factor_added(cause: Cause) -> Words:
    """Say that an account can be opened in one more way."""
    return Words(
        _("A second factor was added"),
        (_("From now on your account at %(company)s can also be opened with this:", company=cause.company),),
        facts=(_factor(cause), *cause.where),
        guarded=True,
    )


def factor_removed(cause: Cause) -> Words:
    """Say that an account can be opened in one way less."""
    return Words(
        _("A second factor was removed"),
        (_("Your account at %(company)s can no longer be opened with this:", company=cause.company),),
        facts=(_factor(cause), *cause.where),
        guarded=True,
    )


def factors_reset(cause: Cause) -> Words:
    """Say that an administrator removed all second factors."""
    return Words(
        _("Your second factors were removed"),
        (
            _(
                "%(name)s has removed all second factors and recovery codes of your account at %(company)s.",
                name=cause.by,
                company=cause.company,
            ),
            _("Sign in with your password, then set up new ones."),
        ),
        facts=cause.where,
        guarded=True,
    )


def recovery_codes_made(cause: Cause) -> Words:
    """Say that there are new recovery codes."""
    return Words(
        _("New recovery codes were made"),
        (
            _(
                "Your account at %(company)s has new recovery codes. The earlier ones no longer work.",
                company=cause.company,
            ),
        ),
        facts=cause.where,
        guarded=True,
    )


def recovery_code_used(cause: Cause) -> Words:
    """Say that a recovery code was used, and how many are left."""
    left = int(cause.values["left"])
    return Words(
        _("A recovery code was used"),
        (
            _("Your account at %(company)s was opened with a recovery code.", company=cause.company),
            ngettext("You have %(count)s code left.", "You have %(count)s codes left.", left),
        ),
        facts=cause.where,
        guarded=True,
    )


def identity_linked(cause: Cause) -> Words:
    """Say that an account can be opened by way of the company's identity provider."""
    provider = cause.text("provider")
    return Words(
        _("You can now sign in with %(provider)s", provider=provider),
        (
            _(
                "Your account at %(company)s has been connected to an account at %(provider)s. Whoever signs in there "
                "as the following person comes in here as you.",
                company=cause.company,
                provider=provider,
            ),
            _("You can undo this at any time: Preferences, Security."),
        ),
        facts=((provider, cause.text("account")), *cause.where),
        guarded=True,
    )


def identity_unlinked(cause: Cause) -> Words:
    """Say that an account can no longer be opened that way, and who saw to it."""
    told = {"provider": cause.text("provider"), "company": cause.company}
    if cause.text("by"):
        said = _("%(name)s has disconnected your account at %(company)s from %(provider)s.", name=cause.by, **told)
    else:
        said = _("Your account at %(company)s has been disconnected from %(provider)s.", **told)
    return Words(
        _("You can no longer sign in with %(provider)s", provider=told["provider"]),
        (said, _("Your other ways of signing in stay as they are.")),
        facts=cause.where,
        guarded=True,
    )


def account_locked(cause: Cause) -> Words:
    """Say that somebody is guessing."""
    return Words(
        _("Somebody is trying your password"),
        (
            _("Your account at %(company)s was tried many times with a wrong password.", company=cause.company),
            _("Browsers that are not known are refused for a while. Those you have used before still let you in."),
            _("There is nothing you must do."),
        ),
        facts=cause.where,
    )


def _passkeys(cause: Cause) -> str:
    names = cause.values["passkeys"]
    if not names:
        return _("No passkey opens this account.")
    return ngettext(
        "%(count)s passkey still opens this account: %(names)s.",
        "%(count)s passkeys still open this account: %(names)s.",
        len(names),
        names=", ".join(names),
    )


def _factor(cause: Cause) -> tuple[str, str]:
    return _("Second factor"), cause.text("factor")
