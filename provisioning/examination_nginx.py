"""What ``extranet nginx check`` finds: is it up to date, are its certificates good, does nginx accept it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from provisioning.console import Console
from provisioning.findings import Finding
from provisioning.nginx_sites import render
from provisioning.nginx_written import CONFIGURATION, arguments, custom_hosts, read_plan

_RENEW_WITHIN = timedelta(days=14)
_LONGEST_TEST = 30


def examine_nginx(console: Console, folder: Path) -> Iterator[Finding]:
    """Look at what was written to a folder, and at the certificates it names."""
    plan = read_plan(folder)
    served, skipped = custom_hosts(console, plan.certificate_dir)
    file = folder / CONFIGURATION
    written = file.read_text() if file.exists() else ""
    if written == render(console.settings, plan.site, served):
        yield Finding(str(file), True, "as it would be written now")
    else:
        why = "settings, custom hosts or the file itself have changed" if written else "missing"
        yield Finding(str(file), False, f"{why}. Write it again: extranet nginx write {arguments(plan, folder)}")
    domain = console.settings.domain
    yield _examine_certificate(f"*.{domain}", plan.site.certificate)
    for host in served:
        yield _examine_certificate(host.name, host.certificate)
    for host in skipped:
        yield Finding(host.name, False, f"is not served. Get a certificate, put it at {host.certificate}, write again.")
    if written:
        yield _try_nginx(file)


def _examine_certificate(name: str, file: str) -> Finding:
    try:
        certificate = x509.load_pem_x509_certificate(Path(file).read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except OSError as error:
        return Finding(name, False, f"its certificate {file} cannot be read: {error.strerror}.")
    except (ValueError, x509.ExtensionNotFound):
        return Finding(name, False, f"{file} is not a certificate with names in it.")
    if name not in names.get_values_for_type(x509.DNSName):
        return Finding(name, False, f"the certificate {file} is not for this name.")
    ends = certificate.not_valid_after_utc
    if ends < datetime.now(UTC) + _RENEW_WITHIN:
        return Finding(name, False, f"the certificate {file} ends on {ends:%Y-%m-%d}: renew it.")
    return Finding(name, True, f"certificate good until {ends:%Y-%m-%d}")


def _try_nginx(file: Path) -> Finding:
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if nginx is None:
        return Finding("nginx", True, "not installed here, so it was not asked. Where it is: nginx -t")
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "nginx.conf"
        whole.write_text(_whole_configuration(file, scratch))
        asked = [nginx, "-t", "-q", "-p", scratch, "-c", str(whole), "-e", "stderr"]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=_LONGEST_TEST, check=False)  # noqa: S603
    if answer.returncode == 0:
        return Finding("nginx", True, "accepts it")
    said = answer.stderr.strip().splitlines() or ["nothing"]
    advice = " Run this as root." if "Permission denied" in answer.stderr else ""
    return Finding("nginx", False, f"refuses it: {said[0]}{advice}")


def _whole_configuration(file: Path, scratch: str) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {scratch}/{kind};" for kind in kinds)
    return f"pid {scratch}/nginx.pid; events {{}} http {{ {folders} include {file}; }}"
