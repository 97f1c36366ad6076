"""Choosing a password: what a tenant asks of one, which ones somebody had before, and storing it.

Three steps, so that no lock is held while guessing and hashing: read the rules in one transaction, end it, let the
rules judge and hash the password, store the hash in another one.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from extranet.accounts.names import guessable_words
from extranet.accounts.passwords import Passwords, check_new_password, estimate, opened, seal
from extranet.errors import Invalid
from extranet.i18n import gettext as _
from extranet.models import Company, PreviousPassword, User
from extranet.models.base import utc_now
from extranet.models.company import THE_COMPANY
from extranet.models.previous_password import PREVIOUS_PASSWORD_SEAL
from tenants.errors import BadSeal
from tenants.keys import TenantKeys

_KEPT = 5


@dataclass(frozen=True, slots=True)
class PasswordRules:
    """What is asked of one person's next password. ``earlier`` are the hashes of those they had, the newest first."""

    shortest: int
    words: tuple[str, ...]
    earlier: tuple[str, ...] = ()

    def check(self, password: str) -> int:
        """Raise Invalid (field ``password``) for one that is too short, too long or easy to guess.

        Return how good it is, 3 or 4.
        """
        return check_new_password(password, list(self.words), self.shortest)

    def estimate(self, password: str) -> int:
        """Return how hard any password is to guess, from 0 to 4."""
        return estimate(password, list(self.words))

    def encoded(self, passwords: Passwords, password: str) -> str:
        """Return the hash of a password that passes; raise Invalid (field ``password``) or NoSlot. Takes its time."""
        self.check(password)
        if passwords.matches_any(self.earlier, password):
            raise Invalid("password", _("You had this password before. Choose one you have not used here yet."))
        return passwords.encoded(password)


def password_rules(db: Session, user: User) -> PasswordRules:
    """Return what is asked of the next password of a user."""
    keys = db.info["keys"]
    newest = (
        select(PreviousPassword.password)
        .where(PreviousPassword.user_id == user.id)
        .order_by(PreviousPassword.replaced_at.desc(), PreviousPassword.id)
        .limit(_KEPT)
    )
    before = [_opened(keys, user.id, sealed) for sealed in db.scalars(newest)]
    known = [encoded for encoded in (opened(keys, user.id, user.password), *before) if encoded]
    return PasswordRules(shortest_password(db), tuple(guessable_words(db, user)), tuple(known))


def shortest_password(db: Session) -> int:
    """Return how many characters a password has at least in this tenant."""
    return db.execute(select(Company.shortest_password).where(Company.id == THE_COMPANY)).scalar_one()


def store_password(db: Session, user: User, encoded: str) -> None:
    """Store the hash of a user's new password, and remember the one it replaces."""
    _remember(db, user)
    user.password = seal(db.info["keys"], user.id, encoded)
    user.password_changed_at = utc_now()
    user.must_change_password = False


def withdraw_password(db: Session, user: User) -> None:
    """Make a user's password open nothing from now on; they choose another one by a link."""
    _remember(db, user)
    user.password = b""
    user.must_change_password = True


def _remember(db: Session, user: User) -> None:
    keys = db.info["keys"]
    if replaced := opened(keys, user.id, user.password):
        context = PREVIOUS_PASSWORD_SEAL.bound_to(user.id)
        sealed = keys.seal(PREVIOUS_PASSWORD_SEAL.purpose, replaced.encode(), context=context)
        db.add(PreviousPassword(user_id=user.id, password=sealed, replaced_at=utc_now()))
        db.flush()
        _forget_oldest(db, user.id)


def _forget_oldest(db: Session, user_id: str) -> None:
    mine = select(PreviousPassword.id).where(PreviousPassword.user_id == user_id)
    surplus = db.scalars(mine.order_by(PreviousPassword.replaced_at.desc(), PreviousPassword.id).offset(_KEPT)).all()
    if surplus:
        db.execute(delete(PreviousPassword).where(PreviousPassword.id.in_(surplus)))


def _opened(keys: TenantKeys, user_id: str, sealed: bytes) -> str:
    try:
        context = PREVIOUS_PASSWORD_SEAL.bound_to(user_id)
        return keys.open(PREVIOUS_PASSWORD_SEAL.purpose, sealed, context=context).decode()
    except BadSeal:
        return ""
