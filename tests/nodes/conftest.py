"""Two nodes of one platform: homes of their own, the tenants' folder, the registry and the servers in common."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.console import Console
from tests.faults.node import PORT, Node
from tests.faults.world import make_home, make_registry
from tests.services.postgresql import Cluster
from tests.services.programs import REDIS, need
from tests.services.redis import Redis
from tests.tenants.servers import cleaned


@dataclass(frozen=True)
class Platform:
    """Both nodes, the operator's terminal at the first one, and the Redis between them, if there is one."""

    one: Node
    other: Node
    console: Console
    redis: Redis | None


@pytest.fixture(scope="module", params=["registry", "redis"])
def nodes(
    request: pytest.FixtureRequest, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("nodes")
    with ExitStack() as stack:
        stack.enter_context(cleaned(cluster))
        redis = start_redis(stack) if request.param == "redis" else None
        environment = shared_environment(cluster, folder, redis)
        make_home(folder / "one", cluster, environment["EXTRANET_REGISTRY_URL"])
        make_second_home(folder)
        both = [Node(folder / name, **environment) for name in ("one", "other")]
        with ThreadPoolExecutor(2) as pool:
            one, other = pool.map(stack.enter_context, both)
        yield Platform(one, other, Console(folder / "one", EXTRANET_DOMAIN=f"localhost:{PORT}", **environment), redis)


def start_redis(stack: ExitStack) -> Redis:
    need("redis-server", REDIS)
    return stack.enter_context(Redis())


def shared_environment(cluster: Cluster, folder: Path, redis: Redis | None) -> dict[str, str]:
    environment = {
        "EXTRANET_REGISTRY_URL": make_registry(cluster, folder),
        "EXTRANET_NODES": "2",
        "EXTRANET_WORKERS": "1",
    }
    if redis:
        password = folder / "redis.password"
        password.touch(0o600)
        password.write_text(redis.password)
        environment["EXTRANET_REDIS_URL"] = f"redis://{redis.host}:{redis.port}/0"
        environment["EXTRANET_REDIS_PASSWORD_FILE"] = str(password)
    return environment


def make_second_home(folder: Path) -> None:
    """A home has its own slots and templates; the key is the same, and the tenants' folder comes from elsewhere."""
    other = folder / "other"
    other.mkdir(0o700)
    shutil.copy2(folder / "one" / "master.key", other)
    (other / "tenants").symlink_to(folder / "one" / "tenants")
