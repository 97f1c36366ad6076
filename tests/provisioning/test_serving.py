"""extranet serve, for real: two demo tenants on a port, strangers turned away, stopped and started again."""

from __future__ import annotations

import http.client
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen

import pytest
from gunicorn.config import Config

from provisioning import gunicorn_conf
from tests.console import PATIENCE, Console

WORKERS = 2


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def status_of(port: int, host: str, path: str = "/login") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={"Host": host})
        return connection.getresponse().status
    finally:
        connection.close()


@contextmanager
def serving(console: Console, port: int) -> Iterator[Popen[str]]:
    process = console.start("serve", "--bind", f"127.0.0.1:{port}", stdout=DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            try:
                status_of(port, "nobody.localhost")
                break
            except OSError:
                time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def children_of(process: Popen[str]) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.mark.timeout(300)
def test_two_demo_tenants_are_served_then_stopped_then_served_again(empty_console: Console) -> None:
    port = free_port()
    console = Console(empty_console.home, EXTRANET_DOMAIN=f"localhost:{port}", EXTRANET_WORKERS=str(WORKERS))
    console.done("init")
    first = [console.done("demo", slug).stdout for slug in ("acme", "globex")]
    assert first[0].startswith(f"http://acme.localhost:{port}\n")
    with serving(console, port) as process:
        for slug in ("acme", "globex"):
            assert status_of(port, f"{slug}.localhost:{port}") == 200
        assert status_of(port, f"nobody.localhost:{port}") == 404
        assert status_of(port, f"localhost:{port}") == 404
        assert status_of(port, f"127.0.0.1:{port}") in {400, 404}
        wait_for(lambda: len(children_of(process)) == WORKERS)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    with pytest.raises(OSError, match="refused"):
        status_of(port, f"acme.localhost:{port}")

    console.done("init")
    assert [console.done("demo", slug).stdout for slug in ("acme", "globex")] == first
    with serving(console, port):
        assert status_of(port, f"acme.localhost:{port}") == 200
        console.done("tenant", "suspend", "acme")
        wait_for(lambda: status_of(port, f"acme.localhost:{port}") == 503)
        assert status_of(port, f"globex.localhost:{port}") == 200
    private = [path for path in console.home.rglob("*") if path.stat().st_mode & 0o077]
    assert private == []
    assert console.run("doctor", "--logs").exit_code == 0


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_every_setting_for_gunicorn_is_one_that_it_knows() -> None:
    known = Config().settings
    ours = {name for name in vars(gunicorn_conf) if name.islower() and not name.startswith("_")}
    modules = {"annotations", "os", "resource"}
    assert ours - modules <= set(known)
    config = Config()
    for name in ours - modules:
        config.set(name, getattr(gunicorn_conf, name))


def test_a_worker_makes_files_for_its_owner_alone_and_may_open_as_many_as_the_system_allows() -> None:
    mask, limits = os.umask(0o022), resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        gunicorn_conf.post_fork(None, None)
        assert os.umask(0o022) == 0o077
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (limits[1], limits[1])
    finally:
        os.umask(mask)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
