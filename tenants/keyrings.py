"""Tenants' keys as this process holds them: unwrapped at first use, looked up again when the registry has changed.

Two promises hold a rotation together. What another process sealed with a new key opens here at once; and half a second
after a key was made, nothing here is sealed with an older one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC
from functools import partial
from uuid import UUID

from cachetools import LRUCache

from tenants.errors import KeyUnavailable
from tenants.generation import Generation
from tenants.keys import MasterKeys, Ring, TenantKeys
from tenants.registry import Registry, WrappedKey

_REMEMBERED = 2_000


class Keyrings:
    """All tenants' keys, one object a tenant however often it is asked for."""

    def __init__(self, registry: Registry, master_keys: MasterKeys, generation: Generation) -> None:
        self._registry = registry
        self._master_keys = master_keys
        self._generation = generation
        self._lock = threading.Lock()
        self._known: LRUCache[UUID, TenantKeys] = LRUCache(_REMEMBERED)

    def of(self, owner: UUID) -> TenantKeys:
        """Return somebody's keys; raise KeyUnavailable."""
        with self._lock:
            keys = self._known.get(owner)
        if keys is None:
            watched = _Watched(self._generation, partial(self._unwrap, owner))
            made = TenantKeys(owner, watched.look(True).keys, watched.look)
            with self._lock:
                keys = self._known.setdefault(owner, made)
        return keys

    def _unwrap(self, owner: UUID, known: Ring) -> Ring:
        found = self._registry.keys_of(owner)
        if not found:
            raise KeyUnavailable(f"The registry holds no key of {owner}.")
        return Ring(
            {key.version: known.keys.get(key.version) or self._open(owner, key) for key in found},
            {key.version: key.retired_at.replace(tzinfo=UTC).timestamp() for key in found if key.retired_at},
        )

    def _open(self, owner: UUID, key: WrappedKey) -> bytes:
        return self._master_keys.unwrap(key.master_id, owner, key.version, key.wrapped)


class _Watched:
    """One ring, never older than the registry's generation."""

    def __init__(self, generation: Generation, unwrap: Callable[[Ring], Ring]) -> None:
        self._generation = generation
        self._unwrap = unwrap
        self._seen = (-1, Ring({}))

    def look(self, at_once: bool) -> Ring:
        """Return the ring as it was at some moment of the last half second, or as it is now."""
        generation = self._generation.number()
        seen_under, ring = self._seen
        if at_once or seen_under != generation:
            # Read after the generation: what was changed in between is read again under the next one.
            ring = self._unwrap(ring)
            self._seen = (generation, ring)
        return ring
