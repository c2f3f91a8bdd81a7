"""Real clients, each at its own pace and under pressure: thousands of requests, none of which may fail.

Kept connections are counted where the client tells, so that a server that closes too early is seen even by a client
that would quietly connect again.
"""

from __future__ import annotations

import asyncio
import http.client
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests
import urllib3

from tests.benchmarks import wrk

from .server_process import PATIENCE, ServerProcess

pytestmark = pytest.mark.process

ENGINES = [("httptools", "uvloop"), ("h11", "asyncio")]
THREADS = 4
TIMES = 100
"""Requests of each thread."""
BODY = bytes(range(256)) * 40


@pytest.fixture(scope="module", params=ENGINES, ids="-".join)
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    http_, loop = request.param
    arguments = ("plain:app", "-w", "2", "--bind", "127.0.0.1:0", "--http", http_, "--loop", loop, "--no-access-log")
    with ServerProcess(*arguments) as server:
        yield server


def tool(name: str) -> str:
    return shutil.which(name) or pytest.skip(f"{name} is not installed")


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def in_threads(once: Callable[[int], None]) -> None:
    """Every number of ``THREADS * TIMES``, from a few threads at once."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(once, range(THREADS * TIMES)))


# Libraries


def test_requests_keeps_its_connections(server: ServerProcess) -> None:
    url = server.base_url
    with requests.Session() as session:
        session.trust_env = False

        def once(number: int) -> None:
            assert session.post(f"{url}/echo?{number}", data=BODY, timeout=PATIENCE).content == BODY
            with session.get(f"{url}/stream", timeout=PATIENCE, stream=True) as response:
                assert b"".join(response.iter_content(3)) == b"firstsecond"

        in_threads(once)
        (pool,) = session.get_adapter(url).poolmanager.pools._container.values()
        assert pool.num_connections <= THREADS


def test_urllib3_keeps_its_connections_and_retries_nothing(server: ServerProcess) -> None:
    with urllib3.HTTPConnectionPool("127.0.0.1", server.port, maxsize=THREADS, block=True, timeout=PATIENCE) as pool:

        def once(number: int) -> None:
            chunked = iter([BODY[:7], BODY[7:]])
            response = pool.request("POST", "/echo", body=chunked, retries=False, chunked=True)
            assert response.data == BODY
            assert pool.request("HEAD", f"/{'' if number % 2 else 'missing'}", retries=False).data == b""

        in_threads(once)
        assert pool.num_connections <= THREADS


def test_http_client_uses_one_connection_throughout(server: ServerProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    try:
        connection.connect()
        own = connection.sock.getsockname()
        for number in range(500):
            method, path = ("POST", "/unread") if number % 3 == 0 else ("GET", "/")
            connection.request(method, path, body=BODY if method == "POST" else None)
            response = connection.getresponse()
            response.read()
            assert response.status == (403 if method == "POST" else 200)
            assert connection.sock.getsockname() == own
    finally:
        connection.close()


def test_httpx_in_threads(server: ServerProcess) -> None:
    with server.client(limits=httpx.Limits(max_connections=THREADS)) as client:

        def once(number: int) -> None:
            assert client.post("/echo", content=BODY).content == BODY

        in_threads(once)


def test_aiohttp_with_many_requests_at_once(server: ServerProcess) -> None:
    async def talk() -> None:
        connector = aiohttp.TCPConnector(limit=50)
        async with aiohttp.ClientSession(server.base_url, connector=connector) as session:

            async def once(number: int) -> None:
                async with session.post("/echo", data=BODY) as response:
                    assert await response.read() == BODY

            await asyncio.gather(*map(once, range(1000)))

    asyncio.run(talk())


# Programs


def test_curl_uses_one_connection_throughout(server: ServerProcess, tmp_path: Path) -> None:
    curl = tool("curl")
    facts = ("-o", str(tmp_path / "body"), "-w", "%{http_code} %{num_connects}\n")
    lines = run(curl, "-q", "-sS", "--noproxy", "*", *facts, f"{server.base_url}/?[1-200]").splitlines()
    assert lines == ["200 1"] + ["200 0"] * 199


def test_curl_with_many_at_once(server: ServerProcess, tmp_path: Path) -> None:
    curl = tool("curl")
    (tmp_path / "body").write_bytes(BODY)
    upload = ("--data-binary", f"@{tmp_path / 'body'}", "-H", "Expect: 100-continue")
    parallel = ("--parallel", "--parallel-max", "20", "--fail")
    told = run(
        curl,
        "-q",
        "-sS",
        "--noproxy",
        "*",
        *parallel,
        *upload,
        f"{server.base_url}/echo?[1-300]",
        "-o",
        str(tmp_path / "#1"),
    )
    assert told == ""
    assert all((tmp_path / str(number)).read_bytes() == BODY for number in range(1, 301))


def test_wrk_with_kept_connections(server: ServerProcess) -> None:
    tool("wrk")
    script = ("-s", str(wrk.SCRIPT), f"{server.base_url}/", "--", "GET", "0", "1")
    figures = wrk.figures(run("wrk", "-t1", "-c64", "-d1s", *script))
    assert (figures.errors, figures.statuses) == (0, 0)
    assert figures.requests > 500


@pytest.mark.parametrize(("method", "size"), [("GET", "0"), ("POST", "3000")])
def test_wrk_with_pipelining(server: ServerProcess, method: str, size: str) -> None:
    tool("wrk")
    script = ("-s", str(wrk.SCRIPT), f"{server.base_url}/echo", "--", method, size, "25")
    figures = wrk.figures(run("wrk", "-t1", "-c32", "-d1s", *script))
    assert (figures.errors, figures.statuses) == (0, 0)
    assert figures.requests > 500


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "closed"])
def test_ab_speaks_http_1_0(server: ServerProcess, tmp_path: Path, keep: bool) -> None:
    """A kept connection of HTTP/1.0 is asked for by each request, and granted by each answer."""
    (tmp_path / "body").write_bytes(BODY)
    post = ("-p", str(tmp_path / "body"), "-T", "application/octet-stream", f"{server.base_url}/echo")
    told = run(tool("ab"), "-q", "-n", "2000", "-c", "32", *(["-k"] if keep else []), *post)
    figures = {name: int(value) for name, value in re.findall(r"^([\w-]+ [\w-]+): +(\d+)$", told, re.MULTILINE)}
    assert (figures["Complete requests"], figures["Failed requests"]) == (2000, 0)
    assert figures.get("Keep-Alive requests", 0) == (2000 if keep else 0)
    assert "Non-2xx responses" not in told
