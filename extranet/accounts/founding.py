"""What a new tenant's database begins with: its journal, its company and its first administrator."""

from __future__ import annotations

from sqlalchemy.orm import Session

from extranet.accounts.operations import NewUser, create_user
from extranet.activity.operations import activity_journal
from extranet.errors import Invalid
from extranet.i18n import LANGUAGES
from extranet.models import Company, User
from extranet.models.company import THE_COMPANY
from extranet.security_log.operations import journal
from extranet.security_log.origin import OPERATOR, Origin

_FIRST_TIME_ZONE = {"en": "Europe/Paris", "fr": "Europe/Paris", "nl": "Europe/Amsterdam"}

# A hue of its own from the first day, out of those that suit most companies; their administrator picks from all 36.
_FIRST_HUES = (250, 160, 290, 20, 220, 330, 190, 270)


def found_tenant(db: Session, company: str, language: str, admin: NewUser, origin: Origin) -> User:
    """Fill a new tenant's database and return its first administrator, who has no password yet; raise Invalid."""
    if language not in LANGUAGES:
        raise Invalid("locale", f"There is no language {language!r}. There are: {', '.join(LANGUAGES)}.")
    for begun in (journal, activity_journal):
        begun(db.info["keys"]).start(db)
    db.add(
        Company(
            id=THE_COMPANY,
            legal_name=company,
            language=language,
            time_zone=_FIRST_TIME_ZONE[language],
            accent_hue=_hue(company),
        )
    )
    db.flush()
    return create_user(db, admin, origin, OPERATOR)


def _hue(name: str) -> int:
    return _FIRST_HUES[sum(name.encode()) % len(_FIRST_HUES)]
