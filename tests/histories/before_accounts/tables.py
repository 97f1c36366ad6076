"""The tables as they were: those of today without what the second revision added."""

from sqlalchemy import MetaData, Table

from extranet.models import Base

_TABLES = (
    "company",
    "company_version",
    "invitation",
    "known_browser",
    "login",
    "profile",
    "profile_version",
    "security_event",
    "security_event_head",
    "throttle",
    "user",
)
_LATER = {
    "company": {
        "second_factor",
        "second_factor_from",
        "shortest_password",
        "idle_minutes",
        "forces_browser_mail",
        "logo",
        "welcome",
    },
    "user": {"passkey_handle", "log_notice_at", "wants_browser_mail"},
    "login": {"factors", "proved_at"},
    "known_browser": {"previous_hash", "rotated_at"},
}

metadata = MetaData()
for name in _TABLES:
    today = Base.metadata.tables[name]
    kept = [column._copy() for column in today.columns if column.name not in _LATER.get(name, set())]
    Table(name, metadata, *kept, info=today.info)
