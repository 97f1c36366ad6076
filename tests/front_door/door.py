"""A real front door for tests: gunicorn on a unix socket, nginx with TLS before it, and visitors with bare sockets."""

from __future__ import annotations

import html
import http.client
import json
import os
import random
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from provisioning.cli import extranet
from tests.platform import PASSWORD, Platform

DOMAIN = "extranet.test"
CUSTOM_HOST = "portal.acme.example"
UNCERTIFIED_HOST = "portal.globex.example"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin") or ""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""

_PATIENCE = 30.0
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; ``status`` 0 is a connection closed without a word. ``port`` is the asker's own."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    port: int = 0

    @property
    def text(self) -> str:
        return self.body.decode()

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def __getitem__(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    @property
    def tenant(self) -> str:
        """Whose page it is, by its title; "" for nobody's."""
        title = re.search(r"<title>[^<]* · ([^<]+)</title>", self.text)
        return title[1].lower() if title else ""


def until(find: Callable[[], Found], what: str, patience: float = _PATIENCE) -> Found:
    """Ask again until there is something; insist that there is in the end."""
    end = time.monotonic() + patience
    while not (found := find()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return found


@dataclass(frozen=True)
class Door:
    """The ways in: nginx's two ports, and the socket behind it."""

    home: Path
    https: int
    http: int
    socket: Path
    trust: ssl.SSLContext
    platform: Platform
    folder: Path
    environment: dict[str, str] = field(repr=False)

    def host(self, slug: str) -> str:
        return f"{slug}.{DOMAIN}"

    def origin(self, slug: str) -> str:
        return f"https://{self.host(slug)}:{self.https}"

    def tls(self, sni: str, source: str = "127.0.0.1", https: int = 0) -> ssl.SSLSocket:
        """Shake hands with nginx under a name."""
        plain = socket.create_connection(("127.0.0.1", https or self.https), timeout=20, source_address=(source, 0))
        try:
            return self.trust.wrap_socket(plain, server_hostname=sni)
        except BaseException:
            plain.close()
            raise

    def ask(
        self,
        path: str,
        slug: str = "acme",
        *,
        method: str = "GET",
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        source: str = "127.0.0.1",
        https: int = 0,
    ) -> Answer:
        """Send one well-formed request through nginx."""
        host = slug if "." in slug else self.host(slug)
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}:{self.https}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        raw = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        with self.tls(host, source, https) as connection:
            return exchange(connection, raw, method)

    def ask_raw(self, raw: bytes, sni: str = "") -> Answer:
        """Send bytes through nginx, whatever they are."""
        with self.tls(sni or self.host("acme")) as connection:
            return exchange(connection, raw)

    def ask_plain(self, raw: bytes) -> Answer:
        """Send bytes to nginx's port without TLS."""
        with socket.create_connection(("127.0.0.1", self.http), timeout=20) as connection:
            return exchange(connection, raw)

    def ask_gunicorn(self, raw: bytes) -> Answer:
        """Send bytes straight to gunicorn's socket, as nobody but nginx should be able to."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(self.socket))
            return exchange(connection, raw)

    def run(self, *arguments: str) -> Result:
        """Run one command of the operator's."""
        return CliRunner().invoke(extranet, arguments, env=self.environment)

    def extranet(self, *arguments: str) -> Any:
        """Run one command that must succeed; return its JSON document."""
        ran = self.run(*arguments, "--json")
        assert ran.exit_code == 0, ran.output
        return json.loads(ran.stdout)

    def logged(self, slug: str, last: int = 200) -> list[dict[str, Any]]:
        """Return a tenant's newest log entries, newest first."""
        from extranet.security_log.operations import read_last

        with self.platform.db(slug, writing=False) as db:
            return [
                {"event": entry.event, **entry.private, **dict(entry.details)} for entry in list(read_last(db, last))
            ]


def exchange(connection: socket.socket, raw: bytes, method: str = "GET") -> Answer:
    """Send bytes and read one answer."""
    port = connection.getsockname()[1] if connection.family is socket.AF_INET else 0
    # Whoever refuses a body need not read it to its end: the answer may be there all the same.
    with suppress(OSError):
        connection.sendall(raw)
    response = http.client.HTTPResponse(connection, method=method)
    try:
        response.begin()
        body = response.read()
    except (http.client.BadStatusLine, ConnectionError, ssl.SSLError):
        return Answer(0, port=port)
    finally:
        response.close()
    return Answer(response.status, tuple(response.getheaders()), body, port)


class Visitor:
    """Keeps cookies and sends forms, as a browser on one tenant's host would, through nginx."""

    def __init__(self, door: Door, slug: str, source: str = "127.0.0.1") -> None:
        self.door = door
        self.slug = slug
        self.source = source
        self.cookies: dict[str, str] = {}

    def get(self, path: str, headers: Sequence[tuple[str, str]] = ()) -> Answer:
        return self._send("GET", path, headers, b"")

    def post(self, path: str, values: dict[str, str], headers: Sequence[tuple[str, str]] = ()) -> Answer:
        from urllib.parse import urlencode

        form = urlencode({"csrf_token": self.token(), **values}).encode()
        return self.send_body(path, form, "application/x-www-form-urlencoded", headers)

    def post_picture(self, path: str, picture: bytes) -> Answer:
        frame = "frame"
        parts = (
            f'--{frame}\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n{self.token()}\r\n'
            f'--{frame}\r\nContent-Disposition: form-data; name="avatar"; filename="me.png"\r\n'
            "Content-Type: image/png\r\n\r\n"
        ).encode()
        return self.send_body(
            path, parts + picture + f"\r\n--{frame}--\r\n".encode(), f"multipart/form-data; boundary={frame}"
        )

    def send_body(self, path: str, body: bytes, kind: str, headers: Sequence[tuple[str, str]] = ()) -> Answer:
        own = [("Origin", self.door.origin(self.slug)), ("Sec-Fetch-Site", "same-origin"), ("Content-Type", kind)]
        return self._send("POST", path, [*own, *headers], body)

    def token(self) -> str:
        page = self.get("/login")
        if page.status == 303:
            page = self.get("/")
        found = _TOKEN.search(page.text)
        assert found, page
        return html.unescape(found[1])

    def sign_in(self, username: str = "anna", headers: Sequence[tuple[str, str]] = ()) -> Answer:
        answer = self.post("/login", {"username": username, "password": PASSWORD}, headers)
        assert answer.status == 303, answer.text
        return answer

    def _send(self, method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes) -> Answer:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = [*headers, ("Cookie", cookie)] if cookie else headers
        answer = self.door.ask(path, self.slug, method=method, headers=sent, body=body, source=self.source)
        for line in answer.all("Set-Cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a self-signed certificate for one DNS name, laid out as certbot does; return it and its key."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=60))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "fullchain.pem", folder / "privkey.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, private


def free_port() -> int:
    """Return a port nobody listens on, below those the kernel gives to outgoing connections."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@contextmanager
def running(arguments: list[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program; end it, by its own pid, whatever happens."""
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running_nginx(folder: Path, configuration: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run nginx, as whoever runs the tests, with what ``extranet nginx write`` wrote."""
    folder.mkdir(exist_ok=True)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"    {kind}_temp_path {folder}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    whole = folder / "nginx.conf"
    whole.write_text(
        f"daemon off;\n{user}\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log info;\n"
        f"events {{}}\nhttp {{\n{temporary}\n    include {configuration};\n}}\n"
    )
    arguments = [NGINX, "-p", str(folder), "-c", str(whole), "-e", str(folder / "error.log")]
    with running(arguments, folder / "output.log", environment) as process:
        yield process


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
