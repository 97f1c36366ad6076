"""A platform on PostgreSQL servers that may fail: registry and tenants there, people who go on saving meanwhile."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql
from psycopg.conninfo import make_conninfo

from extranet.app import HISTORY
from tenants.servers import Server
from tenants.settings import Settings, read_settings
from tenants.stores.administration import Administration, prepare_server
from tenants.stores.credentials import write_credential
from tenants.tenancy import Tenancy, initialise
from tests.browser import Browser
from tests.extranet.world import COMPANY
from tests.platform import PASSWORD, SLUGS, Platform, add_tenant
from tests.services.postgresql import Cluster

SERVER = "pg1"
CONNECTIONS = 50
PATIENCE = 20.0


def make_registry(cluster: Cluster, folder: Path, ports: str = "") -> str:
    """Make an empty registry's database with a role of its own; return what EXTRANET_REGISTRY_URL is to say."""
    name, password = f"registry_{secrets.token_hex(4)}", secrets.token_hex(16)
    role = sql.Identifier(name)
    cluster.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password)))
    cluster.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))
    passfile = folder / f"{name}.pass"
    passfile.touch(0o600)
    passfile.write_text(f"*:*:{name}:{name}:{password}\n")
    hosts = ",".join(f"{cluster.host}:{port}" for port in (ports or str(cluster.port)).split(","))
    return f"postgresql://{name}@{hosts}/{name}?passfile={passfile}&target_session_attrs=read-write"


def address_of(*clusters: Cluster) -> str:
    """Return the address of whichever of these can be written to."""
    return make_conninfo(
        host=",".join(cluster.host for cluster in clusters),
        port=",".join(str(cluster.port) for cluster in clusters),
        target_session_attrs="read-write",
    )


def make_home(
    home: Path,
    cluster: Cluster,
    registry: str = "",
    *,
    address: str = "",
    connections: int = CONNECTIONS,
    pooled: bool = False,
) -> Settings:
    """Fill an empty folder: the registry where it is said to be, and both tenants on one server."""
    settings = settings_of(home, registry)
    initialise(settings)
    administration = Administration(SERVER, cluster.provisioner())
    prepare_server(administration)
    administration.close()
    write_credential(settings, SERVER, cluster.provisioner())
    with Tenancy.open(settings, HISTORY) as tenancy:
        tenancy.servers.add(Server(SERVER, address or address_of(cluster), pooled, connections))
        for slug in SLUGS:
            add_tenant(tenancy, slug, SERVER)
    return settings


def settings_of(home: Path, registry: str = "") -> Settings:
    return read_settings({"EXTRANET_HOME": str(home), "EXTRANET_REGISTRY_URL": registry})


def until(happens: Callable[[], object], what: str, patience: float = PATIENCE) -> float:
    """Ask again until it happens; return how many seconds that took."""
    began = time.monotonic()
    while not happens():
        assert time.monotonic() < began + patience, what
        time.sleep(0.02)
    return time.monotonic() - began


@dataclass
class Writer:
    """Somebody who saves again and again, and remembers what was acknowledged."""

    browser: Browser
    slug: str
    name: str
    acknowledged: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    slowest: float = 0.0

    def save(self, token: str) -> None:
        number = len(self.statuses)
        began = time.monotonic()
        answer = self.browser.post(
            "/preferences/company", {**COMPANY, "street": f"{number} {self.name} street"}, token=token
        )
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.statuses.append(answer.status_code)
        if answer.status_code == 303:
            self.acknowledged.append(answer.headers["X-Request-Id"])
        else:
            time.sleep(0.05)


@contextmanager
def saving(platform: Platform, each: int = 2) -> Iterator[list[Writer]]:
    """Let people at both tenants save for as long as this is open."""
    writers = [Writer(platform.browser(slug), slug, f"{slug}{number}") for slug in SLUGS for number in range(each)]
    for writer in writers:
        writer.browser.sign_in("anna", PASSWORD)
    stop = threading.Event()

    def run(writer: Writer) -> None:
        token = writer.browser.token()
        while not stop.is_set():
            writer.save(token)

    threads = [threading.Thread(target=run, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        yield writers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def requests_in_log(platform: Platform, slug: str) -> set[str]:
    """Return the numbers of all requests that left an entry in a tenant's log, which is verified on the way."""
    from extranet.security_log.operations import journal, read_all

    with platform.db(slug, writing=False) as db:
        journal(db.info["keys"]).verify(db)
        return {entry.details["request"] for entry in read_all(db)}
