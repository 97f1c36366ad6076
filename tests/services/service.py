"""One server on a loopback port, in a folder of its own; both go when the test that started it is done with it."""

from __future__ import annotations

import atexit
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

HOST = "127.0.0.1"
# Nothing of the developer's own: PGHOST and its like would lead these programs elsewhere.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}

_PATIENCE = 20.0
_STOPPING = 10.0


class Service(ABC):
    """Runs between entering and leaving ``with``, and no longer than the tests whatever happens.

    ``user`` is who runs it when we are root, since some programs refuse to be root.
    """

    def __init__(self, user: str = "") -> None:
        self.host = HOST
        self.port = free_port()
        self._user = user if os.geteuid() == 0 else ""
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = self._make_folder()
        self._log_file = self.folder / "log"
        self._opened_by = os.getpid()
        atexit.register(self.close)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start; return when it answers."""
        assert not self.is_running
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the tests, which then stop their servers in their own order.
                start_new_session=True,
                **self._manner(),
            )
        self.until(self._answers, f"{type(self).__name__} does not answer.")

    def stop(self) -> None:
        """Stop in good order."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill(self) -> None:
        """Crash."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stop for good and leave nothing behind."""
        # A fork of the tests leaves through here as well, and the server is not its to stop.
        if os.getpid() == self._opened_by:
            atexit.unregister(self.close)
            self._close()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        """Everything it has said since it was made."""
        return self._log_file.read_text(errors="replace")

    def until(self, happens: Callable[[], object], otherwise: str) -> None:
        """Ask again until it happens, which takes no longer than the server lives."""
        end = time.monotonic() + _PATIENCE
        while not happens():
            assert self.is_running, self.log()
            assert time.monotonic() < end, f"{otherwise}\n{self.log()}"
            time.sleep(0.01)

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _answers(self) -> bool: ...

    def _close(self) -> None:
        try:
            if self.is_running:
                self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, arguments: list[str]) -> None:
        """Run to its end, as the server's own user, a program that must succeed."""
        ran = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60, **self._manner())
        assert ran.returncode == 0, ran.stdout + ran.stderr

    def _write(self, name: str, text: str) -> Path:
        """Write a file that the server's user, and nobody else but us, may read."""
        path = self.folder / name
        path.touch(0o600)
        self._give(path)
        path.write_text(text)
        return path

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        try:
            self._process.wait(_STOPPING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def _make_folder(self) -> Path:
        """Make it outside pytest's own folders, which are closed to every user but ours."""
        root = os.environ.get("PYTEST_DEBUG_TEMPROOT") or tempfile.gettempdir()
        folder = Path(tempfile.mkdtemp(prefix=f"{type(self).__name__.lower()}-", dir=root))
        self._give(folder)
        return folder

    def _give(self, path: Path) -> None:
        if self._user:
            owner = pwd.getpwnam(self._user)
            os.chown(path, owner.pw_uid, owner.pw_gid)

    def _manner(self) -> dict[str, Any]:
        """As whom and where a program runs. No runuser between: its pid would not be the server's."""
        manner: dict[str, Any] = {"cwd": self.folder, "env": ENVIRONMENT}
        if self._user:
            manner |= {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []}
        return manner


def free_port() -> int:
    """Return a port nobody listens on, below those the kernel gives to outgoing connections."""
    while True:
        # Not ``random``: it is seeded alike before every test, and would give away the port of a server that is down.
        port = 15_000 + secrets.randbelow(17_000)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
