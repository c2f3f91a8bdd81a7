"""Who the client is, behind real proxies: forwarding headers and the PROXY protocol."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .certificates import Certificates
from .proxies import haproxy, nginx, nginx_module, nginx_stream
from .server_process import PATIENCE, ServerProcess
from .wire import Wire

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
ENGINES = [("httptools", "uvloop"), ("h11", "asyncio")]
ANY_PORT = ("--bind", "127.0.0.1:0")
LINE = b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n"
GET = b"GET /scope HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


def running(engine: tuple[str, str], *arguments: str) -> ServerProcess:
    http_, loop = engine
    return ServerProcess("plain:app", *ANY_PORT, "--http", http_, "--loop", loop, "--proxy-protocol", *arguments)


@pytest.fixture(scope="module", params=ENGINES, ids="-".join)
def plain(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """Believes prefaces from here, and waits a second for them."""
    with running(request.param, "-w", "2", "--handshake-timeout", "1") as server:
        yield server


@pytest.fixture(scope="module", params=ENGINES, ids="-".join)
def encrypted(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[ServerProcess]:
    files = ("--certfile", str(certificates.cert), "--keyfile", str(certificates.key))
    with running(request.param, "auto", *files) as server:
        yield server


@pytest.fixture(scope="module")
def trusting() -> Iterator[ServerProcess]:
    """Believes the forwarding headers of 127.0.0.1; clients come from 127.0.0.9. No prefaces from there either."""
    believed = ("--forwarded-allow-ips", "127.0.0.1", "--proxy-protocol", "--proxy-allow-from", "10.0.0.0/8")
    with ServerProcess("plain:app", *ANY_PORT, *believed) as server:
        yield server


def ask(port: int, *headers: tuple[str, str], times: int = 1) -> tuple[dict[str, Any], tuple[str, int]]:
    """The scope that a request through ``port`` makes, and from where it was sent."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        for _ in range(times):
            connection.request("GET", "/scope", headers=dict(headers))
            own = connection.sock.getsockname()
            scope = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return scope, own


# The PROXY protocol


CHECKED = "send-proxy-v2 proxy-v2-options crc32c,unique-id"


@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2", CHECKED])
def test_haproxy_tells_who_connects(plain: ServerProcess, tmp_path: Path, version: str) -> None:
    with haproxy(tmp_path, plain.port, server=version, options="unique-id-format %pid") as port:
        for _ in range(3):
            scope, own = ask(port, times=3)
            assert (scope["client"], scope["server"]) == (list(own), ["127.0.0.1", port])
            assert scope["scheme"] == "http"


@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2"])
def test_haproxy_tells_who_connects_before_tls(encrypted: ServerProcess, tmp_path: Path, version: str) -> None:
    with haproxy(tmp_path, encrypted.port, server=f"{version} ssl verify none") as port:
        for _ in range(3):
            scope, own = ask(port, times=3)
            assert (scope["client"], scope["server"]) == (list(own), ["127.0.0.1", port])
            assert scope["scheme"] == "https"


def test_the_health_checks_of_haproxy_are_answered(plain: ServerProcess, tmp_path: Path) -> None:
    words = "send-proxy-v2 check inter 100ms"
    with haproxy(tmp_path, plain.port, server=words, options="option httpchk GET /scope?health"):
        plain.wait_log(r'"GET /scope\?health HTTP/1.[01]" 200', count=3)


def test_nginx_tells_who_connects(plain: ServerProcess, tmp_path: Path) -> None:
    with nginx_stream(tmp_path, plain.port, nginx_module("stream")) as port:
        scope, own = ask(port)
        assert scope["client"] == list(own)


def test_nginx_tells_who_connects_before_tls(
    encrypted: ServerProcess, tmp_path: Path, certificates: Certificates
) -> None:
    with nginx_stream(tmp_path, encrypted.port, nginx_module("stream")) as port:
        connection = http.client.HTTPSConnection("localhost", port, context=certificates.context())
        connection.request("GET", "/scope")
        own = connection.sock.getsockname()
        scope = json.loads(connection.getresponse().read())
        connection.close()
        assert scope["client"] == list(own)


def test_what_follows_the_preface_may_come_with_it_or_later(plain: ServerProcess) -> None:
    for pieces in ([LINE + GET], [LINE[:1], LINE[1:30], LINE[30:] + GET[:3], GET[3:]], [LINE, GET]):
        with plain.wire() as wire:
            wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                wire.send(piece)
            scope = json.loads(wire.response().body)
            assert (scope["client"], scope["server"]) == (["203.0.113.7", 4711], ["198.51.100.1", 443])
            assert json.loads(wire.get("/scope").body)["client"] == ["203.0.113.7", 4711]
    plain.wait_log(r"203\.0\.113\.7:4711 - ")


def test_a_tls_handshake_may_begin_in_the_same_packet(encrypted: ServerProcess, certificates: Certificates) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = certificates.context().wrap_bio(incoming, outgoing, server_hostname="localhost")

    def step(action: Callable[[], Any]) -> Any:
        while True:
            try:
                result = action()
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                data = sock.recv(65536)
                assert data, "the server has closed"
                incoming.write(data)
            else:
                sock.sendall(outgoing.read())
                return result

    with encrypted.wire() as wire:
        sock = wire.socket
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        sock.sendall(LINE + outgoing.read())
        step(client.do_handshake)
        step(lambda: client.write(GET))
        answer = step(lambda: client.read(65536))
        while b"203.0.113.7" not in answer:
            answer += step(lambda: client.read(65536))


def test_forwarding_headers_behind_a_preface_are_the_clients_own(plain: ServerProcess) -> None:
    with plain.wire() as wire:
        wire.send(LINE)
        scope = json.loads(wire.get("/scope", "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https").body)
    assert (scope["client"], scope["scheme"]) == (["203.0.113.7", 4711], "http")


@pytest.mark.parametrize("first", [GET, b"\x16\x03\x01\x02\x00", b"PROXY TCP4 nonsense\r\n" + GET, b"\0" * 300])
def test_a_trusted_peer_without_a_preface_is_not_served(plain: ServerProcess, first: bytes) -> None:
    with plain.wire() as wire:
        wire.send(first)
        assert wire.closed()
    plain.wait_log("a connection is closed: .*PROXY")
    with plain.wire() as wire:
        assert wire.send(LINE).get("/").status == 200


def test_a_wrong_checksum_is_a_broken_connection(plain: ServerProcess) -> None:
    addresses = bytes([127, 0, 0, 1]) * 2 + bytes(4)
    with plain.wire() as wire:
        wire.send(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13" + addresses + b"\3\0\4bad!" + GET)
        assert wire.closed()
    plain.wait_log("a connection is closed: .*checksum")


def test_the_preface_of_anybody_else_is_a_bad_request(trusting: ServerProcess) -> None:
    with trusting.wire() as wire:
        assert wire.send(LINE + GET).response().status == 400
    scope, own = ask(trusting.port)
    assert scope["client"] == list(own)


def test_a_preface_must_come_in_time_and_harms_nobody_meanwhile(plain: ServerProcess) -> None:
    with plain.wire() as silent, plain.wire() as slow, plain.wire() as good:
        slow.send(LINE[:10])
        assert good.send(LINE).get("/").status == 200
        assert silent.closed()
        assert slow.closed()
    plain.wait_log("did not come in time", count=2)


def test_a_proxy_on_a_unix_socket_is_believed_when_it_is_listed(serve: Serve, short_path: Path) -> None:
    path = short_path / "s"
    serve("plain:app", "--bind", f"unix:{path}", "--proxy-protocol", "--proxy-allow-from", "unix:")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
        scope = json.loads(Wire(sock).send(LINE + GET).response().body)
    assert scope["client"] == ["203.0.113.7", 4711]


# Forwarding headers


FORGED = ("X-Forwarded-For", "6.6.6.6")


def test_behind_nginx_the_client_is_who_connected_to_it(trusting: ServerProcess, tmp_path: Path) -> None:
    settings = (
        "proxy_bind 127.0.0.1",
        "proxy_set_header X-Forwarded-For '6.6.6.6, 203.0.113.9'",
        "proxy_set_header X-Forwarded-Proto https",
        "proxy_set_header X-Forwarded-Host shop.example",
        "proxy_set_header X-Forwarded-Port 8443",
        "proxy_set_header X-Forwarded-Prefix /shop",
    )
    with nginx(tmp_path, f"127.0.0.1:{trusting.port}", *settings) as port:
        scope, _ = ask(port, FORGED)
    assert (scope["client"], scope["scheme"]) == (["203.0.113.9", 0], "https")
    assert (scope["root_path"], scope["path"]) == ("/shop", "/shop/scope")
    assert ["host", "shop.example:8443"] in scope["headers"]


def test_what_nginx_appends_goes_before_what_a_client_forges(trusting: ServerProcess, tmp_path: Path) -> None:
    append = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for"
    with nginx(tmp_path, f"127.0.0.1:{trusting.port}", append) as port:
        # The client's own address is 127.0.0.9, which is not trusted.
        connection = http.client.HTTPConnection("127.0.0.1", port, source_address=("127.0.0.9", 0), timeout=PATIENCE)
        connection.request("GET", "/scope", headers=dict([FORGED]))
        scope = json.loads(connection.getresponse().read())
        connection.close()
    assert scope["client"] == ["127.0.0.9", 0]


def test_nginx_on_a_unix_socket_is_believed_when_it_is_listed(serve: Serve, tmp_path: Path, short_path: Path) -> None:
    short_path.chmod(0o755)
    path = short_path / "s"
    serve("plain:app", "--bind", f"unix:{path}", "--forwarded-allow-ips", "unix:")
    forwarded = "proxy_set_header Forwarded 'for=\"[2001:db8::7]:99\";proto=https;host=shop.example'"
    with nginx(tmp_path, f"unix:{path}", forwarded) as port:
        scope, _ = ask(port)
    assert (scope["client"], scope["scheme"]) == (["2001:db8::7", 99], "https")
    assert ["host", "shop.example"] in scope["headers"]


def test_haproxy_with_forwarding_headers(trusting: ServerProcess, tmp_path: Path) -> None:
    with haproxy(tmp_path, trusting.port, mode="http", options="option forwardfor") as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, source_address=("127.0.0.9", 0), timeout=PATIENCE)
        connection.request("GET", "/scope", headers=dict([FORGED]))
        scope = json.loads(connection.getresponse().read())
        connection.close()
    assert scope["client"] == ["127.0.0.9", 0]


def test_behind_a_proxy_that_is_not_listed_the_proxy_is_the_client(serve: Serve, tmp_path: Path) -> None:
    server = serve("plain:app", *ANY_PORT, "--forwarded-allow-ips", "10.0.0.1")
    with nginx(tmp_path, f"127.0.0.1:{server.port}", "proxy_set_header X-Forwarded-Proto https") as port:
        scope, _ = ask(port, FORGED)
    assert (scope["client"][0], scope["scheme"]) == ("127.0.0.1", "http")
