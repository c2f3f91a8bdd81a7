"""WebSockets through the whole server, with clients that others wrote: ``websockets``, aiohttp, wsproto, Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from wsproto import ConnectionType, WSConnection
from wsproto import events as happened

from .server_process import EXAMPLES, PATIENCE, ServerProcess, eventually, fetch

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
implementations = pytest.mark.parametrize("ws", ["websockets", "wsproto"])

ECHO = """
async def app(scope, receive, send):
    if scope["type"] != "websocket":
        raise NotImplementedError
    await receive()
    if scope["path"] == "/crash":
        await send({"type": "websocket.accept"})
        raise RuntimeError("as asked")
    if scope["path"] == "/refuse":
        await send({"type": "websocket.http.response.start", "status": 402, "headers": [(b"x-price", b"5")]})
        await send({"type": "websocket.http.response.body", "body": b"pay first"})
        return
    chosen = scope["subprotocols"][-1] if scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": chosen, "headers": [(b"x-test", b"yes")]})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
    print("disconnect", message["code"], repr(message["reason"]), flush=True)
"""
TALKER = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    sent = 0
    try:
        while True:
            await send({"type": "websocket.send", "bytes": bytes(65536)})
            sent += 1
    except OSError as error:
        told = await receive()
        print(f"ended after {sent} messages: {type(error).__name__}, then {told['code']}", flush=True)
"""
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
MESSAGES = ["hello", "", "é" * 100, b"\x00\xff" * 50, "x" * 100_000, bytes(300_000)]


@pytest.fixture
def echo(serve: Serve, project: Callable[..., Path]) -> Callable[..., ServerProcess]:
    folder = project(echo=ECHO)

    def start(*arguments: str, **options: Any) -> ServerProcess:
        return serve("echo:app", "--bind", "127.0.0.1:0", *arguments, cwd=folder, **options)

    return start


def address(server: ServerProcess, path: str = "/", scheme: str = "ws") -> str:
    return f"{scheme}://127.0.0.1:{server.port}{path}"


def closed(client: ClientConnection) -> tuple[int, str]:
    """Reads to the end; the code and reason of the close frame."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            client.recv(timeout=PATIENCE)
    assert caught.value.rcvd is not None, "no close frame came"
    return caught.value.rcvd.code, caught.value.rcvd.reason


@implementations
@pytest.mark.parametrize("compression", ["deflate", None])
def test_the_client_of_websockets(echo: Any, ws: str, compression: Any) -> None:
    server = echo("--ws", ws)
    with connect(address(server), compression=compression, subprotocols=["v1", "v2"], max_size=None) as client:  # type: ignore[list-item]
        assert client.subprotocol == "v2"
        assert client.response is not None and client.response.headers["x-test"] == "yes"
        for message in MESSAGES:
            client.send(message)
            assert client.recv(timeout=PATIENCE) == message
        client.send(["frag", "ment", "ed"])
        assert client.recv(timeout=PATIENCE) == "fragmented"
        assert client.ping().wait(PATIENCE)
        client.close(3333, "bye")
    server.wait_log(r"disconnect 3333 'bye'")
    server.wait_log(r'"WEBSOCKET /" 101 closed=3333 in=7 out=7')


@implementations
@pytest.mark.parametrize("compress", [0, 15])
def test_the_client_of_aiohttp(echo: Any, ws: str, compress: int) -> None:
    server = echo("--ws", ws)

    async def talk() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(address(server, scheme="http"), compress=compress, autoping=True) as client,
        ):
            for message in MESSAGES:
                await (client.send_str(message) if isinstance(message, str) else client.send_bytes(message))
                assert (await client.receive(PATIENCE)).data == message
            await client.close(code=1000)
            assert client.close_code == 1000

    asyncio.run(talk())


@implementations
@pytest.mark.parametrize("takeover", [True, False])
def test_window_and_takeover_are_as_set_with_both_clients(echo: Any, ws: str, takeover: bool) -> None:
    flag = "--ws-deflate-context-takeover" if takeover else "--no-ws-deflate-context-takeover"
    server = echo("--ws", ws, "--ws-deflate-window-bits", "9", flag)
    granted = {"server_max_window_bits=9", "client_max_window_bits=9"}
    if not takeover:
        granted |= {"server_no_context_takeover", "client_no_context_takeover"}
    text = "".join(chr(32 + number * number % 90) for number in range(5000))
    with connect(address(server)) as client:
        assert client.response is not None
        name, *parameters = client.response.headers["sec-websocket-extensions"].split("; ")
        assert (name, set(parameters)) == ("permessage-deflate", granted)
        for _ in range(3):
            client.send(text)
            assert client.recv(timeout=PATIENCE) == text

    async def talk() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(address(server, scheme="http"), compress=12) as client,
        ):
            assert client.compress == 9
            assert client.client_notakeover is not takeover
            for _ in range(3):
                await client.send_str(text)
                assert (await client.receive(PATIENCE)).data == text

    asyncio.run(talk())


@implementations
def test_a_client_that_stops_reading_is_cut_after_the_write_timeout(
    serve: Serve, project: Callable[..., Path], ws: str
) -> None:
    folder = project(talker=TALKER)
    server = serve(
        *("talker:app", "--bind", "127.0.0.1:0", "--ws", ws, "--write-timeout", "1", "--ws-ping-interval", "0"),
        cwd=folder,
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as wire:
        wire.sendall(HANDSHAKE)
        server.wait_log("client takes nothing")
        server.wait_log(r"ended after \d+ messages: ClientDisconnected, then 1006")
        with pytest.raises(ConnectionResetError):
            while wire.recv(65536):
                pass


@implementations
def test_a_client_over_wsproto(echo: Any, ws: str) -> None:
    server = echo("--ws", ws)
    machine = WSConnection(ConnectionType.CLIENT)
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as wire:

        def events() -> Iterator[Any]:
            while True:
                yield from machine.events()
                data = wire.recv(65536)
                machine.receive_data(data or None)

        stream = events()
        wire.sendall(machine.send(happened.Request(host="127.0.0.1", target="/")))
        assert isinstance(next(stream), happened.AcceptConnection)
        for data in ("hello", "y" * 5000):
            wire.sendall(machine.send(happened.TextMessage(data=data)))
            heard = ""
            while len(heard) < len(data):
                heard += next(stream).data
            assert heard == data
        wire.sendall(machine.send(happened.Ping(payload=b"p")))
        assert next(stream) == happened.Pong(payload=b"p")
        wire.sendall(machine.send(happened.CloseConnection(code=1000)))
        assert next(stream).code == 1000


@implementations
def test_a_refusal_of_the_application_reaches_the_client(echo: Any, ws: str) -> None:
    server = echo("--ws", ws)
    with pytest.raises(InvalidStatus) as caught:
        connect(address(server, "/refuse"))
    answer = caught.value.response
    assert (answer.status_code, answer.headers["x-price"], bytes(answer.body)) == (402, "5", b"pay first")


@implementations
def test_a_crash_is_told_with_1011(echo: Any, ws: str) -> None:
    server = echo("--ws", ws, quiet=False)
    with connect(address(server, "/crash")) as client:
        assert closed(client) == (1011, "")
    server.wait_log("RuntimeError: as asked")


@implementations
def test_a_message_over_the_limit_is_told_with_1009_even_while_it_is_sent(echo: Any, ws: str) -> None:
    server = echo("--ws", ws, "--ws-max-size", "1000")
    for compression in (None, "deflate"):
        with connect(address(server), compression=compression) as client:
            with contextlib.suppress(ConnectionClosed):
                client.send(bytes(5_000_000))
            assert closed(client)[0] == 1009


def test_another_version_is_answered_with_426_and_ours(echo: Any) -> None:
    server = echo()
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "8",
    }
    answer = server.get(headers=headers)
    assert (answer.status_code, answer.headers["sec-websocket-version"]) == (426, "13")


def test_over_tls_a_broken_frame_is_told_too(echo: Any, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    server = echo("--certfile", str(tmp_path / "server.pem"), "--ws-max-size", "1000000")
    with connect(address(server, scheme="wss"), ssl=trusting, max_size=None) as client:
        client.send("x" * 500_000)
        assert client.recv(timeout=PATIENCE) == "x" * 500_000
        with contextlib.suppress(ConnectionClosed):
            client.send(bytes(5_000_000))
        assert closed(client)[0] == 1009


@implementations
def test_a_client_that_floods_is_paused_and_loses_nothing(echo: Any, ws: str) -> None:
    server = echo("--ws", ws, "--ws-max-queue", "4")

    async def talk() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(address(server, scheme="http"), max_msg_size=0) as client,
        ):

            async def flood() -> None:
                for number in range(20_000):
                    await client.send_str(f"{number} " + "z" * 100)

            sending = asyncio.create_task(flood())
            for number in range(20_000):
                heard = await client.receive(PATIENCE)
                assert heard.data.startswith(f"{number} "), heard
            await sending

    asyncio.run(talk())


def test_a_ping_that_is_not_answered_ends_the_connection(echo: Any) -> None:
    server = echo("--ws-ping-interval", "1", "--ws-ping-timeout", "1")
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as wire:
        wire.sendall(HANDSHAKE)
        heard = b""
        while data := wire.recv(4096):
            heard += data
    frames = heard.partition(b"\r\n\r\n")[2]
    assert frames[:2] == b"\x89\x04"
    assert frames[6:10] == b"\x88\x18\x03\xf3"
    server.wait_log("disconnect 1006 'keepalive ping timeout'")


@implementations
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 1001), (signal.SIGINT, 1001), (signal.SIGHUP, 1012)])
def test_open_sockets_hear_why_the_worker_leaves_and_the_application_too(
    echo: Any, ws: str, number: int, code: int
) -> None:
    server = echo("--ws", ws, "-w", "2")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(address(server))) for _ in range(6)]
        server.signal(number)
        assert {closed(client)[0] for client in clients} == {code}
    server.wait_log(f"disconnect {code}", count=6)


def test_the_chat_of_the_examples_with_four_workers(serve: Serve) -> None:
    server = serve("websocket:app", "-w", "4", "--bind", "127.0.0.1:0", cwd=EXAMPLES)
    assert "<title>Chat</title>" in server.get().text
    with contextlib.ExitStack() as stack:
        rooms: dict[int, list[ClientConnection]] = {}
        for number in range(12):
            client = stack.enter_context(connect(address(server, f"/chat?room=r&name=n{number}")))
            heard = json.loads(client.recv(timeout=PATIENCE))
            rooms.setdefault(heard["worker"], []).append(client)
            assert len(heard["guests"]) == len(rooms[heard["worker"]])
        assert set(rooms) <= set(server.workers())
        speaker, *others = max(rooms.values(), key=len)
        speaker.send("hi")
        for client in (speaker, *others):
            while (heard := json.loads(client.recv(timeout=PATIENCE)))["kind"] != "said":
                pass
            assert heard["text"] == "hi"
    with pytest.raises(InvalidStatus, match="400"):
        connect(address(server, "/chat"))


def test_the_chat_in_a_browser_that_comes_back_after_a_reload(serve: Serve, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on the path")
    server = serve("websocket:app", "--bind", "127.0.0.1:0", cwd=EXAMPLES)
    with subprocess.Popen(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            f"--user-data-dir={tmp_path}",
            "--remote-debugging-port=0",
            f"http://127.0.0.1:{server.port}/?name=browser",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _chat_with_the_browser(server, tmp_path)
        finally:
            process.terminate()


def _chat_with_the_browser(server: ServerProcess, profile: Path) -> None:
    port = eventually(lambda: _debugging_port(profile), "the browser's debugging port", within=3 * PATIENCE)
    with connect(address(server, "/chat?name=watcher")) as watcher:
        _hear(watcher, lambda said: "browser" in said["guests"])
        _type(port, "hello from the browser")
        said = _hear(watcher, lambda said: said["kind"] == "said")
        assert (said["name"], said["text"]) == ("browser", "hello from the browser")
        server.signal(signal.SIGHUP)
        assert closed(watcher)[0] == 1012
    with connect(address(server, "/chat?name=watcher")) as watcher:
        _hear(watcher, lambda said: "browser" in said["guests"])


def _hear(watcher: ClientConnection, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    while True:
        said: dict[str, Any] = json.loads(watcher.recv(timeout=2 * PATIENCE))
        if wanted(said):
            return said


def _debugging_port(profile: Path) -> int:
    with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
        return int((profile / "DevToolsActivePort").read_text().splitlines()[0])
    return 0


def _type(port: int, text: str) -> None:
    """Fills in the form of the page as soon as it is connected, through the browser's debugging protocol."""
    pages = fetch(f"http://127.0.0.1:{port}/json").json()
    page = next(page for page in pages if page["type"] == "page")
    script = f"""new Promise(typed => (function type() {{
        if (socket.readyState !== WebSocket.OPEN) return setTimeout(type, 10);
        document.getElementById("text").value = {json.dumps(text)};
        document.getElementById("form").requestSubmit();
        typed(true);
    }})())"""
    params = {"expression": script, "awaitPromise": True}
    with connect(page["webSocketDebuggerUrl"], max_size=None) as console:
        console.send(json.dumps({"id": 1, "method": "Runtime.evaluate", "params": params}))
        while (answer := json.loads(console.recv(timeout=PATIENCE))).get("id") != 1:
            pass
    assert answer["result"]["result"].get("value") is True, answer
