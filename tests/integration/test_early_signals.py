"""Signals that come while the program has only begun to start: none kills it by accident, none is lost."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .server_process import COMMAND, SCRIPT, ServerProcess, eventually

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
JSON = ("--log-format", "json", "--bind", "127.0.0.1:0", "--settle-time", "0")
OURS = sum(
    1 << number - 1 for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTERM)
)

# Read before anything is opened; what it starts must not inherit our care for signals.
SETTINGS = """
import pathlib, subprocess, time
pathlib.Path("begun").touch()
while not pathlib.Path("gate").exists():
    time.sleep(0.01)
masks = subprocess.run(["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"], capture_output=True, text=True).stdout
pathlib.Path("masks").write_text(masks)
"""


@pytest.fixture(params=["module", "script"])
def starting(
    request: pytest.FixtureRequest, serve: Serve, project: Callable[..., Path]
) -> Iterator[Callable[..., tuple[ServerProcess, Path]]]:
    """A server that reads its settings until there is a file ``gate``."""

    def start(*arguments: str, **options: Any) -> tuple[ServerProcess, Path]:
        app = (Path(__file__).parent / "apps" / "plain.py").read_text()
        folder = project(main=app, settings=SETTINGS)
        command = COMMAND if request.param == "module" else (str(SCRIPT),)
        words = ("main:app", "-c", "settings.py", *arguments, *JSON)
        server = serve(*words, command=command, cwd=folder, wait=False, **options)
        eventually((folder / "begun").exists, "the settings are being read")
        return server, folder

    yield start


def test_orders_are_remembered_and_carried_out(starting: Callable[..., tuple[ServerProcess, Path]]) -> None:
    server, folder = starting("-w", "1")
    for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGUSR1, signal.SIGWINCH):
        server.process.send_signal(number)
    (folder / "gate").touch()
    server.wait_notified("READY=1")
    server.wait_event("reload_promoted")
    assert [event["wish"] for event in server.events("workers_changed")] == [2]
    assert len(server.events("logs_reopened")) == 1
    server.wait_workers(2)
    for line in (folder / "masks").read_text().splitlines():
        assert not int(line.split()[1], 16) & OURS, line
    for pid in [server.pid, *server.workers()]:
        blocked = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigBlk" in line)
        assert int(blocked.split()[1], 16) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT], ids=lambda each: each.name)
def test_a_stop_ends_the_start_at_once(
    starting: Callable[..., tuple[ServerProcess, Path]], number: signal.Signals
) -> None:
    server, _ = starting()
    server.signal(number)
    assert server.wait_exit() == -signal.SIGTERM
    assert server.log == ""


def test_ctrl_c_ends_the_start_at_once(starting: Callable[..., tuple[ServerProcess, Path]]) -> None:
    server, _ = starting()
    server.signal(signal.SIGINT)
    assert server.wait_exit() == 130
    assert server.log.strip() == ""


def test_a_stop_after_the_first_traces_clears_them_away(
    serve: Serve, project: Callable[..., Path], short_path: Path
) -> None:
    hook = "import pathlib, time\ndef starting(server):\n    pathlib.Path('begun').touch()\n    time.sleep(600)\n"
    folder = project(main="", hooks=hook)
    (folder / "asgi-arbiter.toml").write_text('on_starting = "hooks:starting"\n')
    pidfile = short_path / "pid"
    server = serve("main:app", "--pidfile", str(pidfile), *JSON, cwd=folder, wait=False)
    eventually((folder / "begun").exists, "the hook runs")
    assert pidfile.exists()
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert not pidfile.exists()


def test_check_config_under_way_is_ended_too(serve: Serve, project: Callable[..., Path]) -> None:
    folder = project(main="import pathlib, time\npathlib.Path('begun').touch()\ntime.sleep(600)\n")
    server = serve("--check-config", "main:app", cwd=folder, wait=False)
    eventually((folder / "begun").exists, "the application is being imported")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == -signal.SIGTERM
