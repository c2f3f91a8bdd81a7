"""What a start loads and what not: every module costs its part of the time to the first answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

APPLICATION = """
async def app(scope, receive, send):
    pass
"""
UNTIL_THE_FORK = """
import gc, json, os, sys
def fork():
    print(json.dumps([gc.isenabled(), gc.get_freeze_count(), len(gc.get_objects()), sorted(sys.modules)]))
    sys.stdout.flush()
    os._exit(0)
os.fork = fork
sys.argv = ["asgi-arbiter", "main:app", "--port", "0", *sys.argv[1:]]
from asgi_arbiter.__main__ import main
main()
"""
UNTIL_THE_EXIT = """
import json, sys
sys.argv = ["asgi-arbiter", *sys.argv[1:]]
from asgi_arbiter.__main__ import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)))
"""
NEEDED = "import asyncio, httptools, json, logging, setproctitle, uvloop"
"""What no start can do without, with all that these bring along in this version of Python."""
HEAVY = {
    "click",
    "cgi",
    "configparser",
    "dataclasses",
    "difflib",
    "email",
    "encodings.idna",
    "h11",
    "http.client",
    "http.server",
    "importlib.metadata",
    "importlib.resources",
    "logging.config",
    "logging.handlers",
    "multiprocessing",
    "pickle",
    "platform",
    "psutil",
    "random",
    "shlex",
    "tempfile",
    "tomllib",
    "unittest",
    "urllib.request",
    "watchfiles",
    "websockets",
    "wsproto",
    "yaml",
    "zipfile",
}
OURS = {
    "asgi_arbiter.arbiter.check",
    "asgi_arbiter.arbiter.public_config",
    "asgi_arbiter.arbiter.reference",
    "asgi_arbiter.arbiter.reloader",
    "asgi_arbiter.arbiter.unit",
    "asgi_arbiter.config.atoms",
    "asgi_arbiter.config.logconfig",
    "asgi_arbiter.config.migrate",
    "asgi_arbiter.config.pyfile",
    "asgi_arbiter.config.reference",
    "asgi_arbiter.protocols.h11_parser",
    "asgi_arbiter.protocols.proxy_preface",
    "asgi_arbiter.protocols.ws_session",
    "asgi_arbiter.worker.gunicorn",
}
SERVES = {"asyncio", "httptools", "ssl", "uvloop", "asgi_arbiter.arbiter.loop", "asgi_arbiter.worker"}


def printed(script: str, *arguments: str, directory: Path) -> list[object]:
    command = [sys.executable, "-P", "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=directory, check=False)
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(APPLICATION)
    return tmp_path


@pytest.mark.parametrize("arguments", [(), ("-w", "4"), ("--no-access-log", "--log-level", "debug")])
def test_until_the_first_worker_nothing_is_loaded_that_it_does_not_need(
    directory: Path, arguments: tuple[str, ...]
) -> None:
    *_, modules = printed(UNTIL_THE_FORK, *arguments, directory=directory)
    needed = printed(f"{NEEDED}; import sys; print(json.dumps(sorted(sys.modules)))", directory=directory)
    assert isinstance(modules, list)
    assert "asgi_arbiter.worker.server" in modules, "this is not the list of a start"
    assert sorted(((HEAVY - {*needed}) | OURS) & {*modules}) == []


def test_what_the_start_made_is_out_of_the_collector_s_way_and_the_collector_is_on(directory: Path) -> None:
    enabled, frozen, watched, _ = printed(UNTIL_THE_FORK, directory=directory)
    assert enabled is True
    assert isinstance(frozen, int) and isinstance(watched, int)
    assert frozen > 10 * watched


@pytest.mark.parametrize("action", ["--version", "--help"])
def test_an_answer_to_a_question_loads_nothing_that_serves(action: str, directory: Path) -> None:
    modules = printed(UNTIL_THE_EXIT, action, directory=directory)
    assert "click" in modules
    assert sorted(SERVES & {str(name) for name in modules}) == []
