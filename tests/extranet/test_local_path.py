"""Where one is led after signing in is on this very host, whatever the address said."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extranet.request import log
from extranet.request.paths import LOCAL_PATH, local_path
from tests.platform import Platform

ELSEWHERE = [
    "",
    " ",
    "evil.example",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "http://evil.example",
    "https://evil.example",
    "HTTP://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "http:///evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "ftp://evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "\x00//evil.example",
    "/\x00/evil.example",
    "/\x0b/evil.example",
    "/\u2028/evil.example",
    "/\uff0fevil.example",
    "\uff0f\uff0fevil.example",
    "/%0d%0aSet-Cookie:x\r\nX: y",
    "//evil.example@acme.localhost",
    "//acme.localhost@evil.example",
    "@evil.example",
    ":evil.example",
    "?next=//evil.example",
    "#//evil.example",
    ".//evil.example",
    "../evil.example",
    "/\u00e9",
    "/ evil",
    "http:evil",
    "//[::1]/",
    "/\\\\evil.example",
    "/\ud800",
]


@pytest.fixture
def inside(unchanged: Platform) -> Iterator[None]:
    with unchanged.app.test_request_context("/"):
        log.begin()
        yield


@pytest.mark.parametrize("target", ELSEWHERE, ids=range(len(ELSEWHERE)))
@pytest.mark.usefixtures("inside")
def test_anything_that_could_lead_elsewhere_leads_home(target: str) -> None:
    assert local_path(target) == "/"


def stays(target: str) -> bool:
    base = urlsplit("http://acme.localhost:8000/login")
    led = urlsplit(urljoin(base.geturl(), target))
    return (led.scheme, led.netloc) == (base.scheme, base.netloc)


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(max_size=40), st.text(alphabet="/\\:@?#.%\t\r\n evil", max_size=20)))
def test_what_is_let_through_stays_on_this_host(target: str) -> None:
    if LOCAL_PATH.fullmatch(target):
        assert stays(target)
        assert target.isascii()
        assert target.isprintable()
