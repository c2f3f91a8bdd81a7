"""What containers ask of a server: to be process 1, to leave as told, and to need nothing but its own code."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from .server_process import APPS, COMMAND, PATIENCE, ServerProcess, eventually

pytestmark = [pytest.mark.process, pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux's")]

Serve = Callable[..., ServerProcess]
Project = Callable[..., Path]
JSON = ("--log-format", "json", "--bind", "127.0.0.1:0")

STRANGERS = """
import os, subprocess
from plain import answer, app as plain

async def app(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/orphan":
        # The shell ends at once; what it started becomes an orphan, and process 1 its parent.
        said = subprocess.run(["sh", "-c", "sleep 0.05 & echo $!"], capture_output=True, close_fds=True)
        await answer(send, said.stdout)
    else:
        await plain(scope, receive, send)
"""


def unshared(*kinds: str) -> list[str]:
    """A command that puts another into namespaces of its own."""
    words = [shutil.which("unshare") or "unshare", *kinds]
    try:
        possible = subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        possible = False
    if not possible:
        pytest.skip("no right to make namespaces here")
    return words


def first_process(server: ServerProcess) -> psutil.Process:
    """The arbiter, which ``unshare`` has started and waits for."""
    return eventually(lambda: psutil.Process(server.pid).children(), "process 1 has begun")[0]


def as_process_1() -> list[str]:
    return [*unshared("--pid", "--fork", "--kill-child", "--mount-proc"), *COMMAND]


def test_process_1_serves_reaps_strangers_and_obeys_term(serve: Serve, project: Project) -> None:
    folder = project(main=STRANGERS, plain=(APPS / "plain.py").read_text())
    server = serve("main:app", "-w", "2", *JSON, command=as_process_1(), cwd=folder)
    arbiter = first_process(server)
    status = Path(f"/proc/{arbiter.pid}/status").read_text()
    assert f"NSpid:\t{arbiter.pid}\t1\n" in status
    port = next(c.laddr.port for c in arbiter.net_connections(kind="tcp") if c.status == psutil.CONN_LISTEN)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE) as client:
        for _ in range(3):
            assert int(client.get("/orphan").text) > 1
    eventually(lambda: len(arbiter.children(recursive=True)) == 2, "nobody is left but the workers")
    arbiter.send_signal(signal.SIGTERM)
    assert server.wait_exit() == 0


def test_process_1_obeys_a_term_that_comes_before_it_could_serve(serve: Serve, project: Project) -> None:
    """The kernel drops signals to process 1 that it has no handler for."""
    settings = "import pathlib, time\npathlib.Path('begun').touch()\ntime.sleep(600)\n"
    folder = project(main="", settings=settings)
    server = serve("main:app", "-c", "settings.py", *JSON, command=as_process_1(), cwd=folder, wait=False)
    eventually((folder / "begun").exists, "the settings are being read")
    first_process(server).send_signal(signal.SIGTERM)
    assert server.wait_exit() == 128 + signal.SIGTERM


def test_drain_delay_goes_on_accepting_after_term(serve: Serve) -> None:
    server = serve("plain:app", "-w", "2", "--drain-delay", "600", *JSON)
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    server.wait_event("shutdown_delayed")
    server.wait_notified("STOPPING=1")
    while time.monotonic() < began + 0.3:  # longer than a second signal is taken for an echo of the first
        # New connections, as a load balancer makes them that has not heard of it yet.
        with server.wire() as wire:
            assert wire.get().status == 200
    assert len(server.workers()) == 2
    assert not server.events("shutdown_begun")
    server.signal(signal.SIGTERM)  # does not wait for the delay
    server.wait_exit()


# $1 is the folder of the application; then the command. All mounts become read-only, the folder by itself too, should it
# be on a mount of its own.
READ_ONLY = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"
mount -o remount,bind,ro /
for place in /tmp /var/tmp /dev/shm /run; do
    if mountpoint -q "$place"; then mount -o remount,bind,ro "$place"; fi
done
cd "$1"; shift
exec env -u HOME "$@"
"""


def test_a_read_only_root_without_a_home_is_no_reason_to_complain(serve: Serve, project: Project) -> None:
    words = [*unshared("--mount"), "sh", "-c", READ_ONLY, "sh"]
    folder = project(main=(APPS / "plain.py").read_text())
    if subprocess.run([*words, str(folder), "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to mount here")
    probe = subprocess.run([*words, str(folder), "touch", "x"], capture_output=True, text=True, check=False)
    assert "Read-only file system" in probe.stderr
    command = [*words, str(folder), *COMMAND]
    server = serve("main:app", "-w", "2", "--settle-time", "0", *JSON, command=command, cwd=folder)
    assert server.get().status_code == 200
    assert "HOME" not in server.get("/environment").json()
    server.signal(signal.SIGHUP)
    server.wait_event("reload_promoted")
    server.signal(signal.SIGUSR1)
    server.wait_event("logs_reopened")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    complaints = [line for line in server.log.splitlines() if '"level":"info"' not in line and "GET /" not in line]
    assert complaints == []


def test_a_directory_that_may_not_be_written_to_is_no_reason_to_complain(serve: Serve, project: Project) -> None:
    folder = project(main=(APPS / "plain.py").read_text())
    folder.chmod(0o555)
    try:
        home = {"HOME": "/nonexistent", "TMPDIR": str(folder)}
        server = serve("main:app", "-w", "2", *JSON, cwd=folder, env=home)
        assert server.get().status_code == 200
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0
        assert '"level":"warning"' not in server.log and '"level":"error"' not in server.log
        assert sorted(os.listdir(folder)) == ["main.py"]
    finally:
        folder.chmod(0o755)
