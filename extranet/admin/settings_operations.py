"""What administrators change about the company as a whole: its security policy and its look. No Flask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from extranet.activity.changes import Change
from extranet.activity.operations import COMPANY, note_change
from extranet.models import Company, CompanyVersion
from extranet.models.company import THE_COMPANY
from extranet.preferences.versions import apply, differences, pack, sides
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin


def change_policy(db: Session, values: Mapping[str, Any], origin: Origin, actor: str) -> bool:
    """Change what is asked of everybody who signs in; return whether anything differed."""
    company = db.get_one(Company, THE_COMPANY)
    changes = differences(company, values)
    if not changes:
        return False
    apply(company, values)
    fields = [field for field, _old, _new in changes]
    note_change(db, Change.POLICY_CHANGED, actor=actor, subject=COMPANY, label=company.legal_name, **sides(changes))
    record(db, Event.POLICY_CHANGED, origin, actor=actor, details={"fields": fields})
    return True


def change_look(db: Session, values: Mapping[str, Any], origin: Origin, actor: str) -> bool:
    """Change the colour and the welcome, keeping what they were; return whether anything differed."""
    company = db.get_one(Company, THE_COMPANY)
    changes = differences(company, values)
    if not changes:
        return False
    apply(company, values)
    db.add(CompanyVersion(changed_by=actor, changes=pack(changes)))
    _note_look(db, company, origin, actor, changes)
    return True


def change_logo(db: Session, name: str, origin: Origin, actor: str) -> str:
    """Set the name of the stored logo ("" for none); return the one it replaces."""
    company = db.get_one(Company, THE_COMPANY)
    replaced, company.logo = company.logo, name
    if replaced != name:
        # Whether there is one; its name would only tell where it lies.
        _note_look(db, company, origin, actor, [("logo", str(bool(replaced)), str(bool(name)))])
    return replaced


def _note_look(db: Session, company: Company, origin: Origin, actor: str, changes: list[tuple[str, str, str]]) -> None:
    note_change(db, Change.BRANDING_CHANGED, actor=actor, subject=COMPANY, label=company.legal_name, **sides(changes))
    fields = [field for field, _old, _new in changes]
    record(db, Event.COMPANY_CHANGED, origin, actor=actor, details={"fields": fields})
