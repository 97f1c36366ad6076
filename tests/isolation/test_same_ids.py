"""The same primary keys in both tenants: whatever is fetched or changed in one shows and changes nothing of the other.

Every route of the application stands in the table below; a route that is added and not listed fails a test.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select
from werkzeug.test import TestResponse

from extranet.accounts import new_addresses, operations, recovery
from extranet.accounts.notices import tell_password_changed
from extranet.accounts.operations import find_user
from extranet.admin import factor_resets
from extranet.mail.kinds import MailKind
from extranet.models import (
    Company,
    CompanyVersion,
    KnownBrowser,
    Login,
    Profile,
    ProfileVersion,
    Role,
    Totp,
    User,
    UserState,
)
from extranet.models.base import utc_now
from extranet.models.company import THE_COMPANY
from extranet.security_log.origin import OPERATOR
from extranet.single_sign_on.consents import TEXT_VERSION
from tests.browser import Browser
from tests.evidence import everything_of, face, said, stored_files, untouched
from tests.extranet import sign_on_page
from tests.isolation import factors, support_access
from tests.platform import (
    OPERATOR_ORIGIN,
    PASSWORD,
    SLUGS,
    SQLITE_ONLY,
    UNTOUCHED_CARD,
    HomeOnServer,
    Platform,
    copy_home,
    make_home_on_server,
    open_platform,
    opened_platform,
    user_id,
)
from tests.posted import mails_of
from tests.services.postgresql import Cluster
from tests.tenants.servers import cleaned

BEN = user_id("ben")
LOGIN = "1" * 32
BROWSER = "b" * 32
VERSION = "e" * 32
# Inside the operator's own network: refused before a byte leaves.
NOT_ASKED = "https://127.0.0.1:1"
AGREED = {"agreed": TEXT_VERSION}
NEW_PASSWORD = "seven purple lanterns over quiet water"
COLOURS = {"acme": (200, 30, 30), "globex": (30, 30, 200)}


@dataclass(frozen=True)
class Example:
    """One route as somebody uses it. ``person`` is "" for a visitor; ``shows`` says that the page names its tenant."""

    path: str
    person: str = "ben"
    data: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[Platform, str, Browser], Any] = lambda _platform, _slug, _browser: None
    shows: bool = False
    status: int = 200
    answers: int = 303
    """What a form that is sent is answered with."""
    changes: bool = True


def picture(slug: str = "acme") -> dict[str, Any]:
    drawn = io.BytesIO()
    Image.new("RGB", (40, 40), COLOURS[slug]).save(drawn, "PNG")
    return {"avatar": (io.BytesIO(drawn.getvalue()), "me.png")}


def table(slug: str = "acme") -> dict[str, Any]:
    """A list of people in which one name tells whose it is."""
    content = f"First name,Last name,E-mail,Department\nIda,Import,ida@people.example,canary of {slug}\nFaulty,,x,\n"
    return {"people": (io.BytesIO(content.encode()), "people.csv")}


def logo(slug: str = "acme") -> dict[str, Any]:
    return {"logo": picture(slug)["avatar"]}


# A file is read once: each request gets its own.
FILES: dict[str, Callable[[], Any]] = {
    "avatar": lambda: picture()["avatar"],
    "people": lambda: table()["people"],
    "logo": lambda: logo()["logo"],
}


def upload_logo(platform: Platform, slug: str, _browser: Browser) -> None:
    assert platform.signed_in(slug, "anna").post("/admin/look/logo", logo(slug)).status_code == 303


def upload_table(_platform: Platform, slug: str, browser: Browser) -> None:
    """Upload a list; the form that confirms it names it."""
    assert browser.post("/admin/import", table(slug)).status_code == 303
    found = re.search(r'name="file" value="(\w+)"', browser.get("/admin/import").text)
    assert found
    browser.filled = {"file": found[1]}  # type: ignore[attr-defined]


def invite_nick(platform: Platform, slug: str, _browser: Browser) -> None:
    platform.invite(slug, "nick")


def invite_ben(platform: Platform, slug: str, _browser: Browser) -> None:
    with platform.db(slug) as db:
        ben = db.get_one(User, BEN)
        ben.state = UserState.INVITED
        operations.invite(db, ben, OPERATOR_ORIGIN, OPERATOR)


def read_notice(platform: Platform, slug: str, browser: Browser) -> None:
    """Be let into the logs, and to ben's entries."""
    assert browser.post("/admin/logs/notice").status_code == 303
    reason = {"person": "ben", "reason": f"canary of {slug}"}
    assert browser.post("/admin/logs/investigation", reason).status_code == 303


def shut_ben(platform: Platform, slug: str, _browser: Browser) -> None:
    with platform.db(slug) as db:
        operations.disable_user(db, db.get_one(User, BEN), OPERATOR_ORIGIN, OPERATOR)


def equip_ben(platform: Platform, slug: str, _browser: Browser) -> None:
    with platform.db(slug) as db:
        db.add(Totp(user_id=BEN, secret=b"sealed", confirmed_at=utc_now()))


def ask_for_ben(platform: Platform, slug: str, browser: Browser) -> None:
    """Let another administrator ask for Ben's second factors to be taken away."""
    equip_ben(platform, slug, browser)
    with platform.db(slug) as db:
        db.get_one(User, user_id("gus")).role = Role.ADMIN
        factor_resets.ask(db, db.get_one(User, BEN), OPERATOR_ORIGIN, user_id("gus"))


def link_ben(platform: Platform, slug: str, _browser: Browser) -> None:
    """Set up an identity provider of the same issuer in each tenant, and link ben with the same subject there."""
    if sign_on_page.stored(platform, slug):
        return
    sign_on_page.set_up(platform, slug, name=f"canary of {slug}", issuer=NOT_ASKED)
    sign_on_page.link(platform, "ben", slug, NOT_ASKED)


def invite_by_sign_on(platform: Platform, slug: str, browser: Browser) -> None:
    link_ben(platform, slug, browser)
    open_invitation(platform, slug, browser)


def let_proof_age(platform: Platform, slug: str, _browser: Browser) -> None:
    with platform.db(slug) as db:
        for login in db.scalars(select(Login)):
            login.proved_at = None


def open_invitation(platform: Platform, slug: str, browser: Browser) -> None:
    assert browser.get(platform.invite(slug, "nina")).status_code == 303


def open_link(kind: MailKind, page: str) -> Callable[[Platform, str, Browser], None]:
    """Return what brings a browser to the page behind a link in a mail to ben."""

    def prepare(platform: Platform, slug: str, browser: Browser) -> None:
        with platform.db(slug) as db:
            user = db.get_one(User, BEN)
            if kind is MailKind.RESET_BY_ADMIN:
                recovery.start_reset(db, user, BEN, OPERATOR_ORIGIN)
            elif kind is MailKind.PASSWORD_CHANGED:
                tell_password_changed(db, user, OPERATOR_ORIGIN)
            else:
                new_addresses.ask_new_address(db, BEN, "ben@new.example", OPERATOR_ORIGIN)
        opened = browser.get(mails_of(platform, slug, kind)[-1].path(page))
        assert (opened.status_code, opened.headers["Location"]) == (303, page)

    return prepare


def change_address(platform: Platform, slug: str, _browser: Browser) -> None:
    with platform.db(slug) as db:
        new_addresses.ask_new_address(db, BEN, "ben@new.example", OPERATOR_ORIGIN)


OPEN_RESET = open_link(MailKind.RESET_BY_ADMIN, "/reset")
OPEN_REPORT = open_link(MailKind.PASSWORD_CHANGED, "/stranger")
OPEN_CONFIRMATION = open_link(MailKind.CONFIRM_EMAIL, "/email/confirm")
OPEN_UNDO = open_link(MailKind.EMAIL_CHANGING, "/email/undo")
NO_LINK = "A" * 43

CARD = {
    "first_name": "Ben",
    "last_name": "Changed",
    **UNTOUCHED_CARD,
}
DISPLAY = {
    "language": "en",
    "time_zone": "Asia/Tokyo",
    "date_format": "iso",
    "clock": "12h",
    "theme": "dark",
    "density": "compact",
    "rows_per_page": "100",
}
REGISTRATION = {
    "legal_name": "Acme again",
    "street": "1 Road",
    "city": "Lyon",
    "country": "FR",
    "sector": "",
    "accent_hue": "0",
}
SECURITY = {"current": PASSWORD, "new": NEW_PASSWORD, "repeat": NEW_PASSWORD}

POLICY = {
    "second_factor": "everybody",
    "second_factor_from": (utc_now() + timedelta(days=30)).strftime("%Y-%m-%d"),
    "shortest_password": "14",
    "idle_minutes": "30",
    "log_days": "200",
}
NEWCOMER = {"first_name": "Nora", "last_name": "New", "email": "nora@people.example", "role": "member"}

ADMIN_READING = {
    "/logo": Example("/logo", person="", prepare=upload_logo),
    "/admin/": Example("/admin/", person="anna", status=303),
    "/admin/people": Example("/admin/people", person="anna", shows=True),
    "/admin/people.csv": Example("/admin/people.csv", person="anna", shows=True),
    "/admin/people/<user_id>": Example(f"/admin/people/{BEN}", person="anna", shows=True),
    "/admin/people/<user_id>/deactivate": Example(f"/admin/people/{BEN}/deactivate", person="anna", shows=True),
    "/admin/invitations": Example("/admin/invitations", person="anna", prepare=invite_nick, shows=True),
    "/admin/import": Example("/admin/import", person="anna", prepare=upload_table, shows=True),
    "/admin/import/left-out.csv": Example("/admin/import/left-out.csv", person="anna", prepare=upload_table),
    "/admin/import/example.csv": Example("/admin/import/example.csv", person="anna"),
    "/admin/policy": Example("/admin/policy", person="anna", shows=True),
    "/admin/single-sign-on": Example("/admin/single-sign-on", person="anna", prepare=link_ben, shows=True),
    "/admin/single-sign-on/remove": Example(
        "/admin/single-sign-on/remove", person="anna", prepare=link_ben, shows=True
    ),
    "/admin/look": Example("/admin/look", person="anna", prepare=upload_logo, shows=True),
    "/admin/usage": Example("/admin/usage", person="anna", shows=True),
    "/admin/security-log": Example("/admin/security-log?person=ben", person="anna", prepare=read_notice, shows=True),
    "/admin/security-log.csv": Example("/admin/security-log.csv", person="anna", prepare=read_notice, shows=True),
    "/admin/activity": Example("/admin/activity", person="anna", prepare=read_notice, shows=True),
    "/admin/activity.csv": Example("/admin/activity.csv?person=ben", person="anna", prepare=read_notice),
}
SUPPORT_READING = {
    "/admin/support": Example("/admin/support", person="anna", prepare=support_access.plant, shows=True),
    "/support/<token>": Example("/support/" + "A" * 43, person="", shows=True, status=410),
    "/support": Example("/support", person="", prepare=support_access.open_link, shows=True),
}
SUPPORT_CHANGING = {
    "/admin/support/<grant_id>/grant": Example(
        f"/admin/support/{support_access.ASKED}/grant", person="anna", prepare=support_access.fill_grant
    ),
    "/admin/support/<grant_id>/decline": Example(
        f"/admin/support/{support_access.ASKED}/decline", person="anna", prepare=support_access.plant
    ),
    "/admin/support/<grant_id>/revoke": Example(
        f"/admin/support/{support_access.GRANTED}/revoke", person="anna", prepare=support_access.plant
    ),
    "/support": Example("/support", person="", prepare=support_access.open_link),
    "/support/leave": Example("/support/leave", person="", prepare=support_access.come_in),
}
ADMIN_CHANGING = {
    "/admin/logs/notice": Example("/admin/logs/notice", person="anna"),
    "/admin/logs/investigation": Example(
        "/admin/logs/investigation", person="anna", data={"person": "ben", "reason": "Signed in from abroad"}
    ),
    "/admin/people/<user_id>/role": Example(f"/admin/people/{BEN}/role", person="anna", data={"role": "manager"}),
    "/admin/people/<user_id>/username": Example(
        f"/admin/people/{BEN}/username", person="anna", data={"username": "benjamin"}
    ),
    "/admin/people/<user_id>/address": Example(
        f"/admin/people/{BEN}/address", person="anna", data={"email": "ben@people.example"}, prepare=invite_ben
    ),
    "/admin/people/<user_id>/deactivate": Example(f"/admin/people/{BEN}/deactivate", person="anna"),
    "/admin/people/<user_id>/reactivate": Example(f"/admin/people/{BEN}/reactivate", person="anna", prepare=shut_ben),
    "/admin/people/<user_id>/unlock": Example(f"/admin/people/{BEN}/unlock", person="anna"),
    "/admin/people/<user_id>/sign-out": Example(f"/admin/people/{BEN}/sign-out", person="anna"),
    "/admin/people/<user_id>/reset-password": Example(f"/admin/people/{BEN}/reset-password", person="anna"),
    "/admin/people/<user_id>/factors/reset": Example(
        f"/admin/people/{BEN}/factors/reset", person="anna", prepare=equip_ben
    ),
    "/admin/people/<user_id>/factors/approve": Example(
        f"/admin/people/{BEN}/factors/approve", person="anna", prepare=ask_for_ben
    ),
    "/admin/people/<user_id>/factors/withdraw": Example(
        f"/admin/people/{BEN}/factors/withdraw", person="anna", prepare=ask_for_ben
    ),
    "/admin/invitations": Example("/admin/invitations", person="anna", data=NEWCOMER),
    "/admin/invitations/<user_id>/resend": Example(
        f"/admin/invitations/{BEN}/resend", person="anna", prepare=invite_ben
    ),
    "/admin/invitations/<user_id>/revoke": Example(
        f"/admin/invitations/{BEN}/revoke", person="anna", prepare=invite_ben
    ),
    "/admin/import": Example("/admin/import", person="anna", data=table()),
    "/admin/import/confirm": Example("/admin/import/confirm", person="anna", prepare=upload_table),
    "/admin/import/discard": Example("/admin/import/discard", person="anna", prepare=upload_table),
    "/admin/policy": Example("/admin/policy", person="anna", data=POLICY),
    "/admin/people/<user_id>/unlink": Example(f"/admin/people/{BEN}/unlink", person="anna", prepare=link_ben),
    "/preferences/security/sign-on/unlink": Example("/preferences/security/sign-on/unlink", prepare=link_ben),
    "/admin/single-sign-on": Example("/admin/single-sign-on", person="anna", data=sign_on_page.SETTINGS),
    "/admin/single-sign-on/try": Example("/admin/single-sign-on/try", person="anna", prepare=link_ben, answers=422),
    "/admin/single-sign-on/on": Example("/admin/single-sign-on/on", person="anna", prepare=link_ben, answers=422),
    "/admin/single-sign-on/off": Example("/admin/single-sign-on/off", person="anna", prepare=link_ben),
    "/admin/single-sign-on/remove": Example("/admin/single-sign-on/remove", person="anna", prepare=link_ben),
    "/sign-on/start": Example("/sign-on/start", person="", data=AGREED, prepare=link_ben, answers=503),
    "/sign-on/accept": Example("/sign-on/accept", person="", data=AGREED, prepare=invite_by_sign_on, answers=503),
    "/sign-on/link": Example("/sign-on/link", data=AGREED, prepare=link_ben, answers=503),
    "/sign-on/confirm": Example("/sign-on/confirm", data=AGREED, prepare=link_ben, answers=503),
    "/admin/look": Example("/admin/look", person="anna", data={"accent_hue": "20", "welcome": "Hello"}),
    "/admin/look/logo": Example("/admin/look/logo", person="anna", data=logo()),
    "/admin/look/logo/remove": Example("/admin/look/logo/remove", person="anna", prepare=upload_logo),
}

FACTOR_READING = {
    "/login/passkey": Example("/login/passkey", person="", shows=True),
    "/login/second-step": Example("/login/second-step", person="", prepare=factors.wait, shows=True),
    "/login/second-step/passkey": Example(
        "/login/second-step/passkey", person="", prepare=factors.wait_with_passkey, shows=True
    ),
    "/preferences/security/app": Example("/preferences/security/app", shows=True),
    "/preferences/security/passkeys/new": Example("/preferences/security/passkeys/new", shows=True),
    "/preferences/security/passkeys": Example("/preferences/security/passkeys", shows=True),
}
FACTOR_CHANGING = {
    "/login/passkey": Example("/login/passkey", person="", prepare=factors.sign_by_passkey),
    "/login/second-step": Example("/login/second-step", person="", prepare=factors.wait),
    "/login/second-step/passkey": Example("/login/second-step/passkey", person="", prepare=factors.wait_with_passkey),
    "/preferences/security/app": Example("/preferences/security/app", prepare=factors.fill_app),
    "/preferences/security/app/remove": Example("/preferences/security/app/remove", prepare=factors.equip),
    "/preferences/security/passkeys": Example("/preferences/security/passkeys", prepare=factors.fill_passkey),
    "/preferences/security/passkeys/<passkey_id>/rename": Example(
        f"/preferences/security/passkeys/{factors.PASSKEY}/rename", data={"name": "Renamed"}, prepare=factors.equip
    ),
    "/preferences/security/passkeys/<passkey_id>/remove": Example(
        f"/preferences/security/passkeys/{factors.PASSKEY}/remove", prepare=factors.equip
    ),
    "/preferences/security/recovery-codes": Example(
        "/preferences/security/recovery-codes", prepare=factors.equip, answers=200
    ),
    "/preferences/security/recovery-codes/download": Example(
        "/preferences/security/recovery-codes/download", prepare=factors.fill_download, answers=200, changes=False
    ),
}

READING = (
    ADMIN_READING
    | SUPPORT_READING
    | FACTOR_READING
    | {
        "/static/<path:filename>": Example("/static/tokens.css", person=""),
        "/.well-known/change-password": Example("/.well-known/change-password", person="", status=303),
        "/.well-known/security.txt": Example("/.well-known/security.txt", person="", shows=True),
        "/robots.txt": Example("/robots.txt", person=""),
        "/healthz": Example("/healthz", person=""),
        "/readyz": Example("/readyz", person=""),
        "/login": Example("/login", person="", shows=True),
        "/invitation/<token>": Example("/invitation/" + "A" * 43, person="", shows=True, status=410),
        "/invitation": Example("/invitation", person="", prepare=open_invitation, shows=True),
        "/": Example("/", shows=True),
        "/confirm": Example("/confirm", prepare=let_proof_age, shows=True),
        "/confirm/passkey": Example("/confirm/passkey", shows=True),
        "/forgotten": Example("/forgotten", person="", shows=True),
        "/forgotten/sent": Example("/forgotten/sent", person="", shows=True),
        "/reset/<token>": Example(f"/reset/{NO_LINK}", person="", shows=True, status=410),
        "/reset": Example("/reset", person="", prepare=OPEN_RESET, shows=True),
        "/stranger/<token>": Example(f"/stranger/{NO_LINK}", person="", shows=True, status=410),
        "/stranger": Example("/stranger", person="", prepare=OPEN_REPORT, shows=True),
        "/sign-on/answer": Example("/sign-on/answer?code=x&state=y", person="", prepare=link_ben, status=403),
        "/email/confirm/<token>": Example(f"/email/confirm/{NO_LINK}", person="", shows=True, status=410),
        "/email/confirm": Example("/email/confirm", prepare=OPEN_CONFIRMATION, shows=True),
        "/email/undo/<token>": Example(f"/email/undo/{NO_LINK}", person="", shows=True, status=410),
        "/email/undo": Example("/email/undo", prepare=OPEN_UNDO, shows=True),
        "/preferences/email": Example("/preferences/email", prepare=change_address, shows=True),
        "/preferences/": Example("/preferences/", status=303),
        "/preferences/company": Example("/preferences/company", shows=True),
        "/preferences/display": Example("/preferences/display", shows=True),
        "/preferences/history": Example("/preferences/history", shows=True),
        "/preferences/history.csv": Example("/preferences/history.csv"),
        "/preferences/profile": Example("/preferences/profile", shows=True),
        "/preferences/security": Example("/preferences/security", shows=True),
        "/preferences/sessions": Example("/preferences/sessions", shows=True),
        "/people/<user_id>/avatar": Example(f"/people/{BEN}/avatar", person="anna"),
    }
)
CHANGING = (
    ADMIN_CHANGING
    | SUPPORT_CHANGING
    | FACTOR_CHANGING
    | {
        "/login": Example("/login", person="", data={"username": "ben", "password": PASSWORD}),
        "/logout": Example("/logout"),
        "/confirm": Example("/confirm", data={"password": PASSWORD}),
        "/confirm/passkey": Example("/confirm/passkey", data={"credential": "{}"}, answers=422),
        "/password/strength": Example("/password/strength", data={"password": NEW_PASSWORD}, answers=200),
        "/invitation": Example(
            "/invitation", person="", data={"password": NEW_PASSWORD, "repeat": NEW_PASSWORD}, prepare=open_invitation
        ),
        "/forgotten": Example("/forgotten", person="", data={"username": "ben"}),
        "/reset": Example(
            "/reset", person="", data={"password": NEW_PASSWORD, "repeat": NEW_PASSWORD}, prepare=OPEN_RESET
        ),
        "/stranger": Example("/stranger", person="", prepare=OPEN_REPORT),
        "/email/confirm": Example("/email/confirm", prepare=OPEN_CONFIRMATION),
        "/email/undo": Example("/email/undo", person="", prepare=OPEN_UNDO),
        "/preferences/email": Example("/preferences/email", data={"email": "ben@new.example"}),
        "/preferences/email/cancel": Example("/preferences/email/cancel", prepare=change_address),
        "/preferences/sessions/browser-mail": Example("/preferences/sessions/browser-mail"),
        "/preferences/company": Example("/preferences/company", person="anna", data=REGISTRATION),
        "/preferences/display": Example("/preferences/display", data=DISPLAY),
        "/preferences/history/not-me": Example("/preferences/history/not-me"),
        "/preferences/profile": Example("/preferences/profile", data=CARD),
        "/preferences/profile/picture": Example("/preferences/profile/picture", data=picture()),
        "/preferences/profile/picture/remove": Example("/preferences/profile/picture/remove"),
        "/preferences/security": Example("/preferences/security", data=SECURITY),
        "/preferences/sessions/<login_id>/end": Example(f"/preferences/sessions/{LOGIN}/end"),
        "/preferences/sessions/end-others": Example("/preferences/sessions/end-others"),
        "/preferences/browsers/<browser_id>/rename": Example(
            f"/preferences/browsers/{BROWSER}/rename", data={"name": "Renamed"}
        ),
        "/preferences/browsers/<browser_id>/forget": Example(f"/preferences/browsers/{BROWSER}/forget"),
    }
)


@pytest.fixture(scope="module")
def planted_home(pristine_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed home in which both tenants have the same ids everywhere, and their own slug in every text."""
    home = copy_home(pristine_home, tmp_path_factory.mktemp("planted") / "home")
    platform = open_platform(home)
    plant_both(platform)
    platform.close()
    return home


@pytest.fixture(scope="module")
def planted_on_server(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> HomeOnServer:
    """The same, on a server."""
    return make_home_on_server(tmp_path_factory.mktemp("planted-on-server") / "home", cluster, prepare=plant_both)


@pytest.fixture
def twins(kept_on: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Platform]:
    """The application over a copy of that home."""
    if kept_on == "sqlite":
        with opened_platform(copy_home(request.getfixturevalue("planted_home"), tmp_path / "home")) as platform:
            yield platform
        return
    planted: HomeOnServer = request.getfixturevalue("planted_on_server")
    with cleaned(request.getfixturevalue("cluster")), opened_platform(planted.copy(tmp_path / "home")) as platform:
        yield platform


def plant_both(platform: Platform) -> None:
    for slug in SLUGS:
        plant(platform, slug)


def plant(platform: Platform, slug: str) -> None:
    browser = platform.signed_in(slug, "ben")
    assert browser.post("/preferences/profile/picture", picture(slug)).status_code == 303
    mark = f"canary of {slug}"
    now = utc_now()
    with platform.db(slug) as db:
        user, profile, company = db.get_one(User, BEN), db.get_one(Profile, BEN), db.get_one(Company, THE_COMPANY)
        user.last_name = profile.position = profile.street = profile.about = profile.interests = mark
        company.legal_name = company.trading_name = company.street = mark
        changes = f'[["position", "", "{mark}"]]'
        db.add(ProfileVersion(id=VERSION, user_id=BEN, changed_by=BEN, changes=changes))
        db.add(CompanyVersion(id=VERSION, changed_by=BEN, changes=f'[["city", "", "{mark}"]]'))
        db.add(
            KnownBrowser(
                id=BROWSER, device_hash=mark.encode(), user_id=BEN, name=mark, expires_at=now + timedelta(days=1)
            )
        )
        db.flush()
        db.add(
            Login(
                id=LOGIN,
                secret_hash=mark.encode(),
                user_id=BEN,
                browser_id=BROWSER,
                expires_at=now + timedelta(hours=1),
                address=mark,
                user_agent=mark,
            )
        )


def visitor(platform: Platform, slug: str, example: Example) -> Browser:
    browser = platform.signed_in(slug, example.person) if example.person else platform.browser(slug)
    example.prepare(platform, slug, browser)
    return browser


def everything_said(response: TestResponse) -> bytes:
    words = said(response)
    response.close()
    return words


def rules(platform: Platform, method: str) -> set[str]:
    return {rule.rule for rule in platform.app.url_map.iter_rules() if method in (rule.methods or ())}


def test_every_route_stands_in_the_tables_of_this_file(platform: Platform) -> None:
    assert rules(platform, "GET") == set(READING)
    assert rules(platform, "POST") == set(CHANGING)
    known = {"GET", "HEAD", "POST"}
    assert {method for rule in platform.app.url_map.iter_rules() for method in rule.methods or ()} <= known


@pytest.mark.parametrize("slug", SLUGS)
def test_no_page_shows_anything_of_the_other_tenant(twins: Platform, slug: str) -> None:
    other = "globex" if slug == "acme" else "acme"
    for rule, example in READING.items():
        browser = visitor(twins, slug, example)
        with untouched(twins, other):
            shown = browser.get(example.path)
        assert shown.status_code == example.status, rule
        assert other.encode() not in everything_said(shown), rule
        assert (slug.encode() in everything_said(shown)) or not example.shows, rule


@pytest.mark.parametrize("slug", SLUGS)
def test_administrators_and_guests_are_shown_nothing_of_the_other_tenant_either(twins: Platform, slug: str) -> None:
    other = "globex" if slug == "acme" else "acme"
    for person in ("anna", "gus"):
        browser = twins.signed_in(slug, person)
        for rule, example in READING.items():
            assert other.encode() not in everything_said(browser.get(example.path)), rule


def test_the_pages_that_list_rows_list_the_tenants_own(twins: Platform) -> None:
    for slug in SLUGS:
        browser = twins.signed_in(slug, "ben")
        for path in ("/preferences/profile", "/preferences/company", "/preferences/sessions"):
            assert f"canary of {slug}" in browser.get(path).text


def test_a_picture_under_the_same_id_is_the_tenants_own(twins: Platform) -> None:
    for slug in SLUGS:
        shown = twins.signed_in(slug, "anna").get(f"/people/{BEN}/avatar")
        with Image.open(io.BytesIO(shown.data)) as image:
            red, _, blue, *_ = image.convert("RGB").getpixel((100, 100))
        assert (red > blue) is (slug == "acme")


@pytest.mark.parametrize("rule", CHANGING)
def test_a_change_in_one_tenant_leaves_every_row_and_file_of_the_other_as_it_was(twins: Platform, rule: str) -> None:
    example = CHANGING[rule]
    browser = visitor(twins, "acme", example)
    token = browser.token()
    before = everything_of(twins, "acme")
    data = {name: FILES[name]() if name in FILES else value for name, value in example.data.items()}
    data |= getattr(browser, "filled", {})
    with untouched(twins, "globex"):
        changed = browser.post(example.path, data, token=token)
    assert changed.status_code == example.answers, changed.text
    assert (everything_of(twins, "acme") != before) is example.changes
    assert b"globex" not in everything_said(changed)


# It is refused before anybody looks into a tenant's database.
@SQLITE_ONLY
@pytest.mark.parametrize("rule", CHANGING)
def test_a_refused_change_leaves_the_other_tenant_as_it_was(twins: Platform, rule: str) -> None:
    example = CHANGING[rule]
    theirs = visitor(twins, "globex", example)
    # A page that support opens is itself an event.
    ours, token = twins.signed_in("acme", "gus"), theirs.token()
    with untouched(twins, "globex"):
        data = {name: "" if name in FILES else value for name, value in example.data.items()}
        refused = ours.post(example.path, data, token=token)
    assert refused.status_code == 403
    assert b"globex" not in everything_said(refused)


def ids_of_globex(platform: Platform) -> dict[str, str]:
    """Return ids that globex has and acme has not: a login, a browser, a person with a picture."""
    platform.invite("globex", "zoe")
    picture_name = platform.tenancy.files_of(platform.tenant("globex")).store(b"a picture")
    with platform.db("globex") as db:
        zoe = find_user(db, "zoe")
        zoe.avatar = picture_name
        login = db.scalars(select(Login).where(Login.user_id == BEN, Login.id != LOGIN)).first()
        assert login is not None
        return {"login": login.id, "browser": login.browser_id, "user": zoe.id}


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/preferences/sessions/{login}/end", "POST"),
        ("/preferences/browsers/{browser}/rename", "POST"),
        ("/preferences/browsers/{browser}/forget", "POST"),
        ("/people/{user}/avatar", "GET"),
    ],
)
def test_an_id_of_the_other_tenant_is_answered_like_one_that_nobody_has(
    twins: Platform, path: str, method: str
) -> None:
    foreign = ids_of_globex(twins)
    nobody = dict.fromkeys(("login", "browser", "user"), "9" * 32)
    browser = twins.signed_in("acme", "ben")
    with untouched(twins, "globex"):
        answers = [
            browser.get(path.format(**ids))
            if method == "GET"
            else browser.post(path.format(**ids), {"name": "Renamed", "confirm": "yes"})
            for ids in (foreign, nobody)
        ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert face(answers[0]) == face(answers[1])


def test_people_with_the_same_id_have_sessions_histories_and_files_of_their_own(twins: Platform) -> None:
    ours, theirs = twins.signed_in("acme", "ben"), twins.signed_in("globex", "ben")
    before = theirs.get("/preferences/history.csv").text
    for _ in range(3):
        twins.signed_in("acme", "ben")
    assert ours.get("/preferences/history.csv").text.count("Signed in") == before.count("Signed in") + 3
    assert theirs.get("/preferences/history.csv").text.splitlines()[2:] == before.splitlines()[1:]
    assert not stored_files(twins, "acme").keys() & stored_files(twins, "globex").keys()
