"""Letting a PostgreSQL server hold tenants: what the operator gives, what the server is asked, what is kept of it."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tenants.errors import BadServer, NoSuchServer, ServerUnusable
from tenants.servers import Server, database_name
from tenants.stores.administration import Administration, access_rules, free_connections, prepare_server
from tenants.stores.credentials import read_credential, remove_credential, write_credential
from tenants.stores.examining import identity_of
from tenants.stores.roles import owner_name
from tenants.tenancy import Tenancy, fewest_connections
from tenants.tenant import EMBEDDED, SLUG_LENGTH, SLUG_PATTERN, State

_NAME = re.compile(SLUG_PATTERN, re.ASCII)
_POOLER = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\],]+)):([0-9]{1,5})", re.ASCII)
_POOLER_SECONDS = 5
_DEFAULT_SHARE = 0.75

# The operator's own, secret or not: tenants sign in as themselves, to databases of their own.
_OPERATORS = {
    *("user", "password", "passfile", "dbname", "sslcert", "sslkey", "sslpassword", "options", "replication"),
    *("application_name", "fallback_application_name", "connect_timeout"),
}
# Which of several hosts it is, a pooler finds out for itself.
_HOSTS = {"host", "hostaddr", "port", "target_session_attrs", "load_balance_hosts"}


@dataclass(frozen=True, slots=True)
class Registration:
    """A registered server, and what its own administrator has still to do: SQL, and lines of pg_hba.conf."""

    server: Server
    replaced: bool
    statements: list[str]
    rules: list[str]


def register_server(
    tenancy: Tenancy, name: str, url: str, *, connections: int | None = None, through: str = ""
) -> Registration:
    """Check a server and let it hold tenants, or replace what is registered under this name.

    ``url`` makes databases and roles there and is kept for operators alone; what the web is told of it is the address.
    ``through`` is HOST:PORT of a pooler in transaction mode, by which tenants' logins come in.
    Raises BadServer, ServerUnusable, Busy.
    """
    parse_server_name(name)
    given = _parse_url(url)
    pooler = _parse_pooler(through)
    administration = Administration(name, url)
    try:
        with tenancy.locks.hold(f"the server {name}"):
            with administration.server() as admin:
                identity = identity_of(admin)
                _refuse_second_name(tenancy, name, identity)
                _refuse_without_tenants(tenancy, name, admin)
                most = _count_connections(tenancy, admin, connections, pooled=bool(pooler))
                rules = _rules(admin)
            statements = prepare_server(administration)
            server = Server(name, _address(given, pooler), bool(pooler), most, identity)
            write_credential(tenancy.settings, name, url)
            return Registration(server, _keep(tenancy, server), statements, rules)
    finally:
        administration.close()


def remove_server(tenancy: Tenancy, name: str) -> None:
    """Forget a server that holds no tenant, and the operator's credential; raise NoSuchServer or ServerInUse."""
    with tenancy.locks.hold(f"the server {parse_server_name(name)}"):
        tenancy.servers.remove(name)
        remove_credential(tenancy.settings, name)


def why_unreachable(tenancy: Tenancy, name: str) -> str:
    """Return why a server cannot be reached with the operator's credential; nothing when it can."""
    try:
        _ask_identity(tenancy, name)
    except ServerUnusable as error:
        return str(error)
    return ""


def known_identity(tenancy: Tenancy, name: str) -> str:
    """Return what a registered server's cluster calls itself; nothing when that cannot be known just now."""
    try:
        return tenancy.servers.by_name(name).identity or _ask_identity(tenancy, name)
    except (NoSuchServer, ServerUnusable):
        return ""


def parse_server_name(text: str) -> str:
    """Return a server's name when it is one; raise BadServer."""
    if len(text) not in SLUG_LENGTH or not _NAME.fullmatch(text) or text == EMBEDDED:
        raise BadServer(
            "A server's name is made of 2 to 32 letters a-z, digits and single hyphens, and is not 'embedded'."
        )
    return text


def _parse_url(url: str) -> dict[str, Any]:
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error:
        # Its own words quote what it did not understand, which may well be the password.
        raise BadServer("This is no URL of a server, such as postgresql://USER:PASSWORD@HOST/postgres.") from None
    if not (given.get("host") or given.get("hostaddr")):
        raise BadServer("The URL names no host: postgresql://USER:PASSWORD@HOST/postgres.")
    return given


def _parse_pooler(text: str) -> tuple[str, int] | None:
    if not text:
        return None
    match = _POOLER.fullmatch(text)
    if match is None or not 0 < int(match[3]) < 2**16:
        raise BadServer(f"{text!r} is no address of a pooler, such as 127.0.0.1:6432.")
    pooler = match[1] or match[2], int(match[3])
    try:
        socket.create_connection(pooler, _POOLER_SECONDS).close()
    except OSError as error:
        raise BadServer(f"Nothing answers at {text}: {error.strerror or error}.") from error
    return pooler


def _address(given: dict[str, Any], pooler: tuple[str, int] | None) -> str:
    kept = {key: value for key, value in given.items() if key not in _OPERATORS}
    if pooler is not None:
        kept = {key: value for key, value in kept.items() if key not in _HOSTS}
        kept |= {"host": pooler[0], "port": pooler[1]}
    return make_conninfo("", **kept)


def _count_connections(tenancy: Tenancy, admin: psycopg.Connection[Any], asked: int | None, *, pooled: bool) -> int:
    # A pooler takes in many more than the server gives, and only its own administrator knows how many.
    free, fewest = free_connections(admin), fewest_connections(tenancy.settings)
    count = int(free * _DEFAULT_SHARE) if asked is None else asked
    if count < fewest:
        raise BadServer(
            f"{count} connections are too few: every serving process needs one and operators 4, {fewest} in all."
        )
    if count > free and not pooled:
        raise BadServer(f"{count} connections are too many: the server has {free} to give (max_connections).")
    return count


def _ask_identity(tenancy: Tenancy, name: str) -> str:
    administration = Administration(name, read_credential(tenancy.settings, name))
    try:
        with administration.server() as admin:
            return identity_of(admin)
    finally:
        administration.close()


def _refuse_second_name(tenancy: Tenancy, name: str, identity: str) -> None:
    # Under two names the tenants of one would look like strays of the other, to be dropped.
    for other in tenancy.servers.all():
        if identity and other.name != name and known_identity(tenancy, other.name) == identity:
            raise BadServer(
                f"This server is registered already, as {other.name}. To change its address, credential or "
                f"connections: extranet server add {other.name}"
            )


def _refuse_without_tenants(tenancy: Tenancy, name: str, admin: psycopg.Connection[Any]) -> None:
    # What is registered may get another address or credential, never be another server.
    held = [
        tenant.uuid
        for tenant in tenancy.registry.all()
        if tenant.server == name and tenant.state not in {State.PROVISIONING, State.PURGED}
    ]
    databases = admin.execute(
        "SELECT count(*) FROM pg_database WHERE datname = ANY(%s)", ([database_name(uuid) for uuid in held],)
    ).fetchone()
    if databases != (len(held),):
        which = (
            "1 tenant, whose database is not" if len(held) == 1 else f"{len(held)} tenants, whose databases are not all"
        )
        raise ServerUnusable(f"{name} holds {which} on this server.")
    foreign = admin.execute(
        "SELECT count(*) FROM pg_roles WHERE rolname = ANY(%s) AND NOT pg_has_role(oid, 'MEMBER')",
        ([owner_name(uuid) for uuid in held],),
    ).fetchone()
    if foreign != (0,):
        raise ServerUnusable(
            f"The role {admin.info.user} may not change the tenants' databases: give the URL of the role that made "
            "them, or make this one a member of it."
        )


def _rules(admin: psycopg.Connection[Any]) -> list[str]:
    row = admin.execute("SELECT host(inet_client_addr())").fetchone()
    seen = row[0] if row else None
    network = f"{seen}/{128 if ':' in seen else 32}" if seen else ""
    return access_rules(admin.info.user, network, tls=bool(admin.pgconn.ssl_in_use))


def _keep(tenancy: Tenancy, server: Server) -> bool:
    """Register a server; tell whether it was registered before."""
    try:
        tenancy.servers.change(server)
    except NoSuchServer:
        tenancy.servers.add(server)
        return False
    return True
