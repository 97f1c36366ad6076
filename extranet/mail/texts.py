"""The texts of every kind of mail, in the language in use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from extranet.i18n import gettext as _
from extranet.mail import account_texts, safety_texts, support_texts
from extranet.mail.kinds import MailKind
from extranet.mail.words import Cause, Words


def words_of(kind: MailKind, cause: Cause) -> Words:
    """Return what a mail of this kind says; raise TypeError unless it is given just the values it needs."""
    needed, text = _TEXTS[kind]
    names = set(needed.split())
    must = {name for name in names if name not in _MAY_BE_UNKNOWN}
    if not must <= set(cause.values) <= names:
        raise TypeError(f"A mail {kind!r} takes {sorted(names)}, not {sorted(cause.values)}.")
    words = text(cause)
    return _guarded(words, cause) if words.guarded else words


def _guarded(words: Words, cause: Cause) -> Words:
    if link := cause.link("stranger_link"):
        said = _("If it was not you, say so at once. All sessions then end, and a new password has to be chosen.")
    else:
        said = _("If you did not expect this, tell an administrator of your company at once.")
    return replace(words, then=(said,), stranger_link=link)


_MAY_BE_UNKNOWN = frozenset({"by", "browser", "seen_from", "stranger_link"})
_SEEN = "when browser seen_from stranger_link"
_TEXTS: dict[MailKind, tuple[str, Callable[[Cause], Words]]] = {
    MailKind.INVITATION: ("link by until", account_texts.invitation),
    MailKind.RESET: ("link until", account_texts.reset),
    MailKind.RESET_BY_ADMIN: ("link until by", account_texts.reset_by_admin),
    MailKind.PASSWORD_CHANGED: (f"passkeys {_SEEN}", safety_texts.password_changed),
    MailKind.NEW_BROWSER: (_SEEN, safety_texts.new_browser),
    MailKind.MANY_NEW_BROWSERS: (_SEEN, safety_texts.many_new_browsers),
    MailKind.BROWSER_REUSED: (_SEEN, safety_texts.browser_reused),
    MailKind.STRANGER_REPORTED: ("person when", safety_texts.stranger_reported),
    MailKind.LET_IN_AGAIN: ("person link when", safety_texts.let_in_again),
    MailKind.CONFIRM_EMAIL: ("link until", account_texts.confirm_email),
    MailKind.EMAIL_CHANGING: ("new link until", account_texts.email_changing),
    MailKind.EMAIL_CHANGED: ("new link until", account_texts.email_changed),
    MailKind.FACTOR_ADDED: (f"factor {_SEEN}", safety_texts.factor_added),
    MailKind.FACTOR_REMOVED: (f"factor {_SEEN}", safety_texts.factor_removed),
    MailKind.FACTORS_RESET: (f"by {_SEEN}", safety_texts.factors_reset),
    MailKind.RECOVERY_CODES_MADE: (_SEEN, safety_texts.recovery_codes_made),
    MailKind.RECOVERY_CODE_USED: (f"left {_SEEN}", safety_texts.recovery_code_used),
    MailKind.IDENTITY_LINKED: (f"provider account {_SEEN}", safety_texts.identity_linked),
    MailKind.IDENTITY_UNLINKED: (f"provider by {_SEEN}", safety_texts.identity_unlinked),
    MailKind.ACCOUNT_LOCKED: ("when browser seen_from", safety_texts.account_locked),
    MailKind.ACCOUNT_DISABLED: ("by", account_texts.account_disabled),
    MailKind.ROLE_CHANGED: ("role by", account_texts.role_changed),
    MailKind.SUPPORT_ASKED: ("staff reason hours writes link", support_texts.asked),
    MailKind.SUPPORT_GRANTED: ("staff by until writes link", support_texts.granted),
    MailKind.SUPPORT_ENTERED: ("staff when until writes link", support_texts.entered),
    MailKind.SUPPORT_ENDED: ("staff when link", support_texts.ended),
}
