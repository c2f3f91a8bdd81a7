"""Programs that run the server themselves: uvicorn's examples word for word, and servers inside this very process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

import asgi_arbiter
from asgi_arbiter import Config, Server
from asgi_arbiter.config import BindError
from tests.logging_support import untouched

from .server_process import EXAMPLES, PATIENCE, clean_environment, eventually, fetch, free_port

# --- scripts ------------------------------------------------------------------------------------------------------------

APP = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
# "Running programmatically" of uvicorn's manual, with the one word changed and the application filled in.
RUN = """
import asgi_arbiter
APP
if __name__ == "__main__":
    asgi_arbiter.run("main:app", port=5000, log_level="info")
"""
CONFIG_AND_SERVER = """
import asgi_arbiter
APP
if __name__ == "__main__":
    config = asgi_arbiter.Config("main:app", port=5000, log_level="info")
    server = asgi_arbiter.Server(config)
    server.run()
"""
SERVE = """
import asyncio
import asgi_arbiter
APP
async def main():
    config = asgi_arbiter.Config("main:app", port=5000, log_level="info")
    server = asgi_arbiter.Server(config)
    await server.serve()

if __name__ == "__main__":
    asyncio.run(main())
"""
UNGUARDED = """
import asgi_arbiter
APP
asgi_arbiter.run("main:app", port=5000, OPTIONS)
print(f"{__name__} goes on", flush=True)
"""


class Script:
    """A running ``python main.py``. It is killed with its children at the end."""

    def __init__(self, folder: Path, text: str, cwd: Path | None = None) -> None:
        self.port = free_port()
        (folder / "main.py").write_text(text.replace("APP", APP, 1).replace("port=5000", f"port={self.port}"))
        self.folder = folder
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(folder / "main.py")],
                cwd=cwd or folder,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def get(self) -> str:
        """The answer, as soon as there is one."""

        def answer() -> str:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}\n{self.log}"
            with contextlib.suppress(httpx.TransportError):
                return fetch(f"http://127.0.0.1:{self.port}").text
            return ""

        return eventually(answer, "an answer")

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Callable[..., Script]]:
    started: list[Script] = []

    def start(text: str, **options: Any) -> Script:
        started.append(Script(tmp_path, text, **options))
        return started[-1]

    yield start
    for each in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(each.process.pid, signal.SIGKILL)
        each.process.wait()


@pytest.mark.process
@pytest.mark.parametrize(
    ("text", "after_ctrl_c"),
    # asyncio.run and Server.run let the KeyboardInterrupt out, which ends Python as Ctrl-C always does.
    [(RUN, 0), (CONFIG_AND_SERVER, -signal.SIGINT), (SERVE, -signal.SIGINT)],
    ids=["run", "Config and Server", "serve"],
)
def test_uvicorn_s_examples_run_word_for_word(script: Callable[..., Script], text: str, after_ctrl_c: int) -> None:
    interrupted = script(text)
    assert interrupted.get() == "ok"
    assert f"http://127.0.0.1:{interrupted.port}" in interrupted.log
    assert interrupted.end(signal.SIGINT) == after_ctrl_c
    terminated = script(text)
    assert terminated.get() == "ok"
    assert terminated.end(signal.SIGTERM) == -signal.SIGTERM
    assert "shutting down" in terminated.log
    assert "Traceback" not in terminated.log


@pytest.mark.process
@pytest.mark.parametrize("options", ["", "workers=2", "reload=True"])
def test_a_script_needs_no_guard(script: Callable[..., Script], options: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    running = script(UNGUARDED.replace("OPTIONS", options), cwd=tmp_path / "elsewhere")
    assert running.get() == "ok"
    assert running.end(signal.SIGINT) == 0
    assert running.log.count("__main__ goes on") == 1
    assert "main goes on" in running.log
    assert "Traceback" not in running.log


@pytest.mark.process
def test_a_reload_of_workers_has_the_program_s_own_settings(script: Callable[..., Script]) -> None:
    running = script(RUN.replace('log_level="info"', 'workers=2, headers=[("x-mine", "1")], settle_time=0.1'))
    running.get()
    running.process.send_signal(signal.SIGHUP)
    eventually(lambda: "reload promoted" in running.log, "the reload is promoted")
    response = fetch(f"http://127.0.0.1:{running.port}")
    assert response.headers["x-mine"] == "1"
    assert running.end(signal.SIGTERM) == 0


@pytest.mark.process
@pytest.mark.parametrize("options", ["", ", workers=2"])
@pytest.mark.parametrize(
    ("target", "reason"), [('"nowhere:app"', 'no module "nowhere"'), ('"main:app", host="192.0.2.1"', "cannot listen")]
)
def test_a_start_that_fails_ends_the_script_with_3(
    script: Callable[..., Script], options: str, target: str, reason: str
) -> None:
    failing = script(RUN.replace('"main:app"', target + options))
    assert failing.process.wait(PATIENCE) == 3
    assert reason in failing.log
    assert "Traceback" not in failing.log


@pytest.mark.process
def test_the_example_runs(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, str(EXAMPLES / "embedded.py")],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        try:
            address = re.search(r"http://\S+", program.stdout.readline())
            assert address
            assert fetch(address[0]).text.endswith(" rounds\n")
            program.send_signal(signal.SIGINT)
            assert program.wait(PATIENCE) == 0
            assert program.stderr.read() == ""
        finally:
            program.kill()


LOGGING = """
import asgi_arbiter
APP
LINE
"""


@pytest.mark.process
@pytest.mark.parametrize("options", ["", ", workers=2"])
@pytest.mark.parametrize("way", ["passed", "changed"])
def test_uvicorn_s_way_to_change_the_look_of_log_lines_works(
    script: Callable[..., Script], options: str, way: str
) -> None:
    change = """
log_config = asgi_arbiter.config.LOGGING_CONFIG
log_config["formatters"]["access"]["fmt"] = "access %(levelprefix)s %(client_addr)s %(request_line)s %(status_code)s"
log_config["formatters"]["default"]["fmt"] = "server %(message)s"
"""
    given = ", log_config=log_config" if way == "passed" else ""
    running = script(LOGGING.replace("LINE", f'{change}asgi_arbiter.run("main:app", port=5000{given}{options})'))
    running.get()
    assert running.end(signal.SIGINT) == 0
    assert re.search(r"^access INFO:     127\.0\.0\.1:\d+ GET / HTTP/1\.1 200 OK$", running.log, re.MULTILINE)
    lines = running.log.splitlines()
    assert {line.split()[0] for line in lines} == {"access", "server"}, running.log
    assert len(lines) == len(set(lines))


@pytest.mark.process
def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import asgi_arbiter; print(sorted(set(sys.modules) - before))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/").stdout
    assert out == "['asgi_arbiter']\n"


# --- within this process ------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    with untouched():
        yield


async def app(scope: Any, receive: Any, send: Any) -> None:
    """``/`` answers, ``/slow`` begins an answer and never ends it."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    slow = scope["path"] == "/slow"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["scheme"].encode(), "more_body": slow})
    if slow:
        await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def running(target: Any = app, *, sockets: list[socket.socket] | None = None, **options: Any) -> Any:
    """A server of this loop, from its start to its end."""
    listening = {} if {"port", "uds", "fd", "bind"} & set(options) or sockets else {"port": 0}
    server = Server(Config(target, log_config=None, **listening, **options))
    serving = asyncio.create_task(server.serve(sockets))
    try:
        await server.wait_started(PATIENCE)
        yield server
    finally:
        server.should_exit = True
        await asyncio.wait_for(serving, PATIENCE)


def client(server: Any, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.addresses[0], trust_env=False, timeout=PATIENCE, **options)


def test_port_0_is_a_free_port_and_the_server_says_which() -> None:
    async def main() -> None:
        async with running() as server, client(server) as http:
            assert server.addresses == (f"http://127.0.0.1:{server.port}",)
            assert server.servers[0].sockets[0].getsockname() == ("127.0.0.1", server.port)
            assert (await http.get("/")).text == "http"
            assert server.snapshot.served == 1
        assert server.servers[0].sockets == ()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)

    asyncio.run(main())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_a_server_in_a_thread_serves_and_stops(loop: str, http: str) -> None:
    server = Server(Config(app, port=0, loop=loop, http=http, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        server.block_until_started(PATIENCE)
        with httpx.Client(base_url=server.addresses[0], trust_env=False, timeout=PATIENCE) as kept_alive:
            assert kept_alive.get("/").text == "http"
            server.should_exit = True  # the idle connection does not hold it up
            thread.join(PATIENCE)
            assert not thread.is_alive()
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


def test_several_servers_live_in_one_loop() -> None:
    async def main() -> None:
        async with running() as one, running(bind=["127.0.0.1:0", "127.0.0.1:0"]) as two:
            assert len({one.port, two.port}) == 2
            for server in (one, two):
                async with client(server) as http:
                    assert (await http.get("/")).text == "http"

    asyncio.run(main())


def test_one_signal_ends_all_servers_of_the_process() -> None:
    heard: list[int] = []

    async def main() -> None:
        async with running() as one, running() as two:
            os.kill(os.getpid(), signal.SIGTERM)
            while not (one.should_exit and two.should_exit):
                await asyncio.sleep(0.01)

    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        asyncio.run(main())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_sockets_of_the_program_are_served_and_closed_at_the_end() -> None:
    async def main() -> None:
        made = socket.socket()
        made.bind(("127.0.0.1", 0))
        bound = Config(app, port=0, log_config=None).bind_socket()
        async with running(sockets=[made, bound]) as server:
            assert server.port == made.getsockname()[1]
            for address in server.addresses:
                async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=PATIENCE) as http:
                    assert (await http.get("/")).text == "http"
        assert made.fileno() == bound.fileno() == -1

    asyncio.run(main())


def test_a_descriptor_stays_the_program_s() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as made:
            async with running(fd=made.fileno()) as server, client(server) as http:
                assert (await http.get("/")).text == "http"
            assert made.getsockname()[1] == server.port

    asyncio.run(main())
    with pytest.raises(BindError, match="is not open in this process"):
        asyncio.run(Server(Config(app, fd=987, log_config=None)).serve())


def test_a_unix_socket_is_removed_at_the_end(short_path: Path) -> None:
    path = short_path / "app.sock"

    async def main() -> None:
        async with running(uds=path) as server:
            assert server.addresses == (f"unix:{path}",)
            assert server.port is None
            transport = httpx.AsyncHTTPTransport(uds=str(path))
            async with httpx.AsyncClient(transport=transport, base_url="http://server", timeout=PATIENCE) as http:
                assert (await http.get("/")).text == "http"

    asyncio.run(main())
    assert not path.exists()


def test_tls_by_files_by_a_function_and_by_a_context(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    def factory(config: Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = default()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    async def check(server: Any) -> None:
        assert server.addresses[0].startswith("https://")
        async with client(server, verify=trusting) as http:
            assert (await http.get("/")).text == "https"

    async def main() -> None:
        pem = tmp_path / "server.pem"
        async with running(ssl_certfile=pem) as server:
            await check(server)
        async with running(ssl_certfile=pem, ssl_context_factory=factory) as server:
            await check(server)
        config = Config(app, port=0, log_config=None)
        config.load()
        config.ssl = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(config.ssl)
        server = Server(config)
        serving = asyncio.create_task(server.serve())
        await server.wait_started(PATIENCE)
        await check(server)
        server.should_exit = True
        await serving

    asyncio.run(main())


def test_limit_max_requests_ends_the_server() -> None:
    async def main() -> None:
        server = Server(Config(app, port=0, limit_max_requests=2, log_config=None))
        serving = asyncio.create_task(server.serve())
        await server.wait_started(PATIENCE)
        async with client(server) as http:
            for _ in range(2):
                assert (await http.get("/")).text == "http"
            await asyncio.wait_for(serving, PATIENCE)
        assert server.should_exit

    asyncio.run(main())


@pytest.mark.parametrize("how", ["timeout_graceful_shutdown", "force_exit"])
def test_a_request_without_an_end_does_not_hold_up_the_shutdown(how: str) -> None:
    async def main() -> None:
        timeout = 0 if how == "timeout_graceful_shutdown" else 600
        async with running(timeout_graceful_shutdown=timeout) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
            await reader.readuntil(b"http")
            server.force_exit = how == "force_exit"
            server.should_exit = True
            with contextlib.suppress(ConnectionResetError):  # cut, in one way or another
                await asyncio.wait_for(reader.read(), PATIENCE)
            writer.close()

    asyncio.run(main())


def test_a_port_that_is_taken_is_an_error_of_serve() -> None:
    async def main() -> None:
        async with running() as server:
            with pytest.raises(BindError, match=f"127.0.0.1:{server.port}"):
                await Server(Config(app, port=server.port, log_config=None)).serve()

    asyncio.run(main())


def test_the_habit_of_a_server_in_a_thread_of_a_context_manager_works() -> None:
    class ThreadedServer(asgi_arbiter.Server):
        def install_signal_handlers(self) -> None:
            pass

        @contextlib.contextmanager
        def run_in_thread(self) -> Iterator[None]:
            thread = threading.Thread(target=self.run)
            thread.start()
            try:
                while not self.started:
                    assert thread.is_alive()
                yield
            finally:
                self.should_exit = True
                thread.join()

    server = ThreadedServer(asgi_arbiter.Config(app, port=0, log_config=None))
    with server.run_in_thread():
        port = server.servers[0].sockets[0].getsockname()[1]
        assert fetch(f"http://127.0.0.1:{port}").text == "http"


def test_the_lines_of_a_server_go_where_its_config_says(capfd: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        server = Server(Config(app, port=0))
        serving = asyncio.create_task(server.serve())
        await server.wait_started(PATIENCE)
        async with client(server) as http:
            await http.get("/")
        server.should_exit = True
        await serving

    asyncio.run(main())
    out, err = capfd.readouterr()
    assert '"GET / HTTP/1.1" 200' in out
    assert "serves on http://127.0.0.1:" in err
