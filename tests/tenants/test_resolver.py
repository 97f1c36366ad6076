from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import event

from tenants import lifecycle
from tenants.errors import (
    HostMoved,
    TenancyError,
    TenantClosed,
    TenantSuspended,
    TenantUnavailable,
    UnknownHost,
)
from tenants.generation import Generation
from tenants.registry import Registry
from tenants.registry_database import registry_file
from tenants.resolver import Resolver
from tenants.settings import Settings
from tenants.tenancy import Tenancy
from tenants.tenant import State, Tenant
from tests.services.postgresql import Cluster
from tests.tenants.world import HISTORY, Clock, prepare

KEPT_ON = ("sqlite", "postgresql")


@pytest.fixture
def resolver(tenancy: Tenancy, clock: Clock) -> Resolver:
    return Resolver(tenancy.registry, "localhost", Generation(tenancy.registry, clock))


@pytest.fixture
def asked(tenancy: Tenancy) -> list[str]:
    statements: list[str] = []

    @event.listens_for(tenancy.registry.engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    return statements


def test_each_host_leads_to_its_own_tenant(resolver: Resolver, tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    lifecycle.add_host(tenancy, "globex", "extranet.globex.example")
    for _ in range(2):
        assert resolver.resolve("acme.localhost") == acme
        assert resolver.resolve("globex.localhost") == globex
        assert resolver.resolve("extranet.globex.example") == globex


@pytest.mark.parametrize("host", ["localhost", "nobody.localhost", "acme.globex.localhost", "acme", "acme.example"])
def test_an_unknown_host_leads_nowhere(resolver: Resolver, host: str) -> None:
    for _ in range(2):
        with pytest.raises(UnknownHost):
            resolver.resolve(host)


def test_a_warm_answer_asks_the_registry_nothing(resolver: Resolver, asked: list[str]) -> None:
    def ask(host: str) -> None:
        with suppress(UnknownHost):
            resolver.resolve(host)

    hosts = ["acme.localhost", "globex.localhost", "nobody.localhost"]
    for host in hosts:
        ask(host)
    asked.clear()
    for host in hosts * 10:
        ask(host)
    assert asked == []


def test_half_a_second_later_one_small_question_is_asked(resolver: Resolver, clock: Clock, asked: list[str]) -> None:
    resolver.resolve("acme.localhost")
    asked.clear()
    clock.now += 0.6
    for _ in range(10):
        resolver.resolve("acme.localhost")
    assert [statement.split("FROM")[1].strip() for statement in asked] == ["generation"]


Change = Callable[[Tenancy, Tenant], object]

CHANGES: list[tuple[Change, type[TenancyError]]] = [
    (lambda tenancy, acme: lifecycle.suspend_tenant(tenancy, "acme"), TenantSuspended),
    (lambda tenancy, acme: tenancy.registry.move_to(acme, State.CLOSED), TenantClosed),
    (lambda tenancy, acme: lifecycle.rename_tenant(tenancy, "acme", "apex"), HostMoved),
]


@pytest.mark.parametrize(("change", "error"), CHANGES, ids=["suspended", "closed", "renamed"])
def test_a_changed_tenant_is_refused_within_a_second_by_every_process(
    settings: Settings,
    acme: Tenant,
    clock: Clock,
    change: Callable[[Tenancy, Tenant], object],
    error: type[TenancyError],
) -> None:
    with Tenancy.open(settings, HISTORY) as worker, Tenancy.open(settings, HISTORY) as operator:
        resolver = Resolver(worker.registry, "localhost", Generation(worker.registry, clock))
        resolver.resolve("acme.localhost")
        resolver.resolve("globex.localhost")
        change(operator, acme)
        clock.now += 1
        for _ in range(2):
            with pytest.raises(error):
                resolver.resolve("acme.localhost")
        assert resolver.resolve("globex.localhost").slug == "globex"


def test_a_moved_host_says_where_to(resolver: Resolver, tenancy: Tenancy) -> None:
    lifecycle.rename_tenant(tenancy, "acme", "apex")
    with pytest.raises(HostMoved) as caught:
        resolver.resolve("acme.localhost")
    assert caught.value.slug == "apex"
    assert resolver.resolve("apex.localhost").slug == "apex"


def test_a_resumed_tenant_is_served_within_a_second(resolver: Resolver, tenancy: Tenancy, clock: Clock) -> None:
    lifecycle.suspend_tenant(tenancy, "acme")
    with pytest.raises(TenantSuspended):
        resolver.resolve("acme.localhost")
    lifecycle.resume_tenant(tenancy, "acme")
    clock.now += 1
    assert resolver.resolve("acme.localhost").slug == "acme"


def test_a_new_tenant_is_served_within_a_second_of_being_unknown(
    resolver: Resolver, tenancy: Tenancy, clock: Clock
) -> None:
    with pytest.raises(UnknownHost):
        resolver.resolve("initech.localhost")
    lifecycle.create_tenant(tenancy, "initech", "Initech", prepare)
    clock.now += 1
    assert resolver.resolve("initech.localhost").slug == "initech"


def test_a_raised_epoch_is_seen_within_a_second(
    resolver: Resolver, tenancy: Tenancy, clock: Clock, acme: Tenant
) -> None:
    resolver.resolve("acme.localhost")
    tenancy.registry.raise_epoch(acme)
    clock.now += 1
    assert resolver.resolve("acme.localhost").epoch == 2


def test_a_tenant_being_made_is_unknown(resolver: Resolver, tenancy: Tenancy) -> None:
    def look(_db: object) -> None:
        with pytest.raises(UnknownHost):
            resolver.resolve("initech.localhost")

    lifecycle.create_tenant(tenancy, "initech", "Initech", look)


def test_two_refusals_never_share_one_exception(resolver: Resolver) -> None:
    raised = []
    for _ in range(2):
        with pytest.raises(UnknownHost) as caught:
            resolver.resolve("nobody.localhost")
        raised.append(caught.value)
    assert raised[0] is not raised[1]


@contextmanager
def _file_aside(settings: Settings) -> Iterator[None]:
    path = registry_file(settings)
    aside = path.rename(path.with_name("aside"))
    yield
    aside.rename(path)


@contextmanager
def _database_closed(cluster: Cluster) -> Iterator[None]:
    cluster.execute("ALTER DATABASE registry ALLOW_CONNECTIONS false")
    cluster.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'registry'")
    yield
    cluster.execute("ALTER DATABASE registry ALLOW_CONNECTIONS true")


@pytest.fixture
def without_registry(kept_on: str, settings: Settings, request: pytest.FixtureRequest) -> AbstractContextManager[None]:
    """A while in which the registry cannot be reached."""
    if kept_on == "sqlite":
        return _file_aside(settings)
    return _database_closed(request.getfixturevalue("cluster"))


def test_without_a_registry_nothing_is_served_and_with_it_everything_again(
    resolver: Resolver, clock: Clock, without_registry: AbstractContextManager[None]
) -> None:
    resolver.resolve("acme.localhost")
    clock.now += 1
    with without_registry:
        for _ in range(2):
            with pytest.raises(TenantUnavailable):
                resolver.resolve("acme.localhost")
    assert resolver.resolve("acme.localhost").slug == "acme"


class OvertakenRegistry(Registry):
    """A registry in which a change overtakes the first look-up, after it was read and before it is remembered."""

    overtake: Callable[[], object] | None = None

    def by_slug(self, slug: str) -> Tenant:
        tenant = super().by_slug(slug)
        overtake, self.overtake = self.overtake, None
        if overtake:
            overtake()
        return tenant


def test_an_answer_overtaken_by_a_change_is_not_remembered(tenancy: Tenancy, clock: Clock) -> None:
    registry = OvertakenRegistry(tenancy.registry.engine)
    resolver = Resolver(registry, "localhost", Generation(registry, clock))

    def suspend_and_refresh() -> None:
        lifecycle.suspend_tenant(tenancy, "acme")
        clock.now += 1
        resolver.resolve("globex.localhost")

    registry.overtake = suspend_and_refresh
    assert resolver.resolve("acme.localhost").slug == "acme"
    with pytest.raises(TenantSuspended):
        resolver.resolve("acme.localhost")
