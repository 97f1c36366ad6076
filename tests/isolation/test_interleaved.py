"""Eight threads serve both tenants at once, with errors half way and engines thrown out between two requests.

Whatever a request leaves behind in its thread (a tenant, a language, a transaction, a user) would meet the next one.
"""

from __future__ import annotations

import functools
import io
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from PIL import Image
from werkzeug.test import TestResponse

from extranet.app import HISTORY
from extranet.models import Company, Profile, User
from extranet.models.company import THE_COMPANY
from extranet.request.cookies import SESSION_COOKIE
from extranet.request.current import current
from extranet.security_log.operations import journal
from tenants import schema
from tenants.databases import Databases
from tenants.tenant import EMBEDDED
from tests import evidence
from tests.evidence import events, said
from tests.platform import SLUGS, UNTOUCHED_CARD, Platform, user_id

THREADS = 8
PATIENCE_SECONDS = 30
REQUESTS = {"sqlite": 1_200, "postgresql": 500}
BEN = user_id("ben")
LANGUAGES = {"acme": "fr", "globex": "nl"}
ACCENTS = {"acme": 20, "globex": 200}
NOBODYS_ACCENT = 210
CARD = {
    "first_name": "Ben",
    "last_name": "Peeters",
    **UNTOUCHED_CARD,
}


@dataclass(frozen=True)
class Person:
    """Somebody signed in: their cookie and a token for their forms."""

    cookie: str
    token: str


def patient(send: Callable[..., TestResponse]) -> Callable[..., TestResponse]:
    """Ask again when told to: eight threads want a tenant's four connections, of a machine with other work to do."""

    @functools.wraps(send)
    def sent(*arguments: Any, **options: Any) -> TestResponse:
        end = time.monotonic() + PATIENCE_SECONDS
        while (answer := send(*arguments, **options)).status_code == 503 and time.monotonic() < end:
            time.sleep(0.1)
        return answer

    return sent


ask, post_form = patient(evidence.ask), patient(evidence.post_form)


@pytest.fixture
def crowd(platform: Platform) -> dict[str, Person]:
    """The same person in both tenants, who reads another language in each, and an application that fails on demand."""
    platform.app.add_url_rule("/half-way", "half-way", fail_half_way, methods=["GET", "POST"])
    platform.tenancy.close()
    platform.tenancy.databases = Databases(
        platform.settings, schema.head(HISTORY), platform.tenancy.servers, kept_engines=1
    )
    people = {}
    for slug in SLUGS:
        browser = platform.signed_in(slug, "ben")
        drawn = io.BytesIO()
        Image.new("RGB", (9, 9), (200, 0, 0) if slug == "acme" else (0, 0, 200)).save(drawn, "PNG")
        drawn.seek(0)
        assert browser.post("/preferences/profile/picture", {"avatar": (drawn, "me.png")}).status_code == 303
        with platform.db(slug) as db:
            user = db.get_one(User, BEN)
            user.language, user.last_name = LANGUAGES[slug], f"of {slug}"
            db.get_one(Profile, BEN).position = f"canary of {slug}"
            db.get_one(Company, THE_COMPANY).accent_hue = ACCENTS[slug]
        people[slug] = Person(f"{SESSION_COOKIE}={browser.cookie(SESSION_COOKIE)}", browser.token())
    return people


def fail_half_way() -> str:
    """Read, and when the method writes, write; then fail before anything is finished."""
    profile = current.db.get_one(Profile, current.user.id)
    if current.state.writes:
        profile.about = "never to be seen"
        current.db.flush()
    raise RuntimeError("half way")


def step(platform: Platform, crowd: dict[str, Person], number: int) -> str:
    """Do one thing at one tenant and insist that the answer is that tenant's alone, in the right language."""
    chance = random.Random(number)
    slug = chance.choice(SLUGS)
    other = "globex" if slug == "acme" else "acme"
    kind = chance.choices(list(STEPS), [weight for weight, _ in STEPS.values()])[0]
    answer, language = STEPS[kind][1](platform, crowd[slug], slug, chance)
    assert other.encode() not in said(answer), (kind, slug, answer.text)
    if language:
        accent = NOBODYS_ACCENT if kind == "nobody" else ACCENTS[slug]
        assert f'<html lang="{language}" data-accent="{accent}"' in answer.text, (kind, slug, answer.text[:200])
    return f"{kind} {slug} {answer.status_code}"


def _page(platform, person, slug, chance):
    answer = ask(platform, slug, chance.choice(["/", "/preferences/sessions"]), cookie=person.cookie)
    assert answer.status_code == 200
    assert f"of {slug}" in answer.text
    return answer, LANGUAGES[slug]


def _profile(platform, person, slug, _chance):
    answer = ask(platform, slug, "/preferences/profile", cookie=person.cookie)
    assert f"canary of {slug}" in answer.text
    return answer, LANGUAGES[slug]


def _picture(platform, person, slug, _chance):
    answer = ask(platform, slug, f"/people/{BEN}/avatar", cookie=person.cookie)
    with Image.open(io.BytesIO(answer.data)) as image:
        red, _, blue, *_ = image.convert("RGB").getpixel((100, 100))
    assert (red > blue) is (slug == "acme")
    return answer, ""


def _visitor(platform, _person, slug, chance):
    language = chance.choice(["en", "fr", "nl"])
    answer = ask(platform, slug, "/login", headers={"Accept-Language": language})
    assert answer.status_code == 200
    assert slug.capitalize() in answer.text
    return answer, language


def _silent_visitor(platform, _person, slug, _chance):
    return ask(platform, slug, "/login"), "en"


def _missing(platform, person, slug, _chance):
    answer = ask(platform, slug, "/nowhere", cookie=person.cookie)
    assert answer.status_code == 404
    return answer, LANGUAGES[slug]


def _foreign(platform, _person, slug, _chance):
    answer = ask(platform, slug, "/", cookie=f"{SESSION_COOKIE}=x")
    assert answer.status_code == 303
    return answer, ""


def _nobody(platform, _person, _slug, _chance):
    answer = ask(platform, "never", "/")
    assert answer.status_code == 404
    assert "Acme" not in answer.text
    return answer, "en"


def _fail(platform, person, slug, _chance):
    answer = ask(platform, slug, "/half-way", cookie=person.cookie)
    assert answer.status_code == 500
    return answer, LANGUAGES[slug]


def _fail_writing(platform, person, slug, _chance):
    answer = post_form(platform, slug, "/half-way", {"csrf_token": person.token}, cookie=person.cookie)
    assert answer.status_code == 500
    return answer, LANGUAGES[slug]


def _change(platform, person, slug, chance):
    data = {**CARD, "last_name": f"of {slug}", "position": f"canary of {slug}", "city": f"{slug} {chance.random()}"}
    data["csrf_token"] = person.token
    answer = post_form(platform, slug, "/preferences/profile", data, cookie=person.cookie)
    assert answer.status_code == 303
    return answer, ""


STEPS = {
    "page": (30, _page),
    "profile": (3, _profile),
    "picture": (10, _picture),
    "visitor": (15, _visitor),
    "silent visitor": (10, _silent_visitor),
    "missing": (6, _missing),
    "foreign": (6, _foreign),
    "nobody": (6, _nobody),
    "fail": (6, _fail),
    "fail writing": (4, _fail_writing),
    "change": (4, _change),
}


def test_each_answer_is_its_own_tenants_in_its_own_language_whatever_the_thread_did_before(
    platform: Platform, crowd: dict[str, Person], kept_on: str
) -> None:
    # Every engine that is thrown out costs a new connection, with a sign-in of its own, where there is a server.
    requests = REQUESTS[kept_on]
    with ThreadPoolExecutor(THREADS) as pool:
        done = Counter(pool.map(lambda number: step(platform, crowd, number), range(requests)))
    assert done.total() == requests
    assert len(done) == 2 * len(STEPS)
    assert_nothing_half_done(platform)


def assert_nothing_half_done(platform: Platform) -> None:
    for slug in SLUGS:
        with platform.db(slug, writing=False) as db:
            assert db.get_one(Profile, BEN).about == ""
            assert journal(db.info["keys"]).verify(db) == len(events(platform, slug))
            if db.tenant.server == EMBEDDED:
                assert db.connection().exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    assert len(platform.tenancy.databases) == 1


def test_a_thread_that_failed_in_one_tenant_serves_the_other_from_a_clean_slate(
    platform: Platform, crowd: dict[str, Person]
) -> None:
    with ThreadPoolExecutor(1) as pool:
        for slug, other in (SLUGS, SLUGS[::-1]):
            for fail in (_fail, _fail_writing):
                pool.submit(fail, platform, crowd[slug], slug, None).result()
                answer = pool.submit(ask, platform, other, "/", cookie=crowd[other].cookie).result()
                assert f'<html lang="{LANGUAGES[other]}"' in answer.text
                assert f"of {other}" in answer.text
                assert slug.encode() not in said(answer)
                assert pool.submit(ask, platform, slug, "/login").result().text.count('<html lang="en"') == 1
    assert_nothing_half_done(platform)
