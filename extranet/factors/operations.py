"""Changes to a person's second factors. Each tells them by mail and ends what was signed in elsewhere."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from extranet.accounts.logins import end_logins, forget_browsers, renew_secret
from extranet.accounts.notices import name_of, stranger_link
from extranet.activity.changes import Change
from extranet.activity.operations import note_change
from extranet.errors import Invalid, NotFound
from extranet.factors import recovery_codes, totp
from extranet.factors.passkeys import Registered, passkeys_of
from extranet.factors.policy import is_asked
from extranet.i18n import gettext as _
from extranet.i18n import lazy
from extranet.mail.kinds import MailKind
from extranet.mail.outbox import post
from extranet.models import Company, Login, Passkey, PendingSignIn, Totp, User
from extranet.models.base import utc_now
from extranet.models.company import THE_COMPANY
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin, printable

MOST_PASSKEYS = 20
LONGEST_NAME = 60
APP = lazy("Authenticator app")


@dataclass(frozen=True, slots=True)
class Factors:
    """What a person has besides a password."""

    app_since: datetime | None
    passkeys: Sequence[Passkey]
    codes_left: int
    app_used_at: datetime | None = None
    codes_since: datetime | None = None

    @property
    def count(self) -> int:
        """How many there are; recovery codes only stand in for them."""
        return len(self.passkeys) + (self.app_since is not None)


@dataclass(frozen=True, slots=True)
class Changed:
    """After a change: the new secret of the login in use, and recovery codes to show once, if some were made."""

    secret: bytes
    codes: list[str]


@dataclass(frozen=True, slots=True)
class Here:
    """The login in which a change is made, and where it comes from."""

    user_id: str
    login_id: str
    origin: Origin


def factors_of(db: Session, user_id: str) -> Factors:
    """Return what a person has; an app counts once a code of it was typed."""
    app = db.scalars(select(Totp).where(Totp.user_id == user_id)).one_or_none()
    return Factors(
        app.confirmed_at if app else None,
        passkeys_of(db, user_id),
        recovery_codes.codes_left(db, user_id),
        totp.last_used(app) if app else None,
        recovery_codes.made_at(db, user_id),
    )


def add_app(db: Session, here: Here, secret: bytes, code: str) -> Changed:
    """Add the authenticator app that shows the right code for ``secret``; raise Invalid (field ``code``)."""
    step = totp.step_of(secret, code)
    if step is None:
        raise Invalid(
            "code", _("This code is not right. Check that your phone shows the right time, then type the next code.")
        )
    totp.store(db, here.user_id, secret, step)
    return _added(db, here, {"factor": "totp"}, APP)


def remove_app(db: Session, here: Here) -> Changed:
    """Remove the authenticator app; raise NotFound, or Invalid when it is the last factor and one is required."""
    removed = db.execute(delete(Totp).where(Totp.user_id == here.user_id))
    if removed.rowcount != 1:  # type: ignore[attr-defined]
        raise NotFound("There is no authenticator app.")
    return _removed(db, here, {"factor": "totp"}, APP)


def make_handle(db: Session, user_id: str) -> None:
    """Give a person the random name by which authenticators know them, if they have none yet."""
    user = db.get_one(User, user_id)
    if user.passkey_handle is None:
        user.passkey_handle = secrets.token_bytes(32)


def add_passkey(db: Session, here: Here, made: Registered, name: str) -> Changed:
    """Add a passkey under a name; raise Invalid."""
    if len(passkeys_of(db, here.user_id)) >= MOST_PASSKEYS:
        raise Invalid("", _("At most %(count)s passkeys. Remove one you no longer use first.", count=MOST_PASSKEYS))
    cleaned = _name(name)
    passkey = Passkey(
        user_id=here.user_id,
        credential_id=made.credential_id,
        public_key=made.public_key,
        sign_count=made.sign_count,
        aaguid=made.aaguid,
        transports=made.transports,
        is_backed_up=made.is_backed_up,
        name=cleaned,
        created_at=utc_now(),
    )
    try:
        with db.begin_nested():
            db.add(passkey)
    except IntegrityError as error:
        raise Invalid("", _("This passkey has been added already.")) from error
    return _added(db, here, {"factor": "passkey", "name": cleaned}, cleaned)


def rename_passkey(db: Session, here: Here, passkey_id: str, name: str) -> None:
    """Give a passkey another name; raise NotFound or Invalid (field ``name``)."""
    passkey, cleaned = _own_passkey(db, here.user_id, passkey_id), _name(name)
    if passkey.name == cleaned:
        return
    before, passkey.name = passkey.name, cleaned
    user = db.get_one(User, here.user_id)
    names = {"before": {"passkey": before}, "after": {"passkey": cleaned}}
    note_change(db, Change.FACTOR_RENAMED, actor=user.id, subject=user.id, label=user.name, **names)
    record(db, Event.FACTOR_RENAMED, here.origin, actor=user.id, details={"passkey": passkey.id})


def remove_passkey(db: Session, here: Here, passkey_id: str) -> Changed:
    """Remove a passkey; raise NotFound, or Invalid when it is the last factor and one is required."""
    passkey = _own_passkey(db, here.user_id, passkey_id)
    name = passkey.name
    db.delete(passkey)
    db.flush()
    return _removed(db, here, {"factor": "passkey", "name": name}, name)


def renew_codes(db: Session, here: Here) -> list[str]:
    """Make ten new recovery codes in place of the earlier ones; raise NotFound for somebody without a factor."""
    if factors_of(db, here.user_id).count == 0:
        raise NotFound("There is no factor that recovery codes could stand in for.")
    user = db.get_one(User, here.user_id)
    _login_in_use(db, here)
    codes = recovery_codes.make_codes(db, user.id)
    post(db, MailKind.RECOVERY_CODES_MADE, user, when=utc_now(), stranger_link=stranger_link(db, user))
    note_change(db, Change.RECOVERY_CODES_MADE, actor=user.id, subject=user.id, label=user.name)
    record(db, Event.RECOVERY_CODES_MADE, here.origin, actor=user.id)
    return codes


def reset_factors(db: Session, user: User, origin: Origin, actor: str) -> None:
    """Take all of a person's factors away, for whoever has lost them all; every login and browser of theirs ends."""
    held = factors_of(db, user.id)
    for table in (Totp, Passkey, PendingSignIn):
        db.execute(delete(table).where(table.user_id == user.id))
    recovery_codes.forget_codes(db, user.id)
    forget_browsers(db, user.id)
    ended = end_logins(db, user.id, "factors_reset")
    post(db, MailKind.FACTORS_RESET, user, by=name_of(db, actor), when=utc_now())
    before = {"factors": [*(["totp"] if held.app_since else []), *(passkey.name for passkey in held.passkeys)]}
    note_change(db, Change.FACTORS_RESET, actor=actor, subject=user.id, label=user.name, before=before)
    details = {"logins_ended": ended, "factors": held.count}
    record(db, Event.FACTORS_RESET, origin, actor=actor, subject=user.id, details=details)


def _added(db: Session, here: Here, factor: dict[str, str], shown: object) -> Changed:
    user, login = db.get_one(User, here.user_id), _login_in_use(db, here)
    codes = [] if recovery_codes.codes_left(db, user.id) else recovery_codes.make_codes(db, user.id)
    login.factors = ",".join(dict.fromkeys([*login.factors.split(","), factor["factor"]]))
    changed = _end_elsewhere(db, here, codes)
    post(db, MailKind.FACTOR_ADDED, user, factor=shown, when=utc_now(), stranger_link=stranger_link(db, user))
    note_change(db, Change.FACTOR_ADDED, actor=user.id, subject=user.id, label=user.name, after=factor)
    record(db, Event.FACTOR_ADDED, here.origin, actor=user.id, details={"factor": factor["factor"]})
    if codes:
        note_change(db, Change.RECOVERY_CODES_MADE, actor=user.id, subject=user.id, label=user.name)
        record(db, Event.RECOVERY_CODES_MADE, here.origin, actor=user.id)
    return changed


def _removed(db: Session, here: Here, factor: dict[str, str], shown: object) -> Changed:
    user, company = db.get_one(User, here.user_id), db.get_one(Company, THE_COMPANY)
    if factors_of(db, user.id).count == 0:
        if is_asked(user.role, company.second_factor, company.second_factor_from):
            raise Invalid("", _("Your company asks for a second factor, and this is your last. Add another one first."))
        recovery_codes.forget_codes(db, user.id)
    changed = _end_elsewhere(db, here, [])
    post(db, MailKind.FACTOR_REMOVED, user, factor=shown, when=utc_now(), stranger_link=stranger_link(db, user))
    note_change(db, Change.FACTOR_REMOVED, actor=user.id, subject=user.id, label=user.name, before=factor)
    record(db, Event.FACTOR_REMOVED, here.origin, actor=user.id, details={"factor": factor["factor"]})
    return changed


def _end_elsewhere(db: Session, here: Here, codes: list[str]) -> Changed:
    forget_browsers(db, here.user_id, but=db.get_one(Login, here.login_id).browser_id)
    end_logins(db, here.user_id, "factors_changed", but=here.login_id)
    return Changed(renew_secret(db, here.login_id), codes)


def _login_in_use(db: Session, here: Here) -> Login:
    # Of a tenant's writers one comes after the other: "this wasn't me" has ended this, or will see what it adds.
    login = db.get_one(Login, here.login_id, populate_existing=True)
    if login.ended_at is not None:
        raise NotFound("This login ended a moment ago.")
    return login


def _own_passkey(db: Session, user_id: str, passkey_id: str) -> Passkey:
    mine = (Passkey.id == passkey_id) & (Passkey.user_id == user_id)
    passkey = db.scalars(select(Passkey).where(mine)).one_or_none()
    if passkey is None:
        raise NotFound("No such passkey.")
    return passkey


def _name(typed: str) -> str:
    cleaned = printable(typed, LONGEST_NAME + 1).strip()
    if not 1 <= len(cleaned) <= LONGEST_NAME:
        raise Invalid("name", _("A name has 1 to %(count)s characters.", count=LONGEST_NAME))
    return cleaned
