"""A throw-away Redis, or Valkey, which keeps nothing and wants its password."""

from __future__ import annotations

import secrets

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.services.programs import REDIS
from tests.services.service import Service


class Redis(Service):
    """One server in memory alone: what it held is gone when it stops."""

    def __init__(self) -> None:
        super().__init__()
        self.password = secrets.token_hex(16)

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{self.host}:{self.port}/0"

    def _command(self) -> list[str]:
        settings = (
            f"bind {self.host}\nport {self.port}\nrequirepass {self.password}\n"
            f'dir {self.folder}\nsave ""\nappendonly no\n'
        )
        return [REDIS, str(self._write("redis.conf", settings))]

    def _answers(self) -> bool:
        # By itself the client would try again for seconds.
        with redis.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0)) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False
