"""One provider, one subject, two tenants: two accounts that have nothing to do with each other, nor has a try."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from extranet.models import IdentityProvider
from extranet.models.single_sign_on import CLIENT_SECRET_SEAL, THE_PROVIDER
from extranet.security_log.events import Event
from tenants.errors import BadSeal
from tests.evidence import NewEvents, untouched
from tests.platform import SLUGS, Platform, opened_platform, user_id
from tests.single_sign_on.providers import Liar, running
from tests.single_sign_on.world import come_back, identities, is_let_in, link, set_out, set_up

COOKIE = "__Host-sign-on"


@pytest.fixture(scope="module")
def _provider() -> Iterator[Liar]:
    with running(Liar()) as liar:
        yield liar


@pytest.fixture
def provider(_provider: Liar) -> Liar:
    _provider.be_honest()
    return _provider


@pytest.fixture
def platform(home: Path) -> Iterator[Platform]:
    with opened_platform(home, sso_inside=frozenset({"127.0.0.1"})) as opened:
        yield opened


def test_one_subject_is_somebody_else_in_each_tenant(platform: Platform, provider: Liar) -> None:
    for slug, username in zip(SLUGS, ("ben", "gus"), strict=True):
        set_up(platform, provider.issuer, slug)
        browser = platform.signed_in(slug, username)
        assert come_back(browser, provider.vouches(set_out(browser, "/sign-on/link"))).status_code == 303
    assert identities(platform, "acme") == [(user_id("ben"), "liar-1")]
    assert identities(platform, "globex") == [(user_id("gus"), "liar-1")]
    visitor = platform.browser("globex")
    with untouched(platform, "acme"):
        assert come_back(visitor, provider.vouches(set_out(visitor))).status_code == 303
        assert "Gus" in visitor.get("/").text


def test_who_is_linked_here_is_nobody_there(platform: Platform, provider: Liar) -> None:
    for slug in SLUGS:
        set_up(platform, provider.issuer, slug)
    link(platform, provider.issuer, "liar-1")
    visitor = platform.browser("globex")
    with untouched(platform, "acme"):
        assert "<code>unknown</code>" in come_back(visitor, provider.vouches(set_out(visitor))).text
        assert not is_let_in(visitor)
    assert identities(platform, "globex") == []


def test_a_try_its_state_and_its_code_are_worth_nothing_at_the_neighbour_s(platform: Platform, provider: Liar) -> None:
    for slug in SLUGS:
        set_up(platform, provider.issuer, slug)
        link(platform, provider.issuer, "liar-1", slug=slug)
    ours, theirs = platform.browser("acme"), platform.browser("globex")
    back = provider.vouches(set_out(ours))
    noted = NewEvents(platform, "globex")
    with untouched(platform, "acme"):
        # The whole cookie, carried over.
        theirs.set_cookie(COOKIE, ours.cookie(COOKIE))
        assert "<code>no_attempt</code>" in come_back(theirs, back).text
        assert noted.take() == [Event.COOKIE_TAMPERED, Event.SIGN_ON_REFUSED]
        # A try of its own, with the neighbour's answer.
        set_out(theirs)
        assert "<code>state</code>" in come_back(theirs, back).text
        # And with the neighbour's code in its own answer: the nonce is another try's.
        own = provider.vouches(set_out(theirs))
        provider.nonces["code-1"] = provider.nonces["code-0"]
        assert "<code>nonce</code>" in come_back(theirs, own).text
        assert not is_let_in(theirs)
    assert come_back(ours, back).status_code == 303


def test_of_many_answers_that_come_at_once_one_counts(platform: Platform, provider: Liar) -> None:
    set_up(platform, provider.issuer)
    link(platform, provider.issuer, "liar-1")
    browsers = [platform.browser() for _number in range(5)]
    back = provider.vouches(set_out(browsers[0]))
    for browser in browsers[1:]:
        browser.set_cookie(COOKIE, browsers[0].cookie(COOKIE))
    with ThreadPoolExecutor(len(browsers)) as crowd:
        answers = list(crowd.map(lambda browser: come_back(browser, back), browsers))
    assert sorted(answer.status_code for answer in answers) == [303, 403, 403, 403, 403]
    assert len(provider.tokens) == 1


def test_of_many_newcomers_who_are_one_person_one_account_is_made(platform: Platform, provider: Liar) -> None:
    set_up(platform, provider.issuer, creates_people=True)
    provider.claims |= {"email": "zoe@acme.example", "name": "Zoe Zee"}
    browsers = [platform.browser() for _number in range(5)]
    backs = [provider.vouches(set_out(browser)) for browser in browsers]
    with ThreadPoolExecutor(len(browsers)) as crowd:
        answers = list(crowd.map(come_back, browsers, backs))
    assert {answer.status_code for answer in answers} == {303}
    assert len(identities(platform)) == 1


def test_a_client_s_secret_opens_under_its_own_tenant_s_key_alone(platform: Platform, provider: Liar) -> None:
    for slug in SLUGS:
        set_up(platform, provider.issuer, slug)
    with platform.db("acme", writing=False) as db:
        sealed = db.get_one(IdentityProvider, THE_PROVIDER).client_secret
    context = CLIENT_SECRET_SEAL.bound_to(THE_PROVIDER)
    with platform.db("globex", writing=False) as db, pytest.raises(BadSeal):
        db.info["keys"].open(CLIENT_SECRET_SEAL.purpose, sealed, context=context)


def test_what_a_provider_says_of_itself_to_one_tenant_is_not_kept_for_another(
    platform: Platform, provider: Liar
) -> None:
    for slug in SLUGS:
        set_up(platform, provider.issuer, slug)
        set_out(platform.browser(slug))
    assert provider.asked == ["/.well-known/openid-configuration"] * 2
