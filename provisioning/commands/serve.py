"""extranet serve: gunicorn with this product's settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import click

from provisioning.console import Console, verb
from tenants.errors import BadSettings
from tenants.settings import Settings

# A password's 32 MiB come in 16 large pages instead of 8,192 small ones, and take a fifth less processor time to hash.
_LARGE_PAGES = "glibc.malloc.hugetlb=1"


@click.command("serve")
@click.option("--bind", default="127.0.0.1:8000", show_default=True, help="Address and port, or unix:/path/to/socket.")
@verb()
def command(console: Console, bind: str) -> None:
    """Serve all tenants.

    On localhost it answers browsers directly. Any other domain needs nginx in front, for TLS.

    \b
    Example:
      extranet serve
      extranet serve --bind unix:/run/extranet/app.sock
    """
    settings = console.settings
    _refuse_open_doors(settings, bind)
    # Fails here, in one sentence, rather than in every worker.
    console.tenancy.close()
    arguments = ["-m", "gunicorn", "--config", "python:provisioning.gunicorn_conf", "--bind", bind, "wsgi:application"]
    environment = {**with_large_pages(os.environ), "EXTRANET_WORKERS": str(settings.workers)}
    os.execve(sys.executable, [sys.executable, *arguments], environment)  # noqa: S606


def with_large_pages(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which glibc asks Linux for large pages, unless it says something about them itself."""
    said = environ.get("GLIBC_TUNABLES", "")
    if "glibc.malloc.hugetlb" in said:
        return dict(environ)
    return {**environ, "GLIBC_TUNABLES": f"{said}:{_LARGE_PAGES}" if said else _LARGE_PAGES}


def _refuse_open_doors(settings: Settings, bind: str) -> None:
    if settings.is_local:
        return
    behind_socket = bind.startswith("unix:") and settings.trust_unix_peer
    if not behind_socket and not settings.trusted_proxies:
        raise BadSettings(
            f"{settings.domain} must be served over TLS: put nginx in front, bind to unix:/run/extranet/app.sock "
            "and set EXTRANET_TRUSTED_PROXIES=unix."
        )
