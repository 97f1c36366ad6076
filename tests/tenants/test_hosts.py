from __future__ import annotations

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tenants.errors import BadHost
from tenants.hosts import parse_host, slug_label

_INNER = string.ascii_letters + string.digits + "-"
_EDGE = string.ascii_letters + string.digits
labels = st.one_of(
    st.text(_EDGE, min_size=1, max_size=1),
    st.builds(lambda a, b, c: a + b + c, st.sampled_from(_EDGE), st.text(_INNER, max_size=20), st.sampled_from(_EDGE)),
)
names = st.lists(labels, min_size=1, max_size=5).map(".".join).filter(lambda name: not name.split(".")[-1].isdigit())


@given(names)
def test_a_dns_name_is_lower_cased_and_otherwise_kept(name: str) -> None:
    assert parse_host(name) == name.lower()


@given(names, st.integers(0, 65535))
def test_a_port_is_dropped(name: str, port: int) -> None:
    assert parse_host(f"{name}:{port}") == name.lower()


@given(names)
def test_parsing_twice_changes_nothing(name: str) -> None:
    assert parse_host(parse_host(name)) == parse_host(name)


@given(st.text())
def test_any_text_is_a_plain_name_or_refused(text: str) -> None:
    try:
        host = parse_host(text)
    except BadHost:
        return
    assert set(host) <= set(string.ascii_lowercase + string.digits + "-.")
    assert text.lower().startswith(host)


@given(names, st.sampled_from([" ", "\t", "\n", "\0", ",", "@", "/", "\\", "_", "%2e", "é", "\u212a"]), st.integers(0))
def test_a_foreign_character_anywhere_is_refused(name: str, bad: str, where: int) -> None:
    where %= len(name) + 1
    with pytest.raises(BadHost):
        parse_host(name[:where] + bad + name[where:])


@pytest.mark.parametrize(
    "header",
    [
        "",
        ".",
        "acme.localhost.",
        ".acme.localhost",
        "acme..localhost",
        "-acme.localhost",
        "acme-.localhost",
        "acme.localhost:",
        "acme.localhost:65536",
        "acme.localhost:80:80",
        "acme.localhost:+80",
        "acme.localhost:\u0661",
        "acme.localhost,globex.localhost",
        "user@acme.localhost",
        "127.0.0.1",
        "127.0.0.1:8000",
        "2130706433",
        "[::1]",
        "[::1]:8000",
        "::1",
        f"{'a' * 64}.localhost",
        ".".join(["a" * 63] * 4),
        "a." * 400 + "a",
    ],
)
def test_what_is_not_one_dns_name_is_refused(header: str) -> None:
    with pytest.raises(BadHost):
        parse_host(header)


def test_the_longest_name_is_accepted() -> None:
    name = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert len(name) == 253
    assert parse_host(f"{name}:65535") == name


@given(labels, names)
def test_the_label_before_the_domain_is_the_slug(label: str, domain: str) -> None:
    assert slug_label(f"{label}.{domain}", domain) == label


@given(names, names)
def test_only_one_label_right_under_the_domain_counts(host: str, domain: str) -> None:
    assume(host.partition(".")[2] != domain)
    assert slug_label(host, domain) == ""


@pytest.mark.parametrize("host", ["localhost", "a.b.localhost", "acmelocalhost", "acme.localhost.example.com"])
def test_no_slug_is_read_from_beside_the_domain(host: str) -> None:
    assert slug_label(host, "localhost") == ""
