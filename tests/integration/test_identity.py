"""Who the processes are and where they live: users, groups, masks, directories, pid files, daemons, socket files."""

from __future__ import annotations

import grp
import json
import os
import pwd
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
import trustme

from .server_process import APPS, COMMAND, PATIENCE, ServerProcess, clean_environment, eventually, run
from .wire import Wire

pytestmark = [pytest.mark.process]

Serve = Callable[..., ServerProcess]
JSON = ("--log-format", "json")
ANY_PORT = ("--bind", "127.0.0.1:0")
PLAIN = (APPS / "plain.py").read_text()

# Who answers, what it may read, and what becomes of the files that it makes.
APP = """
import json, os
from pathlib import Path
from plain import answer

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    made = Path(os.environ["SHARED"]) / f"made-{os.getpid()}"
    made.touch()
    told = {"uid": os.getresuid(), "gid": os.getresgid(), "groups": os.getgroups(), "cwd": os.getcwd(),
            "mode": made.stat().st_mode & 0o777, "pid": os.getpid(),
            "certificate": scope["extensions"].get("tls", {}).get("server_cert")}
    await answer(send, json.dumps(told).encode())
"""


def is_reachable(path: Path) -> bool:
    """Whether everybody may enter ``path`` and the directories above it."""
    resolved = path.resolve()
    return all(place.stat().st_mode & stat.S_IXOTH for place in (resolved, *resolved.parents))


root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its identity")
reachable = pytest.mark.skipif(
    not all(map(is_reachable, (Path(sys.prefix), APPS, Path(httpx.__file__).parent))),
    reason="the environment or the repository is in a directory that only root may enter",
)


class Nobody:
    """A user without rights, with a supplementary group of its own where the system has one."""

    def __init__(self) -> None:
        entry = pwd.getpwnam("nobody")
        self.name, self.uid, self.gid = entry.pw_name, entry.pw_uid, entry.pw_gid


@pytest.fixture
def nobody() -> Nobody:
    return Nobody()


@pytest.fixture
def shared(short_path: Path) -> Path:
    """A folder that everybody may enter, with the application, and one to write to."""
    short_path.chmod(0o755)
    (short_path / "main.py").write_text(APP)
    (short_path / "plain.py").write_text(PLAIN)
    (short_path / "shared").mkdir()
    (short_path / "shared").chmod(0o777)
    return short_path


@pytest.fixture
def start(shared: Path, serve: Serve) -> Callable[..., ServerProcess]:  # in this order: the servers end first
    def begin(*arguments: str, **options: object) -> ServerProcess:
        environment = {"SHARED": str(shared / "shared")}
        return serve("main:app", *arguments, **{"cwd": shared, "env": environment, **options})

    return begin


def told(server: ServerProcess, **options: object) -> dict[str, object]:
    return server.get("/", **options).json()


# Users and groups


@root
@reachable
def test_workers_give_up_everything_and_the_arbiter_nothing(
    start: Callable[..., ServerProcess], nobody: Nobody
) -> None:
    before = os.getgroups()
    os.setgroups([*before, 4, 27])
    try:
        server = start("-w", "2", "--user", nobody.name, "--settle-time", "0", *ANY_PORT, *JSON)
    finally:
        os.setgroups(before)
    own = [group.gr_gid for group in grp.getgrall() if nobody.name in group.gr_mem]
    for count in (1, 2):
        answer = told(server)
        assert answer["uid"] == [nobody.uid] * 3
        assert answer["gid"] == [nobody.gid] * 3
        assert set(answer["groups"]) == {nobody.gid, *own}  # type: ignore[call-overload]
        server.signal(signal.SIGHUP)
        server.wait_event("reload_promoted", count=count)
    assert psutil.Process(server.pid).uids().effective == 0


@root
@reachable
def test_a_group_by_itself_and_numbers_without_an_entry(start: Callable[..., ServerProcess]) -> None:
    answer = told(start("--user", "54321", "--group", "54322", *ANY_PORT))
    assert (answer["uid"], answer["gid"], answer["groups"]) == ([54321] * 3, [54322] * 3, [54322])


@root
@reachable
def test_the_key_and_the_low_port_are_opened_before_the_rights_are_given_up(
    start: Callable[..., ServerProcess], shared: Path, nobody: Nobody
) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    key, certificate, anchor = shared / "key.pem", shared / "cert.pem", shared / "ca.pem"
    leaf.private_key_pem.write_to_path(str(key))
    leaf.cert_chain_pems[0].write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(anchor))
    key.chmod(0o600)
    certificate.chmod(0o600)
    port = low_port()
    files = ("--certfile", str(certificate), "--keyfile", str(key))
    words = ("-w", "1", "--settle-time", "0", "--user", nobody.name, "--bind", f"127.0.0.1:{port}", *files, *JSON)
    server = start(*words)
    for count in (1, 2):
        trust = ssl.create_default_context(cafile=str(anchor))
        with httpx.Client(verify=trust, trust_env=False, timeout=PATIENCE) as client:
            answer = client.get(f"https://127.0.0.1:{port}/").json()
        assert answer["uid"] == [nobody.uid] * 3
        assert answer["certificate"].startswith("-----BEGIN CERTIFICATE-----")
        server.signal(signal.SIGHUP)  # new workers read the key anew
        server.wait_event("reload_promoted", count=count)


def low_port() -> int:
    """A free port that only root may open."""
    for port in range(1023, 600, -1):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    pytest.skip("no port below 1024 is free")


@root
@reachable
def test_log_files_that_root_has_opened_survive_a_rotation(
    start: Callable[..., ServerProcess], shared: Path, nobody: Nobody
) -> None:
    logs = shared / "logs"
    logs.mkdir()
    files = ("--access-logfile", str(logs / "access"), "--error-logfile", str(logs / "error"))
    server = start("-w", "1", "--user", nobody.name, *ANY_PORT, *files)
    assert server.get("/before").status_code == 200
    eventually(lambda: "/before" in (logs / "access").read_text(), "the request is in the log")
    for name in ("access", "error"):
        (logs / name).rename(logs / f"{name}.1")
    server.signal(signal.SIGUSR1)
    eventually(lambda: "opened anew" in read(logs / "error"), "the arbiter has opened its log anew")
    eventually(lambda: server.get("/after") and "/after" in read(logs / "access"), "the worker writes to the new file")


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@root
def test_an_unknown_user_is_one_line_before_anything_is_opened(shared: Path) -> None:
    refused = run("main:app", "--user", "nosuchuser", "--pidfile", "pid", *ANY_PORT, cwd=shared)
    assert refused.code == 2
    assert 'there is no user "nosuchuser"' in refused.err and "Traceback" not in refused.err, str(refused)
    assert not (shared / "pid").exists()


# Masks and directories


@pytest.mark.parametrize(("mask", "mode"), [("027", 0o640), ("0", 0o666)])
def test_the_mask_is_the_applications(start: Callable[..., ServerProcess], mask: str, mode: int) -> None:
    assert told(start("--umask", mask, *ANY_PORT))["mode"] == mode


def test_chdir_comes_before_the_application_and_all_relative_paths(shared: Path, serve: Serve) -> None:
    elsewhere = shared / "elsewhere"
    elsewhere.mkdir()
    words = ("--chdir", str(shared), "--pidfile", "run.pid", "--bind", "unix:app.sock")
    server = serve("main:app", *words, cwd=elsewhere, env={"SHARED": str(shared / "shared")})
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(shared / "app.sock")), timeout=PATIENCE) as client:
        assert client.get("http://test/").json()["cwd"] == str(shared)
    assert int((shared / "run.pid").read_text()) == server.pid
    assert os.readlink(f"/proc/{server.pid}/cwd") == str(shared) if sys.platform == "linux" else True
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert os.listdir(elsewhere) == []
    assert not (shared / "run.pid").exists() and not (shared / "app.sock").exists()


# Pid files


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A living process that is no arbiter, though it mentions one."""
    with subprocess.Popen(["sh", "-c", "sleep 600; : asgi-arbiter.toml"], start_new_session=True) as process:
        yield process
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("content", ["dead", "nonsense", "living but foreign"])
def test_a_stale_pid_file_is_replaced(
    start: Callable[..., ServerProcess], shared: Path, stranger: subprocess.Popen[bytes], content: str
) -> None:
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    pidfile = shared / "pid"
    pidfile.write_text({"dead": f"{dead.pid}\n", "nonsense": "?"}.get(content, f"{stranger.pid}\n"))
    server = start("--pidfile", str(pidfile), "--settle-time", "0", *ANY_PORT, *JSON)
    assert pidfile.read_text() == f"{server.pid}\n"
    server.signal(signal.SIGHUP)
    server.wait_event("reload_promoted")
    assert pidfile.read_text() == f"{server.pid}\n"
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert not pidfile.exists()


def test_a_running_arbiters_pid_file_is_respected(start: Callable[..., ServerProcess], shared: Path) -> None:
    pidfile = shared / "pid"
    server = start("--pidfile", str(pidfile), *ANY_PORT)
    refused = run("main:app", "--pidfile", str(pidfile), *ANY_PORT, cwd=shared)
    assert refused.code == 2 and f"belongs to a running arbiter, pid {server.pid}" in refused.err, str(refused)
    assert pidfile.read_text() == f"{server.pid}\n"
    pidfile.write_text("1\n")  # somebody else has taken over
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert pidfile.read_text() == "1\n"


# Daemons


@pytest.fixture
def daemon(shared: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run the command with ``--daemon`` to its end; whatever then lives is killed after the test."""
    pidfile = shared / "pid"

    def begin(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [*COMMAND, "main:app", "--daemon", "--pidfile", str(pidfile), *arguments]
        environment = clean_environment({"SHARED": str(shared / "shared")})
        return subprocess.run(
            words, cwd=shared, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
        )

    yield begin
    if pidfile.exists():
        with suppress(ProcessLookupError, ValueError):
            os.kill(int(pidfile.read_text()), signal.SIGKILL)


def test_a_daemon_serves_when_its_command_returns_and_has_let_go_of_everything(
    daemon: Callable[..., subprocess.CompletedProcess[str]], shared: Path
) -> None:
    path, pidfile, log = shared / "s", shared / "pid", shared / "log"
    done = daemon("-w", "2", "--bind", f"unix:{path}", "--error-logfile", str(log), "--access-logfile", str(log))
    assert done.returncode == 0, done
    pid = int(pidfile.read_text())
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=PATIENCE) as client:
        worker = client.get("http://test/").json()["pid"]
    arbiter = psutil.Process(pid)
    assert psutil.Process(worker).ppid() == pid
    assert os.getsid(pid) not in (pid, os.getsid(0)) and arbiter.terminal() is None
    if sys.platform == "linux":
        assert {os.readlink(f"/proc/{pid}/fd/{stream}") for stream in (0, 1, 2)} == {os.devnull}
    arbiter.terminate()
    eventually(lambda: not pidfile.exists(), "the daemon has ended")
    eventually(lambda: not arbiter.is_running() or arbiter.status() == psutil.STATUS_ZOMBIE, "its process too")
    assert not path.exists()
    assert "stopped in" in log.read_text()


def test_a_daemon_that_cannot_start_tells_its_command(
    daemon: Callable[..., subprocess.CompletedProcess[str]], shared: Path
) -> None:
    (shared / "main.py").write_text("import nothing_of_this_name")
    log = shared / "log"
    assert daemon(*ANY_PORT, "--error-logfile", str(log)).returncode == 4
    assert "nothing_of_this_name" in log.read_text()
    eventually(lambda: not (shared / "pid").exists(), "the pid file is removed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = daemon("--bind", f"127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 3 and "in use" in done.stderr


# Unix sockets


@root
def test_a_socket_file_can_be_given_to_a_group(start: Callable[..., ServerProcess], shared: Path) -> None:
    path = shared / "s"
    server = start("--bind", f"unix:{path}", "--uds-permissions", "660", "--uds-owner", "nobody:daemon", *JSON)
    found = path.stat()
    assert (found.st_uid, found.st_mode & 0o777) == (pwd.getpwnam("nobody").pw_uid, 0o660)
    assert found.st_gid == grp.getgrnam("daemon").gr_gid
    server.signal(signal.SIGHUP)
    server.wait_event("reload_promoted")
    assert (path.stat().st_ino, path.stat().st_mode) == (found.st_ino, found.st_mode)


@pytest.mark.parametrize("bind", ["path", "abstract"])
def test_no_worker_takes_the_socket_away(start: Callable[..., ServerProcess], shared: Path, bind: str) -> None:
    if bind == "abstract" and sys.platform != "linux":
        pytest.skip("abstract sockets are Linux's")
    name = str(shared / "s") if bind == "path" else f"@arbiter-test-{os.getpid()}-{time.monotonic_ns()}"
    server = start("-w", "2", "--settle-time", "0", "--bind", f"unix:{name}", *JSON)

    def answers() -> bool:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(name.replace("@", "\0", 1))
            return json.loads(Wire(sock).get().body)["pid"] in server.workers()

    first = server.workers()
    os.kill(first[0], signal.SIGTERM)
    server.wait_workers(2, without=first[:1])
    assert answers()
    os.kill(first[1], signal.SIGKILL)
    server.wait_workers(2, without=first)
    assert answers()
    server.signal(signal.SIGHUP)
    server.wait_event("reload_promoted")
    assert eventually(answers, "a worker of the new generation answers")
