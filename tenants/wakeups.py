"""Telling every process at once that the registry has changed, or that there is mail.

Nobody relies on it: each also looks by itself.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenants.shared_store import SharedStore

_CHANNEL = "extranet:changed"
MAIL_CHANNEL = "extranet:mail"
_QUIET_SECONDS = 5.0
_REST_SECONDS = 1.0


class Wakeups:
    """A channel on which nothing is said but that something has changed: which tenant is nobody's business.

    The store is its own, and closed with it.
    """

    def __init__(self, store: SharedStore, wake: Callable[[], None], channel: str = _CHANNEL) -> None:
        self._store = store
        self._wake = wake
        self._channel = channel
        self._lock = threading.Lock()
        self._listens_in = 0
        self._closed = threading.Event()

    def announce(self) -> None:
        """Tell everybody. Whoever does not hear it sees the change half a second later."""
        self._store.ask(lambda client: client.publish(self._channel, b""))

    def listen(self) -> None:
        """Listen from now on, in a thread of this process: one inherited through a fork is not there any more."""
        with self._lock:
            if self._listens_in == os.getpid():
                return
            self._listens_in = os.getpid()
        threading.Thread(target=self._listen_on, name="wakeups", daemon=True).start()

    def close(self) -> None:
        """Let the thread end, within seconds."""
        self._closed.set()
        if self._listens_in != os.getpid():
            self._store.close()

    def _listen_on(self) -> None:
        from redis import RedisError

        while not self._closed.is_set():
            try:
                self._listen_while_it_answers()
            except (RedisError, OSError):
                self._closed.wait(_REST_SECONDS)
        # Here, not while it is being listened to.
        self._store.close()

    def _listen_while_it_answers(self) -> None:
        with self._store.client.pubsub() as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(self._channel)
            unanswered = 0
            while unanswered < 2 and not self._closed.is_set():
                message = channel.get_message(timeout=_QUIET_SECONDS)
                if message is None:
                    # A machine that went away without a word would be listened to for ever.
                    unanswered += 1
                    channel.ping()
                else:
                    unanswered = 0
                    # The first word, that we are heard from now on, stands for all that was missed before it.
                    if message["type"] != "pong":
                        self._wake()
