"""Host -> tenant, from memory. Unknown raises; there is no default tenant."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from cachetools import LRUCache

from tenants.errors import HostMoved, NoSuchTenant, TenancyError, TenantClosed, TenantSuspended, UnknownHost
from tenants.generation import Generation
from tenants.hosts import slug_label
from tenants.registry import Registry
from tenants.tenant import State, Tenant

_REMEMBERED_HOSTS = 20_000

# Refusals are remembered as recipes: one exception object raised by many threads would share its traceback.
Refusal = Callable[[], TenancyError]


class Resolver:
    """Answers from a cache that empties itself whenever the registry's generation has moved."""

    def __init__(self, registry: Registry, domain: str, generation: Generation) -> None:
        self._registry = registry
        self._domain = domain
        self._generation = generation
        self.listen: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._answers: LRUCache[str, Tenant | Refusal] = LRUCache(_REMEMBERED_HOSTS)
        self._answered_under = -1

    def resolve(self, host: str) -> Tenant:
        """Return the active tenant at a canonical host.

        Raises UnknownHost, HostMoved, TenantSuspended or TenantClosed.
        """
        # Here, not at the start: a server's workers are forked from a process that has no need to listen.
        self.listen()
        generation = self._generation.number()
        with self._lock:
            if generation != self._answered_under:
                self._answers.clear()
                self._answered_under = generation
            answer = self._answers.get(host)
        if answer is None:
            answer = self._look_up(host)
            self._remember(host, answer, generation)
        if isinstance(answer, Tenant):
            return answer
        raise answer()

    def _remember(self, host: str, answer: Tenant | Refusal, generation: int) -> None:
        with self._lock:
            # An answer read under an older generation may be the very thing that changed.
            if generation == self._answered_under:
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
