"""The request being answered: ``current.tenant``, ``current.db``, ``current.user``. Absence raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import g

from extranet.platform import Platform, platform
from extranet.request.state import Client, SessionCookie, State
from extranet.request.user import SignedIn
from extranet.security_log.origin import Origin
from tenants.databases import TenantSession
from tenants.errors import NoTenant
from tenants.files import Files
from tenants.keys import TenantKeys
from tenants.tenant import Tenant


class _Current:
    """Reads the state of the request at hand. Every property raises when its step has not run or found nothing."""

    @property
    def state(self) -> State:
        try:
            state: State = g.extranet
        except (AttributeError, RuntimeError) as error:
            raise NoTenant("There is no request.") from error
        return state

    @property
    def platform(self) -> Platform:
        """The application's services."""
        return platform()

    @property
    def client(self) -> Client:
        """The other side's address."""
        if self.state.client is None:
            raise NoTenant("The client is not known yet.")
        return self.state.client

    @property
    def tenant(self) -> Tenant:
        """The tenant this request is for."""
        if self.state.tenant is None:
            raise NoTenant("This request has no tenant.")
        return self.state.tenant

    @property
    def keys(self) -> TenantKeys:
        """The tenant's keys."""
        return self.platform.tenancy.keys_of(self.tenant)

    @property
    def files(self) -> Files:
        """The tenant's files."""
        return self.platform.tenancy.files_of(self.tenant)

    @property
    def db(self) -> TenantSession:
        """A ``db`` on the tenant's database, opened at first use: for writing when the method is unsafe."""
        state = self.state
        if state.db is None:
            opened = self.platform.tenancy.open_db(self.tenant, writing=state.writes)
            state.db = state.resources.enter_context(opened)
        return state.db

    @contextmanager
    def reading(self) -> Iterator[TenantSession]:
        """Yield a ``db`` to read what every page needs to know, without waiting for those who write.

        A request that will write later has not begun to by this, and need not if it is refused before.
        """
        if self.state.db is not None or not self.state.writes:
            yield self.db
            return
        with self.platform.tenancy.open_db(self.tenant, writing=False) as db:
            yield db

    def write_nothing(self) -> None:
        """Only read from now on: this request is refused before it has changed anything."""
        if self.state.db is None:
            self.state.writes = False

    @contextmanager
    def aside(self) -> Iterator[TenantSession]:
        """Yield a ``db`` for writing that is committed at the end, whatever becomes of the view's own work.

        What a view that only reads has read so far is let go: of many who each hold one connection and wait for a
        second, none would ever get it.
        """
        if self.state.db is not None and not self.state.writes:
            self.state.db.rollback()
        with self.platform.tenancy.open_db(self.tenant, writing=True) as db:
            yield db
            db.commit()

    @property
    def cookie(self) -> SessionCookie:
        """What the sealed session cookie said, or a fresh anonymous one."""
        if self.state.cookie is None:
            raise NoTenant("The cookies have not been read.")
        return self.state.cookie

    @property
    def user(self) -> SignedIn:
        """The signed-in person."""
        if self.state.user is None:
            raise NoTenant("Nobody is signed in.")
        return self.state.user

    @property
    def is_signed_in(self) -> bool:
        """Whether somebody is signed in."""
        return self.state.user is not None

    @property
    def origin(self) -> Origin:
        """Where this request comes from, in the security log's terms."""
        client, user = self.client, self.state.user
        browser, login = (user.browser_id, user.login_id) if user else ("", "")
        return Origin(client.address, client.port, client.user_agent, self.state.request_id, browser, login)


current = _Current()
