"""What commands say of a tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provisioning.console import Console
from tenants.tenant import EMBEDDED

if TYPE_CHECKING:
    from tenants.tenant import Tenant


def tenant_document(console: Console, tenant: Tenant) -> dict[str, Any]:
    """Return a tenant as the registry knows it."""
    return {
        "slug": tenant.slug,
        "name": tenant.name,
        "state": str(tenant.state),
        "uuid": str(tenant.uuid),
        "url": tenant_url(console, tenant),
        "server": tenant.server,
    }


def storage(console: Console, tenant: Tenant) -> int | None:
    """Return the bytes of a tenant's database and files; None when its server cannot be asked."""
    from tenants.errors import TenancyError
    from tenants.stores import store_of

    folder = console.settings.folder_of(tenant.uuid)
    files = sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
    if tenant.server == EMBEDDED:
        return files
    try:
        return files + store_of(console.tenancy, tenant.server).size(tenant)
    except TenancyError:
        return None


def tenant_url(console: Console, tenant: Tenant) -> str:
    """Return where a tenant is served."""
    return console.settings.origin(console.settings.host_of(tenant.slug))
