"""Who has to have a second factor, and since when. Plain rules, for the pages and the operations alike."""

from __future__ import annotations

from datetime import datetime

from extranet.models import Role, SecondFactorPolicy
from extranet.models.base import utc_now

SIGN_ON = "sso"
"""Of ``Login.factors``: the company's identity provider said who it is."""

PROVIDED = "provider"
"""Of ``Login.factors``: it is to have asked for a second factor as well, the company says (proves_second_factor)."""


def has_proved_second(factors: str) -> bool:
    """Tell whether a login was proved with a second factor that is not ours.

    Whoever came so is not asked to set one up here; by their password, if they have one, they are, for then nobody
    has asked for more.
    """
    return PROVIDED in factors.split(",")


def is_asked(role: str, policy: str, since: datetime | None) -> bool:
    """Tell whether a person's company asks them for a second factor, now or from a day to come.

    Administrators stay asked once a deadline has passed for anybody: they could lift the rule for themselves.
    """
    if policy == SecondFactorPolicy.EVERYBODY:
        return True
    return role == Role.ADMIN and (policy == SecondFactorPolicy.ADMINS or (since is not None and since <= utc_now()))


def is_due(role: str, policy: str, since: datetime | None) -> bool:
    """Tell whether that day has come. A rule without a day holds at once."""
    return is_asked(role, policy, since) and (since is None or since <= utc_now())
