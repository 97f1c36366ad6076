"""Every kind of mail there is, and the values its words need. A kind nobody listed cannot be sent."""

from enum import StrEnum


class MailKind(StrEnum):
    """What a mail is about, and the values to give to ``post``.

    ``link`` is a path on the tenant's host; ``when`` and ``until``, aware datetimes. ``seen_from`` is the address a
    browser came from: ``address`` is whom the mail goes to.
    """

    INVITATION = "invitation"  # link, by (name of who invites), until
    RESET = "reset"  # link, until
    RESET_BY_ADMIN = "reset_by_admin"  # link, until, by
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - passkeys (names), when, browser, seen_from, stranger_link
    NEW_BROWSER = "new_browser"  # when, browser, seen_from, stranger_link
    MANY_NEW_BROWSERS = "many_new_browsers"  # when, browser, seen_from, stranger_link: the last of a day
    BROWSER_REUSED = "browser_reused"  # when, browser, seen_from, stranger_link
    STRANGER_REPORTED = "stranger_reported"  # to administrators: person (name), when
    LET_IN_AGAIN = "let_in_again"  # to administrators: person (name), link (to their page), when
    CONFIRM_EMAIL = "confirm_email"  # to the new address: link, until
    EMAIL_CHANGING = "email_changing"  # to the old address: new (masked), link (undo), until
    EMAIL_CHANGED = "email_changed"  # to the old address: new (masked), link (undo), until
    FACTOR_ADDED = "factor_added"  # factor (name), when, stranger_link
    FACTOR_REMOVED = "factor_removed"  # factor (name), when, stranger_link
    FACTORS_RESET = "factors_reset"  # by, when
    RECOVERY_CODES_MADE = "recovery_codes_made"  # when, stranger_link
    RECOVERY_CODE_USED = "recovery_code_used"  # when, left (count), browser, seen_from, stranger_link
    IDENTITY_LINKED = "identity_linked"  # provider, account (both names), when, browser, seen_from, stranger_link
    IDENTITY_UNLINKED = "identity_unlinked"  # provider (name), by ("" or left out: themselves), when, browser
    ACCOUNT_LOCKED = "account_locked"  # when: many failed attempts from unknown browsers
    ACCOUNT_DISABLED = "account_disabled"  # by
    ROLE_CHANGED = "role_changed"  # role, by
    SUPPORT_ASKED = "support_asked"  # to administrators, as the next three: staff (name), reason, hours, writes, link
    SUPPORT_GRANTED = "support_granted"  # staff, by, until, writes, link
    SUPPORT_ENTERED = "support_entered"  # staff, when, until, writes, link
    SUPPORT_ENDED = "support_ended"  # staff, when, link
