from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import select

from extranet.accounts.devices import BROWSER_LIFE
from tenants import files, lifecycle, rotation, unfinished
from tenants.databases import TenantSession
from tenants.errors import BadSeal, Busy, IllegalTransition, NoSuchTenant, TenantUnavailable
from tenants.resealing import Resealing
from tenants.rotation import COOKIE_LIFE, Rotated, rotate_keys
from tenants.sealing import key_version_of
from tenants.servers import Servers
from tenants.settings import Settings
from tenants.stores import roles
from tenants.stores.embedded import EmbeddedStore
from tenants.tenancy import Tenancy
from tenants.tenant import State, Tenant
from tests.services.postgresql import Cluster
from tests.tenants.servers import create, login
from tests.tenants.world import HISTORY, Note, entries, journal_of, kill_this_process, killed_in_child, note

ENTRIES = 5


@pytest.fixture(autouse=True)
def _nobody_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "_SETTLE_SECONDS", 0)


def append(db: TenantSession, event: str = "event") -> None:
    journal_of(db.info["keys"]).append(db, event, "ok", actor="a", subject="s", details={}, private={"address": "::1"})


def end_logins(db: TenantSession) -> int:
    append(db, "all_signed_out")
    return 3


def rotate(tenancy: Tenancy, slug: str = "acme", *, logout: bool = False) -> Rotated:
    return rotate_keys(tenancy, slug, end_logins, logout=logout)


def fill(tenancy: Tenancy, tenant: Tenant) -> str:
    """Write some entries and a file; return the file's name."""
    with tenancy.open_db(tenant, writing=True) as db:
        for _ in range(ENTRIES):
            append(db)
        db.commit()
    return tenancy.files_of(tenant).store(b"portrait")


def sealed_parts(tenancy: Tenancy, tenant: Tenant) -> list[bytes]:
    with tenancy.open_db(tenant) as db:
        parts = list(db.execute(select(entries.c.private).order_by(entries.c.sequence)).scalars())
    stored = tenancy.files_of(tenant)
    return [*parts, *(stored.sealed(name) for name in stored.names())]


def assert_all_is_sealed_with(tenancy: Tenancy, slug: str, version: int) -> None:
    """Everything opens, with the newest key alone, and nothing is left to do."""
    tenant = tenancy.registry.by_slug(slug)
    assert tenant.key_version == version
    assert [key.version for key in tenancy.registry.keys_of(tenant.uuid)] == list(range(1, version + 1))
    assert {key_version_of(part) for part in sealed_parts(tenancy, tenant)} == {version}
    with tenancy.open_db(tenant) as db:
        assert db.scalars(select(Note.changes).where(Note.id == "1")).one() == f"hello {slug}"
        assert journal_of(tenancy.keys_of(tenant)).verify(db) >= ENTRIES
    stored = tenancy.files_of(tenant)
    assert [stored.read(name) for name in stored.names()] == [b"portrait"]
    with tenancy.registry.engine.connect() as connection:
        assert unfinished.find_all(connection) == []


def retirements(tenancy: Tenancy, tenant: Tenant) -> list[float | None]:
    """In how many days each version of a tenant's key retires."""
    now = datetime.now(UTC).replace(tzinfo=None)
    return [
        None if key.retired_at is None else round((key.retired_at - now) / timedelta(days=1), 2)
        for key in tenancy.registry.keys_of(tenant.uuid)
    ]


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> Tenancy:
    """Two tenants with entries and a file each, on either engine."""
    if request.param == "sqlite":
        tenancy: Tenancy = request.getfixturevalue("tenancy")
    else:
        tenancy = request.getfixturevalue("pg_tenancy")
        for slug in ("acme", "globex"):
            create(tenancy, slug)
    for tenant in tenancy.registry.all():
        fill(tenancy, tenant)
    return tenancy


def test_after_a_rotation_everything_opens_with_the_new_key_alone(place: Tenancy) -> None:
    acme, globex = place.registry.by_slug("acme"), place.registry.by_slug("globex")
    theirs = sealed_parts(place, globex)
    rotated = rotate(place)
    assert_all_is_sealed_with(place, "acme", 2)
    assert (rotated.tenant.key_version, rotated.resealed, rotated.unreadable) == (2, ENTRIES + 1, 0)
    assert (rotated.resumed, rotated.ended) == (False, None)
    assert sealed_parts(place, globex) == theirs
    assert place.registry.by_slug("globex") == globex
    assert rotated.tenant.epoch == acme.epoch


def test_rotating_again_goes_on_from_there(place: Tenancy) -> None:
    signed = place.keys_of(place.registry.by_slug("acme")).mac("x", b"y")
    for version in (2, 3):
        rotate(place)
        assert_all_is_sealed_with(place, "acme", version)
    assert place.keys_of(place.registry.by_slug("acme")).mac("x", b"y") == signed


def test_a_cookie_of_the_older_key_opens_for_a_hundred_days_more(
    tenancy: Tenancy, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = tenancy.keys_of(acme).seal("cookie", b"somebody")
    rotate(tenancy)
    keys = tenancy.keys_of(acme)
    assert keys.open("cookie", cookie) == b"somebody"
    newer = keys.seal("cookie", b"somebody")
    now = time.time()
    monkeypatch.setattr("tenants.keys.time.time", lambda: now + timedelta(days=99).total_seconds())
    assert keys.open("cookie", cookie) == b"somebody"
    monkeypatch.setattr("tenants.keys.time.time", lambda: now + timedelta(days=101).total_seconds())
    with pytest.raises(BadSeal, match="retired"):
        keys.open("cookie", cookie)
    assert keys.open("cookie", newer) == b"somebody"


def test_an_older_key_lives_as_long_as_the_cookie_that_lives_longest() -> None:
    assert COOKIE_LIFE == BROWSER_LIFE


def test_a_key_that_is_to_retire_is_not_given_more_time_by_the_next_rotation(
    tenancy: Tenancy, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "COOKIE_LIFE", timedelta(days=10))
    rotate(tenancy)
    monkeypatch.setattr(rotation, "COOKIE_LIFE", timedelta(days=20))
    rotate(tenancy)
    assert retirements(tenancy, acme) == [10, 20, None]


def test_with_logout_every_cookie_is_worthless_and_every_login_ended_at_once(tenancy: Tenancy, acme: Tenant) -> None:
    fill(tenancy, acme)
    rotate(tenancy)
    cookies = [tenancy.keys_of(acme).seal("cookie", b"somebody")]
    rotated = rotate(tenancy, logout=True)
    assert (rotated.ended, rotated.tenant.epoch) == (3, acme.epoch + 1)
    assert retirements(tenancy, acme) == [0, 0, None]
    for cookie in cookies:
        with pytest.raises(BadSeal, match="retired"):
            tenancy.keys_of(acme).open("cookie", cookie)
    assert_all_is_sealed_with(tenancy, "acme", 3)
    with tenancy.open_db(acme) as db:
        events = list(db.execute(select(entries.c.event).order_by(entries.c.sequence)).scalars())
    assert events[-1] == "all_signed_out"


@pytest.mark.parametrize("logout", [False, True])
def test_a_closed_tenant_gets_a_new_key_too_and_nothing_is_written_for_its_people(
    tenancy: Tenancy, acme: Tenant, logout: bool
) -> None:
    fill(tenancy, acme)
    tenancy.registry.move_to(acme, State.CLOSED)
    rotated = rotate(tenancy, logout=logout)
    assert rotated.ended == (0 if logout else None)
    assert_all_is_sealed_with(tenancy, "acme", 2)


# -- what refuses ------------------------------------------------------------------------------------------------------


def assert_nothing_was_begun(tenancy: Tenancy, tenant: Tenant) -> None:
    assert tenancy.registry.by_uuid(tenant.uuid).key_version == 1
    assert len(tenancy.registry.keys_of(tenant.uuid)) == 1


def test_a_slug_nobody_has_is_refused(tenancy: Tenancy) -> None:
    with pytest.raises(NoSuchTenant):
        rotate(tenancy, "nobody")


def test_a_tenant_that_another_command_holds_is_busy(tenancy: Tenancy, acme: Tenant) -> None:
    with tenancy.locks.hold("acme"), pytest.raises(Busy):
        rotate(tenancy)
    assert_nothing_was_begun(tenancy, acme)


def test_a_tenant_that_was_never_finished_is_refused(tenancy: Tenancy, acme: Tenant) -> None:
    unmade = replace(acme, uuid=UUID(int=7), slug="unmade", state=State.PROVISIONING)
    tenancy.registry.add(unmade, tenancy.make_key(unmade.uuid, 1))
    with pytest.raises(IllegalTransition, match="never finished"):
        rotate(tenancy, "unmade")


def test_nothing_is_begun_while_something_else_is_unfinished(tenancy: Tenancy, acme: Tenant) -> None:
    with tenancy.registry.writing() as connection:
        unfinished.begin(connection, acme.uuid, "move", "copying")
    with pytest.raises(IllegalTransition, match="unfinished move"):
        rotate(tenancy)
    assert_nothing_was_begun(tenancy, acme)


def test_nothing_is_begun_with_a_tenant_whose_database_cannot_be_reached(tenancy: Tenancy, acme: Tenant) -> None:
    path = tenancy.databases.path_of(acme)
    aside = path.rename(path.with_name("aside"))
    with pytest.raises(TenantUnavailable):
        rotate(tenancy)
    assert_nothing_was_begun(tenancy, acme)
    aside.rename(path)
    rotate(tenancy)


def test_a_value_that_was_altered_holds_nothing_up_and_is_told_of(tenancy: Tenancy, acme: Tenant) -> None:
    name = fill(tenancy, acme)
    (tenancy.settings.folder_of(acme.uuid) / "files" / name).write_bytes(b"spoilt")
    rotated = rotate(tenancy)
    assert (rotated.resealed, rotated.unreadable) == (ENTRIES, 1)


# -- killed at any step ------------------------------------------------------------------------------------------------

STEPS: list[tuple[Any, str]] = [
    (rotation, "_reach"),
    (rotation, "_begin"),
    (rotation, "add_key"),
    (rotation, "_reseal_database"),
    (Resealing, "go_on"),
    (Resealing, "_next_rows"),
    (rotation, "reseal_files"),
    (files.Files, "put_back"),
    (files, "replace"),
    (EmbeddedStore, "renew_login"),
    (rotation, "_note"),
    (rotation, "_retire"),
    (rotation, "_end_logins"),
    (unfinished, "begin"),
    (unfinished, "advance"),
    (unfinished, "end"),
]

Step = Callable[..., Any]


def killed_before(step: Step) -> Step:
    return kill_this_process


def killed_after(step: Step) -> Step:
    def then_die(*arguments: Any, **options: Any) -> None:
        step(*arguments, **options)
        kill_this_process()

    return then_die


def killed_the_third_time(step: Step) -> Step:
    calls = []

    def perhaps_die(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            kill_this_process()
        return step(*arguments, **options)

    return perhaps_die


def killed_in_rotation(settings: Settings, owner: Any, name: str, wrap: Callable[[Step], Step], **how: bool) -> bool:
    """Rotate in a process of its own that is killed at a step; tell whether it came to that."""

    def work() -> None:
        rotation.Resealing = partial(Resealing, batch=2)  # type: ignore[misc, assignment]
        setattr(owner, name, wrap(getattr(owner, name)))
        with Tenancy.open(settings, HISTORY) as tenancy:
            rotate(tenancy, **how)

    return killed_in_child(work)


@pytest.fixture
def filled(settings: Settings) -> Settings:
    with Tenancy.open(settings, HISTORY) as tenancy:
        for slug in ("acme", "globex"):
            fill(tenancy, tenancy.registry.by_slug(slug))
    return settings


@contextmanager
def afterwards(settings: Settings) -> Iterator[tuple[Tenancy, Tenant]]:
    with Tenancy.open(settings, HISTORY) as tenancy:
        yield tenancy, tenancy.registry.by_slug("acme")


def assert_it_is_whole(tenancy: Tenancy, tenant: Tenant) -> None:
    """Whatever was done so far, everything opens."""
    keys = tenancy.keys_of(tenant)
    with tenancy.open_db(tenant) as db:
        assert journal_of(keys).verify(db) >= ENTRIES
    stored = tenancy.files_of(tenant)
    assert [stored.read(name) for name in stored.names()] == [b"portrait"]


@pytest.mark.parametrize("wrap", [killed_before, killed_after, killed_the_third_time])
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[name for _, name in STEPS])
def test_a_rotation_killed_at_any_step_goes_on_when_it_is_run_again(
    filled: Settings, owner: Any, name: str, wrap: Callable[[Step], Step]
) -> None:
    killed = killed_in_rotation(filled, owner, name, wrap, logout=True)
    assert killed or wrap is killed_the_third_time
    with afterwards(filled) as (tenancy, acme):
        assert_it_is_whole(tenancy, acme)
        begun = acme.key_version == 2
        ended = begun and not find(tenancy, acme)
        if not ended:
            rotated = rotate(tenancy, logout=not begun)
            assert rotated.resumed is begun
            assert rotated.ended == 3
        assert_all_is_sealed_with(tenancy, "acme", 2)
        assert tenancy.registry.by_slug("acme").epoch == acme.epoch + (0 if ended or acme.epoch == 2 else 1) == 2
        assert retirements(tenancy, acme) == [0, None]
        assert tenancy.registry.by_slug("globex").key_version == 1


def find(tenancy: Tenancy, tenant: Tenant) -> unfinished.Unfinished | None:
    with tenancy.registry.engine.connect() as connection:
        return unfinished.find(connection, tenant.uuid)


@pytest.mark.parametrize("name", ["_reseal_database", "_note", "_retire"])
@pytest.mark.parametrize("wrap", [killed_before, killed_after])
def test_logout_can_still_be_asked_for_when_it_goes_on(
    filled: Settings, name: str, wrap: Callable[[Step], Step]
) -> None:
    assert killed_in_rotation(filled, rotation, name, wrap)
    with afterwards(filled) as (tenancy, acme):
        rotated = rotate(tenancy, logout=True)
        assert (rotated.resumed, rotated.ended, rotated.tenant.epoch) == (True, 3, 2)
        assert retirements(tenancy, acme) == [0, None]
        assert_all_is_sealed_with(tenancy, "acme", 2)


# -- while others work -------------------------------------------------------------------------------------------------


def test_a_process_that_knows_only_the_older_key_reads_what_the_new_one_sealed(filled: Settings) -> None:
    with afterwards(filled) as (worker, acme), Tenancy.open(filled, HISTORY) as operator:
        assert_it_is_whole(worker, acme)
        # Its answer never ends: the most stale a process can be.
        worker.generation._clock = lambda: worker.generation._answer[0]
        rotate(operator)
        assert worker.generation.number() < operator.generation.number()
        # The record of the tenant it has is the older one too.
        assert_it_is_whole(worker, acme)


def test_what_was_being_written_with_the_older_key_is_sealed_anew_too(
    filled: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    written = threading.Event()

    def write_slowly(worker: Tenancy, acme: Tenant) -> None:
        with worker.open_db(acme, writing=True) as db:
            append(db)
            written.set()
            # Longer than a rotation waits of itself.
            time.sleep(1.5)
            db.commit()

    with afterwards(filled) as (worker, acme), Tenancy.open(filled, HISTORY) as operator:
        writer = threading.Thread(target=write_slowly, args=(worker, acme))
        writer.start()
        written.wait()
        rotated = rotate(operator)
        writer.join()
        assert rotated.resealed == ENTRIES + 2
        assert_all_is_sealed_with(operator, "acme", 2)


def test_while_others_go_on_writing_nothing_fails_and_nothing_is_left_behind(
    filled: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    stop, faults, counts = threading.Event(), [], []

    def go_on_writing() -> None:
        count = 0
        try:
            with afterwards(filled) as (worker, acme):
                while not stop.is_set():
                    with worker.open_db(acme, writing=True) as db:
                        append(db)
                        db.commit()
                    assert_it_is_whole(worker, acme)
                    count += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must hear of it
            faults.append(error)
        counts.append(count)

    writers = [threading.Thread(target=go_on_writing) for _ in range(2)]
    for writer in writers:
        writer.start()
    with Tenancy.open(filled, HISTORY) as operator:
        rotate(operator)
        stop.set()
        for writer in writers:
            writer.join()
        assert faults == []
        assert min(counts) > 1
        assert_all_is_sealed_with(operator, "acme", 2)


# -- the login on a database server ------------------------------------------------------------------------------------


def password_of(tenancy: Tenancy, tenant: Tenant) -> str:
    with tenancy.registry.engine.connect() as connection:
        (password,) = tenancy.servers._passwords_of(connection, tenant, tenant.server)
    return password


def test_the_login_gets_another_password_and_the_older_one_is_refused(
    pg_tenancy: Tenancy, pg_acme: Tenant, cluster: Cluster
) -> None:
    older = password_of(pg_tenancy, pg_acme)
    rotate(pg_tenancy)
    assert password_of(pg_tenancy, pg_acme) != older
    login(pg_tenancy, cluster, pg_acme).close()
    role = f"t_{pg_acme.uuid.hex}"
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(cluster.url(role, user=role, password=older))


@pytest.mark.parametrize("wrap", [killed_before, killed_after])
@pytest.mark.parametrize(
    ("owner", "name"),
    [(Servers, "renew_login"), (roles, "set_password"), (Servers, "settle_login")],
    ids=["renew", "set", "settle"],
)
def test_wherever_the_change_of_the_password_was_cut_short_the_tenant_is_reached(
    pg_tenancy: Tenancy, pg_acme: Tenant, cluster: Cluster, owner: Any, name: str, wrap: Callable[[Step], Step]
) -> None:
    fill(pg_tenancy, pg_acme)
    older = password_of(pg_tenancy, pg_acme)
    assert killed_in_rotation(pg_tenancy.settings, owner, name, wrap)
    with afterwards(pg_tenancy.settings) as (worker, acme):
        assert_it_is_whole(worker, acme)
        rotate(worker)
        assert_all_is_sealed_with(worker, "acme", 2)
        assert password_of(worker, acme) != older
        login(worker, cluster, acme).close()


def test_a_tenant_without_a_login_is_told_so(pg_tenancy: Tenancy, pg_acme: Tenant) -> None:
    pg_tenancy.servers.forget_login(pg_acme.uuid, "pg1")
    with pytest.raises(TenantUnavailable, match="no login"):
        rotate(pg_tenancy)
    assert_nothing_was_begun(pg_tenancy, pg_acme)


def test_a_note_written_after_a_rotation_is_like_any_other(place: Tenancy) -> None:
    rotate(place)
    acme = place.registry.by_slug("acme")
    with place.open_db(acme, writing=True) as db:
        db.add(note("after", "2"))
        append(db)
        db.commit()
    assert_all_is_sealed_with(place, "acme", 2)


def test_a_renamed_tenant_keeps_its_new_key(tenancy: Tenancy, acme: Tenant) -> None:
    rotate(tenancy)
    token = tenancy.keys_of(acme).seal("x", b"y")
    apex = lifecycle.rename_tenant(tenancy, "acme", "apex")
    assert (apex.key_version, tenancy.keys_of(apex).open("x", token)) == (2, b"y")
