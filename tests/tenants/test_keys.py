from __future__ import annotations

import base64
import os
import stat
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.errors import BadSeal, KeyUnavailable
from tenants.keys import MasterKeys, TenantKeys, create_master_key, new_key, read_master_keys, same
from tests.tenants.world import in_children

ACME, GLOBEX = UUID(int=1), UUID(int=2)


def line(number: int, key: bytes) -> str:
    return f"mk{number}:{base64.b64encode(key).decode()}\n"


def written(path: Path, content: str, mode: int = 0o400) -> Path:
    path.write_text(content)
    path.chmod(mode)
    return path


def test_a_new_master_key_is_private_and_opens_what_it_wraps(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    create_master_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    masters, key = read_master_keys(path), new_key()
    assert masters.unwrap(masters.newest, ACME, 1, masters.wrap(ACME, 1, key)) == key


def test_a_master_key_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    create_master_key(path)
    before = path.read_bytes()
    with pytest.raises(KeyUnavailable, match="left as it is"):
        create_master_key(path)
    assert path.read_bytes() == before


def test_no_reader_ever_sees_half_a_master_key(tmp_path: Path) -> None:
    # The file used to be created empty and filled afterwards: a kill between the two locked the platform out.
    path = tmp_path / "master.key"

    def watch() -> bool:
        while not path.exists():
            pass
        return bool(read_master_keys(path))

    assert in_children([watch, lambda: create_master_key(path)]) == [True, None]


def test_a_master_key_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(KeyUnavailable, match="cannot be written"):
        create_master_key(tmp_path / "missing" / "master.key")


def test_a_missing_master_key_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(KeyUnavailable, match="cannot be read"):
        read_master_keys(tmp_path / "master.key")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o640, 0o410, 0o402])
def test_a_master_key_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(KeyUnavailable, match="chmod 0400"):
        read_master_keys(written(tmp_path / "key", line(1, new_key()), mode))


def test_a_symlink_to_a_master_key_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "key", line(1, new_key()))
    (tmp_path / "link").symlink_to(tmp_path / "key")
    with pytest.raises(KeyUnavailable):
        read_master_keys(tmp_path / "link")


@pytest.mark.timeout(5)
def test_a_pipe_in_the_place_of_a_master_key_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key", 0o400)
    with pytest.raises(KeyUnavailable, match="regular"):
        read_master_keys(tmp_path / "key")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        "mk1:",
        "mk1:AAAA",
        line(1, bytes(31)),
        line(1, bytes(33)),
        line(0, bytes(32)),
        line(1, bytes(32)).replace("mk", "k"),
        line(1, bytes(32)) * 2,
        line(1, bytes(32)).replace("A", "\u0410", 1),
        line(1, bytes(32)) + "# a comment",
    ],
)
def test_a_malformed_master_key_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(KeyUnavailable, match=r"malformed|empty"):
        read_master_keys(written(tmp_path / "key", content))


def test_the_last_line_wraps_and_every_line_unwraps(tmp_path: Path) -> None:
    first, second = new_key(), new_key()
    old = read_master_keys(written(tmp_path / "old", line(1, first)))
    both = read_master_keys(written(tmp_path / "both", line(1, first) + line(2, second)))
    key = new_key()
    assert both.newest == "mk2"
    assert both.unwrap("mk1", ACME, 1, old.wrap(ACME, 1, key)) == key
    assert both.unwrap("mk2", ACME, 1, both.wrap(ACME, 1, key)) == key


@given(st.integers(0, 40 * 8 - 1))
def test_a_wrapped_key_with_a_flipped_bit_does_not_open(where: int) -> None:
    masters = MasterKeys({"mk1": bytes(32)})
    wrapped = bytearray(masters.wrap(ACME, 1, new_key()))
    wrapped[where // 8] ^= 1 << where % 8
    with pytest.raises(KeyUnavailable):
        masters.unwrap("mk1", ACME, 1, bytes(wrapped))


def test_a_wrapped_key_opens_for_its_tenant_version_and_master_alone() -> None:
    masters = MasterKeys({"mk1": bytes(32), "mk2": bytes([1]) * 32})
    wrapped = masters.wrap(ACME, 1, new_key())
    for master, tenant, version in [("mk2", GLOBEX, 1), ("mk2", ACME, 2), ("mk1", ACME, 1), ("mk3", ACME, 1)]:
        with pytest.raises(KeyUnavailable):
            masters.unwrap(master, tenant, version, wrapped)
    with pytest.raises(KeyUnavailable):
        masters.unwrap("mk2", ACME, 1, b"short")


def test_one_tenant_never_opens_what_another_sealed() -> None:
    key = new_key()
    acme, globex = TenantKeys(ACME, {1: key}), TenantKeys(GLOBEX, {1: key})
    token = acme.seal("login", b"secret", b"epoch 1")
    assert acme.open("login", token, b"epoch 1") == b"secret"
    with pytest.raises(BadSeal):
        globex.open("login", token, b"epoch 1")
    with pytest.raises(BadSeal):
        acme.open("login", token, b"epoch 2")
    with pytest.raises(BadSeal):
        acme.open("device", token, b"epoch 1")


def test_after_a_rotation_the_newest_key_seals_and_the_older_still_open() -> None:
    first, second = new_key(), new_key()
    before, after = TenantKeys(ACME, {1: first}), TenantKeys(ACME, {1: first, 2: second})
    assert after.open("login", before.seal("login", b"old")) == b"old"
    with pytest.raises(BadSeal, match="does not have"):
        before.open("login", after.seal("login", b"new"))
    assert before.mac("look-up", b"x") == after.mac("look-up", b"x") != after.mac("look-up", b"x", version=2)


def test_a_mac_with_a_key_that_is_gone_is_refused() -> None:
    with pytest.raises(KeyUnavailable, match="no key version 1"):
        TenantKeys(ACME, {2: new_key()}).mac("look-up", b"x")


def test_keys_do_not_show_in_a_representation() -> None:
    key = bytes([0xAB]) * 32
    for holder in (TenantKeys(ACME, {1: key}), MasterKeys({"mk1": key})):
        assert repr(key) not in repr(holder)


def test_same_compares_whole_values() -> None:
    assert same(b"abc", b"abc")
    assert not same(b"abc", b"abd")
