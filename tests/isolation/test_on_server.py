"""A database on a server that is missing, closed, damaged or another tenant's: that tenant alone is unavailable.

What people typed is in nothing that all tenants of a server share.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from extranet.request.cookies import SESSION_COOKIE
from tenants.servers import database_name
from tests.evidence import ask, bytes_of, dump, post_form, untouched
from tests.isolation.server_place import DatabasePlace, statement
from tests.isolation.test_registry import PERSONAL, walk
from tests.platform import PASSWORD, SLUGS, Platform, user_id
from tests.services.postgresql import Cluster

PATHS = ("/login", "/", "/preferences/profile", "/invitation", "/nowhere", f"/people/{user_id('ben')}/avatar")


@pytest.fixture
def kept_on() -> str:
    return "postgresql"


def _missing(_ours: DatabasePlace, _theirs: DatabasePlace) -> None:
    """Leave the place empty."""


def _foreign(ours: DatabasePlace, theirs: DatabasePlace) -> None:
    ours.copy_from(theirs.name)


def _empty(ours: DatabasePlace, _theirs: DatabasePlace) -> None:
    ours.copy_from("template0")


def _restamped(ours: DatabasePlace, theirs: DatabasePlace) -> None:
    ours.copy_from("aside")
    ours.run(f"UPDATE stamp SET tenant_uuid = '{theirs.uuid}'")


def _stamped_twice(ours: DatabasePlace, theirs: DatabasePlace) -> None:
    ours.copy_from("aside")
    ours.run(f"INSERT INTO stamp VALUES (2, '{theirs.uuid}')")


def _unstamped(ours: DatabasePlace, _theirs: DatabasePlace) -> None:
    ours.copy_from("aside")
    ours.run("DELETE FROM stamp")


def _older(ours: DatabasePlace, _theirs: DatabasePlace) -> None:
    ours.copy_from("aside")
    ours.run("UPDATE alembic_version SET version_num = '0000'")


def _closed(ours: DatabasePlace, _theirs: DatabasePlace) -> None:
    ours.copy_from("aside")
    ours.cluster.execute(statement("ALTER DATABASE {} ALLOW_CONNECTIONS false", ours.name))


def _without_right(ours: DatabasePlace, _theirs: DatabasePlace) -> None:
    ours.copy_from("aside")
    ours.cluster.execute(statement("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", ours.name))


DAMAGES = (_missing, _foreign, _empty, _restamped, _stamped_twice, _unstamped, _older, _closed, _without_right)


@pytest.mark.parametrize("damage", DAMAGES)
def test_only_the_tenant_whose_database_is_wrong_is_unavailable_and_it_recovers_without_restart(
    platform: Platform, cluster: Cluster, damage: Callable[[DatabasePlace, DatabasePlace], None]
) -> None:
    ours, theirs = platform.signed_in("acme", "ben"), platform.signed_in("globex", "ben")
    cookies = ["", *(f"{SESSION_COOKIE}={browser.cookie(SESSION_COOKIE)}" for browser in (ours, theirs))]
    before = dump(platform, "acme")
    place, other = (DatabasePlace(platform, cluster, slug) for slug in SLUGS)
    with untouched(platform, "globex"):
        place.put_aside()
        try:
            damage(place, other)
            for path in PATHS:
                assert_unavailable(platform, path, cookies)
            data = {"username": "ben", "password": PASSWORD, "csrf_token": "x"}
            assert post_form(platform, "acme", "/login", data, cookie=cookies[1]).status_code in {403, 503}
            assert theirs.get("/").status_code == 200
        finally:
            place.put_back()
    assert ours.get("/").status_code == 200
    assert dump(platform, "acme") == before


def assert_unavailable(platform: Platform, path: str, cookies: list[str]) -> None:
    for cookie in cookies:
        shown = ask(platform, "acme", path, cookie=cookie)
        # Without a cookie some pages need no database to send a visitor to the sign-in page.
        assert shown.status_code == 503 or (shown.status_code == 303 and not cookie), path
        for word in ("globex", "postgres", "t_", "psycopg"):
            assert word not in shown.text.lower().replace("content_", "")
        assert "Set-Cookie" not in shown.headers


def test_two_databases_in_each_others_place_serve_neither_tenant(platform: Platform, cluster: Cluster) -> None:
    browsers = {slug: platform.signed_in(slug, "ben") for slug in SLUGS}
    acme, globex = (DatabasePlace(platform, cluster, slug) for slug in SLUGS)

    def swap() -> None:
        acme.put_aside()
        cluster.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [globex.name]
        )
        globex.rename(globex.name, acme.name)
        globex.rename("aside", globex.name)

    swap()
    assert {ask(platform, slug, "/login").status_code for slug in SLUGS} == {503}
    assert {browser.get("/").status_code for browser in browsers.values()} == {503}
    swap()
    assert {browser.get("/").status_code for browser in browsers.values()} == {200}


def test_while_one_tenants_database_is_down_the_other_is_served_and_it_comes_back_by_itself(
    platform: Platform, cluster: Cluster
) -> None:
    ours, theirs = platform.signed_in("acme", "ben"), platform.signed_in("globex", "ben")
    name = database_name(platform.tenant("acme").uuid)
    cluster.execute(statement("ALTER DATABASE {} ALLOW_CONNECTIONS false", name))
    cluster.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])
    for _ in range(3):
        assert ours.get("/").status_code == 503
        assert theirs.get("/").status_code == 200
    cluster.execute(statement("ALTER DATABASE {} ALLOW_CONNECTIONS true", name))
    assert ours.get("/").status_code == 200


def test_nothing_that_tenants_of_a_server_share_holds_a_word_about_a_person(
    platform: Platform, cluster: Cluster
) -> None:
    written_before = len(cluster.log())
    secrets = [secret for slug in SLUGS for secret in walk(platform, slug)]
    # What was typed twice, or is too long, or no such thing, is refused by the database too.
    with platform.db("acme", writing=False) as db:
        assert db.tenant.slug == "acme"
    shared = [
        cluster.log()[written_before:],
        str(cluster.execute("SELECT * FROM pg_database")),
        str(cluster.execute("SELECT * FROM pg_roles")),
        str(cluster.execute("SELECT usename, datname, application_name, query FROM pg_stat_activity")),
    ]
    for word in [*PERSONAL, *secrets]:
        for text in shared:
            assert word.lower() not in text.lower(), word


def test_the_walk_left_something_to_find_in_the_tenants_own_databases_and_no_secret(platform: Platform) -> None:
    secrets = [secret for slug in SLUGS for secret in walk(platform, slug)]
    own = b"".join(bytes_of(platform, slug) for slug in SLUGS)
    for word in ("ben@acme.example", "ben@globex.example", "I collect pangolins"):
        assert word.encode() in own
    for secret in (PASSWORD, "nobodyknown", *secrets):
        assert secret.encode() not in own
