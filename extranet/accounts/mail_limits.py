"""How often somebody is mailed about one thing: a flood of events must not become one of mails."""

from __future__ import annotations

from tenants.keys import TenantKeys
from tenants.throttle import Limit

_DAY = 24 * 3600
_PURPOSE = "throttle"
_NEW_BROWSER_MAILS_A_DAY = 10


def locked_mail_limits(keys: TenantKeys, account: str) -> list[Limit]:
    """Return the limit on mails that tell somebody of failed attempts: one a day, however many there are."""
    return [Limit(keys.mac(_PURPOSE, f"locked-mail/{account}".encode()), 1, _DAY)]


def new_browser_mail_limits(keys: TenantKeys, user_id: str) -> tuple[Limit, Limit]:
    """Return the limits on mails about new browsers in a day, and on the one that says that there were many."""
    return (
        Limit(keys.mac(_PURPOSE, f"new-browser-mail/{user_id}".encode()), _NEW_BROWSER_MAILS_A_DAY, _DAY),
        Limit(keys.mac(_PURPOSE, f"many-browsers-mail/{user_id}".encode()), 1, _DAY),
    )
