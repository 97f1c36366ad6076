"""What ``extranet doctor`` looks at on each PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from provisioning.findings import Finding
from tenants.errors import ServerUnusable, TenantUnavailable
from tenants.servers import Server, database_name
from tenants.tenant import EMBEDDED, State, Tenant

if TYPE_CHECKING:
    from tenants.stores.administration import Administration
    from tenants.stores.examining import ServerFacts
    from tenants.tenancy import Tenancy

_WITHOUT_DATABASE = frozenset({State.PROVISIONING, State.PURGED})
_OWN = ("postgres", "template1")
_SCRAM = "scram-sha-256"


def examine_servers(tenancy: Tenancy, tenants: list[Tenant]) -> Iterator[Finding]:
    """Yield what is to be said of every registered server."""
    from tenants.stores.administration import Administration
    from tenants.stores.credentials import read_credential

    for server in tenancy.servers.all():
        try:
            administration = Administration(server.name, read_credential(tenancy.settings, server.name))
            tenancy.opened.callback(administration.close)
            yield from _examine(tenancy, server, administration, tenants)
        except ServerUnusable as error:
            yield Finding(f"server {server.name}", False, str(error))


def _examine(
    tenancy: Tenancy, server: Server, administration: Administration, tenants: list[Tenant]
) -> Iterator[Finding]:
    from tenants.stores.examining import look_at

    about, facts = f"server {server.name}", look_at(administration)
    here = [tenant for tenant in tenants if tenant.server == server.name and tenant.state not in _WITHOUT_DATABASE]
    count = "1 tenant" if len(here) == 1 else f"{len(here)} tenants"
    yield Finding(about, True, f"PostgreSQL {facts.version}, {count}, the operator's credential is for its owner alone")
    yield _settings(about, server, facts)
    yield _rights(about, facts)
    yield _rules(about, tenancy, administration, here)
    yield from _strays(about, tenancy, server, facts, tenants)
    for tenant in here:
        if database_name(tenant.uuid) not in facts.databases:
            yield Finding(f"{about} {tenant.slug}", False, f"its database {database_name(tenant.uuid)} is not there.")


def _settings(about: str, server: Server, facts: ServerFacts) -> Finding:
    faults = []
    if facts.password_encryption != _SCRAM:
        faults.append(f"password_encryption is {facts.password_encryption}: set it to {_SCRAM}.")
    if not facts.encrypted:
        faults.append("Connections cross the network unencrypted: set ssl = on, and sslmode=verify-full in the URL.")
    if server.connections > facts.free_connections and not server.pooled:
        faults.append(
            f"It has {facts.free_connections} connections to give and {server.connections} are registered: raise "
            f"max_connections, or extranet server add {server.name} --connections {facts.free_connections}"
        )
    if facts.talkative_logins:
        faults.append(
            f"Errors of {facts.talkative_logins} tenants' logins stand in the server's log with the rows they are "
            "about: log_error_verbosity = terse, or let the operator's role set it and run extranet server add again."
        )
    return Finding(f"{about} settings", not faults, " ".join(faults) or "passwords, encryption and connections")


def _rights(about: str, facts: ServerFacts) -> Finding:
    if not facts.open_databases:
        return Finding(f"{about} rights", True, "no database that concerns tenants is open to every role")
    closing = " ".join(facts.open_databases.values())
    return Finding(
        f"{about} rights", False, f"Every role may connect to {', '.join(facts.open_databases)}. Let it run: {closing}"
    )


def _rules(about: str, tenancy: Tenancy, administration: Administration, here: list[Tenant]) -> Finding:
    from tenants.stores.examining import hole_in_rules

    about, hole = f"{about} access", hole_in_rules(administration)
    if hole:
        return Finding(about, False, f"{hole}. See what extranet server add says of it.")
    if hole == "":
        return Finding(about, True, "pg_hba.conf lets each tenant's login into its own database alone")
    if not here:
        return Finding(about, True, "not tried: there is no tenant, and the credential may not read pg_hba.conf")
    return _tried(about, tenancy, administration, here)


def _tried(about: str, tenancy: Tenancy, administration: Administration, here: list[Tenant]) -> Finding:
    """Try what must not work: one tenant's login at the others' doors."""
    from tenants.stores.examining import knock

    one, *others = here
    own = database_name(one.uuid)
    foreign = [*(database_name(tenant.uuid) for tenant in others[:1]), *_OWN]
    try:
        answers = knock(administration, own, tenancy.servers.password_of(one), [own, *foreign])
    except TenantUnavailable as error:
        return Finding(about, False, str(error))
    if answers.pop(own):
        return Finding(about, True, f"not tried: the login of {one.slug} is not let in, see {one.slug}")
    return _judged(about, one, answers)


def _judged(about: str, tenant: Tenant, answers: Mapping[str, str]) -> Finding:
    entered = [name for name, answer in answers.items() if not answer]
    if entered:
        return Finding(about, False, f"the login of {tenant.slug} is let into {', '.join(entered)} as well.")
    if all("pg_hba.conf" in answer for answer in answers.values()):
        return Finding(about, True, "tried: neither rights nor pg_hba.conf let a tenant's login in elsewhere")
    return Finding(
        about,
        True,
        "tried: rights alone keep a tenant's login out elsewhere; extranet server add says which lines of pg_hba.conf "
        "would do so as well",
    )


def _strays(
    about: str, tenancy: Tenancy, server: Server, facts: ServerFacts, tenants: list[Tenant]
) -> Iterator[Finding]:
    """Yield what the registry does not know to be there. It is the truth, never a listing."""
    known = {database_name(uuid) for uuid in _expected(tenancy, server, tenants)}
    elsewhere = {database_name(tenant.uuid): tenant for tenant in tenants if tenant.server != server.name}
    for kind, names in (("database", facts.databases), ("role", facts.roles)):
        for name in sorted(names):
            if name.startswith("tpl_") or _owner(name) in known:
                continue
            tenant = elsewhere.get(_owner(name))
            says = (
                _left_behind(tenancy, server, facts, tenant)
                if tenant
                else "belongs to no tenant in the registry. Look at it, then drop it."
            )
            yield Finding(f"{about} {kind} {name}", False, says)


def _left_behind(tenancy: Tenancy, server: Server, facts: ServerFacts, tenant: Tenant) -> str:
    """Say of what is a tenant's that it is not served from here. Never to drop it: it may be all that there is."""
    from tenants.stores.registering import known_identity

    whose = f"is of {tenant.slug}, which is on {tenant.server} in the registry"
    other = "embedded" if tenant.server == EMBEDDED else known_identity(tenancy, tenant.server)
    if facts.identity and facts.identity == other:
        return (
            f"{whose}: {server.name} and {tenant.server} are two names of one server. Leave it, move what is on "
            f"{server.name} elsewhere, and forget that name: extranet server remove {server.name}"
        )
    doubt = "" if facts.identity and other else f", or {server.name} and {tenant.server} are one server"
    return (
        f"{whose} and served from there. Either this was left behind, by a move or a server that was lost{doubt}. "
        f"Keep it until you know which, and that nobody misses anything of it."
    )


def _expected(tenancy: Tenancy, server: Server, tenants: list[Tenant]) -> set[UUID]:
    """Return whom something on a server may be of; of those with whom something is unfinished, wherever they are."""
    from tenants import unfinished

    with tenancy.registry.engine.connect() as connection:
        begun = {found.tenant_uuid for found in unfinished.find_all(connection)}
    return begun | {tenant.uuid for tenant in tenants if tenant.server == server.name}


def _owner(name: str) -> str:
    # t_<32 digits>, whatever follows.
    return name[:34]
