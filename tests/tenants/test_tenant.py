from __future__ import annotations

import re
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.errors import BadName, BadSlug, IllegalTransition
from tenants.hosts import parse_host
from tenants.tenant import EMBEDDED, RESERVED_SLUGS, State, Tenant, check_transition, parse_name, parse_slug

ALLOWED = {
    (State.PROVISIONING, State.ACTIVE),
    (State.ACTIVE, State.SUSPENDED),
    (State.SUSPENDED, State.ACTIVE),
    (State.ACTIVE, State.CLOSED),
    (State.SUSPENDED, State.CLOSED),
    (State.CLOSED, State.ACTIVE),
    (State.CLOSED, State.PURGED),
}


@pytest.mark.parametrize("origin", State)
@pytest.mark.parametrize("target", State)
def test_only_the_drawn_transitions_are_allowed(origin: State, target: State) -> None:
    tenant = Tenant(uuid4(), "acme", "Acme", origin, 1, 1, EMBEDDED)
    if (origin, target) in ALLOWED:
        check_transition(tenant, target)
    else:
        with pytest.raises(IllegalTransition, match=f"acme is {origin} and cannot become {target}"):
            check_transition(tenant, target)


@given(st.text())
def test_any_text_is_a_plain_slug_or_refused(text: str) -> None:
    try:
        slug = parse_slug(text)
    except BadSlug:
        return
    assert slug == text


@given(st.from_regex(r"[a-z][a-z0-9]{0,10}(-[a-z0-9]{1,10}){0,2}", fullmatch=True).filter(lambda s: 2 <= len(s) <= 32))
def test_every_slug_is_a_host_label_and_a_safe_file_name(text: str) -> None:
    if text in RESERVED_SLUGS:
        return
    slug = parse_slug(text)
    assert parse_host(f"{slug}.localhost") == f"{slug}.localhost"
    assert re.fullmatch(r"[a-z0-9-]+", slug)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a" * 33,
        "Acme",
        "acme ",
        "acme\n",
        "-acme",
        "acme-",
        "ac--me",
        "xn--acme",
        "ac.me",
        "ac/me",
        "..",
        "ac_me",
        "acmé",
        "\u212aelvin",
        "42",
        "\u0664\u0662",
    ],
)
def test_a_malformed_slug_is_refused(text: str) -> None:
    with pytest.raises(BadSlug):
        parse_slug(text)


@pytest.mark.parametrize("slug", sorted(RESERVED_SLUGS))
def test_a_reserved_slug_is_refused(slug: str) -> None:
    with pytest.raises(BadSlug):
        parse_slug(slug)


def test_every_reserved_slug_could_otherwise_be_one() -> None:
    assert all(re.fullmatch(r"[a-z0-9-]{2,32}", slug) for slug in RESERVED_SLUGS)


def test_a_name_is_trimmed_and_composed() -> None:
    assert parse_name("  Cafe\u0301 & fils ") == "Café & fils"


@pytest.mark.parametrize("name", ["", " ", "\u3000", "a" * 101, "a\0b", "a\nb", "a\u202eb", "a\u200bb", "a\ud800b"])
def test_an_empty_long_or_deceiving_name_is_refused(name: str) -> None:
    with pytest.raises(BadName):
        parse_name(name)


@given(st.text())
def test_a_parsed_name_parses_to_itself(text: str) -> None:
    try:
        name = parse_name(text)
    except BadName:
        return
    assert parse_name(name) == name
