"""Where a database goes that may be anywhere: to the server with the fewest tenants, of those that answer."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from tenants.errors import ServerUnusable
from tenants.stores import store_of
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED

PassOver = Callable[[str], None]
"""Is told why a server was passed over, in a sentence."""

_NOBODY = UUID(int=0)


def least_filled(tenancy: Tenancy, passed_over: PassOver = lambda _why: None) -> str:
    """Return the server with the fewest tenants that answers, or ``embedded`` when none is registered.

    Raises ServerUnusable when none answers.
    """
    faults = []
    for name in tenancy.servers.by_room():
        if not (fault := why_unusable(tenancy, name)):
            return name
        passed_over(fault)
        faults.append(fault)
    if faults:
        raise ServerUnusable(f"No server answers. {' '.join(faults)}")
    return EMBEDDED


def why_unusable(tenancy: Tenancy, server: str) -> str:
    """Return why a server cannot be asked just now; nothing when it can."""
    try:
        refuse_unreachable(tenancy, server)
    except ServerUnusable as error:
        return str(error)
    return ""


def refuse_unreachable(tenancy: Tenancy, server: str) -> None:
    """Raise NoSuchServer, or ServerUnusable unless a server answers a question: before anything is begun there."""
    store_of(tenancy, server).remains(_NOBODY)


def destroy_or_leave(tenancy: Tenancy, server: str, tenant_uuid: UUID) -> None:
    """Destroy what a server holds of a tenant that is not to be there.

    Where it does not answer, that stays, and ``extranet doctor`` names it when the server is back; its login here is
    forgotten, so that nobody of ours ever goes there.
    """
    try:
        store_of(tenancy, server).destroy(tenant_uuid)
    except ServerUnusable:
        tenancy.servers.forget_login(tenant_uuid, server)
