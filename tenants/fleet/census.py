"""Which tenant is where and at which schema: from the registry and the stores, without opening a tenant database."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

from tenants import schema
from tenants.errors import TenancyError
from tenants.stores import store_of
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED, WITH_DATA, State, Tenant


@dataclass(frozen=True, slots=True)
class Stray:
    """A tenant database that the registry does not know to be where it is."""

    server: str
    uuid: UUID


@dataclass(frozen=True, slots=True)
class Census:
    """The fleet at one moment. ``target`` is the schema that this code needs; ``faults`` are servers not reached."""

    target: int
    tenants: list[Tenant]
    versions: dict[UUID, int]
    strays: list[Stray]
    faults: dict[str, str]

    @property
    def behind(self) -> list[Tenant]:
        """The tenants with an older schema than this code needs, by slug."""
        return [tenant for tenant in self.tenants if self.versions.get(tenant.uuid, self.target) < self.target]

    @property
    def missing(self) -> list[Tenant]:
        """The tenants whose database is not where the registry says, by slug; none of a server not reached."""
        return [
            tenant for tenant in self.tenants if tenant.uuid not in self.versions and tenant.server not in self.faults
        ]

    def counts(self) -> dict[str, dict[int, int]]:
        """Return for each server how many of its tenants are at which schema."""
        servers: dict[str, Counter[int]] = {}
        for tenant in self.tenants:
            counter = servers.setdefault(tenant.server, Counter())
            if tenant.uuid in self.versions:
                counter[self.versions[tenant.uuid]] += 1
        return {server: dict(sorted(servers[server].items())) for server in sorted(servers)}


def take_census(tenancy: Tenancy) -> Census:
    """Ask the registry once and every store once. Never in a process that has an embedded tenant's database open."""
    tenants = tenancy.registry.all()
    census = Census(schema.head(tenancy.history), [], {}, [], {})
    census.tenants.extend(tenant for tenant in tenants if tenant.state in WITH_DATA)
    expected = {tenant.uuid: tenant.server for tenant in tenants if tenant.state is not State.PURGED}
    for server in [EMBEDDED, *(server.name for server in tenancy.servers.all())]:
        try:
            found = store_of(tenancy, server).versions()
        except TenancyError as error:
            census.faults[server] = str(error)
            continue
        for uuid, version in found.items():
            if expected.get(uuid) == server:
                census.versions[uuid] = version
            else:
                census.strays.append(Stray(server, uuid))
    return census
