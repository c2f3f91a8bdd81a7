"""Command lines as people have them today: uvicorn's manual word for word, and every one that our README shows."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from asgi_arbiter.config import Config, load
from asgi_arbiter.config.cli import parse
from asgi_arbiter.config.migrate import migrate
from asgi_arbiter.config.records import replace

from .server_process import EXAMPLES, PATIENCE, SCRIPT, ServerProcess, clean_environment, run

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
README = (EXAMPLES.parent / "README.md").read_text()

# The main.py of uvicorn's manual, and what its other examples name.
MANUAL = """
async def app(scope, receive, send):
    assert scope['type'] == 'http'

    await send({
        'type': 'http.response.start',
        'status': 200,
        'headers': [
            (b'content-type', b'text/plain'),
            (b'content-length', b'13'),
        ],
    })
    await send({
        'type': 'http.response.body',
        'body': b'Hello, world!',
    })
"""
FACTORY = "\ndef create_app():\n    return app\n"

# The option list of uvicorn's manual, with a value for each.
OPTIONS = """
--host 127.0.0.1 --port 0 --uds /tmp/x.sock --fd 3 --reload --reload-dir . --reload-include *.html --reload-exclude *.txt
--reload-delay 0.5 --workers 2 --loop auto --loop asyncio --loop uvloop --http auto --http h11 --http httptools --ws auto
--ws websockets --ws websockets-sansio --ws wsproto --ws-max-size 1000 --ws-max-queue 16 --ws-ping-interval 10.0
--ws-ping-timeout 10.0 --ws-per-message-deflate True --ws-per-message-deflate False --lifespan auto --lifespan on --lifespan off
--interface auto --interface asgi3 --interface asgi2 --interface wsgi --env-file .env --log-config log.ini
--log-level critical --log-level error --log-level warning --log-level info --log-level debug --log-level trace --access-log
--no-access-log --use-colors --no-use-colors --proxy-headers --no-proxy-headers --server-header --no-server-header
--date-header --no-date-header --forwarded-allow-ips 127.0.0.1,10.0.0.0/8,/run/app.sock --forwarded-allow-ips *
--root-path /api --limit-concurrency 10 --backlog 100 --limit-max-requests 10 --limit-max-requests-jitter 0
--timeout-keep-alive 7 --timeout-graceful-shutdown 3 --timeout-worker-healthcheck 5 --ssl-keyfile key.pem
--ssl-certfile cert.pem --ssl-keyfile-password secret --ssl-version 17 --ssl-cert-reqs 0 --ssl-ca-certs ca.pem
--ssl-ciphers TLSv1 --header Name:Value --app-dir . --h11-max-incomplete-event-size 20000 --factory
"""
EACH = [f"--{each}".strip() for each in OPTIONS.replace("\n", " ").split(" --")]
TODAY = re.findall(r"^\| `((?:uv|gun)icorn [^`]+)` \| `(asgi-arbiter [^`]+)`", README, re.MULTILINE)
SHOWN = re.findall(r"`(asgi-arbiter [^`…]+)`", README) + re.findall(r"bin/(asgi-arbiter .+)$", README, re.MULTILINE)


@pytest.fixture
def manual(tmp_path: Path) -> Path:
    """A folder with the manual's files."""
    (tmp_path / "main.py").write_text(MANUAL + FACTORY)
    (tmp_path / "example.py").write_text(MANUAL)
    return tmp_path


def words(line: str) -> list[str]:
    return shlex.split(line)[1:]


def meant(line: str, folder: Path = Path("/")) -> Config:
    """The settings that our own command line makes, without an environment and but for the superfluous class."""
    cut = parse(words(line))
    config = load(cut.values, config_file=cut.config_file, environment={}, directory=folder).config
    return replace(config, worker_class="")


def gunicorn_file(folder: Path, line: str) -> None:
    """What a ``-c`` names. Otherwise there is none: gunicorn would read it without being asked."""
    if "-c gunicorn.conf.py" in line:
        (folder / "gunicorn.conf.py").write_text('workers = 2\nworker_class = "uvicorn_worker.UvicornWorker"\n')


def on_free_addresses(line: str, folder: Path) -> list[str]:
    """The command line with ports that are free, since tests run beside each other."""
    line = re.sub(r"--port \d+", "--port 0", line).replace("/run/app.sock", str(folder / "app.sock"))
    line = re.sub(r"0\.0\.0\.0(:\d+)?", lambda match: "127.0.0.1" + (":0" if match[1] else ""), line)
    bound = re.search(r"--port|--uds| -b |--bind|--fd", line)
    return [*words(line), *([] if bound else ["--port", "0"])]


@pytest.mark.parametrize(
    "line",
    [
        "uvicorn main:app",
        "uvicorn --factory main:create_app",
        "gunicorn example:app -w 4 -k uvicorn.workers.UvicornWorker",
        "gunicorn example:app -w 4 -k uvicorn.workers.UvicornH11Worker",
    ],
)
def test_the_examples_of_uvicorns_manual_serve(serve: Serve, manual: Path, line: str) -> None:
    server = serve(*on_free_addresses(line, manual), cwd=manual)
    assert server.get().text == "Hello, world!"
    assert len(server.workers()) == (4 if "-w 4" in line else 1)
    assert "WARNING" not in server.log


@pytest.mark.parametrize("option", [each for each in EACH if each != "--"])
def test_every_option_of_uvicorns_manual_is_taken(option: str) -> None:
    tls = "--ssl-certfile cert.pem" if option.startswith("--ssl") and "certfile" not in option else ""
    config = meant(f"uvicorn main:app {option} {tls}")
    assert config.app == "main:app"


def test_the_option_list_is_the_whole_of_it() -> None:
    """As many options as the manual has, but for --version and --help."""
    assert len({re.sub("^--no-", "--", each.split()[0]) for each in EACH if each != "--"}) == 48


@pytest.mark.parametrize(("today", "then"), TODAY)
def test_the_readme_says_what_a_command_line_of_today_becomes(today: str, then: str, manual: Path) -> None:
    gunicorn_file(manual, today)
    assert migrate(words(f"x {today}"), str(manual)).config == meant(then, manual)


@pytest.mark.parametrize("line", [then for _, then in TODAY])
def test_what_the_readme_says_serves(serve: Serve, manual: Path, line: str) -> None:
    gunicorn_file(manual, line)
    server = serve(*on_free_addresses(line, manual), cwd=manual)
    if server.addresses():
        assert server.get().text == "Hello, world!"
    else:
        assert (manual / "app.sock").is_socket()


def test_the_readme_shows_rows_for_both() -> None:
    assert sum(today.startswith("uvicorn") for today, _ in TODAY) >= 4
    assert sum(today.startswith("gunicorn") for today, _ in TODAY) >= 2


@pytest.mark.parametrize("line", SHOWN)
def test_every_command_that_the_readme_shows_can_be_typed(line: str, tmp_path: Path) -> None:
    arguments = words(line)
    if arguments[0] == "migrate":
        (tmp_path / "gunicorn.conf.py").write_text("workers = 2\n")
        assert run(*arguments, cwd=tmp_path).code == 0
    elif arguments[0] == "--version":
        assert run(*arguments).out.startswith("Running asgi-arbiter")
    else:
        parse(arguments)


def test_the_settings_file_of_the_readme_loads(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(# asgi-arbiter\.toml\n.+?)```", README, re.DOTALL)
    (tmp_path / "asgi-arbiter.toml").write_text(text)
    loaded = load({}, environment={}, directory=tmp_path)
    assert not loaded.warnings and loaded.config.app == tomllib.loads(text)["app"]


@pytest.mark.parametrize(
    "line", ["-m asgi_arbiter main:app --port 0", "-m asgi_arbiter --port 0 --factory main:create_app"]
)
def test_the_module_can_be_run(serve: Serve, manual: Path, line: str) -> None:
    server = serve(*line.split(), cwd=manual, command=(str(SCRIPT.with_name("python")), "-P"))
    assert server.get().text == "Hello, world!"


# Completion, which click makes.


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_is_given_a_script_for_completion(shell: str) -> None:
    finished = run(command=(str(SCRIPT),), env={"_ASGI_ARBITER_COMPLETE": f"{shell}_source"})
    assert finished.code == 0 and "asgi-arbiter" in finished.out, str(finished)
    assert f"_ASGI_ARBITER_COMPLETE={shell}_source asgi-arbiter" in README or shell != "bash"


@pytest.mark.parametrize(
    ("typed", "offered"), [("--max-req", {"--max-requests", "--max-requests-jitter"}), ("--log-level de", {"debug"})]
)
def test_options_and_their_words_are_completed(typed: str, offered: set[str]) -> None:
    typed_words = f"asgi-arbiter {typed}"
    extra = {
        "_ASGI_ARBITER_COMPLETE": "bash_complete",
        "COMP_WORDS": typed_words,
        "COMP_CWORD": str(len(typed_words.split()) - 1),
    }
    found = subprocess.run(
        [SCRIPT], env=clean_environment(extra), capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert {line.partition(",")[2] for line in found.stdout.splitlines()} == offered


# Without what is only there on CPython.


def test_without_uvloop_and_httptools_h11_and_asyncio_serve(serve: Serve, manual: Path, tmp_path: Path) -> None:
    """As on PyPy, for which the dependencies leave them out."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in ("uvloop", "httptools", "setproctitle"):
        (hidden / f"{name}.py").write_text("raise ImportError('hidden from this test')\n")
    environment = {"PYTHONPATH": os.pathsep.join([str(hidden)])}
    for options in (("--http", "h11", "--loop", "asyncio"), ("-k", "uvicorn_worker.UvicornH11Worker"), ()):
        server = serve("main:app", "-w", "2", "--port", "0", *options, cwd=manual, env=environment)
        assert server.get().text == "Hello, world!"
        server.close()
    refused = run("main:app", "--port", "0", "--http", "httptools", cwd=manual, env=environment)
    assert refused.code != 0 and "httptools" in refused.text
