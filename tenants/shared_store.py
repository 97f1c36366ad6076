"""Redis, or Valkey, between several nodes: faster than asking the registry, and never needed to be right.

Whoever asks it does without when it does not answer: nothing here raises on that account.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from tenants.errors import BadSettings, TenantUnavailable
from tenants.secret_files import read_secret_file
from tenants.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

_PATIENCE_SECONDS = 0.2
# After a silence it is left alone this long: a machine that swallows packets costs one request a second its patience.
_REST_SECONDS = 1.0
_COMPLAIN_EVERY_SECONDS = 60.0

Answer = TypeVar("Answer")


class SharedStore:
    """One Redis. ``complain`` is told why it does not answer, at most once a minute."""

    def __init__(self, client: Redis, complain: Callable[[str], None] = lambda _why: None) -> None:
        self.client = client
        self._complain = complain
        self._lock = threading.Lock()
        self._rests_until = float("-inf")
        self._complains_at = float("-inf")

    def ask(self, question: Callable[[Redis], Answer]) -> Answer | None:
        """Return the answer, or None when there is none to be had just now."""
        from redis import RedisError

        if time.monotonic() < self._rests_until:
            return None
        try:
            return question(self.client)
        except RedisError as error:
            self._rest(error)
            return None

    def check(self) -> None:
        """Raise TenantUnavailable unless it answers now."""
        from redis import RedisError

        try:
            self.client.ping()
        except RedisError as error:
            raise TenantUnavailable(f"Redis does not answer: {error}") from error

    def close(self) -> None:
        """Close every connection."""
        self.client.close()

    def _rest(self, error: Exception) -> None:
        with self._lock:
            now = time.monotonic()
            self._rests_until = now + _REST_SECONDS
            is_news = now >= self._complains_at
            if is_news:
                self._complains_at = now + _COMPLAIN_EVERY_SECONDS
        if is_news:
            self._complain(f"{type(error).__name__}: {error}")


def open_store(settings: Settings, complain: Callable[[str], None] = lambda _why: None) -> SharedStore | None:
    """Return the store that EXTRANET_REDIS_URL names, None when it names none; raise BadSettings.

    It need not answer yet.
    """
    if not settings.redis_url:
        return None
    return SharedStore(_client(settings), complain)


def _client(settings: Settings) -> Redis:
    # Only here: most commands and most installations never need it, and loading it takes a tenth of a second.
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    file = settings.redis_password_file
    password = read_secret_file("EXTRANET_REDIS_PASSWORD_FILE", file) if file else None
    try:
        return Redis.from_url(
            settings.redis_url,
            password=password,
            socket_timeout=_PATIENCE_SECONDS,
            socket_connect_timeout=_PATIENCE_SECONDS,
            socket_keepalive=True,
            # By itself it would try again for seconds, while a visitor waits.
            retry=Retry(NoBackoff(), 0),
        )
    except (ValueError, TypeError) as error:
        raise BadSettings(f"EXTRANET_REDIS_URL cannot be used: {error}") from error
