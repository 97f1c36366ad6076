"""Three tenants, people of the same names and ids, any order of events: no tenant's canary is ever seen elsewhere.

A canary is a word that one tenant's people type wherever they can. After every step it is looked for in each answer,
in every byte the other tenants own, in the registry and in the log that all share.
"""

from __future__ import annotations

import io
import itertools
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, redirect_stderr
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from PIL import Image
from werkzeug.test import TestResponse

from extranet.accounts.logins import end_all_logins
from extranet.app import HISTORY
from extranet.request.cookies import DEVICE_COOKIE, SESSION_COOKIE
from extranet.security_log.origin import OPERATOR
from tenants import lifecycle
from tenants.settings import read_settings
from tenants.sqlite_files import SIDE_FILES
from tenants.tenancy import Tenancy
from tests.browser import Browser
from tests.evidence import ask, bytes_of, post_form, sees_every_change
from tests.isolation.server_place import DatabasePlace
from tests.platform import (
    OPERATOR_ORIGIN,
    PASSWORD,
    PEOPLE,
    SLUGS,
    UNTOUCHED_CARD,
    HomeOnServer,
    Platform,
    add_tenant,
    copy_home,
    make_home_on_server,
    open_platform,
    user_id,
)
from tests.services.postgresql import Cluster
from tests.tenants.servers import cleaned

TENANTS = (*SLUGS, "initech")
CANARIES = {"acme": "Aardvarkquartz", "globex": "Bluebottlejazz", "initech": "Cormorantpyx"}
SECRET = "Zephyrknoll"
"""In every password that is chosen: no file anywhere may ever hold it."""

PAGES = (
    "/",
    "/login",
    "/invitation",
    "/forgotten",
    "/reset",
    "/email/undo",
    "/preferences/email",
    "/preferences/profile",
    "/preferences/sessions",
    "/preferences/history",
    "/preferences/history.csv",
    "/preferences/company",
    f"/people/{user_id('ben')}/avatar",
    "/admin/people.csv",
    "/admin/security-log",
    "/admin/security-log.csv",
    "/admin/activity",
    "/admin/activity.csv",
    "/nowhere",
)
LOGS = ("/admin/security-log", "/admin/security-log.csv", "/admin/activity", "/admin/activity.csv")
TOLD_STRANGERS = {
    "/login": 200,
    "/forgotten": 200,
    "/invitation": 410,
    "/reset": 410,
    "/email/undo": 410,
    "/nowhere": 404,
}
CARD = {
    "first_name": "Same",
    "last_name": "Name",
    **UNTOUCHED_CARD,
}

tenants = st.sampled_from(TENANTS)
people = st.sampled_from(["anna", "ben", "ben", "gus"])
pages = st.sampled_from(PAGES)


class Place(Protocol):
    """Where the tenants' databases are."""

    def copy(self, home: Path) -> Path:
        """Make a home of three tenants."""

    def replaced(self, platform: Platform, slug: str, source: str) -> AbstractContextManager[None]:
        """Put a copy of another tenant's database in a tenant's place for a while; then the tenant's own is back."""

    def shared(self) -> bytes:
        """Return what all tenants share there."""


class InFiles:
    """SQLite, in the home folder."""

    def __init__(self, pristine: Path) -> None:
        self._pristine = pristine

    def copy(self, home: Path) -> Path:
        return copy_home(self._pristine, home)

    @contextmanager
    def replaced(self, platform: Platform, slug: str, source: str) -> Iterator[None]:
        database, original = (platform.tenancy.databases.path_of(platform.tenant(name)) for name in (slug, source))
        aside = platform.settings.home / "aside"
        aside.mkdir()
        files = [database, *(Path(f"{database}{suffix}") for suffix in SIDE_FILES)]
        for file in files:
            if file.exists():
                file.rename(aside / file.name)
        with (
            closing(sqlite3.connect(f"file:{original}?mode=ro", uri=True)) as opened,
            closing(sqlite3.connect(database)) as copy,
        ):
            opened.backup(copy)
        yield
        for file in files:
            file.unlink(missing_ok=True)
            kept = aside / file.name
            if kept.exists():
                kept.rename(file)
        aside.rmdir()

    def shared(self) -> bytes:
        return b""


class OnServer:
    """PostgreSQL."""

    def __init__(self, pristine: HomeOnServer, cluster: Cluster) -> None:
        self._pristine = pristine
        self._cluster = cluster
        self._said_before = len(cluster.log())

    def copy(self, home: Path) -> Path:
        return self._pristine.copy(home)

    @contextmanager
    def replaced(self, platform: Platform, slug: str, source: str) -> Iterator[None]:
        place, original = (DatabasePlace(platform, self._cluster, name) for name in (slug, source))
        place.put_aside()
        place.copy_from(original.name)
        yield
        place.put_back()

    def shared(self) -> bytes:
        return self._cluster.log()[self._said_before :].encode()


class ThreeTenants(RuleBasedStateMachine):
    """People of three tenants at work, and somebody who sends everything everywhere."""

    def __init__(self, place: Place, home: Path, met: Counter[str]) -> None:
        super().__init__()
        self.met = met
        self.place = place
        self.home = place.copy(home)
        self.log = io.StringIO()
        with redirect_stderr(self.log):
            self.platform = open_platform(self.home)
        sees_every_change(self.platform)
        self.browsers: dict[tuple[str, str], Browser] = {}
        self.passwords = {(slug, person): PASSWORD for slug in TENANTS for person in PEOPLE}
        self.tokens: list[tuple[str, str]] = []
        self.numbers = itertools.count(1)

    def teardown(self) -> None:
        self.platform.close()
        shutil.rmtree(self.home)

    def browser(self, slug: str, person: str) -> Browser:
        return self.browsers.setdefault((slug, person), self.platform.browser(slug))

    def check(self, slug: str, response: TestResponse) -> TestResponse:
        """Look for canaries of other tenants in an answer."""
        said = str(response.headers).encode() + response.data
        response.close()
        self.met[f"{slug} at home"] += CANARIES[slug].encode() in said
        for other in TENANTS:
            if other != slug:
                assert CANARIES[other].encode() not in said, f"{slug} was shown a word of {other}"
        assert response.status_code < 500, response.text
        return response

    def post(self, slug: str, person: str, path: str, data: dict[str, object]) -> TestResponse:
        """Send a form as this person, who signs in first if they are not."""
        browser = self.browser(slug, person)
        if self.check(slug, browser.get("/")).status_code == 303:
            self.sign_in(slug, person)
        return self.send(slug, person, path, data)

    def send(self, slug: str, person: str, path: str, data: dict[str, object]) -> TestResponse:
        """Send a form from whatever page is there."""
        browser = self.browser(slug, person)
        page = self.check(slug, browser.get("/login", follow_redirects=True))
        token = page.text.partition('name="csrf_token" value="')[2].partition('"')[0]
        return self.check(slug, browser.post(path, data, token=token))

    @initialize(slug=tenants)
    def begin(self, slug: str) -> None:
        self.sign_in(slug, "anna")
        self.change_profile(slug, "anna", "position")

    @rule(slug=tenants, person=people)
    def sign_in(self, slug: str, person: str) -> None:
        self.send(slug, person, "/logout", {})
        data = {"username": person, "password": self.passwords[slug, person]}
        assert self.send(slug, person, "/login", data).status_code == 303

    @rule(slug=tenants, person=people)
    def sign_in_with_the_canary_as_name(self, slug: str, person: str) -> None:
        self.send(slug, person, "/logout", {})
        self.send(slug, person, "/login", {"username": CANARIES[slug], "password": f"{SECRET} {CANARIES[slug]}"})

    @rule(slug=tenants, person=people)
    def sign_out(self, slug: str, person: str) -> None:
        self.send(slug, person, "/logout", {})

    @rule(slug=tenants, person=people, field=st.sampled_from(["position", "about", "city", "interests", "last_name"]))
    def change_profile(self, slug: str, person: str, field: str) -> None:
        text = f"{CANARIES[slug]} {next(self.numbers)}"
        self.post(slug, person, "/preferences/profile", {**CARD, field: text})

    @rule(slug=tenants, person=people)
    def send_a_profile_that_is_refused(self, slug: str, person: str) -> None:
        self.post(slug, person, "/preferences/profile", {**CARD, "phone": CANARIES[slug], "city": CANARIES[slug]})

    @rule(slug=tenants, person=st.sampled_from(["anna", "ben"]))
    def change_company(self, slug: str, person: str) -> None:
        data = {"legal_name": CANARIES[slug], "street": f"{next(self.numbers)} Road", "city": "Lyon", "country": "FR"}
        self.post(slug, person, "/preferences/company", {**data, "sector": "", "accent_hue": "0"})
        self.look_at_a_log_or_take_it_away(slug, LOGS[next(self.numbers) % len(LOGS)])

    def look_at_a_log_or_take_it_away(self, slug: str, path: str) -> None:
        self.post(slug, "anna", "/admin/logs/notice", {})
        said = self.browser(slug, "anna").get(path)
        self.met[f"{slug} in its logs"] += CANARIES[slug].encode() in said.data
        assert self.check(slug, said).status_code == 200

    @rule(slug=tenants, person=people, good=st.booleans())
    def upload_a_picture(self, slug: str, person: str, good: bool) -> None:
        drawn = io.BytesIO()
        Image.new("RGB", (9, 9)).save(drawn, "PNG")
        content = drawn.getvalue() if good else CANARIES[slug].encode()
        data = {"avatar": (io.BytesIO(content), f"{CANARIES[slug]}.png")}
        self.post(slug, person, "/preferences/profile/picture", data)

    @rule(slug=tenants, person=people)
    def change_password(self, slug: str, person: str) -> None:
        new = f"{SECRET} {CANARIES[slug]} seven quiet lanterns {next(self.numbers)}"
        data = {"current": self.passwords[slug, person], "new": new, "repeat": new}
        answer = self.post(slug, person, "/preferences/security", data)
        if answer.headers.get("Location") == "/preferences/security":
            self.passwords[slug, person] = new
            self.met["new passwords"] += 1

    @rule(slug=tenants, person=people)
    def rename_a_browser(self, slug: str, person: str) -> None:
        page = self.check(slug, self.browser(slug, person).get("/preferences/sessions"))
        browser_id = page.text.partition('action="/preferences/browsers/')[2].partition("/")[0] or "0" * 32
        self.post(slug, person, f"/preferences/browsers/{browser_id}/rename", {"name": CANARIES[slug]})

    @rule(slug=tenants, other=tenants)
    def invite(self, slug: str, other: str) -> None:
        path = self.platform.invite(slug, f"nina{next(self.numbers)}")
        self.tokens.append((slug, path))
        answer = self.check(other, self.platform.browser(other).get(path))
        assert answer.status_code == (303 if slug == other else 410)
        self.met["foreign invitations"] += slug != other

    @precondition(lambda self: self.tokens)
    @rule(slug=tenants, number=st.integers(0, 20), person=people)
    def send_an_invitation_anywhere(self, slug: str, number: int, person: str) -> None:
        owner, path = self.tokens[number % len(self.tokens)]
        answer = self.check(slug, self.platform.browser(slug).get(path))
        assert answer.status_code == 410 if owner != slug else answer.status_code in {303, 410}
        self.met["foreign invitations"] += owner != slug
        self.check(slug, self.browser(slug, person).get(path))

    @rule(slug=tenants, other=tenants, person=people, path=pages)
    def suspend_for_a_while(self, slug: str, other: str, person: str, path: str) -> None:
        lifecycle.suspend_tenant(self.platform.tenancy, slug)
        for owner in (slug, other):
            cookie = f"{SESSION_COOKIE}={self.browser(owner, person).cookie(SESSION_COOKIE)}"
            refused = ask(self.platform, slug, path, cookie=cookie)
            assert refused.status_code == 503
            assert not any(canary in refused.text for canary in CANARIES.values())
        if slug != other:
            self.change_profile(other, person, "city")
        lifecycle.resume_tenant(self.platform.tenancy, slug)
        assert self.browser(slug, person).get("/").status_code == 303

    @rule(slug=tenants)
    def sign_everybody_out(self, slug: str) -> None:
        self.platform.tenancy.registry.raise_epoch(self.platform.tenant(slug))
        with self.platform.db(slug) as db:
            end_all_logins(db, OPERATOR_ORIGIN, OPERATOR)

    @rule(slug=tenants, other=tenants, person=people, path=pages)
    def visit_with_anybodys_cookies(self, slug: str, other: str, person: str, path: str) -> None:
        browser = self.browser(other, person)
        cookies = "; ".join(f"{name}={browser.cookie(name)}" for name in (SESSION_COOKIE, DEVICE_COOKIE))
        answer = self.check(slug, ask(self.platform, slug, path, cookie=cookies))
        if slug != other:
            assert answer.status_code == TOLD_STRANGERS.get(path, 303)

    @rule(slug=tenants, other=tenants, person=people)
    def send_anybodys_form(self, slug: str, other: str, person: str) -> None:
        theirs, ours = self.browser(other, person), self.browser(slug, person)
        page = self.check(other, theirs.get("/login", follow_redirects=True))
        token = page.text.partition('name="csrf_token" value="')[2].partition('"')[0]
        for browser in (theirs, ours):
            cookie = f"{SESSION_COOKIE}={browser.cookie(SESSION_COOKIE)}"
            data = {**CARD, "city": CANARIES[other], "csrf_token": token}
            if slug == other:
                continue
            refused = self.check(slug, post_form(self.platform, slug, "/preferences/profile", data, cookie=cookie))
            assert refused.status_code in {401, 403}

    @rule(source=tenants, place=tenants)
    def put_one_database_in_place_of_another(self, source: str, place: str) -> None:
        if source == place:
            return
        with self.place.replaced(self.platform, place, source):
            for person in PEOPLE:
                session = self.browser(place, person).cookie(SESSION_COOKIE)
                foreign = self.browser(source, person).cookie(SESSION_COOKIE)
                for cookie in ("", f"{SESSION_COOKIE}={session}", f"{SESSION_COOKIE}={foreign}"):
                    answer = ask(self.platform, place, "/login", cookie=cookie)
                    assert answer.status_code == 503
                    assert not any(canary in answer.text for canary in CANARIES.values())
        self.met["databases put in place of another"] += 1
        assert self.check(place, ask(self.platform, place, "/login")).status_code == 200

    @invariant()
    def no_canary_is_anywhere_but_at_home(self) -> None:
        for slug in TENANTS:
            content = bytes_of(self.platform, slug)
            self.met[f"{slug} on disk"] += CANARIES[slug].encode() in content
            for other in TENANTS:
                if other != slug:
                    assert CANARIES[other].encode() not in content, f"{slug} holds a word of {other}"
            assert SECRET.encode() not in content, f"{slug} holds a password"
        shared = b"".join(path.read_bytes() for path in self.home.iterdir() if path.is_file())
        shared += self.log.getvalue().encode() + self.place.shared()
        for word in (SECRET, *CANARIES.values()):
            assert word.encode() not in shared, f"{word} is in the registry or in the log"


@pytest.fixture(scope="module")
def three(pristine_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed home with a third tenant. Copy it, never open it."""
    home = copy_home(pristine_home, tmp_path_factory.mktemp("three") / "home")
    with Tenancy.open(read_settings({"EXTRANET_HOME": str(home)}), HISTORY) as tenancy:
        add_tenant(tenancy, "initech")
    return home


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Path]:
    """Names for one home after another."""
    return (tmp_path / f"home{number}" for number in itertools.count())


@pytest.fixture
def place(kept_on: str, request: pytest.FixtureRequest) -> Iterator[Place]:
    if kept_on == "sqlite":
        yield InFiles(request.getfixturevalue("three"))
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    home = request.getfixturevalue("tmp_path_factory").mktemp("three-on-server") / "home"
    pristine = make_home_on_server(home, cluster, TENANTS)
    with cleaned(cluster):
        yield OnServer(pristine, cluster)


EXAMPLES = {"sqlite": (20, 40), "postgresql": (8, 30)}
ENOUGH = {"sqlite": (10, 30, 2, 2), "postgresql": (0, 10, 0, 0)}


@pytest.mark.timeout(400)
def test_no_canary_leaves_its_tenant_whatever_people_do(place: Place, kept_on: str, homes: Iterator[Path]) -> None:
    met: Counter[str] = Counter()
    examples, steps = EXAMPLES[kept_on]
    run_state_machine_as_test(
        lambda: ThreeTenants(place, next(homes), met),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            # Forty steps read as they are; making them fewer would take minutes.
            phases=[Phase.generate],
        ),
    )
    at_home, on_disk, of_each, logged = ENOUGH[kept_on]
    # Otherwise it was not looked for where there was something to find.
    for slug in TENANTS:
        assert met[f"{slug} at home"] > at_home
        assert met[f"{slug} on disk"] > on_disk
        assert met[f"{slug} in its logs"] >= logged
    for what in ("new passwords", "databases put in place of another", "foreign invitations"):
        assert met[what] > of_each, what
