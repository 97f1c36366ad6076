"""pg_dump and pg_restore, fed and read through pipes. The password goes by the environment, never by argv."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import IO, BinaryIO, cast

from tenants.errors import ServerUnusable, TenantUnavailable
from tenants.stores.administration import Administration

_CHUNK = 1024 * 1024
_FAULT_LENGTH = 300


def dump(administration: Administration, database: str, role: str, target: BinaryIO, snapshot: str = "") -> None:
    """Write one database as it is at one moment, that of an exported ``snapshot`` if any; raise TenantUnavailable."""
    command = [_program("pg_dump"), "--format=custom", "--no-owner", "--no-privileges", f"--role={role}"]
    command += [f"--snapshot={snapshot}"] if snapshot else []
    with _running(command, administration, database, stdout=subprocess.PIPE) as process:
        shutil.copyfileobj(cast("IO[bytes]", process.stdout), target, _CHUNK)
        _finish(process, f"{database} could not be dumped")


def restore(administration: Administration, database: str, role: str, source: BinaryIO) -> None:
    """Fill an empty database from a dump, all or nothing; raise TenantUnavailable."""
    command = [_program("pg_restore"), "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error"]
    command += [f"--role={role}"] if role else []
    with _running([*command, f"--dbname={database}"], administration, database, stdin=subprocess.PIPE) as process:
        pipe = cast("IO[bytes]", process.stdin)
        try:
            shutil.copyfileobj(source, pipe, _CHUNK)
            pipe.close()
        except BrokenPipeError:
            # It has already given up; its last words say why.
            pass
        _finish(process, "The dump could not be restored")


def _running(
    command: list[str],
    administration: Administration,
    database: str,
    *,
    stdin: int | None = None,
    stdout: int | None = None,
) -> subprocess.Popen[bytes]:
    # Nothing of the operator's own PGHOST and its like, which would lead elsewhere whatever the credential leaves open.
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environment = {**ours, **administration.parameters(database)}
    return subprocess.Popen(  # noqa: S603 - Debian's own program, no shell, names made here
        command, env=environment, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
    )


def _finish(process: subprocess.Popen[bytes], what: str) -> None:
    said = cast("IO[bytes]", process.stderr).read().decode(errors="replace").strip()
    if process.wait() != 0:
        raise TenantUnavailable(f"{what}: {said[:_FAULT_LENGTH]}")


@cache
def _program(name: str) -> str:
    # Debian keeps one of each installed version here; the newest can read every older server.
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    found = str(versions[-1]) if versions else shutil.which(name)
    if found is None:
        raise ServerUnusable(f"{name} is not installed here: apt-get install postgresql-client")
    return found
