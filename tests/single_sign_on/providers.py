"""Two identity providers on loopback: one that somebody else wrote, and one of our own that lies as told."""

from __future__ import annotations

import base64
import hmac
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import URLError
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit
from urllib.request import Request, urlopen

from joserfc import jwt
from joserfc.jwk import RSAKey


class Offline:
    """oidc-provider-mock in a process of its own."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.issuer = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port)]
        quiet = subprocess.DEVNULL
        environ = {**os.environ, "AUTHLIB_INSECURE_TRANSPORT": "1"}
        self._process = subprocess.Popen(command, stdout=quiet, stderr=quiet, env=environ)
        self._wait()

    def knows(self, subject: str, **claims: object) -> None:
        """Set what is said of somebody."""
        body = json.dumps(claims).encode()
        request = Request(f"{self.issuer}/users/{subject}", body, {"Content-Type": "application/json"}, method="PUT")
        urlopen(request).close()

    def vouches(self, url: str, subject: str) -> str:
        """Sign somebody in there and return the path and query the browser is sent back to."""
        return _back(url, urlencode({"sub": subject}).encode())

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def _wait(self) -> None:
        for _attempt in range(200):
            try:
                urlopen(f"{self.issuer}/.well-known/openid-configuration").close()
            except URLError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError("oidc-provider-mock does not start.")


def _back(url: str, form: bytes) -> str:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", f"{parts.path}?{parts.query}", form, headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    assert response.status == 302, response.status
    back = urlsplit(response.getheader("Location", ""))
    return f"{back.path}?{back.query}"


Change = Callable[[dict[str, Any]], None]


class Liar(ThreadingHTTPServer):
    """A provider of our own. What it says of itself, its tokens and its answers can be bent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.issuer = f"http://127.0.0.1:{self.server_address[1]}"
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.other_key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.be_honest()

    def be_honest(self) -> None:
        """Forget all lies."""
        self.asked: list[str] = []
        self.tokens: list[dict[str, Any]] = []
        self.says: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
        }
        self.keys: dict[str, Any] = {"keys": [self.key.as_dict(private=False)]}
        self.claims: dict[str, Any] = {"sub": "liar-1", "email": "ben@acme.example", "email_verified": True}
        self.sign: Callable[[dict[str, Any]], str] = lambda claims: self.signed(claims)
        self.answer: Callable[[_Answers], bool] = lambda _asked: False
        self.nonces: dict[str, str] = {}

    def signed(self, claims: dict[str, Any], alg: str = "RS256", key: Any = None, **header: str) -> str:
        return jwt.encode({"alg": alg, "kid": "one", **header}, claims, key or self.key, algorithms=[alg])

    def signed_with_public_key(self, claims: dict[str, Any]) -> str:
        """Sign with what everybody knows, in the hope that it is taken for a secret."""
        parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "kid": "one"}, claims)]
        text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
        mac = hmac.digest(self.key.as_pem(private=False), text, "sha256")
        return f"{text.decode()}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    def vouches(self, url: str, **more: str) -> str:
        """Return the path and query the browser is sent back to."""
        asked = dict(parse_qsl(urlsplit(url).query))
        code = f"code-{len(self.nonces)}"
        self.nonces[code] = asked["nonce"]
        back = urlsplit(asked["redirect_uri"]).path
        return f"{back}?{urlencode({'code': code, 'state': asked['state'], **more})}"


class _Answers(BaseHTTPRequestHandler):
    server: Liar

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.answer(self):
            return
        self.say(self.server.keys if self.path == "/keys" else self.server.says)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.asked.append(self.path)
        self.server.tokens.append({"authorization": self.headers["Authorization"], **form})
        if self.server.answer(self):
            return
        now = int(time.time())
        nonce = self.server.nonces.get(form["code"][0])
        claims = {"iss": self.server.issuer, "aud": "extranet", "iat": now, "exp": now + 300, "nonce": nonce}
        merged = {**claims, **self.server.claims}
        token = self.server.sign({name: value for name, value in merged.items() if value is not None})
        self.say({"id_token": token, "access_token": "x", "token_type": "Bearer"})

    def say(self, said: Any, status: int = 200, **headers: str) -> None:
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def running(liar: Liar) -> Iterator[Liar]:
    """Let a provider answer for a while."""
    thread = threading.Thread(target=liar.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield liar
    finally:
        liar.shutdown()
        thread.join()
        liar.server_close()
