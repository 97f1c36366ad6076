"""Host -> tenant, from memory. Unknown raises; there is no default tenant."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from cachetools import LRUCache

from tenants.errors import HostMoved, NoSuchTenant, TenancyError, TenantClosed, TenantSuspended, UnknownHost
from tenants.hosts import slug_label
from tenants.registry import Registry
from tenants.tenant import State, Tenant

_RECHECK_SECONDS = 0.5
"""How stale a process may be: a suspended tenant is refused everywhere within a second."""

_REMEMBERED_HOSTS = 20_000

# Refusals are remembered as recipes: one exception object raised by many threads would share its traceback.
Refusal = Callable[[], TenancyError]


class Resolver:
    """Answers from a cache that empties itself whenever the registry's generation has moved.

    A warm answer asks the registry nothing; one small question per process and half second keeps it honest.
    """

    def __init__(self, registry: Registry, domain: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._domain = domain
        self._clock = clock
        self.listen: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._answers: LRUCache[str, Tenant | Refusal] = LRUCache(_REMEMBERED_HOSTS)
        self._generation = -1
        self._checked_at = float("-inf")

    def resolve(self, host: str) -> Tenant:
        """Return the active tenant at a canonical host.

        Raises UnknownHost, HostMoved, TenantSuspended or TenantClosed.
        """
        self._refresh()
        with self._lock:
            answer = self._answers.get(host)
            generation = self._generation
        if answer is None:
            answer = self._look_up(host)
            self._remember(host, answer, generation)
        if isinstance(answer, Tenant):
            return answer
        raise answer()

    def look_again(self) -> None:
        """Ask the registry before the next answer: it is said to have changed."""
        with self._lock:
            self._checked_at = float("-inf")

    def _refresh(self) -> None:
        now = self._clock()
        with self._lock:
            if now - self._checked_at < _RECHECK_SECONDS:
                return
            self._checked_at = now
        # Here, not at the start: a server's workers are forked from a process that has no need to listen.
        self.listen()
        try:
            generation = self._registry.generation()
        except BaseException:
            self.look_again()
            raise
        with self._lock:
            if generation != self._generation:
                self._answers.clear()
                self._generation = generation

    def _remember(self, host: str, answer: Tenant | Refusal, generation: int) -> None:
        with self._lock:
            # An answer read under an older generation may be the very thing that changed.
            if generation == self._generation:
                self._answers[host] = answer

    def _look_up(self, host: str) -> Tenant | Refusal:
        slug = slug_label(host, self._domain)
        try:
            tenant = self._registry.by_slug(slug) if slug else self._registry.by_host(host)
        except NoSuchTenant:
            return self._look_up_former(slug)
        match tenant.state:
            case State.ACTIVE:
                return tenant
            case State.SUSPENDED:
                return partial(TenantSuspended, "This extranet is suspended.")
            case State.CLOSED:
                return partial(TenantClosed, "This extranet is closed.")
            case _:
                return _unknown

    def _look_up_former(self, slug: str) -> Refusal:
        try:
            tenant = self._registry.by_former_slug(slug)
        except NoSuchTenant:
            return _unknown
        # A redirect to where nothing is any more would tell who once was there.
        return _unknown if tenant.state is State.PURGED else partial(HostMoved, tenant.slug)


def _unknown() -> TenancyError:
    return UnknownHost("No tenant answers at this host.")
