"""A provider that lies, stumbles or is somebody else: one clear answer, an event, and nothing changed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, KeySet

from extranet.security_log.events import Event
from tenants import lifecycle
from tests.browser import Browser
from tests.extranet.world import log_of
from tests.platform import Platform
from tests.single_sign_on.providers import Liar
from tests.single_sign_on.world import (
    come_back,
    forget_providers,
    identities,
    is_let_in,
    link,
    set_out,
    set_up,
    way_out,
)

Lie = Callable[[Liar], None]


def claims(**values: Any) -> Lie:
    return lambda liar: liar.claims.update(values)


def signs(sign: Callable[[Liar], Callable[[dict[str, Any]], str]]) -> Lie:
    def lie(liar: Liar) -> None:
        liar.sign = sign(liar)

    return lie


def answers(path: str, body: Any, status: int = 200, **headers: str) -> Lie:
    def lie(liar: Liar) -> None:
        def answer(asked: Any) -> bool:
            if asked.path == path:
                asked.say(body, status, **headers)
            return bool(asked.path == path)

        liar.answer = answer

    return lie


def unsigned(liar: Liar) -> Callable[[dict[str, Any]], str]:
    def sign(said: dict[str, Any]) -> str:
        whole = liar.signed(said).split(".")
        return "eyJhbGciOiJub25lIn0." + whole[1] + "."

    return sign


def as_ascii(liar: Liar, said: dict[str, Any]) -> str:
    return jws.serialize_compact({"alg": "RS256", "kid": "one"}, json.dumps(said).encode(), liar.key)


LIES: dict[str, tuple[str, Lie]] = {
    "the nonce of another try": ("nonce", claims(nonce="other")),
    "no nonce": ("nonce", claims(nonce=None)),
    "a nonce no text can be": ("nonce", signs(lambda liar: lambda said: as_ascii(liar, {**said, "nonce": "\ud800"}))),
    "another issuer": ("issuer", claims(iss="https://elsewhere.example")),
    "no issuer": ("issuer", claims(iss=None)),
    "another audience": ("audience", claims(aud="somebody-else")),
    "several audiences and nobody authorised": ("audience", claims(aud=["extranet", "other"])),
    "somebody else authorised": ("audience", claims(aud=["extranet", "other"], azp="other")),
    "expired": ("clock", claims(exp=int(time.time()) - 120)),
    "made in an hour": ("clock", claims(iat=int(time.time()) + 3600, exp=int(time.time()) + 7200)),
    "made an hour ago": ("clock", claims(iat=int(time.time()) - 3600)),
    "no expiry": ("clock", claims(exp=None)),
    "an expiry in words": ("clock", claims(exp="tomorrow")),
    "no subject": ("claims", claims(sub=None)),
    "an empty subject": ("claims", claims(sub="")),
    "a subject that is a number": ("claims", claims(sub=7)),
    "a subject too long": ("claims", claims(sub="x" * 256)),
    "signed with another key of that name": (
        "signature",
        signs(lambda liar: lambda said: liar.signed(said, key=liar.other_key)),
    ),
    "signed with the public key as a secret": ("signature", signs(lambda liar: liar.signed_with_public_key)),
    "not signed": ("signature", signs(unsigned)),
    "no token at all": ("signature", signs(lambda _liar: lambda _said: "not.a.token")),
    "a key nobody named": ("signature", signs(lambda liar: lambda said: liar.signed(said, kid="unheard-of"))),
    "the code is refused": ("exchange", answers("/token", {"error": "invalid_grant"}, 400)),
    "no JSON": ("exchange", answers("/token", b"<html>")),
    "no object": ("exchange", answers("/token", [])),
    "no token": ("exchange", answers("/token", {"access_token": "x"})),
    "far too much": ("unfit", answers("/token", b"x" * 300_000)),
    "elsewhere": ("unfit", answers("/token", b"", 302, Location="http://169.254.169.254/")),
    "no keys": ("unfit", answers("/keys", {"keys": [{"kty": "oct", "k": "AAAA"}]})),
    "keys that are none": ("unfit", answers("/keys", {"keys": "many"})),
}


def test_what_a_provider_says_wrong_opens_nothing(platform: Platform, liar: Liar) -> None:
    set_up(platform, liar.issuer)
    link(platform, liar.issuer, "liar-1")
    for number, (name, (reason, lie)) in enumerate(LIES.items(), 1):
        liar.be_honest()
        forget_providers(platform)
        visitor = platform.browser(address=f"192.0.2.{number}")
        lie(liar)
        refused = come_back(visitor, liar.vouches(set_out(visitor)))
        assert refused.status_code == (503 if reason in {"exchange", "unfit"} else 403), name
        assert f"<code>{reason}</code>" in refused.text, name
        assert "Nothing has been changed." in refused.text
        entry = log_of(platform)[-1]
        assert (entry.event, entry.details["reason"]) == (Event.SIGN_ON_REFUSED, reason), name
        assert not is_let_in(visitor)
    assert len(identities(platform)) == 1


@pytest.mark.parametrize(
    ("reason", "more"),
    [("declined", {"error": "access_denied"}), ("provider_error", {"error": "x y"}), ("issuer", {"iss": "https://x"})],
)
def test_what_the_browser_brings_that_is_no_yes(
    platform: Platform, liar: Liar, reason: str, more: dict[str, str]
) -> None:
    set_up(platform, liar.issuer)
    visitor = platform.browser()
    refused = come_back(visitor, liar.vouches(set_out(visitor), **more))
    assert f"<code>{reason}</code>" in refused.text
    assert "/token" not in liar.asked


def test_a_provider_that_names_itself_in_its_answers_has_to_do_so(platform: Platform, liar: Liar) -> None:
    liar.says["authorization_response_iss_parameter_supported"] = True
    set_up(platform, liar.issuer)
    link(platform, liar.issuer, "liar-1")
    visitor = platform.browser()
    assert "<code>issuer</code>" in come_back(visitor, liar.vouches(set_out(visitor))).text
    assert come_back(visitor, liar.vouches(set_out(visitor), iss=liar.issuer)).status_code == 303


def test_what_is_merely_unusual_is_taken(platform: Platform, liar: Liar) -> None:
    """A key without a name, several audiences with this client authorised, a new key, and each way to say who asks."""
    set_up(platform, liar.issuer)
    link(platform, liar.issuer, "liar-1")
    visitor = platform.browser()
    liar.claims |= {"aud": ["extranet", "other"], "azp": "extranet"}
    assert come_back(visitor, liar.vouches(set_out(visitor))).status_code == 303
    assert (liar.tokens[-1]["authorization"] or "").startswith("Basic ")

    liar.says["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    set_up(platform, liar.issuer, secret="")
    second = ECKey.generate_key("P-256", {"kid": "two", "use": "sig"})
    liar.keys = KeySet([liar.other_key, second]).as_dict(private=False)
    # Of kinds we do not know, and one that is half of one.
    liar.keys["keys"] += [{"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"}, {"kty": "RSA"}]
    liar.says["id_token_signing_alg_values_supported"] = ["ES256"]
    forget_providers(platform)
    liar.sign = lambda said: liar.signed(said, "ES256", second)
    assert "<code>signature</code>" in come_back(visitor, liar.vouches(set_out(visitor))).text
    liar.sign = lambda said: liar.signed(said, "ES256", second, kid="two")
    assert come_back(visitor, liar.vouches(set_out(visitor))).status_code == 303
    assert (liar.tokens[-1]["authorization"], liar.tokens[-1]["client_id"]) == (None, ["extranet"])
    assert "client_secret" not in liar.tokens[-1]

    set_up(platform, liar.issuer)
    forget_providers(platform)
    assert come_back(visitor, liar.vouches(set_out(visitor))).status_code == 303
    assert liar.tokens[-1]["client_secret"] == ["a client's secret: with a colon"]
    assert len(liar.tokens[-1]["code_verifier"][0]) == 43


def test_a_new_key_is_fetched_but_not_for_every_token_with_a_name_nobody_knows(platform: Platform, liar: Liar) -> None:
    set_up(platform, liar.issuer)
    link(platform, liar.issuer, "liar-1")
    visitor = platform.browser()
    clock = [0.0]
    platform.app.extensions["extranet"].providers._clock = lambda: clock[0]
    assert come_back(visitor, liar.vouches(set_out(visitor))).status_code == 303
    liar.keys = KeySet([liar.other_key]).as_dict(private=False)
    liar.keys["keys"][0]["kid"] = "new"
    liar.sign = lambda said: liar.signed(said, key=liar.other_key, kid="new")
    assert come_back(visitor, liar.vouches(set_out(visitor))).status_code == 403
    assert liar.asked.count("/keys") == 1
    clock[0] += 60
    assert come_back(visitor, liar.vouches(set_out(visitor))).status_code == 303
    assert liar.asked.count("/keys") == 2


def test_a_provider_that_is_gone_is_not_waited_for_by_everybody(platform: Platform, liar: Liar) -> None:
    liar.says["issuer"] = "https://somebody.else.example"
    set_up(platform, liar.issuer)
    visitor = platform.browser()
    for _attempt in range(3):
        page = visitor.post("/sign-on/start", {"agreed": "2026-11"})
        assert (page.status_code, "<code>unfit</code>" in page.text) == (503, True)
    assert len(liar.asked) == 1


def test_too_many_answers_are_refused_unseen(platform: Platform, liar: Liar) -> None:
    set_up(platform, liar.issuer)
    visitor = platform.browser()
    statuses = [come_back(visitor, liar.vouches(set_out(visitor))).status_code for _attempt in range(12)]
    assert statuses == [403] * 10 + [429] * 2
    assert liar.asked.count("/token") == 10


def test_a_provider_that_was_changed_or_turned_off_meanwhile(platform: Platform, liar: Liar) -> None:
    set_up(platform, liar.issuer)
    link(platform, liar.issuer, "liar-1")
    visitor = platform.browser()
    back = liar.vouches(set_out(visitor))
    set_up(platform, liar.issuer, client_id="another")
    assert "<code>provider_changed</code>" in come_back(visitor, back).text
    set_up(platform, liar.issuer)
    back = liar.vouches(set_out(visitor))
    set_up(platform, liar.issuer, is_enabled=False)
    assert "<code>provider_changed</code>" in come_back(visitor, back).text
    assert visitor.post("/sign-on/start").status_code == 404
    assert "Continue with" not in visitor.get("/login").text
    assert "/token" not in liar.asked


def test_at_the_customer_s_own_name_for_it_the_way_leads_to_the_address_that_is_known_there(
    platform: Platform, liar: Liar
) -> None:
    lifecycle.add_host(platform.tenancy, "acme", "extranet.acme.example")
    set_up(platform, liar.issuer)
    visitor = Browser(platform.app, "http://extranet.acme.example:8000")
    page = visitor.post("/sign-on/start", {"agreed": "2026-11"})
    assert (page.status_code, "<code>other_host</code>" in page.text) == (403, True)
    assert 'href="http://acme.localhost:8000/login"' in page.text
    assert liar.asked == []


def test_consent_that_is_not_given_sends_nothing_out(platform: Platform, liar: Liar) -> None:
    set_up(platform, liar.issuer)
    visitor = platform.browser()
    for form in ({}, {"agreed": ""}, {"agreed": "2020-01"}):
        page = visitor.post("/sign-on/start", form)
        assert "I agree, continue" in page.text
    assert liar.asked == []
    assert visitor.cookie("__Host-sign-on") == ""
    way_out(visitor.post("/sign-on/start", {"agreed": "2026-11"}))
    assert log_of(platform)[-1].event == Event.SIGN_ON_CONSENTED
