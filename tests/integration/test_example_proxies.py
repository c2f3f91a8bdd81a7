"""Behind the real nginx and the real HAProxy, with the configurations of the examples: who the client is, which connections
stay open, WebSocket, and that a reload behind them loses nothing."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from asgi_arbiter.config import load
from asgi_arbiter.config.cli import parse

from .proxies import needs
from .server_process import EXAMPLES, PATIENCE, ServerProcess, eventually, free_port

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
SOCKET = "/tmp/asgi-arbiter-example.sock"
"""What the configurations name; each test puts its own in the place."""

APP = """
import json, os
async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        facts = {"client": scope["client"], "scheme": scope["scheme"], "path": scope["path"]}
        await send({"type": "websocket.send", "text": json.dumps(facts)})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})
        return
    if scope["type"] != "http":
        raise NotImplementedError
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message["body"])
        if not message["more_body"]:
            break
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    facts = {
        "client": scope["client"], "scheme": scope["scheme"], "host": headers["host"], "size": size, "worker": os.getpid(),
        "root_path": scope["root_path"], "path": scope["path"], "query": scope["query_string"].decode(),
    }
    body = json.dumps(facts).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""


class Front:
    """A running proxy and the server behind it."""

    def __init__(self, name: str, folder: Path, server: ServerProcess) -> None:
        self.server = server
        self.port = free_port()
        text = (EXAMPLES / ("nginx.conf" if name == "nginx" else "haproxy.cfg")).read_text()
        assert text.count(SOCKET) >= 2
        text = re.sub(r"127\.0\.0\.1:808\d(?=;|$)", f"127.0.0.1:{self.port}", text, flags=re.MULTILINE)
        settings = folder / name
        temporary = "".join(f"{what}_temp_path {folder}/{what};" for what in ("client_body", "proxy"))
        text = re.sub(
            "^http {", "http { " + temporary, text, flags=re.MULTILINE
        )  # not everybody may write to nginx's own
        settings.write_text(text.replace(SOCKET, str(folder / "app.sock")))
        commands = {
            "nginx": [needs(name), "-e", "stderr", "-c", str(settings), "-g", f"daemon off; pid {folder}/nginx.pid;"],
            "haproxy": [needs(name), "-db", "-f", str(settings)],
        }
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(commands[name], stdout=log, stderr=log, cwd=folder)
        eventually(self.answers, "the proxy answers")

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.get("/").status_code == 200
        except httpx.TransportError:
            return False

    def get(self, path: str, **options: object) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
            return client.get(f"http://127.0.0.1:{self.port}{path}", **options)  # type: ignore[arg-type]

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)


@pytest.fixture(params=["nginx", "haproxy"])
def front(request: pytest.FixtureRequest, short_path: Path, serve: Serve) -> Iterator[Front]:
    """The proxy, and two workers behind it; the server ends before its folder goes, hence the order."""
    needs(request.param)
    (short_path / "main.py").write_text(APP)
    short_path.chmod(0o755)  # nginx's workers are not root
    where = ("--bind", f"unix:{short_path}/app.sock", "--forwarded-allow-ips", "unix:")
    server = serve("main:app", "-w", "2", "--settle-time", "0.1", "--log-format", "json", *where, cwd=short_path)
    running = Front(request.param, short_path, server)
    yield running
    running.close()


def test_the_client_is_whom_the_proxy_saw(front: Front) -> None:
    seen = front.get("/a%20b?c=d").json()
    assert seen["client"][0] == "127.0.0.1" and seen["scheme"] == "http"
    assert (seen["path"], seen["query"], seen["host"]) == ("/a b", "c=d", f"127.0.0.1:{front.port}")


def test_what_a_client_says_of_itself_is_not_believed(front: Front) -> None:
    lies = {
        "x-forwarded-for": "6.6.6.6",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "evil.example",
        "x-forwarded-prefix": "/evil",
        "forwarded": "for=6.6.6.6;proto=https;host=evil.example",
    }
    seen = front.get("/", headers=lies).json()
    assert seen["client"][0] == "127.0.0.1" and seen["scheme"] == "http" and seen["root_path"] == ""


def test_bodies_of_either_framing_arrive(front: Front) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{front.port}", trust_env=False, timeout=PATIENCE) as client:
        assert client.post("/", content=b"x" * 300_000).json()["size"] == 300_000
        assert client.post("/", content=iter([b"y" * 50_000] * 3)).json()["size"] == 150_000


def test_a_websocket_goes_through(front: Front) -> None:
    with connect(f"ws://127.0.0.1:{front.port}/chat", open_timeout=PATIENCE) as socket:
        seen = json.loads(socket.recv(PATIENCE))
        assert seen["client"][0] == "127.0.0.1" and seen["scheme"] == "ws" and seen["path"] == "/chat"
        for text in ("hello", "x" * 100_000):
            socket.send(text)
            assert socket.recv(PATIENCE) == text.upper()


def test_a_websocket_is_told_of_a_reload_through_the_proxy(front: Front) -> None:
    with connect(f"ws://127.0.0.1:{front.port}/", open_timeout=PATIENCE) as socket:
        socket.recv(PATIENCE)
        front.server.signal(signal.SIGHUP)
        with pytest.raises(Exception) as closed:
            socket.recv(PATIENCE)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012
    front.server.wait_event("reload_promoted")


def test_no_request_fails_over_a_reload(front: Front) -> None:
    before = set(front.server.workers())
    answers = []
    front.server.signal(signal.SIGHUP)
    with httpx.Client(base_url=f"http://127.0.0.1:{front.port}", trust_env=False, timeout=PATIENCE) as client:
        while not front.server.events("reload_promoted") or len(answers) < 50:
            answers.append(client.get("/"))
        eventually(lambda: not before & set(front.server.workers()), "the old workers leave")
        answers += [client.post("/", content=b"x") for _ in range(20)]  # which no proxy sends twice
    assert {answer.status_code for answer in answers} == {200}
    assert answers[-1].json()["worker"] not in before


def test_the_command_in_the_head_of_the_configuration_is_for_its_socket() -> None:
    for name in ("nginx.conf", "haproxy.cfg"):
        text = (EXAMPLES / name).read_text()
        command = re.search(r"^# +asgi-arbiter (.+)$", text, re.MULTILINE)
        assert command is not None
        config = load(parse(command[1].split()).values, environment={}, directory="/").config
        assert config.bind == (f"unix:{SOCKET}",) and config.forwarded_allow_ips == ("unix:",)
        assert (EXAMPLES / f"{config.app.partition(':')[0]}.py").exists()
