from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.errors import BadSeal
from tenants.sealing import Sealer, derive, key_version_of, mac

KEY = bytes(range(32))
ACME, GLOBEX = UUID(int=1), UUID(int=2)
SEALER = Sealer(KEY, ACME, "login", 1)
plaintexts = st.binary(max_size=200)


@given(plaintexts, st.binary(max_size=20))
def test_what_was_sealed_opens_again(plaintext: bytes, context: bytes) -> None:
    assert SEALER.open(SEALER.seal(plaintext, context), context) == plaintext


@given(plaintexts)
def test_the_same_text_never_seals_the_same_way_twice(plaintext: bytes) -> None:
    assert SEALER.seal(plaintext) != SEALER.seal(plaintext)


@given(plaintexts, st.integers(0))
def test_a_flipped_bit_breaks_the_seal(plaintext: bytes, where: int) -> None:
    token = bytearray(SEALER.seal(plaintext))
    where %= len(token) * 8
    token[where // 8] ^= 1 << where % 8
    with pytest.raises(BadSeal):
        SEALER.open(bytes(token))


@given(plaintexts, st.integers(0))
def test_a_cut_token_breaks_the_seal(plaintext: bytes, length: int) -> None:
    token = SEALER.seal(plaintext)
    with pytest.raises(BadSeal):
        SEALER.open(token[: length % len(token)])


@given(plaintexts, st.binary(min_size=1, max_size=20))
def test_a_lengthened_token_breaks_the_seal(plaintext: bytes, extra: bytes) -> None:
    with pytest.raises(BadSeal):
        SEALER.open(SEALER.seal(plaintext) + extra)


@given(st.binary(max_size=100))
def test_random_bytes_are_no_token(token: bytes) -> None:
    with pytest.raises(BadSeal):
        SEALER.open(token)


@pytest.mark.parametrize(
    "other",
    [
        Sealer(KEY, GLOBEX, "login", 1),
        Sealer(KEY, ACME, "device", 1),
        Sealer(KEY, ACME, "login", 2),
        Sealer(bytes(32), ACME, "login", 1),
    ],
    ids=["tenant", "purpose", "key version", "key"],
)
def test_another_tenant_purpose_version_or_key_does_not_open(other: Sealer) -> None:
    with pytest.raises(BadSeal):
        other.open(SEALER.seal(b"secret"))


def test_a_context_cannot_be_moved_into_the_purpose() -> None:
    token = Sealer(KEY, ACME, "log", 1).seal(b"secret", b"in")
    with pytest.raises(BadSeal):
        SEALER.open(token)


def test_another_context_does_not_open() -> None:
    with pytest.raises(BadSeal):
        SEALER.open(SEALER.seal(b"secret", b"epoch 1"), b"epoch 2")


@given(st.integers(0, 65535))
def test_a_token_names_its_key_version(version: int) -> None:
    assert key_version_of(Sealer(KEY, ACME, "login", version).seal(b"")) == version


def test_labels_derive_unrelated_keys() -> None:
    assert len({derive(KEY, "seal/a"), derive(KEY, "seal/b"), derive(bytes(32), "seal/a"), KEY}) == 4
    assert derive(KEY, "seal/a") == derive(KEY, "seal/a")


def test_a_mac_depends_on_key_and_message() -> None:
    assert len({mac(KEY, b"a"), mac(KEY, b"b"), mac(uuid4().bytes * 2, b"a")}) == 3
    assert len(mac(KEY, b"a")) == 32
