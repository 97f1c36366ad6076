"""One map outward: each error has a status and a page, and no page tells what happened inside."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm.exc import NoResultFound
from werkzeug.exceptions import ImATeapot, InternalServerError, ServiceUnavailable

from extranet import errors as refused
from extranet.models import User
from extranet.request import cookies, log
from tenants import errors as tenancy
from tenants.tenant import State
from tests.extranet.world import DISPLAY, PROFILE, row_of
from tests.platform import PASSWORD, Platform, open_platform, user_id

SECRET = "canary-7f3a"

ERRORS: list[tuple[BaseException, int]] = [
    (refused.NotFound(SECRET), 404),
    (refused.NotAllowed(SECRET), 403),
    (refused.NoSlot(SECRET), 503),
    (refused.TooManyAttempts(77), 429),
    (refused.Invalid("field", SECRET), 500),
    (refused.SignInRefused(SECRET), 500),
    (refused.InvitationRefused(SECRET), 500),
    (refused.LinkRefused(SECRET), 500),
    (refused.FactorRefused(SECRET), 500),
    (refused.SecondStepOver(SECRET), 500),
    (refused.SupportRefused(SECRET), 500),
    (refused.NotForSupport(SECRET), 403),
    (refused.ProviderUnreachable(SECRET), 500),
    (refused.ProviderUnfit(SECRET), 500),
    (tenancy.BadHost(SECRET), 400),
    (tenancy.UnknownHost(SECRET), 404),
    (tenancy.TenantSuspended(SECRET), 503),
    (tenancy.TenantClosed(SECRET), 410),
    (tenancy.TenantUnavailable(SECRET), 503),
    (tenancy.Unreachable(SECRET), 503),
    (tenancy.WrongStamp(SECRET), 503),
    (tenancy.SchemaBehind(SECRET), 503),
    (tenancy.KeyUnavailable(SECRET), 503),
    (tenancy.NoSuchFile(SECRET), 404),
    (tenancy.NoTenant(SECRET), 500),
    (tenancy.WrongTenant(SECRET), 500),
    (tenancy.ReadOnlyDatabase(SECRET), 500),
    (tenancy.BadSeal(SECRET), 500),
    (tenancy.BrokenJournal(3, SECRET), 500),
    (IntegrityError(SECRET, {}, sqlite3.IntegrityError(SECRET)), 500),
    (OperationalError(SECRET, {}, sqlite3.OperationalError(SECRET)), 503),
    (NoResultFound(SECRET), 500),
    (ZeroDivisionError(SECRET), 500),
    (ImATeapot(SECRET), 418),
    (ServiceUnavailable(SECRET), 500),
    (InternalServerError(SECRET), 500),
]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, platform: Platform) -> Iterator[io.StringIO]:
    """What the application writes to standard error."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    log.configure()
    yield written
    monkeypatch.undo()
    log.configure()


def break_view(platform: Platform, error: BaseException, method: str = "GET") -> None:
    def fail() -> str:
        raise error

    platform.app.add_url_rule("/break", "break", fail, methods=[method])


@pytest.mark.parametrize(("error", "status"), ERRORS, ids=lambda value: type(value).__name__)
def test_every_error_has_its_status_and_no_page_tells_why(
    platform: Platform, lines: io.StringIO, error: BaseException, status: int
) -> None:
    break_view(platform, error)
    response = platform.signed_in().get("/break")
    assert response.status_code == status
    assert SECRET not in response.text
    assert SECRET not in str(response.headers)
    assert "Traceback" not in response.text
    assert type(error).__name__ not in response.text
    if status in {500, 503}:
        reference = response.headers["X-Request-Id"]
        assert reference in response.text
        written = [json.loads(line) for line in lines.getvalue().splitlines()]
        if not isinstance(error, tenancy.TenantSuspended):
            (cause,) = [line for line in written if line["event"] in {"failed", "refused"}]
            assert cause["id"] == reference
            assert type(error).__name__ in cause.get("exception", cause.get("error"))
    if status == 503:
        assert int(response.headers["Retry-After"]) > 0
    if status == 429:
        assert response.headers["Retry-After"] == "77"


@pytest.mark.parametrize("outage", [tenancy.Unreachable, tenancy.SchemaBehind])
def test_an_outage_is_one_warning_a_request_that_says_why_without_a_traceback(
    platform: Platform, lines: io.StringIO, outage: type[tenancy.TenancyError]
) -> None:
    def fail() -> str:
        raise outage("The server cannot be reached.") from OSError("the cause")

    platform.app.add_url_rule("/out", "out", fail)
    browser = platform.signed_in()
    lines.truncate(0)
    answers = [browser.get("/out") for _ in range(3)]
    written = [json.loads(line) for line in lines.getvalue().strip("\x00").splitlines()]
    told = [line for line in written if line["event"] != "request"]
    assert [line["id"] for line in told] == [answer.headers["X-Request-Id"] for answer in answers]
    for line in told:
        assert {"event", "id", "error", "reason", "level", "timestamp"} == set(line)
        assert (line["event"], line["level"], line["error"]) == ("refused", "warning", outage.__name__)
        assert line["reason"] == "The server cannot be reached."


@pytest.mark.parametrize("unexpected", [tenancy.TenantUnavailable, tenancy.WrongStamp, tenancy.KeyUnavailable])
def test_what_nobody_expects_of_a_database_is_an_error_with_its_traceback(
    platform: Platform, lines: io.StringIO, unexpected: type[tenancy.TenancyError]
) -> None:
    break_view(platform, unexpected("It was altered."))
    platform.signed_in().get("/break")
    (cause,) = [line for line in map(json.loads, lines.getvalue().splitlines()) if line["event"] == "refused"]
    assert cause["level"] == "error"
    assert "test_errors.py" in cause["exception"]


def test_every_error_there_is_has_been_thought_of() -> None:
    tested = {type(error) for error, _ in ERRORS}
    elsewhere = {"ExtranetError", "ProviderFault", "TenancyError", "HostMoved"}
    # Raised at the command line alone: on the web they would be a fault of ours.
    commands = {
        "BadSettings",
        "BadSlug",
        "BadName",
        "SlugTaken",
        "HostTaken",
        "NoSuchHost",
        "NoSuchTenant",
        "IllegalTransition",
        "Busy",
        "NotInitialised",
        "NoSuchServer",
        "NoSuchStaff",
        "BadStaff",
        "StaffNotReady",
        "StaffTaken",
        "ServerTaken",
        "ServerInUse",
        "ServerUnusable",
        "UnsafeChange",
        "RunRefused",
        "CopyFailed",
        "CutOff",
        "AnchorPruned",
        "NoSuchBackup",
        "BadArchive",
        "BadServer",
        "BackupFailed",
    }
    for module in (refused, tenancy):
        classes = {value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Exception)}
        assert {kind.__name__ for kind in classes - tested} <= elsewhere | commands


def test_what_a_failed_view_had_begun_is_not_kept(platform: Platform) -> None:
    from extranet.request.current import current

    def fail() -> str:
        current.db.get_one(User, user_id("anna")).first_name = "Half"
        current.db.flush()
        raise ZeroDivisionError

    platform.app.add_url_rule("/half", "half", fail, methods=["POST"])
    assert platform.signed_in().post("/half").status_code == 500
    assert row_of(platform).first_name == "Anna"


def test_a_commit_that_fails_is_an_error_with_a_reference_and_without_good_news(
    platform: Platform, lines: io.StringIO
) -> None:
    """The page said that the changes had been saved, and the cause was logged without the reference."""
    browser = platform.signed_in()
    with platform.db("acme") as db:
        db.connection().exec_driver_sql(
            "CREATE TRIGGER full BEFORE UPDATE ON user BEGIN SELECT RAISE(ABORT, 'canary-7f3a'); END"
        )
    before = browser.cookie(cookies.SESSION_COOKIE)
    lines.truncate(0)
    response = browser.post("/preferences/display", {**DISPLAY, "theme": "dark"})
    assert response.status_code == 500
    assert "saved" not in response.text
    assert browser.cookie(cookies.SESSION_COOKIE) == before
    assert response.headers["X-Request-Id"] in response.text
    written = [json.loads(line) for line in lines.getvalue().strip("\x00").splitlines()]
    (cause,) = [line for line in written if line["event"] == "failed"]
    assert cause["id"] == response.headers["X-Request-Id"]
    assert "RAISE" not in response.text
    assert "saved" not in browser.get("/preferences/display").text


def test_a_password_change_that_cannot_be_stored_keeps_one_signed_in(platform: Platform) -> None:
    browser = platform.signed_in()
    with platform.db("acme") as db:
        db.connection().exec_driver_sql(
            "CREATE TRIGGER full BEFORE UPDATE OF secret_hash ON login BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    form = {"current": PASSWORD, "new": "seven purple kettles sing", "repeat": "seven purple kettles sing"}
    assert browser.post("/preferences/security", form).status_code == 500
    assert browser.get("/").status_code == 200
    platform.browser().sign_in("anna", PASSWORD)


def test_no_log_line_holds_what_was_typed_nor_an_address_nor_a_token(platform: Platform, lines: io.StringIO) -> None:
    break_view(platform, ZeroDivisionError("division"), "POST")
    token = platform.invite("acme", "nina").rpartition("/")[2]
    browser = platform.signed_in()
    values = browser.cookie(cookies.SESSION_COOKIE), browser.cookie(cookies.DEVICE_COOKIE)
    browser.post("/preferences/profile", {**PROFILE, "about": SECRET})
    browser.post("/break", {"about": SECRET})
    browser.get(f"/invitation/{token}?{SECRET}")
    platform.browser().get(f"/invitation/{token}")
    platform.browser().post("/login", {"username": SECRET, "password": SECRET})
    written = lines.getvalue()
    for secret in (SECRET, token, PASSWORD, "192.0.2.10", "anna", *values):
        assert secret not in written
    first = json.loads(written.splitlines()[0])
    assert {"event", "id", "tenant", "method", "route", "status", "ms", "level", "timestamp"} == set(first)


def test_a_traceback_names_the_cause_and_holds_no_values(platform: Platform, lines: io.StringIO) -> None:
    def fail() -> str:
        password = SECRET
        raise ZeroDivisionError(password) from tenancy.BadSeal("the sentence of our own")

    platform.app.add_url_rule("/fail", "fail", fail)
    platform.signed_in().get("/fail")
    assert "ZeroDivisionError" in lines.getvalue()
    assert "the sentence of our own" in lines.getvalue()
    assert "test_errors.py" in lines.getvalue()
    assert SECRET not in lines.getvalue()


@pytest.mark.parametrize(
    ("given", "kept"),
    [("0123456789abcdef", True), ("a" * 65, False), ("x y", False), ("<script>", False), ("short", False), ("", False)],
)
def test_a_request_number_of_the_proxy_is_kept_when_it_is_one(home: Path, given: str, kept: bool) -> None:
    platform = open_platform(home, trusted_proxies=(ip_network("192.0.2.0/24"),))
    answered = platform.browser().get("/login", headers={"X-Request-Id": given}).headers["X-Request-Id"]
    platform.close()
    assert (answered == given) is kept
    assert len(answered) >= 8


def test_a_request_number_that_anybody_sent_is_not_kept(platform: Platform) -> None:
    given = "0123456789abcdef"
    assert platform.browser().get("/login", headers={"X-Request-Id": given}).headers["X-Request-Id"] != given


def test_a_broken_tenant_database_is_a_page_not_a_hole(platform: Platform) -> None:
    browser = platform.signed_in()
    path = platform.tenancy.databases.path_of(platform.tenant("acme"))
    path.rename(path.with_suffix(".away"))
    response = browser.get("/")
    assert response.status_code == 503
    assert "Temporarily unavailable" in response.text
    assert platform.signed_in("globex").get("/").status_code == 200


def test_an_unknown_host_is_told_nothing_of_who_exists(platform: Platform) -> None:
    response = platform.browser().get("/", environ_overrides={"HTTP_HOST": "nobody.localhost"})
    assert response.status_code == 404
    for name in ("Acme", "acme", "globex", "Sign"):
        assert name not in response.text


def test_a_suspended_a_closed_and_a_moved_extranet_say_so(platform: Platform) -> None:
    def again() -> None:
        platform.tenancy.generation.forget()

    browser = platform.browser("globex")
    registry = platform.tenancy.registry
    registry.move_to(platform.tenant("globex"), State.SUSPENDED)
    again()
    suspended = browser.get("/")
    assert (suspended.status_code, "suspended" in suspended.text) == (503, True)
    registry.move_to(platform.tenant("globex"), State.CLOSED)
    again()
    assert browser.get("/").status_code == 410
    registry.rename(platform.tenant("acme"), "apex")
    again()
    moved = platform.browser("acme").get("/preferences/profile?secret=1")
    assert moved.status_code == 308
    assert moved.headers["Location"] == "http://apex.localhost:8000/preferences/profile"


@pytest.mark.parametrize("error", [tenancy.TenantUnavailable, tenancy.SchemaBehind, tenancy.TenantSuspended])
def test_who_is_told_to_come_back_later_finds_the_way_back_to_the_same_page(
    platform: Platform, error: type[tenancy.TenancyError]
) -> None:
    def fail() -> str:
        raise error("It is away.")

    platform.app.add_url_rule("/break", "break", fail, methods=["GET", "POST"])
    browser = platform.signed_in()
    page = browser.get("/break?year=2026&month=1").text
    assert '<a class="button primary wide" href="/break?year=2026&amp;month=1">Try again</a>' in page
    assert "Go to" not in page
    # What was sent is not sent again by a link.
    assert "Try again</a>" not in browser.post("/break").text


def test_a_suspended_extranet_is_tried_again_where_one_was(platform: Platform) -> None:
    platform.tenancy.registry.move_to(platform.tenant("globex"), State.SUSPENDED)
    platform.tenancy.generation.forget()
    assert 'href="/preferences/profile">Try again</a>' in platform.browser("globex").get("/preferences/profile").text


@pytest.mark.parametrize("target", ["http://globex.localhost:8000/", "//x", "*"])
def test_a_request_that_names_a_host_in_its_target_is_refused(platform: Platform, target: str) -> None:
    response = platform.browser().get("/", environ_overrides={"RAW_URI": target})
    assert response.status_code == (303 if target.startswith("/") else 400)


def test_405_says_what_is_allowed(platform: Platform) -> None:
    response = platform.signed_in().post("/preferences/history")
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD"
