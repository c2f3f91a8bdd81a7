"""Booting, and failing to boot: what the user reads, how often, and with which exit code the command ends."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from .server_process import APPS, COMMAND, SCRIPT, Finished, ServerProcess, free_port, run

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
Project = Callable[..., Path]
ANY_PORT = ("--bind", "127.0.0.1:0")
FOUR = ("-w", "4", *ANY_PORT)

CONFIG, BIND, IMPORT, LIFESPAN, BOOT = 2, 3, 4, 5, 7
TRACEBACK = "Traceback (most recent call last)"

HELLO = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": TEXT})
TEXT = b"hello"
"""


def assert_refused(finished: Finished, code: int, *words: str, tracebacks: int = 0) -> None:
    """It ended with ``code``, said all ``words``, and showed just so many tracebacks."""
    assert finished.code == code, str(finished)
    for word in words:
        assert word in finished.text, str(finished)
    assert finished.text.count(TRACEBACK) == tracebacks, str(finished)
    assert finished.out == "", finished  # errors go to standard error


# Applications that cannot be imported.


def test_a_module_that_does_not_exist_is_named_once_although_four_workers_look_for_it() -> None:
    finished = run("nowhere:app", *FOUR)
    assert_refused(finished, IMPORT, "nowhere")
    assert len(re.findall(r"(?i)no module", finished.text)) == 1, str(finished)


def test_a_submodule_that_does_not_exist_is_told_apart_from_its_package(project: Project) -> None:
    folder = project(main=HELLO)
    assert_refused(run("main.sub:app", *ANY_PORT, cwd=folder), IMPORT, "main.sub")


def test_an_attribute_that_does_not_exist_is_named_with_its_module(project: Project) -> None:
    finished = run("main:ap", *FOUR, cwd=project(main=HELLO))
    assert_refused(finished, IMPORT, "main", "ap")
    assert "attribute" in finished.text, str(finished)


@pytest.mark.parametrize("name", ["app", "application"])
def test_a_module_without_an_attribute_means_the_usual_names(serve: Serve, project: Project, name: str) -> None:
    folder = project(main=HELLO.replace("def app", f"def {name}"))
    assert serve("main", *ANY_PORT, cwd=folder).get().text == "hello"


def test_a_module_without_an_attribute_and_without_the_usual_names_is_explained(project: Project) -> None:
    assert_refused(run("main", *ANY_PORT, cwd=project(main="x = 1")), IMPORT, "main", "app")


def test_a_path_instead_of_a_module_is_explained(project: Project) -> None:
    finished = run("main.py", *ANY_PORT, cwd=project(main=HELLO))
    assert finished.code in (CONFIG, IMPORT), str(finished)
    assert "main:app" in finished.text or "module:attribute" in finished.text, str(finished)


def test_no_application_at_all_is_explained(tmp_path: Path) -> None:
    finished = run(*ANY_PORT, cwd=tmp_path)
    assert_refused(finished, CONFIG, "APP")


def test_a_module_that_raises_shows_the_users_traceback_once_and_nothing_of_ours(project: Project) -> None:
    folder = project(main="import broken\n", broken="def fail():\n    return 1 / 0\n\nfail()\n")
    finished = run("main:app", *FOUR, cwd=folder)
    assert_refused(finished, IMPORT, "ZeroDivisionError: division by zero", "broken.py", tracebacks=1)
    files = re.findall(r'File "([^"]+)"', finished.text)
    assert {Path(name).name for name in files} == {"main.py", "broken.py"}, str(finished)


def test_a_module_that_a_module_misses_is_not_blamed_on_the_application(project: Project) -> None:
    finished = run("main:app", *FOUR, cwd=project(main="import not_installed_here\n"))
    assert_refused(finished, IMPORT, "No module named 'not_installed_here'", 'main.py", line 1', tracebacks=1)


def test_a_syntax_error_shows_the_line_once(project: Project) -> None:
    finished = run("main:app", *FOUR, cwd=project(main="def app(:\n    pass\n"))
    assert_refused(finished, IMPORT, "SyntaxError", 'main.py", line 1', "def app(:")
    assert finished.text.count("def app(:") == 1, str(finished)


def test_a_module_that_exits_is_told(project: Project) -> None:
    finished = run("main:app", *FOUR, cwd=project(main="import sys\nsys.exit(3)\n"))
    assert finished.code == IMPORT, str(finished)
    assert "SystemExit" in finished.text, str(finished)


def test_an_application_that_is_not_callable_is_refused(project: Project) -> None:
    finished = run("main:app", *FOUR, cwd=project(main="app = {'not': 'callable'}\n"))
    assert_refused(finished, IMPORT, "main:app", "dict")
    assert "callable" in finished.text, str(finished)


def test_a_factory_that_raises_shows_the_users_traceback_once(project: Project) -> None:
    source = "def create():\n    raise RuntimeError('no database')\n"
    finished = run("main:create", "--factory", *FOUR, cwd=project(main=source))
    assert_refused(finished, IMPORT, "RuntimeError: no database", "create", tracebacks=1)


def test_a_factory_makes_the_application(serve: Serve, project: Project) -> None:
    source = HELLO + "\ndef create():\n    return app\n"
    assert serve("main:create", "--factory", *ANY_PORT, cwd=project(main=source)).get().text == "hello"


# Applications that do not start.

LIFE = """
import asyncio
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        {what}
"""


@pytest.mark.parametrize("workers", ["1", "4"])
def test_a_startup_that_reports_failure_ends_the_command_with_its_reason(project: Project, workers: str) -> None:
    what = 'await send({"type": "lifespan.startup.failed", "message": "the database is away"})'
    finished = run("main:app", "-w", workers, *ANY_PORT, cwd=project(main=LIFE.format(what=what)))
    assert_refused(finished, LIFESPAN, "the database is away")
    lines = [line for line in finished.err.splitlines() if "the database is away" in line]
    assert len([line for line in lines if "ERROR" in line.upper()]) == 1, str(finished)


def test_a_startup_that_raises_shows_the_users_traceback_when_lifespan_is_on(project: Project) -> None:
    folder = project(main=LIFE.format(what="raise ValueError('bad settings')"))
    finished = run("main:app", "--lifespan", "on", *FOUR, cwd=folder)
    assert_refused(finished, LIFESPAN, "ValueError: bad settings", tracebacks=1)


def test_a_real_frameworks_failing_lifespan_ends_the_command(project: Project) -> None:
    source = """
from contextlib import asynccontextmanager
from starlette.applications import Starlette
@asynccontextmanager
async def lifespan(app):
    raise RuntimeError("cannot reach the broker")
    yield
app = Starlette(lifespan=lifespan)
"""
    finished = run("main:app", *FOUR, cwd=project(main=source))
    assert finished.code == LIFESPAN, str(finished)
    assert "cannot reach the broker" in finished.text, str(finished)


def test_a_startup_that_hangs_ends_after_its_timeout(project: Project) -> None:
    folder = project(main=LIFE.format(what="await asyncio.Event().wait()"))
    finished = run("main:app", "--lifespan-startup-timeout", "0.5", *FOUR, cwd=folder)
    assert_refused(finished, LIFESPAN, "0.5")


def test_an_import_that_hangs_ends_after_the_boot_timeout(project: Project) -> None:
    folder = project(main="import time\ntime.sleep(600)\n")
    finished = run("main:app", "--boot-timeout", "1", "--abort-timeout", "0.5", "-w", "2", *ANY_PORT, cwd=folder)
    assert finished.code == BOOT, str(finished)
    assert "boot" in finished.text, str(finished)


def test_an_application_without_a_lifespan_boots_without_alarm(serve: Serve, project: Project) -> None:
    server = serve("main:app", *FOUR, cwd=project(main=HELLO))
    assert server.get().text == "hello"
    assert "ERROR" not in server.log and "WARNING" not in server.log


CRASHES = {
    "segfault": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
    "native": "import ctypes\nctypes.string_at(0)\n",
    "exit": "import os\nos._exit(77)\n",
    "kill": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
}


@pytest.mark.parametrize("how", CRASHES)
def test_workers_that_crash_while_booting_are_tried_a_bounded_number_of_times(
    project: Project, tmp_path: Path, how: str
) -> None:
    count = "import os\nwith open('tries', 'a') as tries:\n    tries.write(f'{os.getpid()}\\n')\n"
    finished = run("main:app", "-w", "2", *ANY_PORT, cwd=project(main=count + CRASHES[how]))
    assert finished.code == BOOT, str(finished)
    tries = len((tmp_path / "tries").read_text().splitlines())
    assert 2 <= tries <= 20, str(finished)
    expected = {"segfault": "SIGSEGV", "native": "SIGSEGV", "exit": "77", "kill": "SIGKILL"}[how]
    assert expected in finished.text, str(finished)


# Sockets and settings.


def test_an_address_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        finished = run("plain:app", "-w", "4", "--bind", address)
    assert_refused(finished, BIND, address, "in use")
    assert len(finished.err.strip().splitlines()) == 1, str(finished)


def test_a_privileged_port_is_refused_with_the_reason() -> None:
    limit = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if limit.exists() and int(limit.read_text()) <= 80:
        pytest.skip("every port is free for everybody here")
    command = list(COMMAND)
    if os.geteuid() == 0:  # give up the one right that matters here
        setpriv = shutil.which("setpriv")
        if not setpriv:
            pytest.skip("root may bind every port, and there is no setpriv to give that up")
        command = [setpriv, "--bounding-set=-net_bind_service", *command]
    assert_refused(
        run("plain:app", "--bind", "127.0.0.1:80", command=command), BIND, "127.0.0.1:80", "permission denied"
    )


def test_an_address_that_no_interface_has_is_one_line() -> None:
    finished = run("plain:app", "--bind", "192.0.2.77:0")
    assert_refused(finished, BIND, "192.0.2.77")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--wrokers", "4"], ["--wrokers", "--workers"]),
        (["--workers", "many"], ["workers", "many"]),
        (["--workers", "-1"], ["workers", "-1"]),
        (["--http", "h3"], ["http", "h3", "httptools"]),
        (["--bind", "127.0.0.1:99999"], ["bind", "99999"]),
        (["--keyfile", "key.pem"], ["keyfile", "certfile"]),
        (["--worker-class", "gevent"], ["--worker-class", "gevent", "WSGI"]),
        (["--graceful-timeout", "soon"], ["soon"]),
        (["-c", "nowhere.toml"], ["nowhere.toml"]),
    ],
    ids=lambda value: "".join(value[:1]) if isinstance(value, list) else None,
)
def test_a_wrong_option_is_explained_in_a_line(arguments: list[str], words: list[str]) -> None:
    assert_refused(run("plain:app", *arguments), CONFIG, *words)


def test_an_unknown_setting_in_the_file_is_answered_with_the_nearest_name(project: Project) -> None:
    folder = project(main=HELLO)
    (folder / "asgi-arbiter.toml").write_text('gracefull_timeout = 5\nbind = ["127.0.0.1:0"]\n')
    finished = run("main:app", cwd=folder)
    assert_refused(finished, CONFIG, "asgi-arbiter.toml", "gracefull_timeout", "graceful_timeout")


def test_a_value_of_the_wrong_type_names_the_file_and_what_was_found(project: Project) -> None:
    folder = project(main=HELLO)
    (folder / "asgi-arbiter.toml").write_text('graceful_timeout = "soon"\n')
    assert_refused(run("main:app", cwd=folder), CONFIG, "asgi-arbiter.toml", "graceful_timeout", "soon")


def test_a_file_that_is_no_toml_is_one_line(project: Project) -> None:
    folder = project(main=HELLO)
    (folder / "asgi-arbiter.toml").write_text("workers = = 4\n")
    assert_refused(run("main:app", cwd=folder), CONFIG, "asgi-arbiter.toml", "line 1")


def test_an_unknown_variable_is_answered_with_the_nearest_name() -> None:
    finished = run("plain:app", env={"ASGI_ARBITER_WORKRES": "4"})
    assert_refused(finished, CONFIG, "ASGI_ARBITER_WORKRES", "ASGI_ARBITER_WORKERS")


# A package that is not there: Python itself, as it starts, is told not to find it.
ABSENT = """
from importlib.machinery import PathFinder
found = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name == "{module}" else found(name, *rest)
"""


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("dotenv", ["--env-file", "values.env"], "asgi-arbiter[dotenv]"),
        ("a2wsgi", ["--interface", "wsgi"], "asgi-arbiter[wsgi]"),
        ("wsproto", ["--ws", "wsproto"], "asgi-arbiter[wsproto]"),
        ("yaml", ["--log-config", "logging.yaml"], "asgi-arbiter[yaml]"),
    ],
    ids=lambda value: value if isinstance(value, str) and "[" not in value else "",
)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    project: Project, module: str, arguments: list[str], extra: str
) -> None:
    older = "\ndef older(environ, start_response): ...\n"
    folder = project(main=HELLO + older, sitecustomize=ABSENT.format(module=module))
    (folder / "values.env").write_text("NAME=value\n")
    (folder / "logging.yaml").write_text("version: 1\n")
    app = "main:older" if module == "a2wsgi" else "main:app"
    finished = run(app, *arguments, *ANY_PORT, cwd=folder, env={"PYTHONPATH": str(folder)})
    assert_refused(finished, CONFIG, "pip install", extra)


# The first success.


@pytest.mark.parametrize("command", [[sys.executable, "-m", "asgi_arbiter"], [str(SCRIPT)]], ids=["module", "script"])
def test_modules_of_the_user_with_our_names_keep_working(serve: Serve, project: Project, command: list[str]) -> None:
    theirs = ("config", "worker", "protocols", "arbiter")
    imports = "".join(f"import {name}\n" for name in theirs) + "import protocols.http\n"
    answer = "TEXT = ' '.join([config.MINE, worker.MINE, arbiter.MINE, protocols.http.MINE]).encode()\n"
    folder = project(
        main=imports + HELLO + answer, config="MINE = 'config'", worker="MINE = 'worker'", arbiter="MINE = 'arbiter'"
    )
    (folder / "protocols").mkdir()
    (folder / "protocols" / "__init__.py").touch()
    (folder / "protocols" / "http.py").write_text("MINE = 'protocols'")
    server = serve("main:app", "-w", "2", *ANY_PORT, cwd=folder, command=command)
    assert server.get().text == "config worker arbiter protocols"


def test_the_application_is_found_in_the_directory_of_the_start_and_in_app_dir(
    serve: Serve, project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = project(main=HELLO)
    assert serve("main:app", *ANY_PORT, cwd=folder).get().text == "hello"
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert serve("main:app", "--app-dir", str(folder), *ANY_PORT, cwd=elsewhere).get().text == "hello"


def test_the_environment_file_is_for_the_application(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "values.env"
    file.write_text("COLOUR=green\nPORT=1\n")
    server = serve("plain:app", *ANY_PORT, "--env-file", str(file))
    assert server.get("/environment").json()["COLOUR"] == "green"
    assert server.port != 1


def test_variables_of_platforms_choose_port_and_workers(serve: Serve) -> None:
    port = free_port()
    server = serve("plain:app", env={"PORT": str(port), "WEB_CONCURRENCY": "3"})
    assert server.addresses() == [("0.0.0.0", port)]
    assert len(server.wait_workers(3)) == 3


def test_auto_is_one_worker_for_each_usable_processor(serve: Serve) -> None:
    server = serve("plain:app", "-w", "auto", *ANY_PORT)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert 1 <= len(server.workers()) <= usable


def test_a_uvicorn_command_line_works_unchanged(serve: Serve) -> None:
    server = serve(
        *("plain:app", "--host", "127.0.0.1", "--port", "0", "--workers", "2", "--limit-max-requests", "1000"),
        *("--timeout-keep-alive", "7", "--timeout-graceful-shutdown", "5", "--no-access-log", "--proxy-headers"),
        *("--log-level", "info", "--ws-max-size", "1000000", "--h11-max-incomplete-event-size", "20000"),
    )
    assert server.get().status_code == 200
    assert len(server.workers()) == 2


def test_a_gunicorn_command_line_works_unchanged(serve: Serve, tmp_path: Path) -> None:
    server = serve(
        *("-k", "uvicorn.workers.UvicornWorker", "-w", "2", "-b", "127.0.0.1:0", "-t", "60", "--max-requests", "1000"),
        *("--max-requests-jitter", "50", "--access-logfile", str(tmp_path / "access"), "--graceful-timeout", "10"),
        *("--forwarded-allow-ips", "*", "--worker-tmp-dir", "/dev/shm", "--threads", "4", "plain:app"),
    )
    assert server.get().status_code == 200
    assert len(re.findall("--threads", server.log)) == 1  # a setting without effect is one warning


# Commands that do not serve.


def test_version_is_printed() -> None:
    finished = run("--version")
    assert finished.code == 0
    assert re.search(r"\d+\.\d+", finished.out), str(finished)


def test_help_fits_its_purpose() -> None:
    finished = run("--help")
    assert finished.code == 0
    for word in ("APP", "--workers", "--bind", "--log-config"):
        assert word in finished.out, str(finished)


def test_print_config_is_toml_with_sources(project: Project) -> None:
    folder = project(main=HELLO)
    (folder / "asgi-arbiter.toml").write_text("workers = 3\n")
    finished = run(
        "main:app", "--print-config", "--graceful-timeout", "7", cwd=folder, env={"ASGI_ARBITER_BACKLOG": "99"}
    )
    assert finished.code == 0, str(finished)
    values = tomllib.loads(finished.out)
    assert (values["workers"], values["graceful_timeout"], values["backlog"]) == (3, 7.0, 99)
    lines = {line.split(" = ")[0]: line for line in finished.out.splitlines() if " = " in line}
    assert "asgi-arbiter.toml" in lines["workers"]
    assert "--graceful-timeout" in lines["graceful_timeout"]
    assert "ASGI_ARBITER_BACKLOG" in lines["backlog"]
    assert "default" in lines["keepalive"]


@pytest.mark.parametrize(("source", "code"), [(HELLO, 0), ("import nothing_like_it\n", 1)], ids=["good", "broken"])
def test_check_config_imports_the_application_and_tells(project: Project, source: str, code: int) -> None:
    finished = run("main:app", "--check-config", cwd=project(main=source))
    assert finished.code == code, str(finished)
    assert ("nothing_like_it" in finished.text) == (code == 1), str(finished)


def test_check_config_finds_a_wrong_setting() -> None:
    finished = run("plain:app", "--check-config", cwd=APPS, env={"ASGI_ARBITER_WORKERS": "many"})
    assert finished.code == 1 or finished.code == CONFIG, str(finished)
    assert "ASGI_ARBITER_WORKERS" in finished.text, str(finished)
