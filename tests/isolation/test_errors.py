"""What fails in one tenant says nothing of it to the other, nor of anybody to the log they share."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event as Signal

import pytest
from flask import request
from sqlalchemy import text

from extranet.models import Profile, User
from extranet.request.current import current
from tests.browser import Browser
from tests.evidence import untouched
from tests.platform import PASSWORD, SLUGS, UNTOUCHED_CARD, Platform, user_id

CANARY = "Aardvarkquartz"
BEN = user_id("ben")
CARD = {
    "first_name": "Ben",
    "last_name": CANARY,
    "position": CANARY,
    **UNTOUCHED_CARD,
}


def statement_with_parameters() -> None:
    current.db.execute(text('INSERT INTO "user" (id, username, email) VALUES (1, :a, :b)'), {"a": CANARY, "b": CANARY})


def many_statements_with_parameters() -> None:
    current.db.execute(text('INSERT INTO "user" (id, username) VALUES (:a, :b)'), [{"a": CANARY, "b": CANARY}] * 2)


def flush_of_an_object() -> None:
    current.db.get_one(User, BEN).username = "anna"
    current.db.get_one(Profile, BEN).about = CANARY
    current.db.flush()


def statement_that_cannot_be_read() -> None:
    current.db.execute(text("SELECT nonsense FROM nowhere WHERE name = :name"), {"name": CANARY})


def parameter_of_no_known_type() -> None:
    current.db.execute(text("SELECT :value"), {"value": [CANARY]})


def value_in_an_exception() -> None:
    int(request.form["typed"])


def key_in_an_exception() -> None:
    {}[request.form["typed"]]


def words_of_its_own() -> None:
    raise RuntimeError(f"cannot do {request.form['typed']}")


def cause_with_words_of_its_own() -> None:
    try:
        value_in_an_exception()
    except ValueError as error:
        raise LookupError(request.form["typed"]) from error


def context_with_words_of_its_own() -> None:
    try:
        value_in_an_exception()
    except ValueError:
        current.db.execute(text("SELECT nonsense"))


def group_of_exceptions() -> None:
    raise ExceptionGroup(request.form["typed"], [ValueError(request.form["typed"])])


def note_in_an_exception() -> None:
    error = RuntimeError()
    error.add_note(request.form["typed"])
    raise error


FAILURES = (
    statement_with_parameters,
    many_statements_with_parameters,
    flush_of_an_object,
    statement_that_cannot_be_read,
    parameter_of_no_known_type,
    value_in_an_exception,
    key_in_an_exception,
    words_of_its_own,
    cause_with_words_of_its_own,
    context_with_words_of_its_own,
    group_of_exceptions,
    note_in_an_exception,
)


@pytest.fixture
def failing(platform: Platform, log: io.StringIO) -> Iterator[Platform]:
    """An application with one more page for each way to fail."""
    for failure in FAILURES:
        platform.app.add_url_rule(f"/{failure.__name__}", failure.__name__, failure, methods=["GET", "POST"])
    return platform


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_logged_with_its_place_and_without_anything_anybody_typed(
    failing: Platform, log: io.StringIO, failure: Callable[[], None]
) -> None:
    browser = failing.signed_in("acme", "ben")
    token = browser.token()
    before = len(log.getvalue())
    path = f"/{failure.__name__}?next={CANARY}"
    with untouched(failing, "globex"), untouched(failing, "acme"):
        shown = browser.post(path, {"typed": CANARY, "password": PASSWORD}, token=token, headers={"X-Canary": CANARY})
    assert shown.status_code in {500, 503}
    lines = [json.loads(line) for line in log.getvalue()[before:].splitlines()]
    failed, finished = lines
    assert (failed["level"], finished["status"]) == ("error", shown.status_code)
    # The operator finds the place, and the person the number that leads there.
    assert failure.__name__ in failed["exception"]
    assert failed["id"] in shown.text
    written = log.getvalue()[before:]
    for word in (CANARY, PASSWORD, token, "ben@acme.example", BEN, browser.cookie("__Host-session")):
        assert word not in written


def test_the_page_of_a_failure_is_neutral(failing: Platform) -> None:
    browser = failing.signed_in("acme", "ben")
    with failing.db("acme") as db:
        db.get_one(Profile, BEN).position = CANARY
    token = browser.token()
    for failure in FAILURES:
        shown = browser.post(f"/{failure.__name__}", {"typed": CANARY}, token=token)
        for word in (CANARY, "Traceback", failure.__name__, "SELECT", "sqlite", "Globex", "ben@acme", "Peeters"):
            assert word not in shown.text, failure.__name__
        assert "Set-Cookie" not in shown.headers
        assert shown.headers["Cache-Control"] == "no-store"


def test_one_tenant_is_served_while_the_other_fails(platform: Platform, log: io.StringIO) -> None:
    reached, go_on = Signal(), Signal()

    def stops_half_way() -> str:
        current.db.get_one(Profile, BEN).about = CANARY
        current.db.flush()
        reached.set()
        assert go_on.wait(10)
        raise RuntimeError(CANARY)

    platform.app.add_url_rule("/stops", "stops", stops_half_way, methods=["POST"])
    ours, theirs = (platform.signed_in(slug, "ben") for slug in SLUGS)
    token = ours.token()
    with ThreadPoolExecutor(1) as pool, untouched(platform, "acme"):
        failing = pool.submit(ours.post, "/stops", {}, token=token)
        assert reached.wait(10)
        # The other tenant writes while this one holds the write lock of its own database.
        shown = [theirs.get("/").text, theirs.get("/nowhere").text, save(theirs)]
        go_on.set()
        assert failing.result().status_code == 500
    for page in shown:
        assert CANARY not in page
        assert "Acme" not in page
    assert CANARY not in log.getvalue()
    assert CANARY not in ours.get("/preferences/profile").text


def save(browser: Browser) -> str:
    saved = browser.post("/preferences/profile", {**CARD, "last_name": "Peeters", "position": "Diver"})
    assert saved.status_code == 303, saved.text
    return browser.get("/preferences/profile").text


def refusing(before: str) -> dict[str, str]:
    """A trigger that refuses, as each engine spells it."""
    function = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
    return {
        "sqlite": f"CREATE TRIGGER refuse BEFORE {before} BEGIN SELECT RAISE(ABORT, 'refused'); END",
        "postgresql": f"{function} $$ BEGIN RAISE EXCEPTION 'refused'; END $$;"
        f" CREATE TRIGGER refuse BEFORE {before} FOR EACH ROW EXECUTE FUNCTION refuse()",
    }


SABOTAGES: dict[str, str | dict[str, str]] = {
    "a profile cannot be changed": refusing("UPDATE ON profile"),
    "its history cannot be written": refusing("INSERT ON profile_version"),
    "its history is gone": "DROP TABLE profile_version",
    "the profile is gone": f"DELETE FROM profile WHERE user_id = '{BEN}'",
    "the log's head is forged": {
        "sqlite": "UPDATE security_event_head SET mac = x'00'",
        "postgresql": "UPDATE security_event_head SET mac = '\\x00'",
    },
    "the log's head is gone": "DELETE FROM security_event_head",
    "the company is gone": "DELETE FROM company",
    "a column has another name": 'ALTER TABLE "user" RENAME COLUMN first_name TO forename',
}


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_database_that_fails_in_the_middle_of_a_page_tells_nobody_what_was_typed(
    platform: Platform, kept_on: str, tamper: Callable[[str, str], None], log: io.StringIO, sabotage: str
) -> None:
    browser, theirs = (platform.signed_in(slug, "ben") for slug in SLUGS)
    token = browser.token()
    statement = SABOTAGES[sabotage]
    tamper("acme", statement if isinstance(statement, str) else statement[kept_on])
    before = len(log.getvalue())
    with untouched(platform, "globex"):
        statuses = [
            browser.post("/preferences/profile", CARD, token=token).status_code,
            platform.browser("acme").post("/login", {"username": CANARY, "password": CANARY}, token=token).status_code,
            browser.get("/preferences/profile").status_code,
            browser.get("/").status_code,
        ]
    assert set(statuses) <= {200, 303, 403, 422, 500, 503}
    written = log.getvalue()[before:]
    for line in written.splitlines():
        json.loads(line)
    for word in (CANARY, PASSWORD, token, "Peeters", "ben@"):
        assert word not in written
    assert theirs.get("/preferences/profile").status_code == 200


def test_a_line_of_the_log_names_no_person_and_no_address(platform: Platform, log: io.StringIO) -> None:
    for slug in SLUGS:
        browser = platform.signed_in(slug, "ben")
        browser.get(f"/preferences/history?page=1&note={CANARY}")
        browser.get(f"/{CANARY}")
        browser.get(platform.invite(slug, "nina"))
        browser.post("/preferences/profile", CARD)
        browser.post("/login", {"username": CANARY, "password": CANARY})
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    allowed = {"id", "tenant", "method", "route", "status", "ms", "event", "level", "timestamp"}
    assert lines
    assert all(set(line) <= allowed for line in lines)
    for word in (CANARY, "192.0.2.10", "Firefox", "ben@", BEN, "acme", "globex", "Acme", PASSWORD):
        assert word not in log.getvalue()
