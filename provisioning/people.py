"""What all commands about people do: open their tenant's database, and say who somebody is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extranet.models import User
    from provisioning.console import Console
    from tenants.databases import TenantSession


@contextmanager
def changing(console: Console, slug: str) -> Iterator[TenantSession]:
    """Yield a ``db`` on a tenant's database; what is changed in it is committed at the end."""
    tenancy = console.tenancy
    with tenancy.open_db(tenancy.registry.by_slug(slug), writing=True) as db:
        yield db
        db.commit()


def document(user: User) -> dict[str, Any]:
    """Return what a command says of a user in JSON."""
    return {
        "id": user.id,
        "username": user.username,
        "name": user.name,
        "email": user.email,
        "role": str(user.role),
        "state": str(user.state),
    }
