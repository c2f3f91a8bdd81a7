"""SIGUSR2 with real processes: the next arbiter takes over under load, or does not, and no request notices."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.load import Load

from .server_process import COMMAND, ServerProcess, eventually

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
Project = Callable[..., Path]
OPTIONS = ("--settle-time", "0.1", "--log-format", "json")
ANY_PORT = ("--bind", "127.0.0.1:0")

APP = """
TEXT = "one"
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
    await send({"type": "http.response.body", "body": TEXT.encode()})
"""


class Upgraded:
    """A server whose arbiter may be another process than the one that the test started."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.port = server.addresses()[0][1] if server.addresses() else 0

    def successors(self) -> list[int]:
        """Pids of the successors, in the order in which they started."""
        return [event["pid"] for event in self.server.events("successor_started")]

    def upgrade(self, *, of: int = 0, count: int = 1) -> int:
        """Send SIGUSR2 and wait until the ``count``-th successor leads and its predecessor has ended."""
        old = of or self.server.pid
        os.kill(old, signal.SIGUSR2)
        self.server.wait_event("lead_taken", count=count)
        eventually(lambda: not alive(old), "the former arbiter has ended")
        return self.successors()[-1]

    def stop(self, pid: int) -> None:
        """End what leads now; nothing may be left."""
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not self.server.left(), "nothing is left of the server")


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def start(serve: Serve) -> Iterator[Callable[..., Upgraded]]:
    made: list[Upgraded] = []

    def begin(*arguments: str, **options: object) -> Upgraded:
        made.append(Upgraded(serve(*arguments, *OPTIONS, **options)))
        return made[-1]

    yield begin
    for upgraded in made:
        with contextlib.suppress(OSError):  # what a test that failed has left
            if upgraded.server.process.poll() is not None:
                for pid in upgraded.server.left():
                    os.kill(pid, signal.SIGKILL)


Start = Callable[..., Upgraded]


@pytest.mark.parametrize("more", [(), ("--preload",)], ids=["plain", "preload"])
def test_the_new_program_takes_over_and_no_request_fails(start: Start, project: Project, more: tuple[str, ...]) -> None:
    folder = project(main=APP)
    up = start("main:app", "-w", "2", *ANY_PORT, *more, cwd=folder)
    with Load(up.port) as load:
        project(main=APP.replace('"one"', '"two"'))
        leader = up.upgrade()
        load.forget()
        load.wait_more()
        assert load.answers == {b"two"}
    assert up.server.process.wait() == 0
    up.stop(leader)


def test_upgrades_may_follow_each_other(start: Start) -> None:
    up = start("plain:app", "-w", "2", *ANY_PORT)
    leader = 0
    with Load(up.port, each=2):
        for count in (1, 2, 3):
            leader = up.upgrade(of=leader, count=count)
    up.stop(leader)


def test_several_addresses_pass_and_the_socket_file_keeps_its_inode(start: Start, short_path: Path) -> None:
    path = short_path / "app.sock"
    binds = ("--bind", "127.0.0.1:0", "--bind", "127.0.0.1:0", "--bind", f"unix:{path}", "--uds-permissions", "600")
    up = start("plain:app", "-w", "2", *binds)
    ports = [port for _, port in up.server.addresses()]
    before = path.stat()
    with Load(*ports, str(path), each=2) as load:
        leader = up.upgrade()
        load.wait_more()
    after = path.stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    up.stop(leader)
    assert not path.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names")
def test_an_abstract_socket_passes(start: Start) -> None:
    name = f"arbiter-test-{os.getpid()}"
    up = start("plain:app", "--bind", f"unix:@{name}")
    with Load("\0" + name, each=2):
        leader = up.upgrade()
    up.stop(leader)


def test_sockets_from_the_service_manager_pass_and_stay_open_for_it(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as activated:
        # systemd passes descriptors from 3 on and names the process that they are for.
        script = f"import os, sys; os.dup2({activated.fileno()}, 3, inheritable=True); "
        script += "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); os.execv(sys.argv[1], sys.argv[1:])"
        command = (sys.executable, "-c", script, *COMMAND)
        up = start("plain:app", "-w", "2", command=command, pass_fds=(activated.fileno(),))
        with Load(activated.getsockname()[1], each=2):
            leader = up.upgrade()
        up.server._ports.clear()  # the socket is the test's own
        up.stop(leader)


BROKEN = {
    "syntax": ("def app(:\n", "import"),
    "crash": ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "exited with 7"),
    "lifespan": (
        "async def app(scope, receive, send):\n"
        "    await receive()\n"
        "    await send({'type': 'lifespan.startup.failed', 'message': 'no broker'})\n",
        "startup failed",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_successor_that_cannot_boot_changes_nothing_and_the_next_one_may(
    start: Start, project: Project, how: str, short_path: Path
) -> None:
    source, reason = BROKEN[how]
    folder, path, pidfile = project(main=APP), short_path / "app.sock", short_path / "app.pid"
    binds = (*ANY_PORT, "--bind", f"unix:{path}", "--pidfile", str(pidfile))
    up = start("main:app", "-w", "2", *binds, cwd=folder, quiet=False)
    workers = up.server.workers()
    with Load(up.port, str(path), each=2) as load:
        project(main=source)
        up.server.signal(signal.SIGUSR2)
        assert reason in up.server.wait_event("upgrade_failed")["message"]
        load.wait_more()
        assert up.server.workers() == workers
        assert sorted(os.listdir(short_path)) == ["app.pid", "app.sock"]
        project(main=APP.replace('"one"', '"six"'))
        leader = up.upgrade()
        load.wait_more()
    assert b"six" in load.answers
    up.stop(leader)
    assert os.listdir(short_path) == []


def test_a_settings_file_that_has_become_wrong_changes_nothing(start: Start, project: Project) -> None:
    folder = project(main=APP)
    (folder / "asgi-arbiter.toml").write_text("workers = 2\n")
    up = start("main:app", *ANY_PORT, cwd=folder)
    (folder / "asgi-arbiter.toml").write_text("workers = nonsense\n")
    up.server.signal(signal.SIGUSR2)
    assert "exited with 2" in up.server.wait_event("upgrade_failed")["message"]
    assert up.server.get().text == "one"


@pytest.mark.parametrize("when", ["booting", "leading"])
def test_a_successor_that_is_killed_changes_nothing_before_it_leads(start: Start, when: str, tmp_path: Path) -> None:
    # Never settled: so it neither leads nor leaves by itself.
    up = start("plain:app", "-w", "2", *ANY_PORT, "--settle-time", "600")
    with Load(up.port, each=2) as load:
        up.server.signal(signal.SIGUSR2)
        up.server.wait_event("successor_started")
        (successor,) = up.successors()
        if when == "leading":
            up.server.wait_event("ready", count=2)
        os.kill(successor, signal.SIGKILL)
        up.server.wait_event("upgrade_failed")
        load.wait_more()
    eventually(lambda: len(up.server.left()) == 3, "the orphans of the successor have left")


def test_the_successor_leads_when_its_predecessor_is_killed(start: Start) -> None:
    up = start("plain:app", "-w", "2", *ANY_PORT, "--settle-time", "600")
    old = up.server.workers()
    up.server.signal(signal.SIGUSR2)
    up.server.wait_event("ready", count=2)
    up.server.signal(signal.SIGKILL)
    up.server.wait_event("lead_taken")
    eventually(lambda: not set(old) & set(up.server.left()), "the orphans of the predecessor have left")
    with Load(up.port, each=2):  # and have not closed the shared socket to new connections
        pass
    up.stop(up.successors()[0])


@pytest.mark.parametrize("to_group", [False, True], ids=["arbiter", "group"])
def test_a_stop_during_the_upgrade_is_obeyed_by_both(start: Start, to_group: bool) -> None:
    up = start("plain:app", "-w", "2", *ANY_PORT, "--settle-time", "600")
    up.server.signal(signal.SIGUSR2)
    up.server.wait_event("ready", count=2)
    (up.server.signal_group if to_group else up.server.signal)(signal.SIGTERM)
    assert up.server.wait_exit() == 0
    eventually(lambda: not up.server.left(), "nothing is left")


def test_a_second_upgrade_meanwhile_is_refused(start: Start) -> None:
    up = start("plain:app", "-w", "1", *ANY_PORT, "--settle-time", "600")
    up.server.signal(signal.SIGUSR2)
    up.server.wait_event("ready", count=2)
    up.server.signal(signal.SIGUSR2)
    up.server.wait_event("upgrade_ignored")
    assert len(up.successors()) == 1


def test_a_hangup_of_the_whole_group_does_not_end_the_upgrade(start: Start) -> None:
    up = start("plain:app", "-w", "1", *ANY_PORT)
    with Load(up.port, each=2):
        up.server.signal(signal.SIGUSR2)
        up.server.wait_event("upgrade_begun")
        up.server.signal_group(signal.SIGHUP)
        up.server.wait_event("lead_taken")
        eventually(lambda: not alive(up.server.pid), "the former arbiter has ended")
    up.stop(up.successors()[0])


def test_a_reload_that_was_asked_for_during_an_upgrade_is_done_by_the_successor(start: Start) -> None:
    up = start("plain:app", "-w", "1", *ANY_PORT)
    up.server.signal(signal.SIGUSR2)
    up.server.wait_event("upgrade_begun")
    up.server.signal(signal.SIGHUP)
    passed_on = up.server.wait_event("reload_passed_on")
    up.server.wait_event("reload_promoted")
    (successor,) = up.successors()
    assert passed_on["pid"] == up.server.pid and up.server.events("reload_promoted")[0]["pid"] == successor
    up.stop(successor)


def test_the_pid_file_names_a_living_arbiter_all_the_time(start: Start, short_path: Path) -> None:
    pidfile, second = short_path / "app.pid", short_path / "app.pid.2"
    up = start("plain:app", "-w", "1", *ANY_PORT, "--pidfile", str(pidfile))
    up.server.signal(signal.SIGUSR2)
    eventually(lambda: second.exists() or up.server.events("lead_taken"), "the successor's own file")
    assert alive(int(pidfile.read_text()))
    up.server.wait_event("lead_taken")
    eventually(lambda: not alive(up.server.pid), "the former arbiter has ended")
    (leader,) = up.successors()
    assert int(pidfile.read_text()) == leader and not second.exists()
    up.stop(leader)
    assert os.listdir(short_path) == []


def test_the_service_manager_follows_the_lead(start: Start) -> None:
    up = start("plain:app", "-w", "1", *ANY_PORT)
    up.server.notifications.clear()
    up.server.signal(signal.SIGUSR2)
    up.server.wait_event("lead_taken")
    (leader,) = up.successors()
    up.server.wait_notified(f"MAINPID={leader}")
    assert up.server.process.wait() == 0
    os.kill(leader, signal.SIGHUP)
    up.server._returncode_expected = True
    up.server.wait_event("reload_promoted")
    read_all(up.server)
    assert "STOPPING=1" not in up.server.notifications  # the service goes on
    assert "READY=1" in up.server.notifications  # of the new one
    up.stop(leader)


def read_all(server: ServerProcess) -> None:
    """Take what has arrived on the notify socket; the process that the fixture started may have ended."""
    server._notify.settimeout(0.0)
    with contextlib.suppress(BlockingIOError):
        while True:
            server.notifications += server._notify.recv(65536).decode().splitlines()


def test_a_request_under_way_is_finished_by_the_workers_that_began_it(start: Start, tmp_path: Path) -> None:
    up = start("plain:app", "-w", "1", *ANY_PORT)
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    with up.server.wire() as wire:
        wire.send(f"GET /slow?begun={begun}&gate={gate} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        worker = eventually(lambda: begun.exists() and begun.read_text(), "the request has begun")
        up.server.signal(signal.SIGUSR2)
        up.server.wait_event("upgrade_done")
        gate.touch()
        assert wire.response().body == worker.encode()
    assert up.server.process.wait() == 0
    up.stop(up.successors()[0])


def test_a_daemon_is_upgraded_and_stays_one(short_path: Path, project: Project) -> None:
    folder, pidfile, log = project(main=APP), short_path / "app.pid", short_path / "log"
    path = short_path / "app.sock"
    arguments = (
        "main:app",
        "--daemon",
        "--pidfile",
        str(pidfile),
        "--error-logfile",
        str(log),
        "--bind",
        f"unix:{path}",
    )
    with ServerProcess(*arguments, *OPTIONS, cwd=folder, wait=False) as server:
        assert server.wait_exit() == 0
        first = int(pidfile.read_text())
        with Load(str(path), each=2) as load:
            project(main=APP.replace('"one"', '"two"'))
            os.kill(first, signal.SIGUSR2)
            eventually(lambda: not alive(first), "the former arbiter has ended")
            load.forget()
            load.wait_more()
            assert load.answers == {b"two"}
        leader = int(pidfile.read_text())
        assert leader != first and os.getsid(leader) != os.getsid(0)
        assert os.readlink(f"/proc/{leader}/fd/2") == "/dev/null" if sys.platform == "linux" else True
        os.kill(leader, signal.SIGTERM)
        eventually(lambda: not alive(leader), "the daemon has ended")
        assert sorted(os.listdir(short_path)) == ["log"]
