"""How a tenant's mails stand, for ``extranet doctor``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from provisioning.findings import Finding
from tenants.tenancy import Tenancy
from tenants.tenant import State, Tenant

_LONGEST_WAIT = timedelta(minutes=15)
_LOST_WITHIN = timedelta(days=7)


def examine_mail(tenancy: Tenancy, tenant: Tenant) -> Iterator[Finding]:
    """Yield what is wrong with a tenant's mails. Those of one that is not served are meant to wait."""
    from extranet.mail.leases import standing
    from extranet.models.base import utc_now

    if tenant.state is not State.ACTIVE:
        return
    now = utc_now()
    with tenancy.open_db(tenant) as db:
        found = standing(db, waiting_since=now - _LONGEST_WAIT, given_up_after=now - _LOST_WITHIN)
    about = f"{tenant.slug} mail"
    if found.waiting:
        waits = f"{_mails(found.waiting)} for more than {_LONGEST_WAIT.seconds // 60} minutes"
        yield Finding(about, False, f"{waits}: is extranet worker running, and what does its log say?")
    if found.given_up:
        lost = f"{_mails(found.given_up, 'could not be delivered')} in the last {_LOST_WITHIN.days} days"
        yield Finding(about, False, f"{lost}. To whom and why: extranet log show {tenant.slug}")


def _mails(count: int, verb: str = "") -> str:
    return f"{count} {'mail' if count == 1 else 'mails'} {verb or ('waits' if count == 1 else 'wait')}"
