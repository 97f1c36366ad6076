"""Two chains in each tenant's database, the security log's and the activity log's: whatever is done, both hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from extranet.accounts import operations
from extranet.accounts.restored import begin_anew
from extranet.activity.changes import Change
from extranet.activity.operations import activity_journal, note_change, read_all
from extranet.models import User, activity_table
from extranet.preferences import operations as preferences
from extranet.security_log.events import Event, TenantEvent
from extranet.security_log.operations import journal, record
from extranet.security_log.origin import OPERATOR
from provisioning.telling import telling
from tenants import lifecycle, rotation
from tenants.backups.making import back_up
from tenants.backups.restoring import restore_tenant
from tenants.backups.verifying import verify_backup
from tenants.databases import TenantSession
from tenants.errors import BrokenJournal, NoSuchTenant
from tenants.fleet.journal import StepState
from tenants.fleet.migration import migrate_tenant
from tenants.lifecycle import NewTenant
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED
from tests.evidence import bytes_of
from tests.platform import OPERATOR_ORIGIN, Platform, add_tenant, user_id

KEPT_ON = ("sqlite", "postgresql")

BEFORE = "tests.histories.before_accounts"
ANNA = user_id("anna")


class Teller:
    """What a command tells with, without a command."""

    origin = OPERATOR_ORIGIN


@pytest.fixture(autouse=True)
def _nobody_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "_SETTLE_SECONDS", 0)


@pytest.fixture
def umbrella(platform: Platform) -> Tenancy:
    """Where there is a tenant that no other test knows: what is done to its role on the server concerns nobody."""
    add_tenant(platform.tenancy, "umbrella", platform.tenant("acme").server)
    return platform.tenancy


def lengths(tenancy: Tenancy, slug: str) -> tuple[int, int]:
    """Verify both chains and return how long they are: the security log's, the activity log's."""
    with tenancy.open_db(tenancy.registry.by_slug(slug)) as db:
        keys = db.info["keys"]
        return journal(keys).verify(db), activity_journal(keys).verify(db)


def change_something(tenancy: Tenancy, slug: str = "acme", word: str = "Gent") -> None:
    with tenancy.open_db(tenancy.registry.by_slug(slug), writing=True) as db:
        preferences.change_profile(db, ANNA, {"first_name": "Anna", "last_name": "Martin", "city": word})
        operations.unlock_user(db, db.get_one(User, ANNA), OPERATOR_ORIGIN, OPERATOR)
        db.commit()


def said(tenancy: Tenancy, slug: str) -> list[tuple[str, object]]:
    with tenancy.open_db(tenancy.registry.by_slug(slug)) as db:
        return [(entry.event, entry.private.get("after")) for entry in read_all(db)]


def tell(event: TenantEvent) -> lifecycle.Tell:
    return telling(Teller(), event)  # type: ignore[arg-type]


def test_a_clone_has_chains_of_its_own_and_what_was_erased_stays_erased(umbrella: Tenancy, platform: Platform) -> None:
    tenancy = umbrella
    change_something(tenancy, "umbrella")
    with platform.db("umbrella") as db:
        db.execute(activity_table.update().where(activity_table.c.sequence == 2).values(private=None))
    events, changes = lengths(tenancy, "umbrella")
    server = platform.tenant("umbrella").server
    lifecycle.clone_tenant(tenancy, "umbrella", NewTenant("twin", "Twin", server), tell(TenantEvent.CLONED))
    assert lengths(tenancy, "twin") == (events + 1, changes + 1)
    assert lengths(tenancy, "umbrella") == (events, changes)
    assert said(tenancy, "twin")[:-1] == said(tenancy, "umbrella")
    assert said(tenancy, "twin")[1][1] is None
    assert said(tenancy, "twin")[-1] == ("tenant_cloned", {"source": str(platform.tenant("umbrella").uuid)})
    change_something(tenancy, "twin", "Lille")
    lengths(tenancy, "twin")
    twin = tenancy.registry.by_slug("twin")
    with tenancy.open_db(twin) as db, pytest.raises(BrokenJournal):
        activity_journal(tenancy.keys_of(platform.tenant("umbrella"))).verify(db)


@pytest.mark.parametrize("kept_on", ["postgresql"], indirect=True)
def test_a_move_to_sqlite_and_back_takes_both_along(umbrella: Tenancy) -> None:
    tenancy = umbrella
    change_something(tenancy, "umbrella")
    events, changes = lengths(tenancy, "umbrella")
    for moves, server in enumerate((EMBEDDED, "pg1"), 1):
        lifecycle.move_tenant(tenancy, "umbrella", server, tell(TenantEvent.MOVED))
        assert lengths(tenancy, "umbrella") == (events + moves, changes + moves)
        assert said(tenancy, "umbrella")[-1] == ("tenant_moved", {"server": server})
    change_something(tenancy, "umbrella", "Lille")
    assert lengths(tenancy, "umbrella") == (events + 3, changes + 4)


def test_a_backup_brings_both_back_and_says_so_in_both(umbrella: Tenancy, platform: Platform) -> None:
    tenancy = umbrella
    change_something(tenancy, "umbrella")
    events, changes = lengths(tenancy, "umbrella")
    back_up(tenancy, "umbrella")
    manifest = verify_backup(tenancy, "umbrella")
    assert {name: head[0] for name, head in manifest.moment.journals.items()} == {
        "activity": changes,
        "security_event": events,
    }
    change_something(tenancy, "umbrella", "Lille")
    details = {"backup": "b" * 32, "made_at": "2026-11-22T10:00:00Z", "heads": {}}
    restore_tenant(tenancy, "umbrella", lambda db, _back_to: begin_anew(db, OPERATOR_ORIGIN, OPERATOR, details))
    assert lengths(tenancy, "umbrella") == (events + 1, changes + 1)
    assert said(tenancy, "umbrella")[-1] == ("restored", {"backup": "b" * 32, "made_at": "2026-11-22T10:00:00Z"})


def test_a_key_rotation_seals_both_anew_and_breaks_neither(umbrella: Tenancy, platform: Platform) -> None:
    tenancy = umbrella
    change_something(tenancy, "umbrella")
    events, changes = lengths(tenancy, "umbrella")
    before = said(tenancy, "umbrella")
    for version in (2, 3):
        rotated = rotation.rotate_keys(
            tenancy, "umbrella", lambda _db: 0, logout=True, tell=tell(TenantEvent.KEYS_ROTATED)
        )
        assert rotated.unreadable == 0
        assert said(tenancy, "umbrella")[-1] == ("keys_rotated", {"key_version": version})
    assert lengths(tenancy, "umbrella") == (events + 2, changes + 2)
    assert said(tenancy, "umbrella")[:-2] == before


def test_a_closed_tenants_keys_are_rotated_without_a_word(umbrella: Tenancy, platform: Platform) -> None:
    tenancy = umbrella
    before = lengths(tenancy, "umbrella")
    lifecycle.close_tenant(tenancy, "umbrella")
    rotation.rotate_keys(tenancy, "umbrella", lambda _db: 0, tell=tell(TenantEvent.KEYS_ROTATED))
    assert lengths(tenancy, "umbrella") == before


def test_what_is_noted_is_sealed_where_it_lies(umbrella: Tenancy, platform: Platform) -> None:
    change_something(platform.tenancy, "umbrella", "Canary-upon-Thames")
    with platform.db("umbrella") as db:
        db.execute(text("UPDATE profile SET city = ''"))
        db.execute(text("DELETE FROM profile_version"))
    if platform.tenant("umbrella").server != EMBEDDED:
        assert b"Canary-upon" not in bytes_of(platform, "umbrella")
    with platform.db("umbrella", writing=False) as db:
        for row in db.execute(activity_table.select()):
            assert b"Canary-upon" not in row.body + row.private


def test_a_purge_leaves_nothing_of_either(umbrella: Tenancy, platform: Platform) -> None:
    change_something(platform.tenancy, "umbrella")
    lifecycle.close_tenant(platform.tenancy, "umbrella")
    lifecycle.purge_tenant(platform.tenancy, "umbrella", at_once=True)
    with pytest.raises(NoSuchTenant):
        platform.tenancy.registry.by_slug("umbrella")
    lengths(platform.tenancy, "globex")


# -- databases filled before there was an activity log -----------------------------------------------------------------


def found_before(db: TenantSession) -> None:
    """What the release before wrote into a new tenant's database."""
    journal(db.info["keys"]).start(db)
    db.execute(
        text(
            "INSERT INTO company VALUES (1, 'Initech', '', '', '', '', '', '', '', '', '', '', '', 210, 'en', "
            "'Europe/Paris')"
        )
    )
    db.execute(
        text(
            'INSERT INTO "user" (id, username, email, first_name, last_name, role, state, password, '
            "must_change_password, avatar, language, time_zone, date_format, clock, theme, density, rows_per_page, "
            "reduce_motion, created_at) VALUES (:id, 'anna', 'anna@initech.example', 'Anna', 'Martin', 'admin', "
            "'active', :none, :no, '', 'en', 'Europe/Paris', 'locale', '24h', 'system', 'comfortable', 25, :no, "
            "'2026-01-01 00:00:00')"
        ),
        {"id": ANNA, "none": b"", "no": False},
    )
    db.execute(
        text(
            "INSERT INTO profile VALUES (:id, '', '', '', '', '', '', '', '', '', '', '', 'email', 'a', 'a', 'a', 'a')"
        ),
        {"id": ANNA},
    )
    for event in (Event.USER_CREATED, Event.SIGNED_IN, Event.SIGN_IN_REFUSED):
        record(db, event, OPERATOR_ORIGIN, actor=ANNA)


@pytest.fixture
def before(platform: Platform) -> Iterator[Tenancy]:
    """The release before, with a tenant it has made and filled."""
    with Tenancy.open(platform.settings, BEFORE) as tenancy:
        server = platform.tenant("acme").server
        lifecycle.create_tenant(tenancy, "initech", "Initech", found_before, server)
        yield tenancy


def migrate(tenancy: Tenancy) -> None:
    assert migrate_tenant(tenancy, tenancy.registry.by_slug("initech"), None).state is StepState.DONE


def test_a_database_filled_before_begins_its_activity_log_when_it_is_migrated(
    platform: Platform, before: Tenancy
) -> None:
    migrate(platform.tenancy)
    assert lengths(platform.tenancy, "initech") == (3, 0)
    change_something(platform.tenancy, "initech")
    assert lengths(platform.tenancy, "initech") == (4, 2)


def test_code_of_the_release_before_works_on_what_was_migrated(platform: Platform, before: Tenancy) -> None:
    migrate(platform.tenancy)
    initech = before.registry.by_slug("initech")
    with before.open_db(initech, writing=True) as db:
        record(db, Event.SIGNED_IN, OPERATOR_ORIGIN, actor=ANNA)
        db.execute(text("UPDATE company SET legal_name = 'Initrode'"))
        db.execute(
            text(
                'INSERT INTO "user" (id, username, email, first_name, last_name, role, state, password, '
                "must_change_password, avatar, language, time_zone, date_format, clock, theme, density, "
                "rows_per_page, reduce_motion, created_at) SELECT :id, 'ben', 'ben@initech.example', 'Ben', 'P', "
                "'member', state, password, must_change_password, avatar, language, time_zone, date_format, clock, "
                'theme, density, rows_per_page, reduce_motion, created_at FROM "user"'
            ),
            {"id": user_id("ben")},
        )
        db.commit()
    assert lengths(platform.tenancy, "initech") == (4, 0)
    with platform.db("initech") as db:
        ben = db.get_one(User, user_id("ben"))
        assert ben.wants_browser_mail
        assert ben.log_notice_at is None
        note_change(db, Change.USER_UNLOCKED, actor=OPERATOR, subject=ben.id)
    assert lengths(platform.tenancy, "initech") == (4, 1)


def test_a_backup_of_the_release_before_is_restored_with_both_chains(platform: Platform, before: Tenancy) -> None:
    back_up(before, "initech")
    migrate(platform.tenancy)
    change_something(platform.tenancy, "initech")
    details = {"backup": "b" * 32, "made_at": "2026-01-01T00:00:00Z"}
    restore_tenant(platform.tenancy, "initech", lambda db, _back_to: begin_anew(db, OPERATOR_ORIGIN, OPERATOR, details))
    assert lengths(platform.tenancy, "initech") == (4, 1)
    assert said(platform.tenancy, "initech")[-1][0] == "restored"


def test_nobody_signs_in_before_the_migration_and_everybody_after_it(platform: Platform, before: Tenancy) -> None:
    assert platform.browser("initech").get("/login").status_code == 503
    migrate(platform.tenancy)
    assert platform.browser("initech").get("/login").status_code == 200
