"""The container: what was not written by us, for this tenant, whole and in this order, does not open."""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.backups.archive import CHUNK, ChunkReader, ChunkWriter, Header, read_header
from tenants.backups.contents import Contents
from tenants.backups.entries import Packer, Unpacker
from tenants.backups.manifest import Manifest, Moment, read_manifest
from tenants.errors import BadArchive
from tenants.keys import TenantKeys
from tenants.tenant import EMBEDDED, State, Tenant

SEALED = CHUNK + 16
HEADER = 92
# Of one entry and the end: a name of seven letters after its length, a block's length, and two ends.
FRAME = 2 + 7 + 4 + 4 + 2
FILE = "files/" + "a" * 32

tenant = Tenant(uuid4(), "acme", "Acme", State.ACTIVE, epoch=1, key_version=2, server=EMBEDDED)
keys = TenantKeys(tenant.uuid, {1: secrets.token_bytes(32), 2: secrets.token_bytes(32)})
moment = Moment([str(tenant.uuid)], 1, {"note": 1}, {"log": (1, "00")})

Fill = Callable[[Packer], None]


def archive(fill: Fill, header: Header | None = None, with_keys: TenantKeys = keys) -> bytes:
    target = io.BytesIO()
    chunks = ChunkWriter(target, header or Header.new(tenant), with_keys)
    fill(Packer(chunks))
    assert chunks.length == len(target.getvalue())
    return target.getvalue()


def holding(contents: Sequence[bytes]) -> bytes:
    def fill(packer: Packer) -> None:
        for number, content in enumerate(contents):
            with packer.entry(f"entry {number}") as target:
                target.write(content)
        packer.finish()

    return archive(fill)


def opened(raw: bytes, with_keys: TenantKeys = keys) -> list[tuple[str, bytes]]:
    source = io.BytesIO(raw)
    chunks = ChunkReader(source, read_header(source), with_keys)
    return [(name, content.read()) for name, content in Unpacker(chunks).entries()]


def refused(raw: bytes, with_keys: TenantKeys = keys) -> str:
    with pytest.raises(BadArchive) as refusal:
        opened(raw, with_keys)
    return str(refusal.value)


def chunks_of(raw: bytes) -> list[bytes]:
    return [raw[:HEADER], *(raw[at : at + SEALED] for at in range(HEADER, len(raw), SEALED))]


@given(st.lists(st.sampled_from([0, 1, 1000, CHUNK - 20, CHUNK, CHUNK + 1, 3 * CHUNK]), max_size=5))
def test_what_was_written_comes_out_again(sizes: list[int]) -> None:
    contents = [secrets.token_bytes(size) for size in sizes]
    assert opened(holding(contents)) == [(f"entry {number}", content) for number, content in enumerate(contents)]


@pytest.mark.parametrize("size", [CHUNK - 2, CHUNK, CHUNK + 2])
def test_a_last_chunk_is_the_last_whether_it_is_full_or_not(size: int) -> None:
    raw = holding([bytes(size - FRAME)])
    assert len(raw) in {HEADER + size + 16, HEADER + size + 32}
    assert len(opened(raw)[0][1]) == size - FRAME


def test_nothing_at_all_is_no_end_of_an_entry() -> None:
    def fill(packer: Packer) -> None:
        with packer.entry("a") as target:
            sink = cast("io.BufferedWriter", target).raw
            sink.write(b"one")
            sink.write(b"")
            sink.write(b"two")
        packer.finish()

    assert opened(archive(fill)) == [("a", b"onetwo")]


def test_nothing_of_what_is_inside_can_be_seen() -> None:
    raw = holding([b"hello " * 1000])
    assert b"hello" not in raw
    assert b"entry" not in raw
    assert len(raw) > 6000


def test_two_archives_of_the_same_content_have_nothing_in_common() -> None:
    first, second = holding([bytes(CHUNK)]), holding([bytes(CHUNK)])
    assert first[HEADER:] != second[HEADER:]
    assert read_header(io.BytesIO(first)).salt != read_header(io.BytesIO(second)).salt


def test_every_single_byte_of_an_archive_counts() -> None:
    raw = holding([b"one", b"two"])
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1 << (at % 8)
        refused(bytes(changed))


def test_an_archive_that_was_cut_off_anywhere_is_refused() -> None:
    raw = holding([bytes(CHUNK), b"two"])
    for length in [*range(HEADER + 40), *range(HEADER + SEALED - 20, HEADER + SEALED + 20), len(raw) - 1]:
        refused(raw[:length])
    assert "part 1 does not open" in refused(raw[: HEADER + SEALED])


@pytest.mark.parametrize(
    "moved",
    [
        [0, 2, 1, 3, 4],
        [0, 1, 1, 2, 3, 4],
        [0, 1, 3, 4],
        [0, 1, 2, 3],
        [0, 4],
        [0, 1, 2, 3, 4, 4],
        [1, 2, 3, 4],
    ],
)
def test_chunks_in_another_order_are_refused(moved: list[int]) -> None:
    parts = chunks_of(holding([secrets.token_bytes(3 * CHUNK + 100)]))
    assert len(parts) == 5
    refused(b"".join(parts[number] for number in moved))


def test_chunks_of_another_archive_of_the_same_tenant_are_refused() -> None:
    ours, theirs = (chunks_of(holding([bytes(3 * CHUNK)])) for _ in range(2))
    refused(b"".join([*ours[:2], *theirs[2:]]))
    refused(b"".join([ours[0], *theirs[1:]]))


def test_what_follows_the_end_is_refused() -> None:
    raw = holding([b"one"])
    refused(raw + b"\0")
    refused(raw + raw)
    refused(raw + bytes(SEALED))


def test_another_tenants_key_opens_nothing() -> None:
    raw = holding([b"one"])
    refused(raw, TenantKeys(tenant.uuid, {2: secrets.token_bytes(32)}))


def test_a_header_that_says_to_be_of_another_tenant_opens_nothing() -> None:
    header = Header.new(tenant)
    raw = holding([b"one"])
    refused(replace(header, tenant_uuid=uuid4()).packed + raw[HEADER:])


def test_an_archive_of_an_older_key_opens_and_one_of_a_key_that_is_gone_does_not() -> None:
    older = archive(lambda packer: packer.finish(), replace(Header.new(tenant), key_version=1))
    assert opened(older) == []
    gone = replace(Header.new(tenant), key_version=3)
    assert "has no key version 3. Nothing can open this backup." in refused(gone.packed + older[HEADER:])


@pytest.mark.parametrize("raw", [b"", b"PK\3\4", b"extranet backup\n", b"x" * 200])
def test_what_is_no_backup_is_named_so(raw: bytes) -> None:
    assert refused(raw) == "This is not a backup, or its beginning was lost."


def test_a_later_format_is_named_so() -> None:
    raw = bytearray(holding([b"one"]))
    raw[17] = 2
    assert refused(bytes(raw)) == "This backup has format 2; this release reads format 1."


def test_a_moment_that_never_was_is_refused() -> None:
    raw = bytearray(holding([b"one"]))
    raw[52] = 0x7F
    assert refused(bytes(raw)) == "The header of this backup is damaged."


def test_a_header_says_what_it_was_made_with() -> None:
    header = Header.new(tenant)
    assert read_header(io.BytesIO(header.packed)) == header
    assert len(header.packed) == HEADER


# -- what only a holder of the key could have written wrongly --


@pytest.mark.parametrize(
    ("plain", "sentence"),
    [
        (b"", "ends in the middle"),
        (b"\0\5ab", "ends in the middle"),
        (b"\0\1a\0\0", "ends in the middle"),
        (b"\0\1a\0\0\0\5abc", "ends in the middle"),
        (b"\0\0\0", "goes on after its end"),
    ],
)
def test_entries_that_do_not_end_where_they_say_are_refused(plain: bytes, sentence: str) -> None:
    target = io.BytesIO()
    chunks = ChunkWriter(target, Header.new(tenant), keys)
    chunks.write(plain)
    chunks.finish()
    assert sentence in refused(target.getvalue())


def contents_refused(fill: Fill, header: Header | None = None) -> str:
    source = io.BytesIO(archive(fill, header))
    contents = Contents(source, read_header(source), keys)
    with pytest.raises(BadArchive) as refusal:
        read_to_the_end(contents)
    return str(refusal.value)


def read_to_the_end(contents: Contents) -> None:
    contents.database()
    for _name, file in contents.files():
        file.read()


def entry(packer: Packer, name: str, content: bytes = b"") -> None:
    with packer.entry(name) as target:
        target.write(content)


def test_an_archive_holds_nothing_but_what_belongs_in_one() -> None:
    def with_entries(*names: str) -> Fill:
        def fill(packer: Packer) -> None:
            for name in names:
                entry(packer, name)
            packer.finish()

        return fill

    for names in ([], [FILE], ["manifest.json"]):
        assert contents_refused(with_entries(*names)) == "There is no database in this backup."
    for name in ("files/../../registry.sqlite3", "files/", "readme", "a" * 32, "database.pgdump"):
        sentence = "There is something in this backup that belongs into none."
        assert contents_refused(with_entries("database.pgdump", name)) == sentence


def with_manifest(write: Callable[[Packer, Header], bytes]) -> str:
    header = Header.new(tenant)

    def fill(packer: Packer) -> None:
        entry(packer, "database.pgdump", b"dump")
        entry(packer, FILE, b"sealed")
        if written := write(packer, header):
            entry(packer, "manifest.json", written)
        packer.finish()

    return contents_refused(fill, header)


def manifest_of(packer: Packer, header: Header) -> Manifest:
    return Manifest(header.id, tenant.uuid, "acme", "Acme", EMBEDDED, moment, packer.written.copy())


def test_an_archive_without_its_own_manifest_is_refused() -> None:
    def of_another_backup(packer: Packer, header: Header) -> bytes:
        return replace(manifest_of(packer, header), id=uuid4()).packed()

    def of_another_tenant(packer: Packer, header: Header) -> bytes:
        return replace(manifest_of(packer, header), tenant_uuid=uuid4()).packed()

    for write in (lambda _packer, _header: b"", of_another_backup, of_another_tenant):
        assert with_manifest(write) == "This backup has not the manifest that belongs to it."


def test_an_archive_is_held_to_its_manifest() -> None:
    def with_one_less(packer: Packer, header: Header) -> bytes:
        del packer.written[FILE]
        return manifest_of(packer, header).packed()

    def with_another_digest(packer: Packer, header: Header) -> bytes:
        packer.written[FILE] = replace(packer.written[FILE], sha256="0" * 64)
        return manifest_of(packer, header).packed()

    for write in (with_one_less, with_another_digest):
        assert with_manifest(write) == "What is in this backup is not what its manifest says."


@pytest.mark.parametrize("nonsense", [b"{}", b"[]", b"\xff", b'{"moment": 1}'])
def test_a_manifest_that_is_none_is_refused(nonsense: bytes) -> None:
    sentence = "The manifest of this backup is not in the form of one."
    assert with_manifest(lambda _packer, _header: nonsense) == sentence


def test_a_manifest_is_read_as_it_was_written() -> None:
    header = Header.new(tenant)
    written = Manifest(header.id, tenant.uuid, "acme", "Ac\u00e9me", EMBEDDED, moment, {})
    assert read_manifest(written.packed()) == written
