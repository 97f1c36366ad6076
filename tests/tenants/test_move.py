"""A tenant's database goes to another server and comes back, and nobody loses anything by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert, select

from extranet.models import CompanyVersion
from tenants import lifecycle, unfinished
from tenants.databases import Databases, TenantSession
from tenants.errors import (
    Busy,
    IllegalTransition,
    NoSuchServer,
    NoSuchTenant,
    ServerUnusable,
    TenantUnavailable,
)
from tenants.lifecycle import moving
from tenants.registry import Registry
from tenants.settings import Settings
from tenants.stores import access, store_of
from tenants.stores.administration import Administration
from tenants.stores.embedded import EmbeddedStore
from tenants.stores.postgresql import PostgresqlStore
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED, State, Tenant
from tests.services.postgresql import Cluster
from tests.tenants.lives import (
    Rows,
    assert_journals_hold,
    everything_of,
    killed_after,
    killed_before,
    nothing_is_unfinished,
    rows_of,
)
from tests.tenants.servers import register
from tests.tenants.world import HISTORY, kill_this_process, killed_in_child

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


def save(tenancy: Tenancy, key: str) -> None:
    """Save something as a request does; acknowledged when this returns."""
    version = {"id": key, "changed_by": "anna", "at": datetime.now(UTC), "changes": "x"}
    with tenancy.open_db(tenancy.registry.by_slug("acme"), writing=True) as db:
        db.execute(insert(CompanyVersion).values(**version))
        db.commit()


def saved(tenancy: Tenancy) -> set[str]:
    with tenancy.open_db(tenancy.registry.by_slug("acme")) as db:
        return set(db.scalars(select(CompanyVersion.id)))


def move(tenancy: Tenancy, to: str) -> Tenant:
    return lifecycle.move_tenant(tenancy, "acme", to)


def assert_only_at(tenancy: Tenancy, server: str) -> None:
    acme = tenancy.registry.by_slug("acme")
    assert acme.server == server
    for other in {EMBEDDED, "pg1"} - {server}:
        assert store_of(tenancy, other).remains(acme.uuid) == []
    assert nothing_is_unfinished(tenancy)
    assert_journals_hold(tenancy, acme)


def test_it_goes_and_comes_back_with_every_row_its_key_its_epoch_and_its_files(movable: Tenancy) -> None:
    acme = movable.registry.by_slug("acme")
    save(movable, "before")
    name = movable.files_of(acme).store(b"a picture")
    before, globex = rows_of(movable, acme), everything_of(movable, "globex")
    moved = move(movable, "pg1")
    assert (moved.server, moved.uuid, moved.epoch, moved.state) == ("pg1", acme.uuid, acme.epoch, acme.state)
    assert rows_of(movable, moved) == before
    assert_only_at(movable, "pg1")
    assert movable.files_of(moved).read(name) == b"a picture"
    save(movable, "there")
    there = rows_of(movable, moved)
    assert move(movable, EMBEDDED) == acme
    assert rows_of(movable, acme) == there != before
    assert_only_at(movable, EMBEDDED)
    assert movable.registry.dates_of(acme).changed_at == movable.registry.dates_of(moved).changed_at
    assert everything_of(movable, "globex") == globex


def test_its_people_are_told_where_it_went(movable: Tenancy) -> None:
    told: list[Mapping[str, Any]] = []

    def tell(db: TenantSession, details: Mapping[str, Any]) -> None:
        db.execute(insert(CompanyVersion).values(id="told", changed_by="x", at=datetime.now(UTC), changes="x"))
        told.append(details)

    lifecycle.move_tenant(movable, "acme", "pg1", tell)
    assert told == [{"from": EMBEDDED, "to": "pg1"}]
    assert "told" in saved(movable)


def test_moving_a_tenant_to_where_it_is_changes_nothing(movable: Tenancy) -> None:
    before, generation = everything_of(movable, "acme"), movable.registry.generation()
    move(movable, EMBEDDED)
    assert everything_of(movable, "acme") == before
    assert movable.registry.generation() == generation


@pytest.mark.parametrize("end", [lifecycle.suspend_tenant, lifecycle.close_tenant])
def test_a_tenant_that_is_not_served_is_moved_as_it_is(movable: Tenancy, end: Callable[[Tenancy, str], Tenant]) -> None:
    state = end(movable, "acme").state
    assert move(movable, "pg1").state is state
    assert_only_at(movable, "pg1")


def test_what_is_unfinished_is_not_moved(movable_home: Settings) -> None:
    def create() -> None:
        with Tenancy.open(movable_home, HISTORY) as tenancy:
            lifecycle.create_tenant(tenancy, "initech", "Initech", kill_this_process)

    assert killed_in_child(create)
    with Tenancy.open(movable_home, HISTORY) as tenancy:
        with pytest.raises(IllegalTransition, match="never finished"):
            lifecycle.move_tenant(tenancy, "initech", "pg1")
        with pytest.raises(NoSuchTenant):
            lifecycle.move_tenant(tenancy, "nobody", "pg1")
        with pytest.raises(NoSuchServer):
            move(tenancy, "pg9")
        with tenancy.locks.hold("acme"), pytest.raises(Busy):
            move(tenancy, "pg1")
        acme = tenancy.registry.by_slug("acme")
        with tenancy.registry.writing() as connection:
            unfinished.begin(connection, acme.uuid, "restore", "staging")
        with pytest.raises(IllegalTransition, match="unfinished restore"):
            move(tenancy, "pg1")
        assert saved(tenancy) == set()


def test_a_plan_says_from_where_to_where_and_how_much_and_changes_nothing(movable: Tenancy) -> None:
    save(movable, "one")
    before = everything_of(movable, "acme")
    plan = lifecycle.plan_move(movable, "acme", "pg1")
    assert (plan.origin, plan.target) == (EMBEDDED, "pg1")
    assert plan.rows == sum(map(len, before[4].values()))
    assert plan.bytes > 10_000
    with pytest.raises(NoSuchServer):
        lifecycle.plan_move(movable, "acme", "pg9")
    assert everything_of(movable, "acme") == before


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_server_that_has_something_of_the_tenant_keeps_it(movable: Tenancy, cluster: Cluster) -> None:
    # Two names of one server: undoing that move would have dropped the tenant's only database.
    register(movable, cluster, "pg2")
    move(movable, "pg1")
    save(movable, "kept")
    with pytest.raises(TenantUnavailable, match="in the way"):
        move(movable, "pg2")
    assert saved(movable) == {"kept"}
    assert_only_at(movable, "pg1")


def fail(*_: object, **__: object) -> None:
    raise ValueError


@pytest.mark.parametrize(
    ("owner", "name"),
    [(moving, "copy_all"), (EmbeddedStore, "fence"), (Registry, "change_server"), (PostgresqlStore, "create")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_move_that_fails_is_undone_at_once(
    movable: Tenancy, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        with pytest.raises(ValueError):
            move(movable, "pg1")
    save(movable, "after")
    assert_only_at(movable, EMBEDDED)
    move(movable, "pg1")
    assert saved(movable) == {"after"}


def test_somebody_who_cannot_be_sent_away_keeps_the_tenant_where_it_is(
    movable: Tenancy, monkeypatch: pytest.MonkeyPatch
) -> None:
    move(movable, "pg1")
    with monkeypatch.context() as patch:
        # As when a connection does not end: the right to connect is taken away, and nothing more.
        shut_out = access.shut_out
        patch.setattr(access, "shut_out", lambda *arguments: shut_out(*arguments) and False)
        with pytest.raises(TenantUnavailable, match="still connected"):
            move(movable, EMBEDDED)
    save(movable, "after")
    assert_only_at(movable, "pg1")


def test_an_interrupt_after_the_registry_was_changed_undoes_nothing(
    movable: Tenancy, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(movable, "before")
    change_server = Registry.change_server

    def interrupted(*arguments: Any) -> None:
        change_server(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "change_server", interrupted)
        with pytest.raises(KeyboardInterrupt):
            move(movable, "pg1")
    assert saved(movable) == {"before"}
    move(movable, "pg1")
    assert_only_at(movable, "pg1")


def test_a_server_that_dies_leaves_the_tenant_in_use_where_it_was(
    movable: Tenancy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise ServerUnusable("The server pg1 cannot be reached.")

    with monkeypatch.context() as patch:
        patch.setattr(moving, "copy_all", unreachable)
        patch.setattr(Administration, "server", unreachable)
        patch.setattr(PostgresqlStore, "remains", lambda *_: [])
        with pytest.raises(ServerUnusable):
            move(movable, "pg1")
    save(movable, "after")
    # Nobody could look whether something is left there: the move is still to be ended, or taken back.
    assert not nothing_is_unfinished(movable)
    move(movable, EMBEDDED)
    assert saved(movable) == {"after"}
    assert_only_at(movable, EMBEDDED)


def test_a_file_that_was_fenced_gets_back_what_was_still_in_its_log(movable: Tenancy) -> None:
    acme, store = movable.registry.by_slug("acme"), store_of(movable, EMBEDDED)
    save(movable, "in the log")
    before = rows_of(movable, acme)
    with store.changing_schema(acme):
        store.fence(acme)
    with pytest.raises(TenantUnavailable, match="missing"):
        save(movable, "too late")
    # Whoever had it open closes it: that must not take the log away.
    movable.databases.forget(acme)
    for _ in range(2):
        store.unfence(acme)
    assert rows_of(movable, acme) == before


def test_a_login_that_was_fenced_out_is_let_in_again_where_its_database_is(movable: Tenancy) -> None:
    acme, store = move(movable, "pg1"), store_of(movable, "pg1")
    store.fence(acme)
    with pytest.raises(TenantUnavailable):
        save(movable, "too late")
    store.unfence(acme)
    save(movable, "again")
    store.unfence(movable.registry.by_slug("globex"))
    assert saved(movable) == {"again"}


# -- kill -9 ----------------------------------------------------------------------------------------------------------

STORES = {EMBEDDED: EmbeddedStore, "pg1": PostgresqlStore}


def steps(origin: str, target: str) -> list[tuple[Any, str]]:
    return [
        (unfinished, "begin"),
        (STORES[target], "create"),
        (STORES[origin], "changing_schema"),
        (STORES[target], "filling"),
        (moving, "copy_all"),
        (TenantSession, "commit"),
        (STORES[origin], "fence"),
        (Registry, "change_server"),
        (Databases, "forget"),
        (STORES[origin], "destroy"),
        (unfinished, "end"),
    ]


def kills(origin: str, target: str, *wraps: Wrap) -> list[Any]:
    return [
        pytest.param(origin, target, owner, name, wrap, id=f"{target}-{wrap.__name__}-{name}")
        for owner, name in steps(origin, target)
        for wrap in wraps
    ]


def killed_on_the_way(settings: Settings, target: str, owner: Any, name: str, wrap: Wrap) -> bool:
    def go() -> None:
        setattr(owner, name, wrap(getattr(owner, name)))
        with Tenancy.open(settings, HISTORY) as tenancy:
            move(tenancy, target)

    return killed_in_child(go)


def make_ready(settings: Settings, origin: str) -> tuple[Rows, Any]:
    with Tenancy.open(settings, HISTORY) as tenancy:
        save(tenancy, "before")
        acme = move(tenancy, origin)
        return rows_of(tenancy, acme), everything_of(tenancy, "globex")


@pytest.mark.parametrize(
    ("origin", "target", "owner", "name", "wrap"),
    # On the way back, before each step alone: most are the moment after another one.
    [*kills(EMBEDDED, "pg1", killed_before, killed_after), *kills("pg1", EMBEDDED, killed_before)],
)
def test_a_move_that_was_killed_at_any_step_goes_on_and_loses_nothing(
    movable_home: Settings, origin: str, target: str, owner: Any, name: str, wrap: Wrap
) -> None:
    before, globex = make_ready(movable_home, origin)
    assert killed_on_the_way(movable_home, target, owner, name, wrap)
    with Tenancy.open(movable_home, HISTORY) as tenancy:
        try:
            save(tenancy, "meanwhile")
        except TenantUnavailable:
            meanwhile = set()
        else:
            meanwhile = {"meanwhile"}
        acme = move(tenancy, target)
        assert saved(tenancy) == {"before", *meanwhile}
        if not meanwhile:
            assert rows_of(tenancy, acme) == before
        assert_only_at(tenancy, target)
        assert everything_of(tenancy, "globex") == globex


@pytest.mark.parametrize("origin", [EMBEDDED, "pg1"])
@pytest.mark.parametrize("wrap", [killed_before, killed_after])
def test_a_move_that_was_killed_is_taken_back_or_finished_but_led_nowhere_else(
    movable_home: Settings, cluster: Cluster, origin: str, wrap: Wrap
) -> None:
    (target,) = {EMBEDDED, "pg1"} - {origin}
    before, _ = make_ready(movable_home, origin)
    assert killed_on_the_way(movable_home, target, STORES[origin], "fence", wrap)
    with Tenancy.open(movable_home, HISTORY) as tenancy:
        register(tenancy, cluster, "pg2")
        with pytest.raises(IllegalTransition, match=f"unfinished move of acme to {target}"):
            move(tenancy, "pg2")
        acme = move(tenancy, origin)
        assert rows_of(tenancy, acme) == before
        assert_only_at(tenancy, origin)


def test_a_move_that_had_arrived_is_finished_before_the_next_one(movable_home: Settings) -> None:
    make_ready(movable_home, EMBEDDED)
    assert killed_on_the_way(movable_home, "pg1", EmbeddedStore, "destroy", killed_before)
    with Tenancy.open(movable_home, HISTORY) as tenancy:
        with pytest.raises(IllegalTransition, match="unfinished move of acme to pg1"):
            move(tenancy, EMBEDDED)
        assert move(tenancy, "pg1").state is State.ACTIVE
        assert_only_at(tenancy, "pg1")
