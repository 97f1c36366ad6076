"""The processes of a run. Alembic cannot run in threads, and a migration that crashes must take only itself along."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Self

from tenants.fleet.journal import Report, StepState
from tenants.fleet.migration import Snapshot, migrate_tenant
from tenants.settings import Settings
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant

# A forked process would inherit open databases and locks that are not its own.
_processes = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Errand:
    """What each process must know before the first tenant."""

    settings: Settings
    history: str
    snapshot: Snapshot | None


class Crew:
    """As many processes as there is work for, up to ``size``. Each has its own pipe and one tenant at a time."""

    def __init__(self, size: int, errand: Errand) -> None:
        self._size = size
        self._errand = errand
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, _Worker] = {}

    @property
    def has_room(self) -> bool:
        """Whether another tenant can be begun now."""
        return len(self._busy) < self._size

    def begin(self, tenant: Tenant) -> None:
        """Give a tenant to a process that is free, or to a new one."""
        worker = self._free()
        worker.begin(tenant)
        self._busy[worker.pipe] = worker

    def wait(self) -> Report | None:
        """Return what came of the next tenant that ends; None when none was begun."""
        if not self._busy:
            return None
        pipe: Any = wait(self._busy)[0]
        worker = self._busy.pop(pipe)
        try:
            report: Report = pipe.recv()
        except (EOFError, OSError):
            return worker.obituary()
        self._idle.append(worker)
        return report

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        workers = [*self._idle, *self._busy.values()]
        for worker in workers:
            worker.pipe.close()
        for worker in workers:
            worker.bury()

    def _free(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.process.is_alive():
                return worker
            worker.bury()
        return _Worker(self._errand)


class _Worker:
    """One process, seen from the run."""

    def __init__(self, errand: Errand) -> None:
        self.pipe, theirs = _processes.Pipe()
        # A daemon: should the run itself end without a word, nothing waits for it.
        self.process: SpawnProcess = _processes.Process(target=_work, args=(theirs, errand), daemon=True)
        with _deaf_to_interrupts():
            self.process.start()
        # Only theirs is left on their side: when they are gone, ours reads the end.
        theirs.close()

    def begin(self, tenant: Tenant) -> None:
        self._tenant, self._begun = tenant, time.monotonic()
        # When it has just died: its end is read where every other one is.
        with suppress(OSError):
            self.pipe.send(tenant)

    def bury(self) -> None:
        self.pipe.close()
        self.process.join()

    def obituary(self) -> Report:
        self.bury()
        ms = round((time.monotonic() - self._begun) * 1000)
        fault = f"The process at work on it ended with code {self.process.exitcode}."
        return Report(self._tenant.uuid, StepState.FAILED, ms, error=fault)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    # Ctrl-C reaches every process of a terminal. Here the run decides, and lets each end what it is at: what is
    # blocked while a process starts stays blocked in it, and in what it starts itself. Python's own tracker, started
    # with the first one, would lift the block.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(pipe: Connection, errand: Errand) -> None:
    # The pipe ends with the run, or with a run that was killed: either way after the tenant that was begun.
    with Tenancy.open(errand.settings, errand.history) as tenancy, suppress(EOFError, OSError):
        while True:
            pipe.send(migrate_tenant(tenancy, pipe.recv(), errand.snapshot))
