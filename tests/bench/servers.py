"""Servers under measurement: gunicorn with the product's own settings, started and ended here, by process id."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from provisioning.commands.serve import with_large_pages
from tests.bench.processor import used_by

_START_SECONDS = 30
_STOP_SECONDS = 20
_ROOT = Path(__file__).parents[2]


class Server:
    """A running gunicorn."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    @property
    def workers(self) -> list[int]:
        """The process ids of its workers."""
        return [int(pid) for pid in _proc(self.process.pid, f"task/{self.process.pid}/children").split()]

    def memory_of_all(self) -> float:
        """Return the resident memory of its workers together, in MiB."""
        return sum(_resident(pid) for pid in self.workers)

    def memory(self) -> float:
        """Return the resident memory of its largest worker, in MiB."""
        return max(_resident(pid) for pid in self.workers)

    def descriptors(self) -> int:
        """Return how many descriptors the worker with the most of them has open."""
        return max(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.workers)

    def cpu_seconds(self) -> float:
        """Return the processor time its workers have used."""
        return used_by(self.workers)


@contextmanager
def product(environment: Mapping[str, str], port: int, log: Path) -> Iterator[Server]:
    """Serve a home with ``extranet serve``; its log lines go to a file, as they would to the journal."""
    command = [sys.executable, "-m", "provisioning", "serve", "--bind", f"127.0.0.1:{port}"]
    with _running(command, environment, port, log) as server:
        yield server


@contextmanager
def plain(environment: Mapping[str, str], port: int, log: Path) -> Iterator[Server]:
    """Serve the ceiling with the same settings."""
    settings = ["--config", "python:provisioning.gunicorn_conf", "--bind", f"127.0.0.1:{port}"]
    command = [sys.executable, "-m", "gunicorn", *settings, "tests.bench.ceiling:make_app()"]
    with _running(command, environment, port, log) as server:
        yield server


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def _running(command: list[str], environment: Mapping[str, str], port: int, log: Path) -> Iterator[Server]:
    with log.open("wb") as output:
        # Also what stands beside the product: large pages help anybody.
        inherited = with_large_pages({**os.environ, **environment})
        process = subprocess.Popen(command, stderr=output, env=inherited, cwd=_ROOT)
    try:
        _await(process, port, log)
        yield Server(process, port)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=_START_SECONDS) as probe:
                # The socket is there before the workers are: only an answer says that one is.
                probe.sendall(b"GET / HTTP/1.0\r\n\r\n")
                if probe.recv(1):
                    return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"It did not start: {log.read_text()[-2000:]}")


def _resident(pid: int) -> float:
    line = next(line for line in _proc(pid, "status").splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def _proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text(encoding="ascii", errors="replace")
