"""A clone has what its original had, under its own UUID and key; nothing of the original's opens anything there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from extranet.accounts.passwords import Passwords
from extranet.models import CompanyVersion, User, security_event_table
from extranet.request.cookies import DEVICE_COOKIE, SESSION_COOKIE
from extranet.security_log.operations import journal
from tenants import lifecycle, unfinished
from tenants.databases import TenantSession
from tenants.errors import (
    BadSeal,
    BadSlug,
    BrokenJournal,
    Busy,
    HostMoved,
    IllegalTransition,
    NoSuchServer,
    NoSuchTenant,
    SlugTaken,
    UnknownHost,
)
from tenants.files import Files
from tenants.journal import Journal
from tenants.lifecycle import NewTenant, cloning, creating
from tenants.locks import Locks
from tenants.registry import Registry
from tenants.settings import Settings
from tenants.stores import store_of
from tenants.stores.embedded import EmbeddedStore
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED, State, Tenant
from tests.platform import CHEAPEST, PASSWORD, Platform, user_id
from tests.tenants.lives import (
    assert_journals_hold,
    everything_of,
    files_of,
    killed_after,
    killed_before,
    nothing_is_unfinished,
    rows_of,
)
from tests.tenants.world import HISTORY, killed_in_child

NEW = NewTenant("twin", "Twin")
LEFT_BEHIND = {"login", "known_browser", "invitation", "mail", "throttle"}
CHAINED = {"activity", "activity_head", "security_event", "security_event_head"}


def clone(tenancy: Tenancy, new: NewTenant = NEW, slug: str = "acme") -> Tenant:
    return lifecycle.clone_tenant(tenancy, slug, new)


def test_a_clone_has_the_same_rows_but_for_what_lets_somebody_in(platform: Platform) -> None:
    platform.invite("acme", "zoe")
    platform.signed_in("acme", "ben").post("/login", {"username": "gus", "password": "not his"})
    tenancy, acme = platform.tenancy, platform.tenant("acme")
    before, globex = everything_of(tenancy, "acme"), everything_of(tenancy, "globex")
    twin = clone(tenancy)
    assert (twin.slug, twin.name, twin.state, twin.server) == ("twin", "Twin", State.ACTIVE, EMBEDDED)
    assert (twin.epoch, twin.key_version) == (1, 1)
    original, copy = rows_of(tenancy, acme), rows_of(tenancy, twin)
    assert all(original[name] for name in LEFT_BEHIND)
    assert {name for name in copy if not copy[name]} >= LEFT_BEHIND
    for name in set(copy) - LEFT_BEHIND - CHAINED - {"user"}:
        assert copy[name] == original[name], name
    sealed = {column.name for column in User.__table__.columns if "sealed" in column.info}
    kept = [column.name for column in User.__table__.columns if column.name not in sealed]
    assert users(tenancy, acme, kept) == users(tenancy, twin, kept)
    assert everything_of(tenancy, "acme") == before
    assert everything_of(tenancy, "globex") == globex
    assert nothing_is_unfinished(tenancy)


def users(tenancy: Tenancy, tenant: Tenant, columns: list[str]) -> list[Any]:
    with tenancy.open_db(tenant) as db:
        return list(db.execute(select(*(User.__table__.c[name] for name in columns)).order_by(User.id)).all())


def test_people_keep_their_passwords_under_another_seal(platform: Platform) -> None:
    tenancy, acme = platform.tenancy, platform.tenant("acme")
    twin = clone(tenancy)
    (theirs,), (ours,) = (users(tenancy, tenant, ["password"])[:1] for tenant in (acme, twin))
    passwords, anna = Passwords(CHEAPEST, slots=1), user_id("anna")
    assert passwords.verify(tenancy.keys_of(twin), anna, ours.password, PASSWORD)
    assert not passwords.verify(tenancy.keys_of(twin), anna, theirs.password, PASSWORD)
    assert platform.signed_in("twin", "anna").get("/").status_code == 200


def test_no_cookie_or_invitation_of_the_original_works_on_the_clone(platform: Platform) -> None:
    invitation = platform.invite("acme", "zoe")
    anna = platform.signed_in("acme")
    clone(platform.tenancy)
    visitor = platform.browser("twin")
    for name in (SESSION_COOKIE, DEVICE_COOKIE):
        visitor.set_cookie(name, anna.cookie(name))
    assert visitor.get("/").status_code == 303
    assert (
        platform.browser("twin").get(invitation).status_code
        == platform.browser("twin").get("/invitation/" + "A" * 43).status_code
    )
    assert anna.get("/").status_code == 200


def entries(tenancy: Tenancy, tenant: Tenant) -> list[Any]:
    with tenancy.open_db(tenant) as db:
        rows = db.execute(select(security_event_table).order_by(security_event_table.c.sequence)).all()
        return list(journal(db.info["keys"]).read(iter(rows)))


def test_its_journal_says_what_the_originals_said_in_a_chain_of_its_own(platform: Platform) -> None:
    tenancy, acme = platform.tenancy, platform.tenant("acme")
    platform.signed_in("acme", "ben")
    # Somebody was erased: what was sealed is gone, and what was signed is not.
    with platform.db("acme") as db:
        db.execute(update(security_event_table).where(security_event_table.c.sequence == 2).values(private=None))
    told: list[Mapping[str, Any]] = []
    with tenancy.open_db(acme) as db:
        head = journal(db.info["keys"]).head(db)
    twin = lifecycle.clone_tenant(tenancy, "acme", NEW, lambda _db, details: told.append(details))
    assert entries(tenancy, twin) == entries(tenancy, acme)
    assert entries(tenancy, twin)[1].private == {}
    assert_journals_hold(tenancy, twin)
    (details,) = told
    assert (details["source"], list(details["heads"])) == (str(acme.uuid), ["activity", "security_event"])
    assert details["heads"]["security_event"] == "{}:{}".format(*head)
    original, copy = rows_of(tenancy, acme), rows_of(tenancy, twin)
    for table in ("activity", "security_event"):
        assert len(original[table]) == len(copy[table]) > 5
        assert not {row[-1] for row in original[table]} & {row[-1] for row in copy[table]}
    with tenancy.open_db(twin) as db, pytest.raises(BrokenJournal):
        journal(tenancy.keys_of(acme)).verify(db)


def test_who_is_told_writes_the_last_entry_of_the_copied_chain(platform: Platform) -> None:
    def tell(db: TenantSession, details: Mapping[str, Any]) -> None:
        said = {"actor": "operator", "subject": "operator", "private": {}}
        journal(db.info["keys"]).append(db, "tenant_cloned", "ok", details=details, **said)

    twin = lifecycle.clone_tenant(platform.tenancy, "acme", NEW, tell)
    last = entries(platform.tenancy, twin)[-1]
    assert (last.event, last.details["source"]) == ("tenant_cloned", str(platform.tenant("acme").uuid))
    assert_journals_hold(platform.tenancy, twin)


def test_its_files_are_the_same_under_another_seal(platform: Platform) -> None:
    tenancy, acme = platform.tenancy, platform.tenant("acme")
    names = [tenancy.files_of(acme).store(content) for content in (b"one", b"two")]
    (tenancy.settings.folder_of(acme.uuid) / "files" / ("f" * 32)).write_bytes(b"never opened")
    twin = clone(tenancy)
    assert files_of(tenancy, twin) == dict(zip(names, (b"one", b"two"), strict=True))
    ours, theirs = tenancy.files_of(twin), tenancy.files_of(acme)
    assert ours.sealed(names[0]) != theirs.sealed(names[0])
    with pytest.raises(BadSeal):
        tenancy.keys_of(acme).open("file", ours.sealed(names[0]), context=names[0].encode())


def test_files_that_come_while_it_is_made_are_there_when_its_rows_name_them(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenancy, acme = platform.tenancy, platform.tenant("acme")
    old, read = tenancy.files_of(acme).store(b"old"), Files.read
    new: list[str] = []

    def replaced_meanwhile(files: Files, name: str) -> bytes:
        content = read(files, name)
        if name == old and not new:
            new.append(tenancy.files_of(acme).store(b"new"))
            with platform.db("acme") as db:
                db.execute(update(User).where(User.username == "ben").values(avatar=new[0]))
            tenancy.files_of(acme).remove(old)
        return content

    monkeypatch.setattr(Files, "read", replaced_meanwhile)
    twin = clone(tenancy)
    (named,) = {row.avatar for row in users(tenancy, twin, ["avatar"]) if row.avatar}
    assert named == new[0]
    assert tenancy.files_of(twin).read(named) == b"new"


def test_no_host_leads_to_a_clone_but_its_own(platform: Platform) -> None:
    tenancy = platform.tenancy
    lifecycle.add_host(tenancy, "acme", "extranet.acme.example")
    lifecycle.rename_tenant(tenancy, "acme", "apex")
    twin = clone(tenancy, slug="apex")
    assert (tenancy.registry.hosts_of(twin), tenancy.registry.former_slugs_of(twin)) == ([], [])
    assert tenancy.resolver.resolve("twin.localhost") == twin
    assert tenancy.resolver.resolve("extranet.acme.example").slug == "apex"
    with pytest.raises(HostMoved):
        tenancy.resolver.resolve("acme.localhost")


@pytest.mark.parametrize(("origin", "target"), [(EMBEDDED, "pg1"), ("pg1", EMBEDDED), ("pg1", "pg1")])
def test_a_clone_may_be_on_another_server(movable: Tenancy, origin: str, target: str) -> None:
    acme = lifecycle.move_tenant(movable, "acme", origin)
    told: list[tuple[int, int]] = []
    twin = lifecycle.clone_tenant(
        movable, "acme", NewTenant("twin", "Twin", target), None, lambda *counts: told.append(counts)
    )
    assert twin.server == target
    assert rows_of(movable, twin)["profile"] == rows_of(movable, acme)["profile"]
    assert entries(movable, twin) == entries(movable, acme)
    assert told[0][0] == 0
    assert told[-1][0] == told[-1][1] > 0
    assert_journals_hold(movable, twin)
    with movable.open_db(twin, writing=True) as db:
        db.execute(update(User).values(theme="dark"))
        db.commit()


def test_somebody_who_saves_meanwhile_is_not_kept_waiting_and_not_copied(platform: Platform) -> None:
    def save(db: TenantSession, _details: Mapping[str, Any]) -> None:
        with platform.db("acme") as original:
            version = {"id": "late", "changed_by": "anna", "at": datetime.now(UTC), "changes": "[]"}
            original.execute(insert(CompanyVersion).values(**version))

    twin = lifecycle.clone_tenant(platform.tenancy, "acme", NEW, save)
    assert ("late",) not in [row[:1] for row in rows_of(platform.tenancy, twin)["company_version"]]


# -- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slug", "new", "error"),
    [
        ("acme", NewTenant("globex", "Twin"), SlugTaken),
        ("acme", NewTenant("acme", "Twin"), SlugTaken),
        ("acme", NewTenant("admin", "Twin"), BadSlug),
        ("acme", NewTenant("twin", "Twin", "pg9"), NoSuchServer),
        ("nobody", NEW, NoSuchTenant),
    ],
)
def test_a_refused_clone_leaves_nothing(platform: Platform, slug: str, new: NewTenant, error: type[Exception]) -> None:
    tenancy = platform.tenancy
    before = tenancy.registry.generation(), sorted(tenancy.settings.home.glob("tenants/*"))
    for attempt in (lifecycle.clone_tenant, lifecycle.plan_clone):
        with pytest.raises(error):
            attempt(tenancy, slug, new)
    assert (tenancy.registry.generation(), sorted(tenancy.settings.home.glob("tenants/*"))) == before


def test_what_was_purged_or_is_at_work_elsewhere_is_not_cloned(platform: Platform) -> None:
    tenancy = platform.tenancy
    with tenancy.locks.hold("acme"), pytest.raises(Busy):
        clone(tenancy)
    assert clone(tenancy, NewTenant("second", "Second")).state is State.ACTIVE
    lifecycle.close_tenant(tenancy, "acme")
    assert clone(tenancy).state is State.ACTIVE
    tenancy.registry.move_to(platform.tenant("acme"), State.PURGED)
    with pytest.raises(IllegalTransition, match="does not come back"):
        clone(tenancy, NewTenant("third", "Third"))


def test_a_value_that_does_not_open_is_not_passed_on_as_another(platform: Platform) -> None:
    with platform.db("acme") as db:
        db.execute(update(User).where(User.username == "ben").values(password=bytes(100)))
    with pytest.raises(BadSeal):
        clone(platform.tenancy)
    assert_nothing_of_it(platform.tenancy)


def test_a_journal_that_does_not_hold_is_not_made_to_hold(platform: Platform) -> None:
    with platform.db("acme") as db:
        connection: Connection = db.connection()
        connection.exec_driver_sql("DROP TRIGGER security_event_no_update")
        forged = json.dumps({"forged": True}).encode()
        connection.execute(update(security_event_table).where(security_event_table.c.sequence == 2).values(body=forged))
    with pytest.raises(BrokenJournal):
        clone(platform.tenancy)
    assert_nothing_of_it(platform.tenancy)


def assert_nothing_of_it(tenancy: Tenancy) -> None:
    known = {str(tenant.uuid) for tenant in tenancy.registry.all()}
    assert {folder.name for folder in (tenancy.settings.home / "tenants").iterdir()} == known
    assert nothing_is_unfinished(tenancy)
    with pytest.raises(NoSuchTenant):
        tenancy.registry.by_slug("twin")


def test_a_plan_counts_rows_and_files_and_makes_nothing(platform: Platform) -> None:
    tenancy, acme = platform.tenancy, platform.tenant("acme")
    tenancy.files_of(acme).store(b"one")
    before = everything_of(tenancy, "acme")
    plan = lifecycle.plan_clone(tenancy, "acme", NEW)
    copied = {name: rows for name, rows in rows_of(tenancy, acme).items() if name not in LEFT_BEHIND | CHAINED}
    assert (plan.server, plan.files) == (EMBEDDED, 1)
    assert plan.rows == sum(map(len, copied.values()))
    assert everything_of(tenancy, "acme") == before
    assert_nothing_of_it(tenancy)


# -- kill -9 ----------------------------------------------------------------------------------------------------------

STEPS: list[tuple[Any, str]] = [
    (Locks, "hold"),
    (creating, "_register"),
    (unfinished, "begin"),
    (creating, "_make_folder"),
    (EmbeddedStore, "create"),
    (EmbeddedStore, "filling"),
    (Files, "keep"),
    (cloning, "copy_resealed"),
    (Journal, "take_over"),
    (TenantSession, "commit"),
    (unfinished, "end"),
    (Registry, "move_to"),
]


KILLS = [
    pytest.param(owner, name, wrap, id=f"{wrap.__name__}-{name}")
    for owner, name in STEPS
    for wrap in (killed_before, killed_after)
]


@pytest.mark.parametrize(("owner", "name", "wrap"), KILLS)
def test_a_kill_at_any_step_leaves_nothing_that_is_served_and_the_next_try_succeeds(
    home_settings: Settings, owner: Any, name: str, wrap: Callable[..., Any]
) -> None:
    with Tenancy.open(home_settings, HISTORY) as tenancy:
        tenancy.files_of(tenancy.registry.by_slug("acme")).store(b"a picture")
        before, globex = everything_of(tenancy, "acme"), everything_of(tenancy, "globex")

    assert killed_on_the_way(home_settings, owner, name, wrap)
    with Tenancy.open(home_settings, HISTORY) as tenancy:
        finished = (name, wrap) in {("move_to", killed_after), ("hold", killed_after)}
        if finished:
            tenancy.resolver.resolve("twin.localhost")
            with pytest.raises(SlugTaken):
                clone(tenancy)
        else:
            with pytest.raises(UnknownHost):
                tenancy.resolver.resolve("twin.localhost")
            clone(tenancy)
        twin = tenancy.registry.by_slug("twin")
        known = {tenant.uuid for tenant in tenancy.registry.all()}
        assert store_of(tenancy, EMBEDDED).versions().keys() == known
        assert {folder.name for folder in (tenancy.settings.home / "tenants").iterdir()} == set(map(str, known))
        assert nothing_is_unfinished(tenancy)
        assert_journals_hold(tenancy, twin)
        assert list(files_of(tenancy, twin).values()) == [b"a picture"]
        assert everything_of(tenancy, "acme") == before
        assert everything_of(tenancy, "globex") == globex


def killed_on_the_way(settings: Settings, owner: Any, name: str, wrap: Callable[..., Any]) -> bool:
    def go() -> None:
        setattr(owner, name, wrap(getattr(owner, name)))
        with Tenancy.open(settings, HISTORY) as tenancy:
            clone(tenancy)

    return killed_in_child(go)


def test_a_clone_that_was_killed_is_undone_by_whoever_makes_another_tenant_of_that_slug(
    home_settings: Settings,
) -> None:
    assert killed_on_the_way(home_settings, TenantSession, "commit", killed_after)
    with Tenancy.open(home_settings, HISTORY) as tenancy:
        lifecycle.create_tenant(tenancy, "twin", "Twin", lambda _db: None)
        assert nothing_is_unfinished(tenancy)
        assert set(rows_of(tenancy, tenancy.registry.by_slug("twin"))["user"]) == set()


def test_a_clone_whose_undoing_fails_is_undone_by_the_next(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", fail)
        patch.setattr(cloning, "copy_resealed", fail)
        with pytest.raises(ValueError):
            clone(platform.tenancy)
    assert [tenant.slug for tenant in lifecycle.unfinished(platform.tenancy)] == ["twin"]
    clone(platform.tenancy)
    assert nothing_is_unfinished(platform.tenancy)
