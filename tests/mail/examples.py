"""One mail of every kind, as those who post them fill them in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from extranet.mail.kinds import MailKind

WHEN = datetime(2026, 11, 22, 13, 5, tzinfo=UTC)
LINK = "/link/" + "a1B2" * 11
STRANGER = "/stranger/" + "c3D4" * 11
SEEN = {"when": WHEN, "browser": "Firefox, Linux", "seen_from": "192.0.2.10", "stranger_link": STRANGER}
ONCE = {"link": LINK, "until": WHEN}
SUPPORT = {"staff": "Olga Ops", "link": "/admin/support"}
MOVED = {**ONCE, "new": "a•••@new.example"}

VALUES: dict[MailKind, dict[str, Any]] = {
    MailKind.INVITATION: {**ONCE, "by": "Anna Martin"},
    MailKind.RESET: ONCE,
    MailKind.RESET_BY_ADMIN: {**ONCE, "by": "Anna Martin"},
    MailKind.PASSWORD_CHANGED: {**SEEN, "passkeys": ["Phone & <tablet>", "Laptop"]},
    MailKind.NEW_BROWSER: SEEN,
    MailKind.MANY_NEW_BROWSERS: SEEN,
    MailKind.BROWSER_REUSED: SEEN,
    MailKind.STRANGER_REPORTED: {"person": "Ben Peeters", "when": WHEN},
    MailKind.LET_IN_AGAIN: {"person": "Ben Peeters", "link": "/admin/people/" + "0" * 32, "when": WHEN},
    MailKind.CONFIRM_EMAIL: ONCE,
    MailKind.EMAIL_CHANGING: MOVED,
    MailKind.EMAIL_CHANGED: MOVED,
    MailKind.FACTOR_ADDED: {**SEEN, "factor": "Phone & <tablet>"},
    MailKind.FACTOR_REMOVED: {**SEEN, "factor": "Phone & <tablet>"},
    MailKind.FACTORS_RESET: {"by": "Anna Martin", "when": WHEN},
    MailKind.RECOVERY_CODES_MADE: SEEN,
    MailKind.RECOVERY_CODE_USED: {**SEEN, "left": 7},
    MailKind.IDENTITY_LINKED: {**SEEN, "provider": "Company ID", "account": "anna@id.example"},
    MailKind.IDENTITY_UNLINKED: {**SEEN, "provider": "Company ID", "by": "Anna Martin"},
    MailKind.ACCOUNT_LOCKED: {"when": WHEN},
    MailKind.ACCOUNT_DISABLED: {"by": "Anna Martin"},
    MailKind.ROLE_CHANGED: {"role": "manager", "by": "Anna Martin"},
    MailKind.SUPPORT_ASKED: {**SUPPORT, "reason": "Ticket & <4711>", "hours": 4, "writes": True},
    MailKind.SUPPORT_GRANTED: {**SUPPORT, "by": "Anna Martin", "until": WHEN, "writes": False},
    MailKind.SUPPORT_ENTERED: {**SUPPORT, "when": WHEN, "until": WHEN, "writes": True},
    MailKind.SUPPORT_ENDED: {**SUPPORT, "when": WHEN},
}
