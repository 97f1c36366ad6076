"""The only way out: an administrator types where to, so it leads nowhere but to a public provider."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from extranet.errors import ProviderFault, ProviderUnfit, ProviderUnreachable
from extranet.single_sign_on import discovery, outbound
from extranet.single_sign_on.discovery import KnownProviders, discover
from extranet.single_sign_on.outbound import Outbound
from tests.front_door.door import make_certificate
from tests.single_sign_on.providers import Liar

INSIDE = (
    "https://localhost/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://0x7f.0.0.1/",
    "https://2130706433/",
    "https://10.1.2.3/",
    "https://172.16.0.1:8443/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data",
    "https://100.64.0.1/",
    "https://0.0.0.0/",
    "https://224.0.0.1/",
    "https://240.0.0.1/",
    "https://[::]/",
    "https://[::1]/",
    "https://[fe80::1]/",
    "https://[fc00::1]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[::ffff:93.184.216.34]/",
    "https://[2002:7f00:1::]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::5db8:d822]/",
    "https://[2001:0:7f00:1::]/",
)
NO_ADDRESS = (
    "",
    "id.example",
    "ftp://id.example/",
    "file:///etc/passwd",
    "http://id.example/",
    "http://93.184.216.34/",
    "https://",
    "https://me:secret@id.example/",
    "https://id.example/#part",
    "https://id.example:99999/",
    "https://id.example/a b",
    "https://id.example/\r\nHost: x",
    "https://idé.example/",
    "https://[::1/",
    "https://id.example/" + "x" * 2000,
)


@pytest.mark.parametrize("url", [*INSIDE, *NO_ADDRESS])
def test_what_is_inside_a_network_or_no_address_is_never_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(outbound.socket, "create_connection", lambda *given, **_named: asked.append(given))
    with pytest.raises(ProviderUnfit):
        Outbound().get(url)
    assert asked == []


def test_a_name_is_resolved_once_and_all_it_stands_for_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is public when it is checked and inside when it is asked: the address that was checked is asked."""
    looked_up: list[str] = []
    answers = [["93.184.216.34"], ["127.0.0.1"]]

    def resolve(host: str, port: int, **_named: object) -> list[Any]:
        looked_up.append(host)
        return [(0, 0, 0, "", (address, port)) for address in answers[len(looked_up) - 1]]

    asked: list[Any] = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        asked.append((address, timeout))
        raise TimeoutError

    monkeypatch.setattr(outbound.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(outbound.socket, "create_connection", connect)
    with pytest.raises(ProviderUnreachable):
        Outbound().get("https://id.example/")
    assert (looked_up, asked) == (["id.example"], [(("93.184.216.34", 443), 3.0)])
    answers[1] = ["93.184.216.34", "10.0.0.1"]
    with pytest.raises(ProviderUnfit):
        Outbound().get("https://id.example/")
    assert len(asked) == 1


def test_what_the_operator_allows_inside_may_be_asked_and_no_neighbour_of_it(liar: Liar) -> None:
    port = liar.server_address[1]
    assert discover(Outbound(frozenset({f"127.0.0.1:{port}"})), liar.issuer).issuer == liar.issuer
    with pytest.raises(ProviderUnfit):
        Outbound(frozenset({f"127.0.0.1:{port + 1}"})).get(liar.issuer)
    # Plain http to this machine alone, whatever is allowed.
    with pytest.raises(ProviderUnfit, match="begins with https"):
        Outbound(frozenset({"10.0.0.1"})).get("http://10.0.0.1/")


@contextmanager
def serving(answer: bytes, *, slowly: bool = False, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve one connection with some bytes, one every 50 ms if slowly."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        plain, _address = listener.accept()
        with plain, suppress(OSError), tls.wrap_socket(plain, server_side=True) if tls else plain as connection:
            connection.recv(10_000)
            for start in range(0, len(answer), 1 if slowly else len(answer) or 1):
                connection.sendall(answer[start : start + (1 if slowly else len(answer))])
                time.sleep(0.05 if slowly else 0)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join()
        listener.close()


@pytest.mark.parametrize(
    ("answer", "slowly"),
    [(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 90, True), (b"", False), (b"220 mail ESMTP\r\n", False)],
)
def test_what_drips_hangs_up_or_is_no_web_server_holds_nobody(answer: bytes, slowly: bool) -> None:
    began = time.monotonic()
    with serving(answer, slowly=slowly) as port, pytest.raises(ProviderUnreachable):
        Outbound(frozenset({"127.0.0.1"}), seconds=0.5).get(f"http://127.0.0.1:{port}/")
    assert time.monotonic() - began < 2


def test_a_certificate_has_to_be_trusted_and_for_the_name_that_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, key = make_certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    inside = frozenset({"localhost", "127.0.0.1"})
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with serving(answer, tls=context) as port, pytest.raises(ProviderUnreachable, match="certificate"):
        Outbound(inside).get(f"https://localhost:{port}/")
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    with serving(answer, tls=context) as port:
        assert Outbound(inside).get(f"https://localhost:{port}/").body == b"{}"
    with serving(answer, tls=context) as port, pytest.raises(ProviderUnreachable, match="certificate"):
        Outbound(inside).get(f"https://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ({"issuer": "https://elsewhere.example"}, "https://elsewhere.example"),
        ({"issuer": 7}, "no sign-on provider"),
        ({"authorization_endpoint": "http://id.example/authorize"}, "https"),
        ({"token_endpoint": None}, "no sign-on provider"),
        ({"jwks_uri": "file:///etc/passwd"}, "not an address"),
        ({"response_types_supported": ["token"]}, "by code"),
        ({"code_challenge_methods_supported": ["plain"]}, "PKCE"),
        ({"id_token_signing_alg_values_supported": ["HS256", "none"]}, "signs"),
        ({"id_token_signing_alg_values_supported": "RS256"}, "signs"),
    ],
)
def test_a_provider_unfit_for_us_is_told_what_is_missing(liar: Liar, says: dict[str, Any], told: str) -> None:
    liar.says |= says
    with pytest.raises(ProviderUnfit, match=told):
        discover(Outbound(frozenset({"127.0.0.1"})), liar.issuer)


def test_while_a_provider_hangs_one_asks_and_the_others_give_up_soon(
    liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "TURN_SECONDS", 0.1)
    asked, go_on = threading.Event(), threading.Event()

    def hang(_asked: Any) -> bool:
        asked.set()
        go_on.wait(5)
        return False

    liar.answer = hang
    providers = KnownProviders(Outbound(frozenset({"127.0.0.1"})))
    first = threading.Thread(target=providers.metadata, args=("acme", liar.issuer))
    first.start()
    asked.wait(5)
    with pytest.raises(ProviderUnreachable):
        providers.metadata("acme", liar.issuer)
    go_on.set()
    first.join()
    assert providers.metadata("acme", liar.issuer).issuer == liar.issuer
    assert len(liar.asked) == 1


def test_an_issuer_is_held_to_the_letter_and_where_it_says_nothing_the_status_is_told(liar: Liar) -> None:
    asking = Outbound(frozenset({"127.0.0.1"}))
    for issuer in (f"{liar.issuer}/", f"{liar.issuer}?x"):
        with pytest.raises(ProviderUnfit):
            discover(asking, issuer)
    liar.answer = lambda asked: asked.say({}, 404) or True
    with pytest.raises(ProviderUnfit, match="404"):
        discover(asking, liar.issuer)
    liar.answer = lambda asked: asked.say(b"[1]") or True
    with pytest.raises(ProviderFault):
        discover(asking, liar.issuer)
    liar.answer = lambda asked: asked.say(b"[" * 100_000) or True
    with pytest.raises(ProviderFault):
        discover(asking, liar.issuer)
