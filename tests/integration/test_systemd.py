"""What the service manager hears, on a real notify socket; and that it can read the units.

systemd itself is not started: the protocol is one datagram per message, and its tools check units and pass sockets.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .proxies import needs
from .server_process import COMMAND, PATIENCE, SCRIPT, ServerProcess, eventually, fetch, free_port, run

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
Project = Callable[..., Path]
UNITS = Path(__file__).parents[2] / "systemd"
ANY_PORT = ("--bind", "127.0.0.1:0")

# The first process to import it goes on at once, the others wait for the gate.
GATED = """
import os, time
from plain import app
try:
    os.close(os.open("first", os.O_CREAT | os.O_EXCL))
except FileExistsError:
    while not os.path.exists("gate"):
        time.sleep(0.01)
"""
PLAIN = (Path(__file__).parent / "apps" / "plain.py").read_text()


class Manager:
    """The service manager's end: all messages, each with its variables."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.messages: list[dict[str, str]] = []
        server._notify.setblocking(False)

    def hear(self) -> list[dict[str, str]]:
        """Everything so far."""
        while True:
            try:
                text = self.server._notify.recv(65536).decode()
            except BlockingIOError:
                return self.messages
            self.messages.append(dict(line.split("=", 1) for line in text.splitlines()))

    def wait(self, name: str, part: str) -> dict[str, str]:
        """The first message in which the variable contains ``part``."""

        def found() -> dict[str, str] | None:
            return next((m for m in self.hear() if part in m.get(name, "")), None)

        return eventually(found, f"{name}=...{part}... in {self.messages}")

    def forget(self) -> None:
        self.hear()
        self.messages.clear()

    def said(self, name: str) -> list[str]:
        """The values of one variable, in their order."""
        return [message[name] for message in self.hear() if name in message]

    def states(self) -> list[str]:
        names = ("READY", "RELOADING", "STOPPING")
        return [name for message in self.hear() for name in names if message.get(name) == "1"]


def test_ready_is_said_when_the_wished_workers_serve(serve: Serve, project: Project) -> None:
    folder = project(main=GATED, plain=PLAIN)
    server = serve("main:app", "-w", "2", "--boot-timeout", "77", *ANY_PORT, cwd=folder, wait=False)
    manager = Manager(server)
    booting = manager.wait("STATUS", "0/2 workers serving, generation 1")
    assert int(booting["EXTEND_TIMEOUT_USEC"]) >= 77_000_000  # systemd is as patient as the setting
    manager.wait("STATUS", "1/2 workers serving")
    assert server.get().status_code == 200
    assert manager.states() == []
    (folder / "gate").touch()
    assert manager.wait("READY", "1")["STATUS"] == "2/2 workers serving, generation 1"


def test_a_reload_is_told_with_its_time_and_ready_follows(serve: Serve) -> None:
    server = serve("plain:app", "-w", "2", "--settle-time", "0", *ANY_PORT)
    manager = Manager(server)
    before = time.monotonic()
    server.signal(signal.SIGHUP)
    begun = manager.wait("RELOADING", "1")
    manager.wait("READY", "1")
    assert before * 1e6 <= int(begun["MONOTONIC_USEC"]) <= time.monotonic() * 1e6
    assert manager.states() == ["RELOADING", "READY"]
    manager.wait("STATUS", "2/2 workers serving, generation 2")


@pytest.mark.parametrize("broken", ["application", "settings"])
def test_ready_follows_a_rejected_reload_too_and_the_status_says_why(
    serve: Serve, project: Project, broken: str
) -> None:
    folder = project(main="from plain import app", plain=PLAIN)
    (folder / "asgi-arbiter.toml").write_text("workers = 1\n")
    server = serve("main:app", "--settle-time", "0", *ANY_PORT, cwd=folder, quiet=False)
    manager = Manager(server)
    if broken == "application":
        (folder / "main.py").write_text("import nothing_of_this_name")
    else:
        (folder / "asgi-arbiter.toml").write_text("workers = 'many'\n")
    server.signal(signal.SIGHUP)
    manager.wait("RELOADING", "1")
    status = manager.wait("READY", "1")["STATUS"]
    assert status.startswith("1/1 workers serving, generation 1; last reload rejected: ")
    assert ("nothing_of_this_name" if broken == "application" else "workers") in status
    (folder / "main.py").write_text("from plain import app")
    (folder / "asgi-arbiter.toml").write_text("workers = 1\n")
    manager.forget()
    server.signal(signal.SIGHUP)
    manager.wait("READY", "1")
    assert manager.states() == ["RELOADING", "READY"]
    assert "rejected" not in manager.messages[-1]["STATUS"]


def test_a_drain_is_told_and_asks_for_its_time(serve: Serve, tmp_path: Path) -> None:
    server = serve("plain:app", "-w", "2", "--graceful-timeout", "50", "--kill-timeout", "7", *ANY_PORT)
    manager = Manager(server)
    with server.wire() as wire:
        gate, begun = tmp_path / "gate", tmp_path / "begun"
        wire.send(f"GET /slow?begun={begun}&gate={gate} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        eventually(begun.exists, "the request has begun")
        server.signal(signal.SIGTERM)
        told = manager.wait("STOPPING", "1")
        assert told["STATUS"].startswith("stopping: ")
        assert int(told["EXTEND_TIMEOUT_USEC"]) >= 57_000_000
        left = manager.wait("STATUS", "stopping: 1 worker left")
        assert int(left["EXTEND_TIMEOUT_USEC"]) >= 57_000_000
        gate.touch()
        assert wire.response().status == 200
    assert server.wait_exit() == 0
    assert manager.states() == ["STOPPING"]


def test_the_watchdog_is_fed_only_while_somebody_serves(serve: Serve, project: Project) -> None:
    folder = project(main=GATED, plain=PLAIN)
    server = serve(
        *("main:app", "-w", "1", "--timeout", "2", "--abort-timeout", "0.5", *ANY_PORT),
        cwd=folder,
        env={"WATCHDOG_USEC": "100000"},
    )
    manager = Manager(server)
    manager.wait("WATCHDOG", "1")
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)  # alive, and of no use; its successor is kept from booting by the gate
    server.wait_log("stuck")
    manager.forget()
    server.wait_log("killed")  # half a second later, and many times what is the time to feed it
    assert manager.said("WATCHDOG") == []
    (folder / "gate").touch()
    manager.wait("WATCHDOG", "1")


def test_a_watchdog_meant_for_another_process_is_not_fed(serve: Serve) -> None:
    words = ("plain:app", "--settle-time", "0.3", *ANY_PORT)
    server = serve(*words, env={"WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"})
    manager = Manager(server)
    server.signal(signal.SIGHUP)
    manager.wait("RELOADING", "1")
    manager.wait("READY", "1")  # many times what would be the time to feed it
    assert manager.said("WATCHDOG") == []


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_an_abstract_notify_socket_is_found_and_hidden_from_the_workers(serve: Serve) -> None:
    name = f"arbiter-notify-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(PATIENCE)
        server = serve("plain:app", "-w", "2", *ANY_PORT, env={"NOTIFY_SOCKET": f"@{name}"}, wait=False)
        while b"READY=1" not in manager.recv(65536):
            pass
        names = set(server.get("/environment").json())
        assert not names & {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
        for pid in server.workers():
            targets = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}
            assert not targets & notify_sockets(server.pid)


def notify_sockets(pid: int) -> set[str]:
    """The datagram sockets of a process, as /proc/PID/fd names them."""
    datagrams = {
        f"socket:[{fields[6]}]"
        for line in Path("/proc/net/unix").read_text().splitlines()[1:]
        if (fields := line.split())[4] == "0002"
    }
    found = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()} & datagrams
    assert found
    return found


def test_sockets_passed_with_names_are_named_in_the_log(serve: Serve, short_path: Path) -> None:
    tool = needs("systemd-socket-activate")
    port, path = free_port(), short_path / "s"
    words = (tool, "--fdname=web:local", "-l", f"127.0.0.1:{port}", "-l", str(path), *COMMAND)
    server = serve("plain:app", "-w", "2", command=words, wait=False)
    eventually(path.exists, "systemd-socket-activate listens")
    assert fetch(f"http://127.0.0.1:{port}/").status_code == 200
    server.wait_log(rf"replace `bind`: web \(http://127\.0\.0\.1:{port}\), local \(unix:{path}\)")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert path.exists()  # it is systemd's, not ours


# Units


def verified(folder: Path, *names: str) -> str:
    """What ``systemd-analyze verify`` has to say about units in ``folder``."""
    words = [needs("systemd-analyze"), "verify", "--man=no", *(str(folder / name) for name in names)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


def test_systemd_reads_the_units_without_complaint(short_path: Path) -> None:
    needs("systemd-analyze")
    for unit in UNITS.glob("asgi-arbiter*"):
        lines = unit.read_text().splitlines()
        program = f"ExecStart={sys.executable}"  # verify wants to see the program
        lines = [program if line.startswith("ExecStart=") else line for line in lines]
        (short_path / unit.name.replace("@", "@shop")).write_text("\n".join(lines) + "\n")
    names = sorted(path.name for path in short_path.iterdir())
    assert names == [
        *("asgi-arbiter.service", "asgi-arbiter.socket"),
        *("asgi-arbiter@shop.service", "asgi-arbiter@shop.socket"),
    ]
    assert verified(short_path, *names) == ""


@pytest.mark.parametrize("words", [(), ("--socket",)], ids=["service", "socket"])
def test_systemd_reads_a_generated_unit_without_complaint(short_path: Path, words: tuple[str, ...]) -> None:
    needs("systemd-analyze")
    options = ("--bind", "127.0.0.1:80", "--bind", "unix:app.sock", "--access-logfile", "logs/a b", "main:app")
    service = run("generate-unit", *options, cwd=short_path)
    (short_path / "shop.service").write_text(service.out)
    name = "shop.service"
    if words:
        made = run("generate-unit", *words, *options, cwd=short_path)
        assert made.code == 0 and "ListenStream=127.0.0.1:80" in made.out, str(made)
        name = "shop.socket"
        (short_path / name).write_text(made.out)
    assert service.code == 0 and service.err == "", str(service)
    assert verified(short_path, name) == ""


def test_the_command_of_a_generated_unit_serves_what_was_asked_for(serve: Serve, project: Project) -> None:
    folder = project(main=PLAIN)
    made = run("generate-unit", "-w", "2", *ANY_PORT, "--header", "X-Shop: 100% $real", "main:app", cwd=folder)
    lines = dict(line.split("=", 1) for line in made.out.splitlines() if "=" in line)
    words = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(lines["ExecStart"])]
    assert words[0] == os.path.abspath(SCRIPT)
    server = serve(*words[1:], command=words[:1], cwd=Path(lines["WorkingDirectory"]))
    assert server.get().headers["x-shop"] == "100% $real"
    server.wait_workers(2)


def test_generate_unit_refuses_what_would_not_start(tmp_path: Path) -> None:
    for words in [("--wrokers", "2", "main:app"), ("--workers", "2"), ("--daemon", "main:app"), ()]:
        refused = run("generate-unit", *words, cwd=tmp_path)
        assert refused.code == 2 and refused.out == "" and "Traceback" not in refused.err, str(refused)
