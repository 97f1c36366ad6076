"""Where tenant databases are kept, and what only operators may do there: create, change the schema, copy, destroy.

The web reaches a tenant database through ``databases`` alone, with a login that can do none of this.

store.py       what every store can do
embedded.py    SQLite files in the home folder
postgresql.py  databases and roles on one PostgreSQL server
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from tenants.stores.embedded import EmbeddedStore
from tenants.tenant import EMBEDDED

if TYPE_CHECKING:
    from tenants.stores.store import Store
    from tenants.tenancy import Tenancy

_opened: WeakKeyDictionary[Tenancy, dict[str, Store]] = WeakKeyDictionary()


def store_of(tenancy: Tenancy, server: str) -> Store:
    """Return the store of that name, opened once and closed with the tenancy.

    Raises NoSuchServer, or ServerUnusable without the operator's credential.
    """
    opened = _opened.setdefault(tenancy, {})
    if server not in opened:
        opened[server] = _open_store(tenancy, server)
    return opened[server]


def _open_store(tenancy: Tenancy, server: str) -> Store:
    if server == EMBEDDED:
        return EmbeddedStore(tenancy.settings, tenancy.history)
    from tenants.stores.administration import Administration
    from tenants.stores.credentials import read_credential
    from tenants.stores.postgresql import PostgresqlStore

    tenancy.servers.by_name(server)
    administration = Administration(server, read_credential(tenancy.settings, server))
    tenancy.opened.callback(administration.close)
    return PostgresqlStore(server, tenancy.servers, administration, tenancy.history)
