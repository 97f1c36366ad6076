"""A cookie of one tenant, or of yesterday, or with one bit changed: its bearer is a stranger who learns nothing."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from extranet.accounts import operations
from extranet.accounts.logins import end_all_logins
from extranet.request.cookies import DEVICE_COOKIE, SESSION_COOKIE
from extranet.security_log.events import Event
from extranet.security_log.origin import OPERATOR
from tenants import lifecycle
from tests.browser import Browser
from tests.evidence import Face, NewEvents, ask, dump, events, face, post_form, sees_every_change, untouched
from tests.platform import OPERATOR_ORIGIN, PASSWORD, SQLITE_ONLY, Platform

TAMPERED = [Event.COOKIE_TAMPERED]
DUPLICATE = [Event.COOKIE_DUPLICATE]
SESSION_KINDS = ("anonymous", "login", "invitation", "notice")
NEW_PASSWORD = "seven purple lanterns over quiet water"
PROFILE = {
    "first_name": "Ben",
    "last_name": "Peeters",
    "sector": "",
    "country": "",
    "position": "Diver",
    "contact_channel": "email",
    "phone_visibility": "company",
    "mobile_visibility": "company",
    "address_visibility": "admins",
    "interests_visibility": "company",
}


@dataclass(frozen=True)
class Taken:
    """A cookie copied out of a browser, and a CSRF token that belongs to it."""

    value: str
    token: str


def take(platform: Platform, slug: str, kind: str) -> Taken:
    """Return a fresh session cookie of one kind."""
    browser = platform.browser(slug)
    if kind in {"login", "notice"}:
        browser.sign_in("ben", PASSWORD)
    token = browser.token()
    if kind == "notice":
        assert browser.post("/preferences/profile", PROFILE).status_code == 303
    if kind == "invitation":
        assert browser.get(platform.invite(slug, "nina")).status_code == 303
        token = token_on(browser, "/invitation")
    return Taken(browser.cookie(SESSION_COOKIE), token)


def token_on(browser: Browser, path: str) -> str:
    return browser.get(path).text.partition('name="csrf_token" value="')[2].partition('"')[0]


def faces(platform: Platform, slug: str, cookie: str) -> list[Face]:
    """Return what a tenant shows to whoever brings this Cookie header."""
    return [
        face(ask(platform, slug, path, cookie=cookie))
        for path in ("/", "/login", "/invitation", "/preferences/profile", "/preferences/history.csv")
    ]


def assert_anonymous(platform: Platform, slug: str, cookie: str, stranger: list[Face], token: str = "") -> None:
    """Insist that a Cookie header shows and does no more than none at all."""
    assert faces(platform, slug, cookie) == stranger
    posted = post_form(platform, slug, "/preferences/profile", {**PROFILE, "csrf_token": token}, cookie=cookie)
    assert posted.status_code in {401, 403}


def assert_noted(noted: NewEvents) -> None:
    """Insist that a cookie which did not open was noted, and nothing but refusals."""
    taken = noted.take()
    assert Event.COOKIE_TAMPERED in taken
    assert set(taken) <= {Event.COOKIE_TAMPERED, Event.CSRF_REFUSED, Event.INVITATION_REFUSED}


@pytest.fixture
def stranger(platform: Platform) -> list[Face]:
    """What acme shows to somebody without cookies."""
    shown = faces(platform, "acme", "")
    assert [status for status, _, _ in shown] == [303, 200, 410, 303, 303]
    assert ("Location", "/login?next=/") in shown[0][1]
    return shown


# What somebody may do to a cookie's text, and what acme then notes.
ALTERATIONS: dict[str, tuple[Callable[[str, str], str], list[Event]]] = {
    "under the other name": (lambda name, value: f"{_other(name)}={value}", TAMPERED),
    "truncated": (lambda name, value: f"{name}={value[:-1]}", TAMPERED),
    "cut in half": (lambda name, value: f"{name}={value[: len(value) // 2]}", TAMPERED),
    "one character": (lambda name, value: f"{name}={value[0]}", TAMPERED),
    "emptied": (lambda name, value: f"{name}=", TAMPERED),
    "extended": (lambda name, value: f"{name}={value}A", TAMPERED),
    "extended by a block": (lambda name, value: f"{name}={value}AAAA", TAMPERED),
    "padded": (lambda name, value: f"{name}={value}==", TAMPERED),
    "quoted": (lambda name, value: f'{name}="{value}"', TAMPERED),
    "twice in one value": (lambda name, value: f"{name}={value}{value}", TAMPERED),
    "doubled": (lambda name, value: f"{name}={value}; {name}={value}", DUPLICATE),
    "doubled, the first one empty": (lambda name, value: f"{name}=; {name}={value}", DUPLICATE),
    "doubled, the last one foreign": (lambda name, value: f"{name}={value};{name}=x", DUPLICATE),
    "oversized": (lambda name, value: f"{name}={value}{'A' * 5000}", TAMPERED),
    "oversized with spaces": (lambda name, value: f"{name}={value[:9]}{' ' * 5000}{value[9:]}", TAMPERED),
    "not base64": (lambda name, value: f"{name}=!{value[1:]}", TAMPERED),
    "with skipped characters": (lambda name, value: f"{name}={value[:20]}!{value[20:]}", TAMPERED),
    "in the other alphabet": (lambda name, value: f"{name}={value[:-8]}++//++//", TAMPERED),
    "non-canonical": (lambda name, value: f"{name}={value[:4]}%41{value[4:]}", TAMPERED),
    "with a null": (lambda name, value: f"{name}={value}\0", TAMPERED),
    "unicode": (lambda name, value: f"{name}=\u00e9\u00e9{value}", TAMPERED),
    "unicode digits": (lambda name, value: f"{name}={value[:-1]}\u00b2", TAMPERED),
    "followed by a no-break space": (lambda name, value: f"{name}={value}\u00a0", TAMPERED),
    "followed by a next-line": (lambda name, value: f"{name}={value}\u0085", TAMPERED),
    "followed by a separator": (lambda name, value: f"{name}={value}\x1f", TAMPERED),
    # A browser lets any site of the parent domain set these: they do not begin with __Host-.
    "under a name after a no-break space": (lambda name, value: f"\u00a0{name}={value}", []),
    "under a name before a no-break space": (lambda name, value: f"{name}\u00a0={value}", []),
    "under a name after a separator": (lambda name, value: f"\x1c{name}={value}", []),
    "under a name before a vertical tab": (lambda name, value: f"{name}\x0b={value}", []),
    "under a name in capitals": (lambda name, value: f"{name.upper()}={value}", []),
    "under a name without prefix": (lambda name, value: f"{name.removeprefix('__Host-')}={value}", []),
    "under a name in quotes": (lambda name, value: f'"{name}"={value}', []),
    "in somebody else's value": (lambda name, value: f"other={name}={value}", []),
    "behind a comma": (lambda name, value: f"other=1, {name}={value}", []),
}


def _other(name: str) -> str:
    return DEVICE_COOKIE if name == SESSION_COOKIE else SESSION_COOKIE


@pytest.mark.parametrize("kind", SESSION_KINDS)
def test_a_session_cookie_of_one_tenant_is_worthless_at_the_other(
    platform: Platform, kind: str, stranger: list[Face]
) -> None:
    foreign = take(platform, "globex", kind)
    noted = NewEvents(platform, "acme")
    with untouched(platform, "globex"):
        assert_anonymous(platform, "acme", f"{SESSION_COOKIE}={foreign.value}", stranger, foreign.token)
    assert_noted(noted)


@SQLITE_ONLY
@pytest.mark.parametrize("kind", SESSION_KINDS)
def test_an_altered_session_cookie_is_worthless(platform: Platform, kind: str, stranger: list[Face]) -> None:
    sees_every_change(platform)
    taken = take(platform, "acme", kind)
    noted = NewEvents(platform, "acme")
    with untouched(platform, "globex"):
        for number, (name, (alter, expected)) in enumerate(ALTERATIONS.items()):
            # Each from an address of its own: a flood from one is not written to the log.
            origin = {"environ_overrides": {"REMOTE_ADDR": f"198.51.100.{number}"}}
            header = alter(SESSION_COOKIE, taken.value)
            shown = ask(platform, "acme", "/", cookie=header, **origin)
            assert (shown.status_code, shown.headers["Location"]) == (303, "/login?next=/"), name
            assert noted.take() == expected, name
            assert face(ask(platform, "acme", "/login", cookie=header)) == stranger[1], name
            assert face(ask(platform, "acme", "/invitation", cookie=header)) == stranger[2], name
            data = {"username": "ben", "password": PASSWORD, "csrf_token": taken.token}
            assert post_form(platform, "acme", "/login", data, cookie=header).status_code == 403, name
            noted.take()


@SQLITE_ONLY
@pytest.mark.parametrize("kind", SESSION_KINDS)
def test_the_same_bytes_in_another_spelling_are_worthless(platform: Platform, kind: str, stranger: list[Face]) -> None:
    taken = take(platform, "acme", kind)
    other = in_another_spelling(taken.value)
    assert other != taken.value
    assert_anonymous(platform, "acme", f"{SESSION_COOKIE}={other}", stranger, taken.token)


def in_another_spelling(value: str) -> str:
    # 85 bytes leave four bits of the last character unused.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = value[:-1] + alphabet[alphabet.index(value[-1]) ^ 1]
    padding = "=" * (-len(value) % 4)
    assert base64.urlsafe_b64decode(other + padding) == base64.urlsafe_b64decode(value + padding)
    return other


@SQLITE_ONLY
@pytest.mark.parametrize("name", [SESSION_COOKIE, DEVICE_COOKIE])
def test_every_single_flipped_bit_makes_a_cookie_worthless(platform: Platform, name: str) -> None:
    browser = platform.signed_in("acme", "ben")
    # Without a session one is sent to sign in; beside a good one, a bad device changes nothing.
    is_session = name == SESSION_COOKIE
    path, location = ("/", "/login?next=/") if is_session else ("/login", "/")
    rest = "" if is_session else f"; {SESSION_COOKIE}={browser.cookie(SESSION_COOKIE)}"
    before = events(platform, "acme")
    asked = 0
    with untouched(platform, "globex"):
        for value in flips(browser.cookie(name)):
            shown = ask(platform, "acme", path, cookie=f"{name}={value}{rest}")
            assert (shown.status_code, shown.headers["Location"]) == (303, location), value
            assert "Set-Cookie" not in shown.headers, value
            asked += 1
    fresh = events(platform, "acme")[len(before) :]
    assert asked > 900
    assert {entry.event for entry in fresh} <= {Event.COOKIE_TAMPERED, Event.COOKIE_DUPLICATE}
    assert [entry.event for entry in fresh].count(Event.COOKIE_TAMPERED) == 20


def flips(value: str) -> Iterator[str]:
    """Yield a cookie with each bit changed in turn: of its text, then of the bytes the text stands for."""
    for place in range(len(value) * 8):
        changed = bytearray(value, "ascii")
        changed[place // 8] ^= 1 << place % 8
        yield changed.decode("latin-1")
    sealed = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    for place in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[place // 8] ^= 1 << place % 8
        yield base64.urlsafe_b64encode(changed).rstrip(b"=").decode()


@pytest.mark.parametrize("kind", SESSION_KINDS)
@pytest.mark.parametrize("end", ["logout-all", "raised epoch alone", "suspended and resumed"])
def test_no_cookie_outlives_its_epoch(platform: Platform, kind: str, end: str, stranger: list[Face]) -> None:
    sees_every_change(platform)
    taken = take(platform, "acme", kind)
    theirs = take(platform, "globex", "login")
    end_epoch(platform, end)
    noted = NewEvents(platform, "acme")
    with untouched(platform, "globex"):
        assert_anonymous(platform, "acme", f"{SESSION_COOKIE}={taken.value}", stranger, taken.token)
    assert_noted(noted)
    assert ask(platform, "globex", "/", cookie=f"{SESSION_COOKIE}={theirs.value}").status_code == 200


def end_epoch(platform: Platform, end: str) -> None:
    tenancy = platform.tenancy
    if end == "suspended and resumed":
        lifecycle.suspend_tenant(tenancy, "acme")
        assert ask(platform, "acme").status_code == 503
        lifecycle.resume_tenant(tenancy, "acme")
        return
    tenancy.registry.raise_epoch(platform.tenant("acme"))
    if end == "logout-all":
        with platform.db("acme") as db:
            end_all_logins(db, OPERATOR_ORIGIN, OPERATOR)


def rows(platform: Platform) -> list[str]:
    """Return everything in acme's database but what every visit of a stranger may add to its log."""
    return [line for line in dump(platform, "acme") if "security_event" not in line and '"throttle"' not in line]


def _sign_out(platform: Platform, browser: Browser) -> None:
    assert browser.post("/logout").status_code == 303


def _change_password(platform: Platform, browser: Browser) -> None:
    changed = browser.post("/preferences/security", {"current": PASSWORD, "new": NEW_PASSWORD, "repeat": NEW_PASSWORD})
    assert changed.status_code == 303


def _change_password_elsewhere(platform: Platform, browser: Browser) -> None:
    _change_password(platform, platform.signed_in("acme", "ben"))


def _set_password(platform: Platform, browser: Browser) -> None:
    with platform.db("acme") as db:
        user = operations.find_user(db, "ben")
        operations.set_password(db, platform.passwords, user, NEW_PASSWORD, OPERATOR_ORIGIN, OPERATOR)


def _disable(platform: Platform, browser: Browser) -> None:
    with platform.db("acme") as db:
        operations.disable_user(db, operations.find_user(db, "ben"), OPERATOR_ORIGIN, OPERATOR)


def _disable_and_enable(platform: Platform, browser: Browser) -> None:
    _disable(platform, browser)
    with platform.db("acme") as db:
        operations.enable_user(db, operations.find_user(db, "ben"), OPERATOR_ORIGIN, OPERATOR)


def _end_all(platform: Platform, browser: Browser) -> None:
    with platform.db("acme") as db:
        end_all_logins(db, OPERATOR_ORIGIN, OPERATOR)


def _forget_browser(platform: Platform, browser: Browser) -> None:
    path = browser.get("/preferences/sessions").text.partition('action="/preferences/browsers/')[2].partition("/")[0]
    assert browser.post(f"/preferences/browsers/{path}/forget").status_code == 303


@pytest.mark.parametrize(
    "end",
    [
        _sign_out,
        _change_password,
        _change_password_elsewhere,
        _set_password,
        _disable,
        _disable_and_enable,
        _end_all,
        _forget_browser,
    ],
)
def test_a_login_that_ended_is_worthless_and_the_other_tenants_goes_on(
    platform: Platform, end: Callable[[Platform, Browser], None], stranger: list[Face]
) -> None:
    browser, theirs = platform.signed_in("acme", "ben"), platform.signed_in("globex", "ben")
    copy, token = browser.cookie(SESSION_COOKIE), browser.token()
    with untouched(platform, "globex"):
        end(platform, browser)
        before = rows(platform)
        assert faces(platform, "acme", f"{SESSION_COOKIE}={copy}") == stranger
        assert rows(platform) == before
        data = {**PROFILE, "csrf_token": token}
        posted = post_form(platform, "acme", "/preferences/profile", data, cookie=f"{SESSION_COOKIE}={copy}")
        assert posted.status_code == 401
        assert rows(platform) == before
    assert theirs.get("/").status_code == 200


def test_a_login_cookie_means_the_login_of_its_own_tenant_even_when_rows_are_copied(platform: Platform) -> None:
    browser = platform.signed_in("acme", "ben")
    with platform.db("acme", writing=False) as db:
        browsers = db.connection().exec_driver_sql("SELECT * FROM known_browser").all()
        logins = db.connection().exec_driver_sql("SELECT * FROM login").all()
    with platform.db("globex") as db:
        for table, rows in (("known_browser", browsers), ("login", logins)):
            for row in rows:
                places = ", ".join(f":{number}" for number in range(len(row)))
                db.execute(
                    text(f"INSERT INTO {table} VALUES ({places})"), {str(n): value for n, value in enumerate(row)}
                )
    copy = f"{SESSION_COOKIE}={browser.cookie(SESSION_COOKIE)}"
    assert ask(platform, "acme", "/", cookie=copy).status_code == 200
    assert ask(platform, "globex", "/", cookie=copy).status_code == 303


def test_a_device_cookie_alone_is_nobody(platform: Platform, stranger: list[Face]) -> None:
    device = platform.signed_in("acme", "ben").cookie(DEVICE_COOKIE)
    assert_anonymous(platform, "acme", f"{DEVICE_COOKIE}={device}", stranger)


@pytest.mark.parametrize("source", ["acme", "globex", "acme before logout-all", "acme under another person"])
def test_a_device_is_known_to_its_own_tenant_person_and_epoch_alone(platform: Platform, source: str) -> None:
    sees_every_change(platform)
    slug = source.partition(" ")[0]
    person = "gus" if source.endswith("person") else "ben"
    device = platform.signed_in(slug, person).cookie(DEVICE_COOKIE)
    if "logout-all" in source:
        platform.tenancy.registry.raise_epoch(platform.tenant("acme"))
    noted = NewEvents(platform, "acme")
    with untouched(platform, "globex"):
        browser = platform.browser("acme")
        browser.set_cookie(DEVICE_COOKIE, device)
        browser.sign_in("ben", PASSWORD)
    taken = noted.take()
    assert (Event.NEW_BROWSER in taken) is (source != "acme")
    assert (Event.COOKIE_TAMPERED in taken) is (source in {"globex", "acme before logout-all"})
    with platform.db("acme", writing=False) as ours, platform.db("globex", writing=False) as theirs:
        known = "SELECT device_hash FROM known_browser"
        mine = set(ours.connection().exec_driver_sql(known).scalars())
        assert not mine & set(theirs.connection().exec_driver_sql(known).scalars())


@SQLITE_ONLY
def test_an_altered_device_cookie_is_not_known(platform: Platform) -> None:
    device = platform.signed_in("acme", "ben").cookie(DEVICE_COOKIE)
    visitor = platform.browser("acme")
    token, session = visitor.token(), visitor.cookie(SESSION_COOKIE)
    noted = NewEvents(platform, "acme")
    with untouched(platform, "globex"):
        for number, (name, (alter, expected)) in enumerate(ALTERATIONS.items()):
            if name == "under the other name":
                continue
            origin = {"environ_overrides": {"REMOTE_ADDR": f"198.51.100.{number}"}}
            header = f"{SESSION_COOKIE}={session}; {alter(DEVICE_COOKIE, device)}"
            data = {"username": "ben", "password": PASSWORD, "csrf_token": token}
            assert post_form(platform, "acme", "/login", data, cookie=header, **origin).status_code == 303, name
            taken = noted.take()
            assert Event.NEW_BROWSER in taken, name
            assert [event for event in taken if event.startswith("cookie")] == expected, name


@pytest.mark.parametrize("name", ["session", "remember_token", "__Secure-session", "__Host-kb"])
def test_cookies_that_other_software_would_believe_are_ignored(
    platform: Platform, name: str, stranger: list[Face]
) -> None:
    login = take(platform, "acme", "login").value
    assert_anonymous(platform, "acme", f"{name}={login}", stranger)


def test_a_notice_is_shown_once_and_by_its_own_tenant_alone(platform: Platform) -> None:
    acme, globex = (f"{SESSION_COOKIE}={take(platform, slug, 'notice').value}" for slug in ("acme", "globex"))
    assert "Your changes have been saved." in ask(platform, "acme", "/preferences/profile", cookie=acme).text
    for cookie, slug in ((acme, "globex"), (globex, "acme")):
        for path in ("/login", "/nowhere"):
            assert "have been saved" not in ask(platform, slug, path, cookie=cookie).text
