"""Our worker class under a real gunicorn: every promise of gunicorn's worker contract, seen from outside.

The gunicorn is the one of the environment; ``gunicorn_matrix.py`` runs the same tests under each version since 20.1.
Tests marked ``patient`` take several seconds each, since gunicorn's timeouts are whole seconds; they run when
``ASGI_ARBITER_GUNICORN=all`` is set, as the matrix does.
"""

from __future__ import annotations

import collections
import contextlib
import os
import re
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from .server_process import APPS, EXAMPLES, PATIENCE, ServerProcess, eventually, fetch, free_port, run
from .wire import Response, Wire

gunicorn = pytest.importorskip("gunicorn")

pytestmark = pytest.mark.process
patient = pytest.mark.skipif(os.environ.get("ASGI_ARBITER_GUNICORN") != "all", reason="takes several seconds")

Serve = Callable[..., ServerProcess]
VERSION: tuple[int, ...] = gunicorn.version_info
COMMAND = (sys.executable, "-P", "-m", "gunicorn")
CLASS = "asgi_arbiter.gunicorn.ArbiterWorker"

APP = f"""
import asyncio, os, sys, time
sys.path.insert(0, {str(APPS)!r})
import plain

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await asyncio.sleep(float(os.environ.get("SLOW_" + message["type"].split(".")[1].upper(), "0")))
            with open("lives", "a") as lives:
                lives.write(message["type"] + "\\n")
            await send({{"type": message["type"] + ".complete"}})
            if message["type"] == "lifespan.shutdown":
                return
    elif scope["type"] == "websocket":
        await receive()
        await send({{"type": "websocket.accept"}})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    elif scope["path"] == "/block":
        block_the_loop(float(scope["query_string"]))
        await plain.answer(send, b"at last")
    elif scope["path"] == "/loop":
        await plain.answer(send, type(asyncio.get_running_loop()).__module__.encode())
    else:
        await plain.app(scope, receive, send)

def block_the_loop(seconds):
    time.sleep(seconds)

def wsgi(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"from WSGI"]

not_an_application = 7
"""

HOOKS = """
import os
def note(*words):
    with open(HERE + "/hooks", "a") as hooks:
        hooks.write(" ".join(map(str, words)) + "\\n")
def post_worker_init(worker): note("post_worker_init", os.getpid())
def worker_int(worker): note("worker_int", os.getpid())
def worker_abort(worker): note("worker_abort", os.getpid())
def worker_exit(server, worker): note("worker_exit", os.getpid())
"""


class Gunicorn:
    """A gunicorn in a folder of its own, with our worker class and hooks that write what is called."""

    def __init__(self, serve: Serve, folder: Path) -> None:
        self._serve = serve
        self.folder = folder
        (folder / "main.py").write_text(APP)
        self.config = f"HERE = {str(folder)!r}\n{HOOKS}"

    def arguments(
        self, *arguments: str, config: str = "", bind: str = "127.0.0.1:0", app: str = "main:app"
    ) -> list[str]:
        (self.folder / "conf.py").write_text(self.config + config)
        control = ["--no-control-socket"] if VERSION >= (25, 1) else []
        return ["-c", "conf.py", "-k", CLASS, "-b", bind, *control, *arguments, app]

    def start(self, *arguments: str, workers: int = 1, **options: Any) -> ServerProcess:
        words = {key: options.pop(key) for key in ("config", "bind", "app") if key in options}
        options = {"command": COMMAND, "wait": False, "cwd": self.folder, **options}
        server = self._serve(*self.arguments("-w", str(workers), *arguments, **words), **options)
        eventually(lambda: "Worker ready" in server.log or server.process.poll() is not None, f"ready\n{server.log}")
        server.wait_log("Worker ready", count=workers)
        server.addresses()
        return server

    def fail(self, *arguments: str, **words: str) -> Any:
        return run(*self.arguments(*arguments, **words), cwd=self.folder, command=COMMAND)

    def called(self, hook: str) -> list[str]:
        """The arguments with which a hook was noted, one text for each call."""
        file = self.folder / "hooks"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line.partition(" ")[2] for line in lines if line.partition(" ")[0] == hook]

    def lives(self) -> list[str]:
        file = self.folder / "lives"
        return file.read_text().split() if file.exists() else []


@pytest.fixture
def guni(serve: Serve, tmp_path: Path) -> Gunicorn:
    return Gunicorn(serve, tmp_path)


def subclass(**settings: object) -> str:
    """A module whose ``Mine`` is our class with settings of its own."""
    return f"from asgi_arbiter.gunicorn import ArbiterWorker\nclass Mine(ArbiterWorker):\n    CONFIG_KWARGS = {settings!r}\n"


def hang(server: ServerProcess, folder: Path, name: str = "begun") -> socket.socket:
    """A request that never gets its answer; the open connection."""
    connection = socket.create_connection(server.address, timeout=PATIENCE)
    connection.sendall(f"GET /stuck?begun={folder}/{name} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    eventually((folder / name).exists, "the request has begun")
    return connection


def assert_left_in_good_order(server: ServerProcess, pids: list[int], guni: Gunicorn) -> None:
    assert sorted(guni.called("worker_exit")) == sorted(map(str, pids))
    assert_nobody_was_killed(server)


def assert_nobody_was_killed(server: ServerProcess) -> None:
    assert not re.search(r"was sent SIG|terminated due to signal|exited with code|WORKER TIMEOUT", server.log), (
        server.log
    )


# Serving


def test_requests_are_served_and_term_ends_everything_in_good_order(guni: Gunicorn) -> None:
    server = guni.start(workers=2)
    workers = server.workers()
    assert int(server.get().text) in workers
    assert sorted(guni.called("post_worker_init")) == sorted(map(str, workers))
    assert guni.lives() == ["lifespan.startup"] * 2
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert guni.lives()[2:] == ["lifespan.shutdown"] * 2
    assert_left_in_good_order(server, workers, guni)


def test_the_example_runs_as_its_head_says(serve: Serve) -> None:
    control = ["--no-control-socket"] if VERSION >= (25, 1) else []
    arguments = ("-c", str(EXAMPLES / "gunicorn_worker_conf.py"), "-b", "127.0.0.1:0", *control)
    server = serve(*arguments, command=COMMAND, wait=False)
    server.wait_log("Worker ready", count=2)
    assert server.get().status_code == 200
    server.wait_log(r'127\.0\.0\.1 "GET / HTTP/1\.1" 200 \d+ bytes \d+ ms')


def test_the_h11_class_is_pure_python(guni: Gunicorn) -> None:
    server = guni.start("-k", "asgi_arbiter.gunicorn.ArbiterH11Worker")
    assert server.get("/loop").text.startswith("asyncio")


def test_a_subclass_may_choose_any_setting_of_ours(guni: Gunicorn) -> None:
    (guni.folder / "mine.py").write_text(subclass(loop="asyncio", timeout_keep_alive=7, lifespan="off"))
    server = guni.start("-k", "mine.Mine")
    assert server.get("/loop").text.startswith("asyncio")
    assert guni.lives() == []


def test_wsgi_applications_are_served_too(guni: Gunicorn) -> None:
    pytest.importorskip("a2wsgi")
    (guni.folder / "mine.py").write_text(subclass(interface="wsgi"))
    assert guni.start("-k", "mine.Mine", app="main:wsgi").get().text == "from WSGI"


def test_preloaded_applications_are_imported_once(guni: Gunicorn) -> None:
    (guni.folder / "once.py").write_text("from main import app\nopen('imports', 'a').write('x')\n")
    guni.start("--preload", workers=2, app="once:app")
    assert (guni.folder / "imports").read_text() == "x"


def test_unix_sockets(guni: Gunicorn, short_path: Path) -> None:
    server = guni.start(bind=f"unix:{short_path}/s")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"{short_path}/s")
        connection.sendall(b"GET /scope HTTP/1.1\r\nHost: t\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b'"scheme": "https"' in answer  # gunicorn trusts every peer on a Unix socket
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert not (short_path / "s").exists()


def test_with_reuse_port_each_worker_serves(guni: Gunicorn) -> None:
    port = free_port()
    server = guni.start("--reuse-port", workers=2, bind=f"127.0.0.1:{port}")

    def ask() -> str:
        return fetch(f"http://127.0.0.1:{port}/").text

    assert {int(ask()) for _ in range(40)} <= set(server.workers())


def test_connections_that_stay_are_shared_between_the_workers(guni: Gunicorn) -> None:
    server = guni.start(workers=2)
    address = server.address

    def shares() -> list[int]:
        with contextlib.ExitStack() as stack:
            wires = [stack.enter_context(Wire(socket.create_connection(address, PATIENCE))) for _ in range(40)]
            return sorted(collections.Counter(wire.get().body for wire in wires).values())

    # The workers look at each other once a second; while the machine is busy elsewhere, one may not be there in time.
    eventually(lambda: len(found := shares()) == 2 and found[0] >= 12, "both workers have a fair share")


# Leaving


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_int_and_quit_end_it_soon_whatever_is_under_way(guni: Gunicorn, number: int) -> None:
    server = guni.start("--graceful-timeout", "600", workers=2)
    workers = server.workers()
    with hang(server, guni.folder):
        server.signal(number)
        assert server.wait_exit() == 0
    assert sorted(guni.called("worker_int")) == sorted(map(str, workers))
    assert guni.lives().count("lifespan.shutdown") == 2
    assert_left_in_good_order(server, workers, guni)


def test_the_terminals_interrupt_of_the_whole_group_calls_the_hook_once(guni: Gunicorn) -> None:
    server = guni.start(workers=2)
    workers = server.workers()
    server.signal_group(signal.SIGINT)
    assert server.wait_exit() == 0
    assert sorted(guni.called("worker_int")) == sorted(map(str, workers))
    assert_left_in_good_order(server, workers, guni)


def test_a_drain_finishes_what_is_under_way(guni: Gunicorn) -> None:
    server = guni.start()
    gate, begun = guni.folder / "gate", guni.folder / "begun"
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(server.get, f"/slow?begun={begun}&gate={gate}")
        eventually(begun.exists, "the request has begun")
        server.signal(signal.SIGTERM)
        server.wait_log("Handling signal: term")
        gate.touch()
        assert answer.result(PATIENCE).status_code == 200
    assert server.wait_exit() == 0


@patient
def test_a_drain_longer_than_the_timeout_is_no_silence(guni: Gunicorn) -> None:
    server = guni.start("--timeout", "2")
    (pid,) = server.workers()
    gate, begun = guni.folder / "gate", guni.folder / "begun"
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(server.get, f"/slow?begun={begun}&gate={gate}")
        eventually(begun.exists, "the request has begun")
        os.kill(pid, signal.SIGTERM)  # the master lives on and judges
        time.sleep(5)
        gate.touch()
        assert answer.result(PATIENCE).text == str(pid)
    server.wait_workers(1, without=[pid])
    assert_left_in_good_order(server, [pid], guni)


def test_graceful_timeout_ends_a_drain_with_time_left_for_the_lifespan(guni: Gunicorn) -> None:
    server = guni.start("--graceful-timeout", "3")
    workers = server.workers()
    with hang(server, guni.folder):
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert "GET /stuck" in server.wait_log("cancelled at the end of the drain: .*")[0]
    assert guni.lives() == ["lifespan.startup", "lifespan.shutdown"]
    assert_left_in_good_order(server, workers, guni)


def test_a_websocket_is_told_that_the_server_goes(guni: Gunicorn) -> None:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    server = guni.start()
    host, port = server.address
    with connect(f"ws://{host}:{port}/", proxy=None) as client:
        server.signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=PATIENCE)
        assert client.close_code in (1001, 1012)
    assert server.wait_exit() == 0


def test_workers_leave_when_their_master_was_killed(guni: Gunicorn) -> None:
    server = guni.start(workers=2)
    workers = server.workers()
    server.signal(signal.SIGKILL)
    server.wait_exit()
    eventually(lambda: not server.left(), "the workers are gone")
    assert guni.lives().count("lifespan.shutdown") == 2
    assert sorted(guni.called("worker_exit")) == sorted(map(str, workers))


def test_a_hup_that_was_meant_for_the_master_harms_no_worker(guni: Gunicorn) -> None:
    server = guni.start()
    (pid,) = server.workers()
    os.kill(pid, signal.SIGHUP)
    os.kill(pid, signal.SIGWINCH)
    assert server.get().text == str(pid)


def test_a_hup_of_the_master_replaces_the_workers(guni: Gunicorn) -> None:
    server = guni.start(workers=2)
    before = server.workers()
    server.signal(signal.SIGHUP)
    server.wait_workers(2, without=before)
    server.wait_log("Worker ready", count=4)
    assert int(server.get().text) not in before
    assert_left_in_good_order(server, before, guni)


def test_a_worker_that_is_told_while_it_starts_leaves_at_once(guni: Gunicorn) -> None:
    words = guni.arguments("--graceful-timeout", "600")
    server = guni._serve(*words, command=COMMAND, wait=False, cwd=guni.folder, env={"SLOW_STARTUP": "60"})
    server.wait_log("Booting worker")
    eventually(lambda: guni.called("post_worker_init"), "the application is loaded")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0


def test_a_worker_that_is_told_before_it_can_hear_leaves_all_the_same(guni: Gunicorn) -> None:
    config = """
def post_fork(server, worker):
    import os, signal
    if worker.age == 1:
        os.kill(os.getpid(), signal.SIGTERM)
"""
    server = guni.start(config=config)
    assert len(guni.called("worker_exit")) == 1
    assert server.get().status_code == 200
    exits = guni.called("worker_exit")  # once, since more may follow
    assert len(set(exits)) == len(exits)
    assert_nobody_was_killed(server)


# Liveness


@patient
def test_a_blocked_loop_is_found_and_told_about(guni: Gunicorn) -> None:
    server = guni.start("--timeout", "3", "-w", "1")
    (pid,) = server.workers()
    with hang(server, guni.folder), server.wire() as wire:
        wire.send(b"GET /block?60 HTTP/1.1\r\nHost: test\r\n\r\n")
        server.wait_log("WORKER TIMEOUT")
        server.wait_workers(1, without=[pid])
    server.wait_log("Worker ready", count=2)
    assert guni.called("worker_abort") == [str(pid)]
    assert guni.called("worker_exit") == [str(pid)]
    log = server.log
    assert "in block_the_loop" in log, "stacks of threads"
    assert "requests under way" in log and "GET /stuck" in log and "GET /block" in log, "requests"
    assert re.search(r"tasks\n(.*\n)*.*in stuck", log), "stacks of tasks"
    if VERSION >= (22, 0):
        assert re.search(r"exited with code 1\b", log)
    assert not re.search(r"was sent SIG|terminated due to signal", log)
    assert server.get().status_code == 200


@patient
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_abort_of_a_worker_that_is_not_blocked_ends_it_the_same_way(guni: Gunicorn, loop: str) -> None:
    pytest.importorskip(loop)
    (guni.folder / "mine.py").write_text(subclass(loop=loop))
    server = guni.start("-k", "mine.Mine")
    (pid,) = server.workers()
    os.kill(pid, signal.SIGABRT)
    server.wait_workers(1, without=[pid])
    assert guni.called("worker_abort") == [str(pid)]
    assert guni.called("worker_exit") == [str(pid)]


@patient
def test_a_startup_that_takes_longer_than_the_timeout_is_left_alone(guni: Gunicorn) -> None:
    server = guni.start("--timeout", "2", env={"SLOW_STARTUP": "5"})
    assert "WORKER TIMEOUT" not in server.log


@patient
def test_an_idle_worker_beats_often_enough_for_a_short_timeout(guni: Gunicorn) -> None:
    server = guni.start("--timeout", "1")
    time.sleep(4)
    assert "WORKER TIMEOUT" not in server.log


def test_usr2_of_a_worker_shows_its_stacks(guni: Gunicorn) -> None:
    server = guni.start()
    (pid,) = server.workers()
    os.kill(pid, signal.SIGUSR2)
    server.wait_log(r"most recent call first")
    assert server.get().text == str(pid)


# Booting


@pytest.mark.parametrize("app", ["no_such_module:app", "main:no_such_name"])
def test_an_application_that_is_not_there_halts_gunicorn(guni: Gunicorn, app: str) -> None:
    assert guni.fail(app=app).code in (3, 4)  # gunicorn's own choice, by version


def test_an_application_that_is_none_halts_gunicorn(guni: Gunicorn) -> None:
    assert guni.fail(app="main:not_an_application").code == 4


def test_a_failed_lifespan_startup_halts_gunicorn(guni: Gunicorn) -> None:
    source = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""
    (guni.folder / "broken.py").write_text(source)
    failed = guni.fail(app="broken:app")
    assert failed.code == 3
    assert "no database" in failed.text
    assert guni.called("worker_exit")


def test_settings_of_ours_that_are_wrong_are_refused_before_the_first_fork(guni: Gunicorn) -> None:
    (guni.folder / "mine.py").write_text(subclass(wrokers=1))
    failed = guni.fail("-k", "mine.Mine")
    assert failed.code == 1
    assert "wrokers" in failed.text
    assert "Booting worker" not in failed.text


def test_settings_without_effect_are_named_once(guni: Gunicorn) -> None:
    server = guni.start(workers=2, config="\nforwarder_headers = 'X_MINE'\n" if VERSION >= (23, 0) else "")
    assert len(re.findall(r"\[WARNING\] gunicorn, forwarder_headers: has no effect", server.log)) == int(
        VERSION >= (23, 0)
    )


# Hooks and logs

REQUEST_HOOKS = """
def pre_request(worker, req):
    note("pre_request", req.method, req.path, dict(req.headers)["X-WHO"])
def post_request(worker, req, environ, resp):
    note("post_request", req.uri, environ["HTTP_X_WHO"], resp.status, resp.sent)
    worker.alive = req.path != "/missing"
"""


def test_the_hooks_of_each_request_are_called(guni: Gunicorn) -> None:
    server = guni.start(config=REQUEST_HOOKS)
    assert server.get("/echo?a=b", headers={"X-Who": "me"}).status_code == 200
    eventually(lambda: guni.called("post_request"), "post_request")
    assert guni.called("pre_request") == ["GET /echo me"]
    assert guni.called("post_request") == ["/echo?a=b me 200 OK 0"]


def test_a_hook_that_says_the_worker_is_not_alive_recycles_it(guni: Gunicorn) -> None:
    server = guni.start(config=REQUEST_HOOKS)
    (pid,) = server.workers()
    server.get("/missing", headers={"X-Who": "me"})
    server.wait_workers(1, without=[pid])
    assert_left_in_good_order(server, [pid], guni)


def test_a_pre_request_hook_that_raises_fails_the_request(guni: Gunicorn) -> None:
    server = guni.start(config="\ndef pre_request(worker, req): raise ValueError('refused')\n", quiet=False)
    assert server.get().status_code == 500


FORMAT = "%(h)s %(m)s %(U)s %(q)s %(s)s %(B)s {%({x-who}i)s} {%({content-length}o)s} %({raw_uri}e)s"


def test_the_access_log_has_gunicorns_format(guni: Gunicorn) -> None:
    log = guni.folder / "access"
    server = guni.start("--access-logfile", str(log), "--access-logformat", FORMAT)
    server.get("/environment?x=y", headers={"X-Who": "me"})
    line = eventually(log.read_text, "a line")
    size = re.search(r"\{(\d+)\}", line)
    assert size is not None
    assert line == f"127.0.0.1 GET /environment x=y 200 {size[1]} {{me}} {{{size[1]}}} /environment?x=y\n"


def test_without_an_access_log_nothing_is_logged(guni: Gunicorn) -> None:
    server = guni.start()
    server.get("/clock")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert "/clock" not in server.log


def test_usr1_opens_the_log_files_again(guni: Gunicorn) -> None:
    log, moved = guni.folder / "access", guni.folder / "moved"
    server = guni.start("--access-logfile", str(log))
    server.get("/one")
    eventually(log.read_text, "a line")
    log.rename(moved)
    server.signal(signal.SIGUSR1)
    eventually(log.exists, "the new file")

    def written() -> str:
        server.get("/two")
        return log.read_text()

    eventually(written, "a line in the new file")
    assert "/one" in moved.read_text()


def test_what_the_application_raises_is_in_gunicorns_error_log(guni: Gunicorn) -> None:
    log = guni.folder / "errors"
    server = guni._serve(*guni.arguments("--error-logfile", str(log)), command=COMMAND, wait=False, cwd=guni.folder)
    eventually(lambda: log.exists() and "Worker ready" in log.read_text(), "ready")
    assert server.get("/raising").status_code == 500
    eventually(lambda: "the application failed on purpose" in log.read_text(), "the reason")


# Limits


def once(server: ServerProcess, path: str = "/", *headers: str) -> Response:
    with server.wire() as wire:
        return wire.get(path, *headers)


def test_the_limits_of_a_requests_head_hold(guni: Gunicorn) -> None:
    server = guni.start("--limit-request-line", "50", "--limit-request-fields", "5", "--limit-request-field_size", "60")
    assert once(server, "/" + "x" * 60).status == 414
    assert once(server, "/", *(f"X-{n}: 1" for n in range(6))).status == 431
    assert once(server, "/", "X-Long: " + "x" * 80).status == 431
    assert once(server, "/", "X-Fine: 1").status == 200


def test_worker_connections_is_a_limit(guni: Gunicorn) -> None:
    server = guni.start("--worker-connections", "2", "--keep-alive", "60")
    with server.wire() as first, server.wire() as second, server.wire() as third:
        assert first.get().status == second.get().status == 200
        third.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        third.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            third.socket.recv(1)
        first.close()
        third.socket.settimeout(PATIENCE)
        assert third.response().status == 200


def test_keepalive_0_closes_after_each_answer(guni: Gunicorn) -> None:
    server = guni.start("--keep-alive", "0")
    assert once(server).header("connection") == "close"


def test_an_idle_connection_is_closed_after_keepalive(guni: Gunicorn) -> None:
    server = guni.start("--keep-alive", "1")
    with server.wire() as wire:
        began = time.monotonic()
        assert wire.get().status == 200
        assert wire.closed()
        assert 0.9 < time.monotonic() - began < 4.5


def test_max_requests_recycles_with_its_reason_and_without_a_failed_request(guni: Gunicorn) -> None:
    server = guni.start("--max-requests", "5", workers=2)
    before = server.workers()
    pids = [int(server.get().text) for _ in range(40)]
    assert len(set(pids)) > 2
    server.wait_log(r"Autorestarting worker \(pid: \d+\): max_requests, \d+ requests served")
    eventually(lambda: set(guni.called("worker_exit")) >= set(map(str, before)), "both have left")
    exits = guni.called("worker_exit")  # once, since more may follow
    assert len(set(exits)) == len(exits)
    assert_nobody_was_killed(server)


# Proxies


def scope(server: ServerProcess, **headers: str) -> Any:
    response = server.get("/scope", headers={name.replace("_", "-"): value for name, value in headers.items()})
    return response.json() if response.status_code == 200 else response.status_code


def test_trusted_proxies_tell_client_and_scheme(guni: Gunicorn) -> None:
    server = guni.start("--forwarded-allow-ips", "127.0.0.0/8,10.0.0.1" if VERSION >= (24, 1) else "127.0.0.1,10.0.0.1")
    seen = scope(server, X_Forwarded_For="203.0.113.9", X_Forwarded_Proto="https")
    assert seen["client"][0] == "203.0.113.9"
    assert seen["scheme"] == "https"
    assert scope(server, X_Forwarded_Ssl="on")["scheme"] == "https"
    assert scope(server, X_Forwarded_Ssl="on", X_Forwarded_Proto="http") == 400


def test_others_tell_nothing(guni: Gunicorn) -> None:
    server = guni.start("--forwarded-allow-ips", "10.0.0.1")
    seen = scope(server, X_Forwarded_For="203.0.113.9", X_Forwarded_Proto="https")
    assert (seen["client"][0], seen["scheme"]) == ("127.0.0.1", "http")


def test_the_headers_that_tell_the_scheme_can_be_chosen(guni: Gunicorn) -> None:
    server = guni.start(config="\nsecure_scheme_headers = {'X-MY-SCHEME': 'tls'}\n")
    assert scope(server, X_My_Scheme="tls")["scheme"] == "https"
    assert scope(server, X_Forwarded_Proto="https")["scheme"] == "http"


@pytest.mark.skipif(VERSION < (24, 0), reason="gunicorn has no root_path before 24")
def test_root_path_and_asgi_settings_where_the_version_has_them(guni: Gunicorn) -> None:
    server = guni.start("--root-path", "/below", "--asgi-lifespan", "off", "--asgi-loop", "asyncio")
    assert scope(server)["root_path"] == "/below"
    assert guni.lives() == []


# TLS


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str, ssl.SSLContext]:
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return str(cert), str(key), client


def test_tls_by_gunicorns_options(guni: Gunicorn, certificate: tuple[str, str, ssl.SSLContext]) -> None:
    cert, key, trusting = certificate
    server = guni.start("--certfile", cert, "--keyfile", key)
    with server.client(verify=trusting) as client:
        assert client.get("/scope").json()["scheme"] == "https"


@pytest.mark.skipif(VERSION < (21, 0), reason="gunicorn has no ssl_context hook before 21")
def test_the_ssl_context_hook(guni: Gunicorn, certificate: tuple[str, str, ssl.SSLContext]) -> None:
    cert, key, trusting = certificate
    config = """
def ssl_context(conf, default_ssl_context_factory):
    import ssl
    context = default_ssl_context_factory()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    note("ssl_context", conf.certfile)
    return context
"""
    server = guni.start("--certfile", cert, "--keyfile", key, config=config)
    assert guni.called("ssl_context") == [cert]
    with (
        socket.create_connection(server.address) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert secure.version() == "TLSv1.2"


@pytest.mark.skipif(VERSION < (21, 0), reason="gunicorn has no ssl_context hook before 21")
def test_a_hook_that_returns_no_context_is_told_in_one_line(
    guni: Gunicorn, certificate: tuple[str, str, ssl.SSLContext]
) -> None:
    cert, key, _ = certificate
    config = "def ssl_context(conf, default_ssl_context_factory):\n    return None\n"
    failed = guni.fail("--certfile", cert, "--keyfile", key, config=config)
    assert failed.code == 3
    assert "gunicorn's ssl_context hook returned a NoneType, expected an ssl.SSLContext" in failed.text


def test_a_key_of_another_certificate_is_told_in_one_line(
    guni: Gunicorn, certificate: tuple[str, str, ssl.SSLContext]
) -> None:
    cert, _, _ = certificate
    (guni.folder / "empty.pem").write_text("")
    failed = guni.fail("--certfile", cert, "--keyfile", "empty.pem")
    assert failed.code == 3
    assert "keyfile: empty.pem holds no private key" in failed.text


# Reloading


@patient
def test_the_reloader_replaces_the_worker_at_once(guni: Gunicorn) -> None:
    main = guni.folder / "main.py"
    server = guni.start("--reload", "--reload-engine", "poll")
    (pid,) = server.workers()
    with server.wire() as browser:
        assert browser.get().status == 200  # and keeps its connection
        main.write_text(APP.replace("from WSGI", "changed"))
        os.utime(main, (time.time() + 5, time.time() + 5))
        server.wait_workers(1, without=[pid])
    server.wait_log("Worker ready", count=2)
    assert_left_in_good_order(server, [pid], guni)


@patient
def test_a_syntax_error_under_the_reloader_is_shown(guni: Gunicorn) -> None:
    (guni.folder / "wrong.py").write_text("def broken(:\n")
    server = guni.start("--reload", app="wrong:app", quiet=False)
    answer = server.get()
    assert answer.status_code == 500
    assert "def broken(:" in answer.text


def test_the_memory_of_dead_workers_is_given_back(guni: Gunicorn) -> None:
    """Each worker has a line on a board in the master; a hundred deaths must not use it up."""
    server = guni.start()
    for count in range(2, 5):
        (pid,) = server.workers()
        os.kill(pid, signal.SIGKILL)
        server.wait_workers(1, without=[pid])
        server.wait_log("Worker ready", count=count)
    assert psutil.Process(server.workers()[0]).is_running()
    assert server.get().status_code == 200
