"""``run``: which host serves, what is refused, and how it ends. The hosts themselves are doubles here."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import asgi_arbiter
from asgi_arbiter.arbiter import loop, public_run
from asgi_arbiter.arbiter.public_run import run
from asgi_arbiter.config import BindError, ConfigError, ConflictingSettings, ExitCode, InvalidSetting
from tests.logging_support import untouched


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The application of a program."""


class Hosts:
    """Which host was asked to serve what."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []
        self.outcome: Any = ExitCode.OK


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    found = Hosts()

    class Server:
        def __init__(self, config: Any) -> None:
            self.config = config

        def run(self) -> None:
            found.log.append(("server", self.config.settings))
            if callable(found.outcome):
                found.outcome()

    class Arbiter:
        def __init__(self, loaded: Any) -> None:
            self.loaded = loaded

        def run(self) -> Any:
            found.log.append(("arbiter", self.loaded.config))
            if isinstance(found.outcome, Exception):
                raise found.outcome
            return found.outcome

    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.setattr(public_run, "Server", Server)
    monkeypatch.setattr(loop, "Arbiter", Arbiter)
    with untouched():
        yield found


def test_the_public_names_are_there_and_nothing_else() -> None:
    assert asgi_arbiter.run is run
    assert {"run", "Config", "Server", "__version__"} <= set(dir(asgi_arbiter))
    with pytest.raises(AttributeError, match="has no attribute 'rum'"):
        _ = asgi_arbiter.rum


def test_one_worker_serves_in_this_process(hosts: Hosts) -> None:
    run(app, host="0.0.0.0", port=5000, log_config=None)
    [(host, settings)] = hosts.log
    assert host == "server"
    assert settings.bind == ("0.0.0.0:5000",)


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 2},
        {"reload": True},
        {"pidfile": "x.pid"},
        {"post_fork": "m:f"},
        {"daemon": True},
        {"preload_app": True},
    ],
)
def test_what_needs_processes_starts_the_arbiter(hosts: Hosts, options: Any) -> None:
    run("main:app", log_config=None, **options)
    [(host, settings)] = hosts.log
    assert host == "arbiter"
    assert settings.app == "main:app"


@pytest.mark.parametrize("options", [{"workers": 2}, {"reload": True}])
def test_processes_need_an_import_string(hosts: Hosts, options: Any) -> None:
    with pytest.raises(ConflictingSettings, match="needs the application as an import string, such as run"):
        run(app, log_config=None, **options)
    assert hosts.log == []


def test_a_function_to_be_called_now_and_then_needs_the_serving_process(hosts: Hosts) -> None:
    async def notify() -> None:
        """Never called."""

    run(app, callback_notify=notify, log_config=None)
    with pytest.raises(ConflictingSettings, match="workers=2: callback_notify is called in the process that serves"):
        run("main:app", workers=2, callback_notify=notify, log_config=None)
    assert [host for host, _ in hosts.log] == ["server"]


def test_processes_need_the_main_thread_without_a_loop(hosts: Hosts) -> None:
    async def inside() -> None:
        run("main:app", workers=2, log_config=None)

    caught: list[RuntimeError] = []

    def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="only the main thread can") as refused:
            run("main:app", workers=2, log_config=None)
        caught.append(refused.value)

    with pytest.raises(RuntimeError, match="while an event loop runs"):
        asyncio.run(inside())
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert caught
    assert hosts.log == []


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (ExitCode.BIND, 3),
        (ExitCode.APP_IMPORT, 3),
        (ExitCode.LIFESPAN, 3),
        (ExitCode.BOOT, 3),
        (ExitCode.FAILED, 1),
        (BindError("cannot listen"), 3),
    ],
)
def test_a_failed_start_of_workers_ends_the_program_with_3(hosts: Hosts, outcome: Any, code: int) -> None:
    hosts.outcome = outcome
    with pytest.raises(SystemExit) as caught:
        run("main:app", workers=2, log_config=None)
    assert caught.value.code == code


def test_settings_that_only_the_arbiter_finds_wrong_are_raised(hosts: Hosts) -> None:
    hosts.outcome = InvalidSetting("user: there is no user nobody2")
    with pytest.raises(ConfigError):
        run("main:app", workers=2, log_config=None)


def test_ctrl_c_returns_to_the_program(hosts: Hosts) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    hosts.outcome = interrupt
    run(app, log_config=None)


def test_a_run_met_while_the_application_is_imported_for_another_is_passed_over(
    hosts: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "application_of_public_run"
    (tmp_path / f"{name}.py").write_text(
        f"import asgi_arbiter\napp = print\nasgi_arbiter.run('{name}:app', log_config=None)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    hosts.outcome = lambda: __import__(name)
    try:
        run(f"{name}:app", log_config=None)
        assert len(hosts.log) == 1
        del sys.modules[name]
        hosts.outcome = ExitCode.OK
        __import__(name)  # somebody else imports it: the line is meant
        assert len(hosts.log) == 2
    finally:
        sys.modules.pop(name, None)


def test_workers_look_for_the_application_beside_the_script_first(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__file__", "/srv/shop/start.py", raising=False)
    run("main:app", workers=2, log_config=None)
    monkeypatch.setattr(sys, "path", ["/srv/shop", *sys.path])
    run("main:app", workers=2, log_config=None)
    run("main:app", workers=2, app_dir="/elsewhere", log_config=None)
    assert [settings.app_dir for _, settings in hosts.log] == ["", "/srv/shop", "/elsewhere"]
