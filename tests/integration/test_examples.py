"""Every example runs as it is, with the command that its own head names."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from .server_process import EXAMPLES, ServerProcess

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
REPOSITORY = EXAMPLES.parent
# The examples that say how they are run; the others (embedded.py, a configuration) have tests of their own.
COMMANDS = {
    path.name: match[1]
    for path in sorted(EXAMPLES.glob("*.py"))
    if (match := re.search(r"^    asgi-arbiter (.+)$", path.read_text(), re.MULTILINE))
}


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_runs_as_its_head_says(serve: Serve, name: str, tmp_path: Path) -> None:
    arguments = shlex.split(COMMANDS[name])
    server = serve(*arguments, "--bind", "127.0.0.1:0", cwd=REPOSITORY, env={"NOTES": str(tmp_path / "notes.txt")})
    assert server.get().status_code == 200


def test_hello_greets(serve: Serve) -> None:
    server = serve("hello:app", "--bind", "127.0.0.1:0", cwd=EXAMPLES)
    assert server.get().text == "Hello, world!\n"


def test_lifespan_opens_and_closes_every_worker(serve: Serve) -> None:
    server = serve("lifespan:app", "-w", "2", "--bind", "127.0.0.1:0", cwd=EXAMPLES)
    workers = server.workers()
    answer = server.get().json()
    assert answer["worker"] in workers and answer["age"] >= 0
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    for pid in workers:
        assert f"worker {pid} is open" in server.out
        assert f"worker {pid} is closed" in server.out


def test_the_readme_lists_every_example() -> None:
    text = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.iterdir():
        if path.is_file() and path.name != "README.md":
            assert f"`{path.name}`" in text, path.name
