"""What all tests share: the server as a fixture, and its log in the report of a test that failed."""

from __future__ import annotations

import compileall
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.integration.server_process import ServerProcess

Serve = Callable[..., ServerProcess]
REPOSITORY = Path(__file__).parents[1]


def pytest_sessionstart() -> None:
    """The tests may have been started in the background, where a shell lets programs ignore Ctrl-C, in a fresh clone."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    compile_sources()


def compile_sources() -> None:
    """The servers under test write no bytecode (see ``clean_environment``), and where this
    process writes none either, as in many a CI, each of their workers would compile everything anew."""
    for name in ("arbiter", "config", "protocols", "worker"):
        compileall.compile_dir(REPOSITORY / name, quiet=2)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that end with the test: ``server = serve("plain:app", "-w", "2", "--bind", "127.0.0.1:0")``."""
    started: list[ServerProcess] = []

    def start(*arguments: str, **options: object) -> ServerProcess:
        server = ServerProcess(*arguments, **options)  # type: ignore[arg-type]
        started.append(server)
        return server

    yield start
    trouble = []
    for server in reversed(started):
        try:
            server.close()
        except AssertionError as error:
            trouble.append(str(error))
    assert not trouble, "\n".join(trouble)


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Write modules into a folder of their own: ``project(main="app = None")``; the folder is returned."""

    def write(**modules: str) -> Path:
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(text)
        return tmp_path

    return write


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room for the name of a Unix socket (108 bytes in all, 104 on macOS)."""
    with tempfile.TemporaryDirectory(prefix="arbiter-") as folder:
        yield Path(folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the logs of all servers that run now to the report of a test that failed now."""
    report = yield
    if report.failed:
        for server in ServerProcess.alive:
            report.sections.append((f"log of {' '.join(server.arguments)}", server.log))
    return report
