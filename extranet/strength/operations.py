"""Judging a password that is being typed, for the one person who may choose it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy.orm import Session

from extranet.accounts.limits import reserve_all, strength_limits
from extranet.accounts.new_passwords import password_rules
from extranet.errors import Invalid, TooManyAttempts
from extranet.i18n import gettext as _
from extranet.models import User

_BEST_REFUSED = 2


@dataclass(frozen=True, slots=True)
class Strength:
    """From 0 to 4, of which 3 and 4 are good enough, and a sentence that says why."""

    score: int
    sentence: str


def judge(db: Session, user: User, password: str, secret: bytes) -> Strength:
    """Say how good a password would be for a user. ``secret`` is that of the session that asks.

    Raises TooManyAttempts. Commits before it judges, which may take 70 ms: no lock is held for that.
    """
    rules = password_rules(db, user)
    wait = reserve_all(db, strength_limits(db.info["keys"], secret.hex()), int(time.time()))
    db.commit()
    if wait:
        raise TooManyAttempts(wait)
    try:
        return Strength(rules.check(password), _("This is a good password."))
    except Invalid as refused:
        return Strength(min(rules.estimate(password), _BEST_REFUSED), refused.message)
