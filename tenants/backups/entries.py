"""What is inside an archive: entries one after the other, none of whose lengths need be known before it is written.

An entry is its name, then blocks, each after its length; an empty block ends it, and an empty name the archive.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from tenants.backups.archive import ChunkReader, ChunkWriter
from tenants.errors import BadArchive

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_BUFFER = 256 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """How long an entry is, and its SHA-256 in hex."""

    bytes: int
    sha256: str


class Packer:
    """Writes entries."""

    def __init__(self, chunks: ChunkWriter) -> None:
        self._chunks = chunks
        self.written: dict[str, Content] = {}

    @contextmanager
    def entry(self, name: str) -> Iterator[BinaryIO]:
        """Yield where the content of one entry is written to."""
        _put_text(self._chunks, name)
        sink = _Sink(self._chunks)
        with io.BufferedWriter(sink, _BUFFER) as target:
            yield target
        self._chunks.write(bytes(4))
        self.written[name] = sink.content

    def finish(self) -> None:
        """Say that nothing follows, and seal the last chunk."""
        _put_text(self._chunks, "")
        self._chunks.finish()


class Unpacker:
    """Reads entries in the order in which they were written; raises BadArchive."""

    def __init__(self, chunks: ChunkReader) -> None:
        self._chunks = chunks
        self.read: dict[str, Content] = {}

    def entries(self) -> Iterator[tuple[str, BinaryIO]]:
        """Yield each entry's name and content. What the caller leaves unread is read before the next."""
        while name := _take_text(self._chunks):
            spring = _Spring(self._chunks)
            with io.BufferedReader(spring, _BUFFER) as source:
                yield name, source
                while source.read(_BUFFER):
                    pass
            self.read[name] = spring.content
        if self._chunks.read(1):
            raise BadArchive("This backup goes on after its end.")


class _Counted(io.RawIOBase):
    def __init__(self, *_: object) -> None:
        self._digest = hashlib.sha256()
        self._length = 0

    @property
    def content(self) -> Content:
        return Content(self._length, self._digest.hexdigest())

    def _count(self, block: ReadableBuffer, length: int) -> None:
        self._digest.update(block)
        self._length += length


class _Sink(_Counted):
    def __init__(self, chunks: ChunkWriter) -> None:
        super().__init__()
        self._chunks = chunks

    def writable(self) -> bool:
        return True

    def write(self, block: ReadableBuffer, /) -> int:
        view = memoryview(block)
        if view:
            self._chunks.write(len(view).to_bytes(4))
            self._chunks.write(view)
            self._count(view, len(view))
        return len(view)


class _Spring(_Counted):
    def __init__(self, chunks: ChunkReader) -> None:
        super().__init__()
        self._chunks = chunks
        self._left = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        if not self._left and not self._ended:
            self._left = int.from_bytes(_take(self._chunks, 4))
            self._ended = not self._left
        if self._ended:
            return 0
        some = self._chunks.read(min(len(view), self._left))
        if not some:
            raise BadArchive("This backup ends in the middle of an entry.")
        view[: len(some)] = some
        self._left -= len(some)
        self._count(some, len(some))
        return len(some)


def _put_text(chunks: ChunkWriter, text: str) -> None:
    encoded = text.encode()
    chunks.write(len(encoded).to_bytes(2) + encoded)


def _take_text(chunks: ChunkReader) -> str:
    return _take(chunks, int.from_bytes(_take(chunks, 2))).decode()


def _take(chunks: ChunkReader, length: int) -> bytes:
    taken = b""
    while len(taken) < length:
        some = chunks.read(length - len(taken))
        if not some:
            raise BadArchive("This backup ends in the middle of an entry.")
        taken += some
    return taken
