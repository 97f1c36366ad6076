"""A database that is missing, damaged or another tenant's: that tenant alone is unavailable, until its own is back."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from extranet.accounts.operations import find_user, set_password
from extranet.models import Profile, User
from extranet.request.cookies import SESSION_COOKIE
from extranet.security_log.origin import OPERATOR
from tenants.sqlite_files import SIDE_FILES
from tests.evidence import ask, dump, folder_of, post_form, untouched
from tests.platform import OPERATOR_ORIGIN, PASSWORD, SLUGS, Platform, copy_home, open_platform, user_id

OTHER_PASSWORD = "seven purple lanterns over quiet water"
PATHS = ("/login", "/", "/preferences/profile", "/invitation", "/nowhere", f"/people/{user_id('ben')}/avatar")


def database_of(platform: Platform, slug: str) -> Path:
    return platform.tenancy.databases.path_of(platform.tenant(slug))


def copied(source: Path, target: Path) -> None:
    """Write a consistent copy of a database that is in use."""
    with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as ours, closing(sqlite3.connect(target)) as copy:
        ours.backup(copy)


class Aside:
    """Puts a tenant's database files aside, and back."""

    def __init__(self, database: Path) -> None:
        self.files = [database, *(Path(f"{database}{suffix}") for suffix in SIDE_FILES)]
        self.folder = database.parent.parent.parent / "aside"
        self.folder.mkdir()

    def put(self) -> None:
        for file in self.files:
            if file.exists():
                file.rename(self.folder / file.name)

    def put_back(self) -> None:
        for file in self.files:
            if file.is_dir() and not file.is_symlink():
                file.rmdir()
            file.unlink(missing_ok=True)
            kept = self.folder / file.name
            if kept.exists():
                kept.rename(file)


def _nothing(_platform: Platform, _database: Path, _kept: Path) -> None:
    """Leave the place empty."""


def _foreign(platform: Platform, database: Path, _kept: Path) -> None:
    copied(database_of(platform, "globex"), database)


def _link(platform: Platform, database: Path, _kept: Path) -> None:
    database.symlink_to(database_of(platform, "globex"))


def _hard_link(platform: Platform, database: Path, _kept: Path) -> None:
    os.link(database_of(platform, "globex"), database)


def _empty(_platform: Platform, database: Path, _kept: Path) -> None:
    database.touch(0o600)


def _garbage(_platform: Platform, database: Path, _kept: Path) -> None:
    database.write_bytes(b"not a database" * 1000)


def _folder(_platform: Platform, database: Path, _kept: Path) -> None:
    database.mkdir()


def _half(_platform: Platform, database: Path, kept: Path) -> None:
    content = kept.read_bytes()
    database.write_bytes(content[: len(content) // 2])


def _cut_in_a_page(_platform: Platform, database: Path, kept: Path) -> None:
    database.write_bytes(kept.read_bytes()[:-1000])


def _older(_platform: Platform, database: Path, kept: Path) -> None:
    copied(kept, database)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA user_version = 0")


def _restamped(platform: Platform, database: Path, kept: Path) -> None:
    copied(kept, database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE stamp SET tenant_uuid = ?", (platform.tenant("globex").uuid.hex,))


def _stamped_twice(platform: Platform, database: Path, kept: Path) -> None:
    copied(kept, database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO stamp VALUES (2, ?)", (platform.tenant("globex").uuid.hex,))


def _unstamped(_platform: Platform, database: Path, kept: Path) -> None:
    copied(kept, database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM stamp")


DAMAGES = (
    _nothing,
    _foreign,
    _link,
    _hard_link,
    _empty,
    _garbage,
    _folder,
    _half,
    _cut_in_a_page,
    _older,
    _restamped,
    _stamped_twice,
    _unstamped,
)


@pytest.fixture
def kept_on() -> str:
    """All of these are about files."""
    return "sqlite"


@pytest.fixture
def settled(platform: Platform) -> Platform:
    """Both tenants with a person signed in, and nothing left in a write-ahead log."""
    for slug in SLUGS:
        with closing(sqlite3.connect(database_of(platform, slug))) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return platform


@pytest.mark.parametrize("kept_open", [True, False], ids=["with connections kept", "with no connection kept"])
def test_only_the_tenant_whose_database_is_wrong_is_unavailable_and_it_recovers_without_restart(
    settled: Platform, kept_open: bool
) -> None:
    ours, theirs = settled.signed_in("acme", "ben"), settled.signed_in("globex", "ben")
    cookies = ["", *(f"{SESSION_COOKIE}={browser.cookie(SESSION_COOKIE)}" for browser in (ours, theirs))]
    before = dump(settled, "acme")
    aside = Aside(database_of(settled, "acme"))
    for damage in DAMAGES:
        assert ours.get("/").status_code == 200
        if not kept_open:
            settled.tenancy.databases.forget(settled.tenant("acme"))
        with untouched(settled, "globex"):
            aside.put()
            damage(settled, aside.files[0], aside.folder / aside.files[0].name)
            for path in PATHS:
                assert_unavailable(settled, path, cookies, damage.__name__)
            data = {"username": "ben", "password": PASSWORD, "csrf_token": "x"}
            assert post_form(settled, "acme", "/login", data, cookie=cookies[1]).status_code in {403, 503}
            assert theirs.get("/").status_code == 200
            assert damage is not _nothing or not aside.files[0].exists(), "an empty tenant was made"
            aside.put_back()
        assert ours.get("/").status_code == 200, damage.__name__
        assert dump(settled, "acme") == before, damage.__name__


def assert_unavailable(platform: Platform, path: str, cookies: list[str], damage: str) -> None:
    for cookie in cookies:
        shown = ask(platform, "acme", path, cookie=cookie)
        # Without a cookie some pages need no database to send a visitor to the sign-in page.
        assert shown.status_code == 503 or (shown.status_code == 303 and not cookie), (damage, path)
        assert "Globex" not in shown.text
        assert "sqlite" not in shown.text.lower()
        assert "Set-Cookie" not in shown.headers


@pytest.mark.parametrize("length", [0, 100, 4096, 5000])
def test_a_database_cut_short_under_open_connections_is_unavailable_until_it_is_whole(
    settled: Platform, length: int
) -> None:
    browser = settled.signed_in("acme", "ben")
    database = database_of(settled, "acme")
    settled.tenancy.databases.forget(settled.tenant("acme"))
    whole = database.read_bytes()
    assert browser.get("/").status_code == 200
    settled.tenancy.databases.forget(settled.tenant("acme"))
    with untouched(settled, "globex"):
        os.truncate(database, length)
        for path in ("/login", "/preferences/profile"):
            cookie = f"{SESSION_COOKIE}={browser.cookie(SESSION_COOKIE)}"
            assert ask(settled, "acme", path, cookie=cookie).status_code == 503
        database.write_bytes(whole)
    assert browser.get("/preferences/profile").status_code == 200


def test_two_databases_in_each_others_place_serve_neither_tenant(settled: Platform) -> None:
    browsers = {slug: settled.signed_in(slug, "ben") for slug in SLUGS}
    databases = [database_of(settled, slug) for slug in SLUGS]
    settled.tenancy.databases.close()
    for _ in range(2):
        swap(*databases)
        statuses = {ask(settled, slug, "/login").status_code for slug in SLUGS}
        signed_in = {browser.get("/").status_code for browser in browsers.values()}
        if dump_is_own(settled):
            assert (statuses, signed_in) == ({200}, {200})
        else:
            assert (statuses, signed_in) == ({503}, {503})
    assert dump_is_own(settled)


def swap(one: Path, other: Path) -> None:
    between = one.with_name("between")
    one.rename(between)
    other.rename(one)
    between.rename(other)


def dump_is_own(platform: Platform) -> bool:
    return all(platform.tenant(slug).uuid.hex in "".join(dump(platform, slug)) for slug in SLUGS)


def test_folders_in_each_others_place_serve_neither_tenant(settled: Platform) -> None:
    settled.tenancy.databases.close()
    swap(*(folder_of(settled, slug) for slug in SLUGS))
    assert {ask(settled, slug, "/login").status_code for slug in SLUGS} == {503}
    swap(*(folder_of(settled, slug) for slug in SLUGS))
    assert {ask(settled, slug, "/login").status_code for slug in SLUGS} == {200}


def test_a_folder_open_to_others_is_not_served_from(settled: Platform) -> None:
    settled.tenancy.databases.close()
    folder = folder_of(settled, "acme")
    folder.chmod(0o755)
    assert [ask(settled, slug, "/login").status_code for slug in SLUGS] == [503, 200]
    folder.chmod(0o700)
    assert ask(settled, "acme", "/login").status_code == 200


def test_wrapped_keys_in_each_others_place_open_nothing_and_nobody_is_served_with_a_foreign_key(
    home: Path, tmp_path: Path
) -> None:
    home = copy_home(home, tmp_path / "swapped")
    with closing(sqlite3.connect(home / "registry.sqlite3")) as registry, registry:
        slugs = dict(registry.execute("SELECT slug, uuid FROM tenant").fetchall())
        keys = dict(registry.execute("SELECT tenant_uuid, wrapped FROM wrapped_key").fetchall())
        ours, theirs = (slugs[slug] for slug in SLUGS)
        for owner, key in ((ours, keys[theirs]), (theirs, keys[ours])):
            registry.execute("UPDATE wrapped_key SET wrapped = ? WHERE tenant_uuid = ?", (key, owner))
    platform = open_platform(home)
    try:
        for slug in SLUGS:
            assert ask(platform, slug, "/login").status_code == 503
        with closing(sqlite3.connect(home / "registry.sqlite3")) as registry, registry:
            for owner in (ours, theirs):
                registry.execute("UPDATE wrapped_key SET wrapped = ? WHERE tenant_uuid = ?", (keys[owner], owner))
        for slug in SLUGS:
            assert platform.signed_in(slug, "ben").get("/").status_code == 200
    finally:
        platform.close()


@pytest.mark.parametrize("source", ["the same person at the other tenant", "another person of this tenant"])
def test_a_password_hash_copied_into_another_row_opens_no_account(settled: Platform, source: str) -> None:
    slug, person = ("globex", "ben") if "other tenant" in source else ("acme", "gus")
    with settled.db(slug) as db:
        user = find_user(db, person)
        set_password(db, settled.passwords, user, OTHER_PASSWORD, OPERATOR_ORIGIN, OPERATOR)
        stored = user.password
    with settled.db("acme") as db:
        db.get_one(User, user_id("ben")).password = stored
    with untouched(settled, "globex"):
        for password in (OTHER_PASSWORD, PASSWORD):
            refused = settled.browser("acme").post("/login", {"username": "ben", "password": password})
            assert refused.status_code == 422
    settled.browser(slug).sign_in(person, OTHER_PASSWORD)


def test_a_log_copied_into_the_folder_of_another_tenant_is_not_replayed(platform: Platform) -> None:
    """SQLite replays what lies beside a database under its name: globex's rows once appeared on acme's pages."""
    word = "Grandfatherclause"
    with platform.db("globex") as db:
        db.get_one(Profile, user_id("anna")).position = word
        db.commit()
        log = Path(f"{database_of(platform, 'globex')}-wal")
        kept = log.read_bytes()
    assert word.encode() in kept
    platform.tenancy.databases.close()
    acme = database_of(platform, "acme")
    (acme.parent / log.name).write_bytes(kept)
    browser = platform.signed_in("acme")
    assert word not in browser.get("/preferences/profile").text
    assert word.encode() not in acme.read_bytes()
