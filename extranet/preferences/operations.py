"""Changes to a person's own profile, display and picture, and to the company's registration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from extranet.activity.changes import Change
from extranet.activity.operations import COMPANY, note_change
from extranet.models import Company, CompanyVersion, Profile, ProfileVersion, User
from extranet.models.company import THE_COMPANY
from extranet.preferences.versions import apply, differences, pack, sides
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin

NAME_FIELDS = ("first_name", "last_name")
_KEPT_VERSIONS = 200


def change_profile(db: Session, user_id: str, values: Mapping[str, str]) -> bool:
    """Change a person's name and profile, keeping what it said before; return whether anything differed."""
    user, profile = db.get_one(User, user_id), db.get_one(Profile, user_id)
    names = {field: values[field] for field in NAME_FIELDS}
    rest = {field: value for field, value in values.items() if field not in NAME_FIELDS}
    changes = differences(user, names) + differences(profile, rest)
    if not changes:
        return False
    apply(user, names)
    apply(profile, rest)
    db.add(ProfileVersion(user_id=user_id, changed_by=user_id, changes=pack(changes)))
    db.flush()
    _forget_oldest_versions(db, user_id)
    note_change(db, Change.PROFILE_CHANGED, actor=user_id, subject=user_id, label=user.name, **sides(changes))
    return True


def change_display(db: Session, user_id: str, values: Mapping[str, Any]) -> None:
    """Change how a person sees the pages."""
    user = db.get_one(User, user_id)
    if changes := differences(user, values):
        apply(user, values)
        note_change(db, Change.DISPLAY_CHANGED, actor=user_id, subject=user_id, label=user.name, **sides(changes))


def change_browser_mail(db: Session, user_id: str, *, wanted: bool) -> None:
    """Change whether a person is mailed when a browser never seen signs in as them."""
    user = db.get_one(User, user_id)
    values = {"wants_browser_mail": wanted}
    if changes := differences(user, values):
        apply(user, values)
        note_change(db, Change.DISPLAY_CHANGED, actor=user_id, subject=user_id, label=user.name, **sides(changes))


def change_avatar(db: Session, user_id: str, name: str) -> str:
    """Set the name of a person's stored picture ("" for none); return the one it replaces."""
    user = db.get_one(User, user_id)
    replaced, user.avatar = user.avatar, name
    if replaced != name:
        # Whether there is one; its name would only tell where it lies.
        states = {"before": {"picture": bool(replaced)}, "after": {"picture": bool(name)}}
        note_change(db, Change.PICTURE_CHANGED, actor=user_id, subject=user_id, label=user.name, **states)
    return replaced


def change_company(db: Session, user_id: str, values: Mapping[str, Any], origin: Origin) -> bool:
    """Change the company's registration, keeping what it said before; return whether anything differed."""
    company = db.get_one(Company, THE_COMPANY)
    changes = differences(company, values)
    if not changes:
        return False
    apply(company, values)
    db.add(CompanyVersion(changed_by=user_id, changes=pack(changes)))
    label = company.legal_name
    note_change(db, Change.COMPANY_CHANGED, actor=user_id, subject=COMPANY, label=label, **sides(changes))
    record(db, Event.COMPANY_CHANGED, origin, actor=user_id, details={"fields": [field for field, _, _ in changes]})
    return True


def _forget_oldest_versions(db: Session, user_id: str) -> None:
    newest = select(ProfileVersion.id).where(ProfileVersion.user_id == user_id)
    surplus = db.scalars(newest.order_by(ProfileVersion.at.desc(), ProfileVersion.id).offset(_KEPT_VERSIONS)).all()
    if surplus:
        db.execute(delete(ProfileVersion).where(ProfileVersion.id.in_(surplus)))
