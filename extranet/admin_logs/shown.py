"""Entries as both pages and both files show them: with names instead of ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from extranet.accounts.browsers import describe_browser
from extranet.activity import words as activity_words
from extranet.activity.operations import COMPANY, TENANT
from extranet.admin.forms import FACTOR_POLICIES, LogoForm, LookForm, PolicyForm
from extranet.admin.sign_on_forms import SignOnForm
from extranet.admin.words import ROLES, STATES
from extranet.i18n import LANGUAGES
from extranet.i18n import gettext as _
from extranet.preferences import choices
from extranet.preferences.forms import CompanyForm, DisplayForm, ProfileForm
from extranet.preferences.versions import Change
from extranet.security_log.events import Outcome
from extranet.security_log.origin import EVERYBODY, NOBODY, OPERATOR, PROVIDER, supporter
from extranet.security_log.words import sentence_of
from tenants.journal import Entry


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """An entry of the security log."""

    at: datetime
    sentence: str
    outcome: str
    person: str
    actor: str
    address: str
    browser: str
    reason: str
    page: str


@dataclass(frozen=True, slots=True)
class ShownChange:
    """An entry of the activity log."""

    at: datetime
    sentence: str
    actor: str
    subject: str
    changes: list[Change]


def show_event(entry: Entry, names: Mapping[str, str]) -> ShownEvent:
    """Return an entry of the security log for people. What a stranger typed as a name is not part of it."""
    person = call(entry.subject, names)
    return ShownEvent(
        entry.at,
        sentence_of(entry),
        entry.outcome,
        person,
        call(entry.actor, names) if entry.actor not in {entry.subject, NOBODY} else "",
        entry.private.get("address", ""),
        describe_browser(entry.private.get("user_agent", "")),
        entry.private.get("reason", ""),
        _page_of(entry),
    )


def _page_of(entry: Entry) -> str:
    # Of support alone each page is on record.
    return str(entry.details.get("path", "")) if supporter(entry.actor) else ""


def show_change(entry: Entry, names: Mapping[str, str]) -> ShownChange:
    """Return an entry of the activity log for people."""
    label = entry.private.get("label", "")
    subject = names.get(entry.subject) or label or call(entry.subject, names)
    if label and label != subject:
        subject = f"{subject}: {label}"
    return ShownChange(
        entry.at,
        activity_words.sentence_of(entry.event),
        call(entry.actor, names),
        subject,
        _changes(entry.private.get("before", {}), entry.private.get("after", {})),
    )


def people_in(entries: Iterable[Entry]) -> set[str]:
    """Return the ids of who did something in some entries, and whom it concerns."""
    return {name for entry in entries for name in (entry.actor, entry.subject)}


def call(person: str, names: Mapping[str, str]) -> str:
    """Return how somebody is called who may be nobody, or the operator, or gone."""
    special = {
        OPERATOR: _("Operator of this service"),
        NOBODY: _("Somebody unknown"),
        EVERYBODY: _("Everybody"),
        PROVIDER: _("The identity provider"),
        TENANT: _("This extranet"),
        COMPANY: _("The company"),
    }
    return special.get(person) or names.get(person) or _("Former account %(id)s", id=person[:8])


def result_of(outcome: str) -> str:
    """Return how it ended."""
    return _("Succeeded") if outcome == Outcome.OK else _("Refused")


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    if not before and not after:
        return []
    labels, shown = _labels(), _shown()
    return [
        Change(
            labels.get(name, name.replace("_", " ").capitalize()),
            _value(before.get(name), shown.get(name, {})),
            _value(after.get(name), shown.get(name, {})),
        )
        for name in dict.fromkeys([*before, *after])
    ]


def _value(value: Any, shown: Mapping[str, Any]) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(shown.get(str(value), value))


def _labels() -> dict[str, str]:
    forms = (ProfileForm(), DisplayForm(), CompanyForm(), PolicyForm(), LookForm(), LogoForm(), SignOnForm())
    labels = {field.name: str(field.label.text) for form in forms for field in form}
    return labels | {
        "username": _("Username"),
        "email": _("E-mail"),
        "name": _("Name"),
        "role": _("Role"),
        "state": _("State"),
        "picture": _("Picture"),
        "factor": _("Second factor"),
        "passkey": _("Passkey"),
        "wants_browser_mail": _("Mail about new browsers"),
        "people": _("People"),
        "count": _("People"),
        "everybody": _("Everybody"),
        "logins_ended": _("Sessions ended"),
        "totp": _("Authenticator app"),
        "passkeys": _("Passkeys"),
        "recovery_codes": _("Recovery codes"),
        "slug": _("Address of this extranet"),
        "server": _("Server"),
        "backup": _("Backup"),
        "made_at": _("Made at"),
        "source": _("Copied from"),
        "key_version": _("Key"),
        "removed_events": _("Entries removed from the security log"),
        "removed_changes": _("Entries removed from the activity log"),
        "kept_since": _("Logs kept since"),
        "reason": _("Reason"),
        "hours": _("Hours"),
        "writes": _("May change things"),
        "is_enabled": _("Switched on"),
        "creates_people": _("Makes accounts for everybody it vouches for"),
        "role_values": _("Roles"),
    }


def _shown() -> dict[str, Mapping[str, Any]]:
    """Return the names of what is stored as a code, by field."""
    said = {"True": _("Yes"), "False": _("No")}
    yes_or_no = ("reduce_motion", "forces_browser_mail", "wants_browser_mail")
    visibilities = ("phone_visibility", "mobile_visibility", "address_visibility", "interests_visibility")
    return {
        "sector": choices.SECTORS,
        "country": choices.countries(),
        "contact_channel": choices.CHANNELS,
        "language": LANGUAGES,
        "date_format": choices.DATE_FORMATS,
        "clock": choices.CLOCKS,
        "theme": choices.THEMES,
        "density": choices.DENSITIES,
        "role": ROLES,
        "state": STATES | {"suspended": _("Suspended"), "closed": _("Closed")},
        "factor": {"app": _("Authenticator app"), "passkey": _("Passkey")},
        "second_factor": FACTOR_POLICIES,
        "client_secret": {"stored": _("stored"), "changed": _("changed")},
        **dict.fromkeys(yes_or_no, said),
        **dict.fromkeys(visibilities, choices.VISIBILITIES),
    }
