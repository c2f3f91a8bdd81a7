"""The log as its readers see it: on a terminal, in a file, as JSON, through a configuration of theirs, or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .server_process import COMMAND, ServerProcess, eventually

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
ANY_PORT = ("--bind", "127.0.0.1:0")


def test_an_access_line_is_written_once_at_the_end_of_the_response(serve: Serve, tmp_path: Path) -> None:
    server = serve("plain:app", "-w", "4", *ANY_PORT)
    gate = tmp_path / "gate"
    with server.wire() as wire:
        since = time.monotonic()
        wire.send(f"GET /stream?gate={gate} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        wire.head()
        assert wire.chunk() == b"first"
        assert "/stream" not in server.log
        time.sleep(0.1)  # makes the duration that must be in the line
        gate.touch()
        assert (wire.chunk(), wire.chunk()) == (b"second", b"")
    line = server.wait_log(rf'127\.0\.0\.1:\d+ - "GET /stream\?gate={gate} HTTP/1\.1" 200 11B (\d+\.\d+)s')
    assert 0.1 <= float(line[1]) <= time.monotonic() - since
    assert server.log.count("/stream") == 1


def test_an_operator_reads_who_is_ready_where_and_how_long_it_took(serve: Serve) -> None:
    server = serve("plain:app", "-w", "2", *ANY_PORT)
    server.wait_log(rf"2 workers.* in [\d.]+ m?s.*127\.0\.0\.1:{server.port}")
    for pid in server.workers():
        server.wait_log(rf"worker=\d gen=1 pid={pid}\S* .*ready in")


def test_no_access_log_is_no_line(serve: Serve) -> None:
    server = serve("plain:app", "--no-access-log", *ANY_PORT)
    server.get("/clock")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert "/clock" not in server.log


def test_gunicorns_format_is_understood(serve: Serve) -> None:
    format = "%(h)s|%(m)s|%(U)s|%(q)s|%(s)s|%(B)s|%({user-agent}i)s|%(L)s"
    server = serve("plain:app", "--access-logformat", format, *ANY_PORT)
    server.get("/clock?a=b", headers={"user-agent": 'odd "one"'})
    server.wait_log(r'127\.0\.0\.1\|GET\|/clock\|a=b\|200\|\d+\|odd (\\"|\\x22)one(\\"|\\x22)\|0\.\d+')


def test_json_lines_are_json_and_have_what_machines_ask_for(serve: Serve) -> None:
    server = serve("plain:app", "-w", "2", "--log-format", "json", *ANY_PORT, quiet=False)
    server.get("/clock?a=b")
    server.wait_event("request")  # the next may be answered by another process
    server.get("/raising")
    server.wait_event("request", count=2)
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    lines = [json.loads(line) for line in server.log.splitlines()]
    for line in lines:
        assert {"ts", "level", "logger", "event", "role", "message"} <= set(line)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"])
    access = [line for line in lines if line["logger"] == "asgi_arbiter.access"]
    assert [line["status"] for line in access] == [200, 500]
    assert access[0]["method"] == "GET"
    assert access[0]["duration"] >= 0
    errors = [line for line in lines if line["level"] == "error"]
    assert len(errors) == 1 and "RuntimeError: the application failed on purpose" in errors[0]["exception"]


def test_an_application_that_raises_is_in_the_log_once_with_its_traceback(serve: Serve) -> None:
    server = serve("plain:app", "-w", "2", *ANY_PORT, quiet=False)
    assert server.get("/raising").status_code == 500
    server.wait_log("RuntimeError: the application failed on purpose")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert server.log.count("Traceback (most recent call last)") == 1
    assert 'plain.py", line' in server.log


def test_a_client_cannot_forge_a_line(serve: Serve) -> None:
    server = serve("plain:app", *ANY_PORT)
    with server.wire() as wire:
        wire.get("/%0aforged%1b[31m", "User-Agent: a\tb")
    server.wait_log(r"/%0aforged%1b\[31m")
    assert "\x1b" not in server.log and "\nforged" not in server.log


def configuration(server: str, access: str) -> dict[str, Any]:
    """A configuration for ``logging.config`` that gives the server's and the access logger a handler each."""
    stream = {"class": "logging.StreamHandler"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "server": {"format": "SERVER %(levelname)s %(message)s"},
            "access": {"format": "ACCESS %(message)s"},
        },
        "handlers": {
            "server": {**stream, "formatter": "server", "stream": "ext://sys.stderr"},
            "access": {**stream, "formatter": "access", "stream": "ext://sys.stdout"},
        },
        "loggers": {
            server: {"handlers": ["server"], "level": "INFO", "propagate": False},
            access: {"handlers": ["access"], "level": "INFO", "propagate": False},
        },
    }


OURS = configuration("asgi_arbiter", "asgi_arbiter.access")
UVICORNS = configuration("uvicorn", "uvicorn.access")

INI = """
[loggers]
keys = root, server, access

[handlers]
keys = server, access

[formatters]
keys = server, access

[logger_root]
handlers =

[logger_server]
qualname = asgi_arbiter
level = INFO
handlers = server

[logger_access]
qualname = asgi_arbiter.access
level = INFO
propagate = 0
handlers = access

[handler_server]
class = StreamHandler
formatter = server
args = (sys.stderr,)

[handler_access]
class = StreamHandler
formatter = access
args = (sys.stdout,)

[formatter_server]
format = SERVER %(levelname)s %(message)s

[formatter_access]
format = ACCESS %(message)s
"""


@pytest.mark.parametrize(
    ("suffix", "content"),
    [("ini", INI), ("json", OURS), ("yaml", OURS), ("json", UVICORNS)],
    ids=["ini", "json", "yaml", "written-for-uvicorn"],
)
def test_a_logging_configuration_decides_alone(serve: Serve, tmp_path: Path, suffix: str, content: Any) -> None:
    file = tmp_path / f"logging.{suffix}"
    if suffix == "yaml":
        file.write_text(pytest.importorskip("yaml").safe_dump(content))
    else:
        file.write_text(content if suffix == "ini" else json.dumps(content))
    server = serve("plain:app", "-w", "2", "--log-config", str(file), *ANY_PORT)
    server.get("/clock")
    server.wait_log(r'(?m)^ACCESS .*"GET /clock HTTP/1\.1" 200')
    server.wait_log(r"(?m)^SERVER INFO .*ready")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert server.out.count("/clock") == 1 and "/clock" not in server.err
    assert all(line.startswith(("SERVER ", "ACCESS ")) for line in server.log.splitlines()), server.log


def test_usr1_reopens_the_files_in_every_process(serve: Serve, tmp_path: Path) -> None:
    access, errors = tmp_path / "access.log", tmp_path / "error.log"
    files = ("--access-logfile", str(access), "--error-logfile", str(errors), "--access-logformat", "%(p)s %(r)s")
    server = serve("plain:app", "-w", "2", *files, *ANY_PORT)
    server.get("/clock?before")
    eventually(lambda: "before" in access.read_text(), "the first line")
    access.rename(tmp_path / "access.log.1")
    errors.rename(tmp_path / "error.log.1")
    server.signal(signal.SIGUSR1)
    eventually(lambda: access.exists() and errors.exists(), "the files are there again")

    def all_write() -> bool:
        server.get("/clock?meanwhile")
        return all(f"<{pid}>" in access.read_text() for pid in server.workers())

    eventually(all_write, "both workers write to the new file")
    for _ in range(20):
        server.get("/clock?after")
    eventually(lambda: access.read_text().count("after") == 20, "all lines in the new file")
    assert "after" not in (tmp_path / "access.log.1").read_text()


def test_a_log_pipe_whose_reader_is_gone_kills_nobody(serve: Serve) -> None:
    read, write = os.pipe()
    try:
        server = serve("plain:app", "-w", "2", *ANY_PORT, stdout=write, stderr=write)
    finally:
        os.close(write)
    os.close(read)
    before = server.workers()
    for _ in range(20):
        assert server.get().status_code == 200
    assert server.workers() == before
    os.kill(before[0], signal.SIGKILL)
    server.wait_workers(2, without=before[:1])
    assert server.get().status_code == 200


def test_a_log_pipe_that_nobody_reads_blocks_nobody(serve: Serve) -> None:
    read, write = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(read, fcntl.F_SETPIPE_SZ, 4096)
    try:
        server = serve("plain:app", "-w", "2", *ANY_PORT, stdout=write, stderr=write)
        os.close(write)
        with server.client() as client:
            for _ in range(2000):
                assert client.get("/?padding=" + "x" * 100).status_code == 200
        assert len(server.workers()) == 2
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0
    finally:
        os.close(read)


def test_standard_streams_that_are_closed_from_the_start_harm_nobody(serve: Serve) -> None:
    wrapper = ["/bin/sh", "-c", 'exec "$@" >&- 2>&- <&-', "sh"]
    server = serve("plain:app", "-w", "2", *ANY_PORT, command=[*wrapper, *COMMAND])
    assert server.get().status_code == 200


def test_colours_are_for_terminals(serve: Serve) -> None:
    plain = serve("plain:app", *ANY_PORT)
    plain.get()
    plain.wait_log('"GET / HTTP')
    assert "\x1b[" not in plain.log
    coloured = serve("plain:app", *ANY_PORT, "--use-colors")
    coloured.wait_log("\x1b\\[")
    here, there = pty.openpty()
    try:
        serve("plain:app", *ANY_PORT, stderr=there, env={"TERM": "xterm"})
        os.set_blocking(here, True)
        assert b"\x1b[" in os.read(here, 65536)
    finally:
        os.close(there)
        os.close(here)


def test_prints_of_the_application_are_not_swallowed(serve: Serve, project: Callable[..., Path]) -> None:
    source = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    print("printed by the application", flush=True)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})
"""
    server = serve("main:app", *ANY_PORT, cwd=project(main=source))
    server.get()
    server.wait_log("printed by the application")
    assert "printed by the application" in server.out


HABITS = """
import contextlib, logging
mine = logging.getLogger("mine")
mine.handlers = logging.getLogger("gunicorn.error").handlers
mine.setLevel(logging.getLogger("gunicorn.error").level)
logging.getLogger("uvicorn.error").info("imported")

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        formatter = logging.Formatter("mine | %(message)s")
        logging.getLogger("uvicorn.access").handlers[0].setFormatter(formatter)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    mine.info("asked")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})
"""


def test_an_application_may_use_the_loggers_of_uvicorn_and_gunicorn_as_there(serve: Serve, tmp_path: Path) -> None:
    """Lines of its own, a copy of the handlers, another formatter for the access log."""
    (tmp_path / "habits.py").write_text(HABITS)
    server = serve("habits:app", "--bind", "127.0.0.1:0", cwd=tmp_path)
    assert server.get("/x").status_code == 200
    server.wait_log(r"INFO     \[worker=1 gen=1 pid=\d+\] imported\n")
    server.wait_log(r"INFO     \[worker=1 gen=1 pid=\d+\] asked\n")
    server.wait_log(r'(?m)^mine \| 127\.0\.0\.1:\d+ - "GET /x HTTP/1\.1" 200 0B ')
