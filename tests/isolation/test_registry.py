"""The one file all tenants share knows organisations, never the people in them: searched after a walk everywhere."""

from __future__ import annotations

import base64
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from extranet.request.cookies import DEVICE_COOKIE, SESSION_COOKIE
from tenants.registry_tables import metadata
from tests.console import Console
from tests.platform import PASSWORD, PEOPLE, SLUGS, UNTOUCHED_CARD, Platform

ADDRESS = "198.51.100.77"
USER_AGENT = "Ocelotbrowser/9.1 (Walrusphone)"
NEW_PASSWORD = "seven purple lanterns over quiet water"
INVITED_PASSWORD = "nine copper kettles under the old bridge"
OPERATORS_PASSWORD = "eleven wooden boats beside a slow canal"
CARD = {
    "first_name": "Bartholomeus",
    "last_name": "Quackenbush",
    "phone": "+33 1 22 33 44 55",
    "street": "12 Rue des Ocelots",
    "city": "Walrusville",
    "about": "I collect pangolins",
    **UNTOUCHED_CARD,
}
PERSONAL = [
    *PEOPLE,
    *(first for first, _, _ in PEOPLE.values()),
    *(last for _, last, _ in PEOPLE.values()),
    *(f"{name}@" for name in PEOPLE),
    *(value for name, value in CARD.items() if name in {"first_name", "last_name", "phone", "street", "city", "about"}),
    "Ocelotbrowser",
    "Walrusphone",
    ADDRESS,
    PASSWORD,
    NEW_PASSWORD,
    INVITED_PASSWORD,
    OPERATORS_PASSWORD,
    "nobodyknown",
    "wrong guess",
    "penelope",
    "Penelope",
    "Ravenscroft",
    "octavia",
    "Octavia",
    "Featherstone",
    "Newcomer",
]


def walk(platform: Platform, slug: str) -> list[str]:
    """Do everything the web offers; return the secrets that were handed out on the way."""
    secrets = []
    for person in ("anna", "ben"):
        browser = platform.browser(slug, address=ADDRESS, user_agent=USER_AGENT)
        for username in (person, "nobodyknown", f"{person}@{slug}.example"):
            browser.post("/login", {"username": username, "password": "wrong guess"})
        browser.sign_in(person, PASSWORD)
        browser.post("/preferences/profile", CARD)
        drawn = io.BytesIO()
        Image.new("RGB", (9, 9)).save(drawn, "PNG")
        drawn.seek(0)
        browser.post("/preferences/profile/picture", {"avatar": (drawn, "Quackenbush.png")})
        for path in ("/", "/preferences/sessions", "/preferences/history", "/preferences/history.csv", "/nowhere"):
            browser.get(path)
        changed = {"current": PASSWORD, "new": NEW_PASSWORD, "repeat": NEW_PASSWORD}
        assert browser.post("/preferences/security", changed).status_code == 303
        secrets += [browser.cookie(SESSION_COOKIE), browser.cookie(DEVICE_COOKIE), browser.token()]
        browser.post("/logout")
    path = platform.invite(slug, "nina")
    invited = platform.browser(slug, address=ADDRESS, user_agent=USER_AGENT)
    invited.get(path)
    accepted = invited.post("/invitation", {"password": INVITED_PASSWORD, "repeat": INVITED_PASSWORD})
    assert accepted.status_code == 303
    return [*secrets, path.rpartition("/")[2]]


def operate(console: Console) -> list[str]:
    """Type every command that names a person; return the invitations that were shown."""
    shown = []
    created = ("tenant", "create", "initech", "--name", "Initech", "--admin", "penelope", "--json")
    names = ("--email", "penelope@initech.example", "--first-name", "Penelope", "--last-name", "Ravenscroft")
    shown.append(console.done(*created, *names).document["invitation"])
    octavia = ("user", "create", "acme", "octavia", "--email", "octavia@acme.example", "--json")
    shown.append(
        console.done(*octavia, "--first-name", "Octavia", "--last-name", "Featherstone").document["invitation"]
    )
    shown.append(console.done("user", "invite", "acme", "octavia", "--json").document["invitation"])
    console.done("user", "set-password", "acme", "octavia", stdin=f"{OPERATORS_PASSWORD}\n")
    for verb in ("disable", "enable", "unlock"):
        console.done("user", verb, "acme", "octavia")
    console.done("user", "list", "acme")
    console.done("log", "show", "acme")
    # Refusals are journaled too, with what was typed.
    for arguments in (
        ("user", "disable", "acme", "penelope"),
        (
            "user",
            "create",
            "acme",
            "octavia",
            "--email",
            "octavia@acme.example",
            "--first-name",
            "O",
            "--last-name",
            "F",
        ),
        ("user", "invite", "acme", "octavia@acme.example"),
        ("tenant", "create", "acme", "--name", "Acme", "--admin", "penelope", "--email", "penelope@initech.example"),
    ):
        assert console.run(*arguments).exit_code == 1, arguments
    for verb in ("suspend", "resume", "logout-all"):
        console.done("tenant", verb, "globex")
    return [url.rpartition("/")[2] for url in shown]


@pytest.fixture
def kept_on() -> str:
    """What is looked at are files: the registry's, and what shares a home with it."""
    return "sqlite"


@pytest.fixture
def walked(platform: Platform) -> tuple[Path, list[str]]:
    """A home after the walk, closed, and every secret that was handed out."""
    secrets = [secret for slug in SLUGS for secret in walk(platform, slug)]
    secrets += operate(Console(platform.settings.home))
    return platform.settings.home, secrets


def shared_files(home: Path) -> dict[str, bytes]:
    """Return everything in the home that is nobody's own."""
    paths = (path for path in home.rglob("*") if path.is_file() and (home / "tenants") not in path.parents)
    return {str(path.relative_to(home)): path.read_bytes() for path in paths}


def test_nothing_that_all_tenants_share_holds_a_word_about_a_person(walked: tuple[Path, list[str]]) -> None:
    home, secrets = walked
    files = shared_files(home)
    assert {"registry.sqlite3", "registry.sqlite3-wal"} <= files.keys()
    for name, content in files.items():
        for word in [*PERSONAL, *secrets]:
            for spelling in spellings(word):
                assert spelling not in content.lower(), f"{word} is in {name}"


def spellings(word: str) -> set[bytes]:
    """Return a word as it might stand in a file."""
    lower = word.lower()
    encoded = {lower.encode(), lower.encode("utf-16-le"), word.encode().hex().encode()}
    return encoded | {base64.b64encode(word.encode()).rstrip(b"=").lower()}


def test_the_walk_left_something_to_find_in_the_tenants_own_files(walked: tuple[Path, list[str]]) -> None:
    home, secrets = walked
    own = b"".join(path.read_bytes() for path in (home / "tenants").rglob("*") if path.is_file())
    for word in ("ben@acme.example", "Quackenbush", "Octavia", "Ravenscroft", "I collect pangolins"):
        assert word.encode() in own
    for secret in (PASSWORD, NEW_PASSWORD, INVITED_PASSWORD, OPERATORS_PASSWORD, "nobodyknown", *secrets):
        assert secret.encode() not in own


def test_every_table_of_the_registry_is_known_here_and_holds_what_it_should(walked: tuple[Path, list[str]]) -> None:
    home, _ = walked
    with closing(sqlite3.connect(f"file:{home / 'registry.sqlite3'}?mode=ro", uri=True)) as registry:
        tables = {name for (name,) in registry.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        assert tables == set(metadata.tables) | {"alembic_version"}
        assert tables == {
            "alembic_version",
            "backup",
            "database_login",
            "fleet_run",
            "fleet_step",
            "former_slug",
            "generation",
            "host",
            "operator_event",
            "operator_event_base",
            "operator_event_head",
            "server",
            "staff",
            "tenant",
            "throttle",
            "outbox",
            "tombstone",
            "unfinished",
            "wrapped_key",
        }
        assert {slug for (slug,) in registry.execute("SELECT slug FROM tenant")} == {*SLUGS, "initech"}
        buckets = registry.execute("SELECT bucket, count, until, strikes FROM throttle").fetchall()
        assert buckets
        assert all(len(bucket) == 32 for bucket, *_ in buckets)
        bodies = [json.loads(body) for (body,) in registry.execute("SELECT body FROM operator_event")]
    assert len(bodies) > 10
    for body in bodies:
        told = set(body["details"]) - {"machine"}
        assert told <= {"slug", "name", "server", "locale", "role", "password_stdin", "last", "activity"}, body


def test_an_address_counts_the_same_for_all_tenants_and_cannot_be_read_back(platform: Platform) -> None:
    for slug in SLUGS:
        platform.browser(slug, address=ADDRESS).post("/login", {"username": "ben", "password": "wrong guess"})
    with closing(sqlite3.connect(platform.settings.home / "registry.sqlite3")) as registry:
        rows = registry.execute("SELECT bucket, count FROM throttle").fetchall()
    assert [count for _, count in rows] == [2] * len(rows)
    for bucket, _ in rows:
        assert ADDRESS.encode() not in bucket
