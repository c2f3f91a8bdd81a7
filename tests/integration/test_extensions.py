"""The ASGI extensions of HTTP through the real command, each seen by a real client."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from .certificates import Certificates
from .server_process import PATIENCE, ServerProcess, fetch
from .wire import Wire

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
ENGINES = [("httptools", "uvloop"), ("h11", "asyncio")]
ANY_PORT = ("--bind", "127.0.0.1:0")
LARGE = 2_000_000


@pytest.fixture(scope="module", params=ENGINES, ids="-".join)
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    http_, loop = request.param
    with ServerProcess("extended:app", *ANY_PORT, "--http", http_, "--loop", loop, quiet=False) as server:
        yield server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=ENGINES, ids="-".join)
def encrypted(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[ServerProcess]:
    http_, loop = request.param
    files = ("--certfile", str(certificates.cert), "--keyfile", str(certificates.key))
    clients = ("--ca-certs", str(certificates.ca), "--cert-reqs", "optional")
    with ServerProcess("extended:app", *ANY_PORT, *files, *clients, "--http", http_, "--loop", loop) as server:
        yield server


@pytest.fixture(params=[20_000, LARGE], ids=["small", "large"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(os.urandom(request.param))
    return path


# Files


def test_a_path_is_sent_with_its_length_and_the_connection_goes_on(server: ServerProcess, file: Path) -> None:
    with server.client() as client:
        for _ in range(3):
            response = client.get("/path", params={"path": str(file)})
            assert response.headers["content-length"] == str(file.stat().st_size)
            assert response.content == file.read_bytes()


def test_head_of_a_path_has_the_length_and_no_body(server: ServerProcess, file: Path) -> None:
    with server.wire() as wire:
        for _ in range(2):
            wire.send(f"HEAD /path?path={file} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert wire.response("HEAD").header("content-length") == str(file.stat().st_size)
        assert wire.get("/offers").status == 200


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.0\r\nConnection: keep-alive"])
def test_an_http_1_0_client_gets_the_file_too(server: ServerProcess, file: Path, version: str) -> None:
    with server.wire() as wire:
        response = wire.send(f"GET /path?path={file} {version}\r\n\r\n".encode()).response()
        assert response.body == file.read_bytes()


def test_answers_pipelined_around_a_file_stay_in_order(server: ServerProcess, file: Path) -> None:
    with server.wire() as wire:
        asks = [f"/path?path={file}", "/offers", f"/path?path={file}", "/offers"]
        wire.send(b"".join(f"GET {ask} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for ask in asks))
        bodies = [wire.response().body for _ in asks]
    assert bodies[0] == bodies[2] == file.read_bytes()
    assert bodies[1].startswith(b"[{")


@pytest.mark.parametrize("what", ["missing", "folder", "relative", "wrong length", "fifo"])
def test_what_cannot_be_sent_is_a_500_before_any_byte(server: ServerProcess, tmp_path: Path, what: str) -> None:
    (tmp_path / "ten").write_bytes(b"0123456789")
    os.mkfifo(tmp_path / "fifo")
    query = {
        "missing": {"path": str(tmp_path / "nowhere")},
        "folder": {"path": str(tmp_path)},
        "relative": {"path": "extended.py"},
        "wrong length": {"path": str(tmp_path / "ten"), "length": "11"},
        "fifo": {"path": str(tmp_path / "fifo")},
    }[what]
    with server.client() as client:
        assert client.get("/path", params=query).status_code == 500
        assert client.get("/offers").status_code == 200


def test_starlette_sends_its_files_by_path(server: ServerProcess, file: Path) -> None:
    with server.client() as client:
        response = client.get("/starlette", params={"path": str(file)})
        assert hashlib.sha256(response.content).digest() == hashlib.sha256(file.read_bytes()).digest()
        assert response.headers["etag"]
        part = client.get("/starlette", params={"path": str(file)}, headers={"range": "bytes=5-9"})
        assert (part.status_code, part.content) == (206, file.read_bytes()[5:10])
        assert "http.response.pathsend" in client.get("/offers").json()[1]


def test_curl_gets_the_file(server: ServerProcess, file: Path, tmp_path: Path) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    copy = tmp_path / "copy"
    subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "-o", copy, f"{server.base_url}/path?path={file}"], check=True, timeout=60
    )
    assert copy.read_bytes() == file.read_bytes()


def test_aiohttp_understands_files_hints_and_trailers(server: ServerProcess, file: Path) -> None:
    async def talk() -> tuple[bytes, bytes, bytes]:
        async with aiohttp.ClientSession(server.base_url) as session:
            async with session.get("/path", params={"path": str(file)}) as response:
                path = await response.read()
            async with session.get("/hints", headers={"TE": "trailers"}) as response:
                hints = await response.read()
            async with session.get("/pipe", params={"path": str(file)}) as response:
                pipe = await response.read()
        return path, hints, pipe

    assert asyncio.run(talk()) == (file.read_bytes(), b"hello", file.read_bytes())


def test_requests_understands_them_too(server: ServerProcess, file: Path) -> None:
    requests = pytest.importorskip("requests")
    with requests.Session() as session:
        session.trust_env = False
        for path in ("/path", "/pipe"):
            response = session.get(server.base_url + path, params={"path": str(file)}, timeout=PATIENCE)
            assert response.content == file.read_bytes()


@pytest.mark.parametrize("part", [(0, None, None), (3, None, None), (0, 7, None), (0, 0, 8), (2, 11, 900_000)])
def test_a_descriptor_is_sent_between_other_pieces(
    server: ServerProcess, file: Path, part: tuple[int, int | None, int | None]
) -> None:
    skip, offset, count = part
    query = {"path": str(file), "skip": skip, "offset": offset, "count": count}
    data = file.read_bytes()
    begin = skip if offset is None else offset
    wanted = data[begin:] if count is None else data[begin : begin + count]
    with server.client() as client:
        for _ in range(2):
            response = client.get("/descriptor", params={k: v for k, v in query.items() if v is not None})
            assert response.headers["transfer-encoding"] == "chunked"
            rest = data[len(data) :] if offset is None else data[skip : skip + 5]
            assert response.content == b"before" + wanted + b"after" + rest


def test_a_pipe_is_sent_as_it_fills(server: ServerProcess, file: Path) -> None:
    with server.client() as client:
        for _ in range(2):
            assert client.get("/pipe", params={"path": str(file)}).content == file.read_bytes()


def test_a_client_that_leaves_in_the_middle_of_a_file_harms_nobody(server: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "big"
    with path.open("wb") as big:
        big.truncate(200 << 20)
    for _ in range(3):
        with server.wire() as wire:
            wire.send(f"GET /path?path={path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert wire.head().header("content-length") == str(200 << 20)
    with server.client() as client:
        assert client.get("/offers").status_code == 200
    assert "exception in the application" not in server.log.partition(str(path))[2]


def test_a_file_that_becomes_shorter_cuts_the_connection(server: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "big"
    with path.open("wb") as big:
        big.truncate(50 << 20)
    with server.wire() as wire:
        wire.send(f"GET /path?path={path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        wire.head()
        os.truncate(path, 0)
        assert len(wire.rest()) < 50 << 20


# The others


def test_hints_before_and_after_the_start_and_trailers(server: ServerProcess) -> None:
    with server.wire() as wire:
        wire.send(b"GET /hints HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
        hints = [wire.head(), wire.head()]
        assert [hint.header("link") for hint in hints] == ["</a.css>; rel=preload", "</b.css>; rel=preload"]
        assert {hint.status for hint in hints} == {103}
        assert wire.head().header("transfer-encoding") == "chunked"
        assert wire.chunk() == b"hello"
        tail = b"0\r\nx-sum: 42\r\n\r\n"
        assert wire._exactly(len(tail)) == tail
        assert wire.get("/offers").status == 200


def test_a_client_that_wants_no_trailers_gets_none(server: ServerProcess) -> None:
    connection = http.client.HTTPConnection(*server.address, timeout=PATIENCE)
    try:
        connection.request("GET", "/offers")
        assert "http.response.trailers" not in json.loads(connection.getresponse().read())[0]
    finally:
        connection.close()


def test_debug_information_is_a_line_in_a_log_that_wants_it(serve: Serve) -> None:
    server = serve("extended:app", *ANY_PORT, "--log-level", "debug", quiet=False)
    server.get("/debug")
    server.wait_log("index.html")


def test_debug_information_is_not_offered_otherwise(server: ServerProcess) -> None:
    offered = server.get("/offers").json()[0]
    assert offered == {
        "http.response.early_hint": {},
        "http.response.pathsend": {},
        "http.response.zerocopysend": {},
    }
    with server.wire() as wire:
        old = json.loads(wire.send(b"GET /offers HTTP/1.0\r\n\r\n").response().body)[0]
    assert old == {"http.response.pathsend": {}, "http.response.zerocopysend": {}}


# TLS


def offered(server: ServerProcess, context: ssl.SSLContext) -> dict[str, Any]:
    with server.client(verify=context) as client:
        first, second = client.get("/offers").json()[0], client.get("/offers").json()[0]
    assert first == second
    return first["tls"]  # type: ignore[no-any-return]


def test_files_go_through_tls(encrypted: ServerProcess, certificates: Certificates, file: Path) -> None:
    with encrypted.client(verify=certificates.context()) as client:
        for path in ("/path", "/starlette", "/pipe"):
            assert client.get(path, params={"path": str(file)}).content == file.read_bytes()
        response = client.get("/descriptor", params={"path": str(file), "offset": 1})
        assert response.content[:-10] == b"before" + file.read_bytes()[1:]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_application_learns_version_cipher_and_our_certificate(
    encrypted: ServerProcess, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    context = certificates.context()
    context.minimum_version = context.maximum_version = version
    tls = offered(encrypted, context)
    assert tls["tls_version"] == {ssl.TLSVersion.TLSv1_2: 0x0303, ssl.TLSVersion.TLSv1_3: 0x0304}[version]
    assert 0 < tls["cipher_suite"] < 0x10000
    if version is ssl.TLSVersion.TLSv1_3:
        assert 0x1301 <= tls["cipher_suite"] <= 0x1305
    leaf = certificates.cert.read_text().partition("-----END")[0]
    assert tls["server_cert"].partition("-----END")[0].split() == leaf.split()
    assert (tls["client_cert_chain"], tls["client_cert_name"], tls["client_cert_error"]) == ([], None, None)


def test_the_application_learns_who_the_client_is(encrypted: ServerProcess, certificates: Certificates) -> None:
    context = certificates.context()
    context.load_cert_chain(str(certificates.client))
    tls = offered(encrypted, context)
    own = ssl.PEM_cert_to_DER_cert(tls["client_cert_chain"][0])
    text = certificates.client.read_text()
    assert own == ssl.PEM_cert_to_DER_cert(
        text[text.index("-----BEGIN CERT") : text.index("-----END CERT") + 25] + "\n"
    )
    assert tls["client_cert_name"].startswith(("O=", "CN=", "OU="))
    assert tls["client_cert_error"] is None


def test_http_1_1_without_tls_says_nothing_of_it(server: ServerProcess) -> None:
    assert "tls" not in fetch(f"{server.base_url}/offers").json()[0]


def test_half_a_download_over_tls_can_be_left(
    encrypted: ServerProcess, certificates: Certificates, tmp_path: Path
) -> None:
    path = tmp_path / "big"
    with path.open("wb") as big:
        big.truncate(100 << 20)
    with encrypted.wire() as plain:
        plain.socket.settimeout(PATIENCE)
        with certificates.context().wrap_socket(plain.socket, server_hostname="localhost") as sock:
            wire = Wire(sock)
            wire.send(f"GET /path?path={path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert wire.head().status == 200
    with encrypted.client(verify=certificates.context()) as client:
        assert client.get("/offers").status_code == 200
