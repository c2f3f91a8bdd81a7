"""Other servers' command lines and settings files as ours: what is said, and that it loads to what was meant."""

from __future__ import annotations

import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from asgi_arbiter.config import Config, load
from asgi_arbiter.config.errors import ConfigError
from asgi_arbiter.config.migrate import Migration, migrate
from asgi_arbiter.config.schema import Kind, Option
from asgi_arbiter.config.settings import defaults, options

Moved = Callable[..., Migration]


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Moved:
    """Migrate a command line, and load what was printed: it must be the settings that were meant."""
    monkeypatch.setattr("sys.path", list(sys.path))  # a Python settings file adds its folder
    monkeypatch.setenv("WEB_CONCURRENCY", "7")  # an environment does not move

    def move(line: str, **files: str) -> Migration:
        for name, content in files.items():
            (tmp_path / name.replace("__", ".")).write_text(content)
        migration = migrate(shlex.split(line), str(tmp_path))
        (tmp_path / "printed.toml").write_text(migration.text)
        loaded = load(config_file="printed.toml", environment={}, directory=tmp_path)
        assert loaded.config == migration.config, migration.text
        assert not [text for text in loaded.warnings if "has no effect:" in text]
        return migration

    return move


def settings(migration: Migration) -> dict[str, object]:
    return tomllib.loads(migration.text)


def test_only_what_differs_from_our_defaults_is_printed(moved: Moved) -> None:
    found = moved("uvicorn main:app --workers 4 --host 0.0.0.0 --port 80 --timeout-keep-alive 5 --ws auto")
    assert settings(found) == {"app": "main:app", "workers": 4, "bind": ["0.0.0.0:80"]}


def test_the_words_of_the_other_programs_become_ours(moved: Moved) -> None:
    line = "--ssl-keyfile k.pem --ssl-certfile c.pem --limit-max-requests 9 --no-access-log --log-level warning"
    assert settings(moved(f"uvicorn main:app {line}")) == {
        "app": "main:app",
        "max_requests": 9,
        "keyfile": "k.pem",
        "certfile": "c.pem",
        "log_level": "warning",
        "access_log": False,
    }


@pytest.mark.parametrize(
    "line",
    ["uvicorn main:app", "/opt/bin/uvicorn main:app", "python3.12 -m uvicorn main:app", "exec uvicorn main:app"],
)
def test_a_program_is_known_by_its_name(moved: Moved, line: str) -> None:
    assert settings(moved(line)) == {"app": "main:app"}
    assert settings(moved(shlex.quote(line))) == {"app": "main:app"}


@pytest.mark.parametrize("line", ["", "hypercorn main:app", "main:app", "exec", "a.py b.py"])
def test_other_programs_are_refused(moved: Moved, line: str) -> None:
    with pytest.raises(ConfigError, match="expected uvicorn, gunicorn or the name of"):
        moved(line)


def test_an_option_that_nobody_has_is_refused(moved: Moved) -> None:
    with pytest.raises(click.NoSuchOption):
        moved("uvicorn main:app --wokers 4")
    with pytest.raises(ConfigError, match="--workers: expected"):
        moved("uvicorn main:app --workers four")


def test_what_has_no_equivalent_becomes_a_comment_with_its_reason(moved: Moved) -> None:
    found = moved("gunicorn -k asgi --threads 4 --statsd-host localhost:8125 main:app")
    assert "# threads = 4 has no effect: an ASGI worker runs one event loop" in found.text
    assert '# statsd_host = "localhost:8125" has no effect: ' in found.text
    assert settings(found) == {"app": "main:app"}


def test_what_follows_from_a_setting_is_not_printed(moved: Moved) -> None:
    assert settings(moved("uvicorn main:app --reload")) == {"app": "main:app", "reload": True}


def test_other_defaults_are_told_only_where_they_hold(moved: Moved) -> None:
    text = moved("uvicorn main:app").text
    assert "# graceful_timeout = 30: uvicorn's default is to wait for ever." in text
    assert "gunicorn" not in text
    text = moved("uvicorn main:app --timeout-graceful-shutdown 9").text
    assert "wait for ever" not in text and "graceful_timeout = 9\n" in text


def test_a_setting_carries_what_there_is_to_know_about_ours(moved: Moved) -> None:
    assert (
        "# The successor serves before the worker leaves.\nmax_requests = 5\n"
        in moved("uvicorn m:a --limit-max-requests 5").text
    )


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("uvicorn.workers.UvicornWorker", {}),
        ("asgi", {}),
        ("uvicorn_worker.UvicornH11Worker", {"http": "h11", "loop": "asyncio"}),
    ],
)
def test_a_worker_class_for_asgi_is_not_needed(moved: Moved, given: str, meant: dict[str, str]) -> None:
    assert settings(moved(f"gunicorn main:app -k {given}")) == {"app": "main:app", **meant}


@pytest.mark.parametrize("line", ["", "-k sync", "-k gevent", "--worker-class=gthread --threads 4"])
def test_gunicorn_s_own_workers_mean_wsgi(moved: Moved, line: str) -> None:
    found = moved(f"gunicorn main:app {line}")
    assert settings(found) == {"app": "main:app", "interface": "wsgi"}
    assert "asgi-arbiter[wsgi]" in found.text


@pytest.mark.parametrize(("name", "why"), [("tornado", "neither ASGI nor WSGI"), ("mine.Worker", "of your own")])
def test_other_workers_have_no_equivalent(moved: Moved, name: str, why: str) -> None:
    found = moved(f"gunicorn main:app -k {name}")
    assert settings(found) == {"app": "main:app"} and why in found.text


def test_a_module_alone_is_application_to_gunicorn(moved: Moved) -> None:
    assert settings(moved("gunicorn -k asgi main"))["app"] == "main:application"
    assert settings(moved("uvicorn main"))["app"] == "main"


@pytest.mark.parametrize(("given", "meant"), [("18", "022"), ("022", "022"), ("0o22", "022"), ("7", "007")])
def test_gunicorn_reads_a_umask_as_decimal_without_a_leading_zero(moved: Moved, given: str, meant: str) -> None:
    assert settings(moved(f"gunicorn -k asgi -m {given} main:app"))["umask"] == meant


def test_gunicorn_takes_beginnings_of_options(moved: Moved) -> None:
    assert moved("gunicorn -k asgi --worker-conn 9 --max-requests-j=3 --max-requests 5 m:a").config == Config(
        app="m:a", worker_connections=9, max_requests=5, max_requests_jitter=3
    )
    with pytest.raises(click.NoSuchOption):
        moved("gunicorn -k asgi --limit-request-f 9 m:a")  # two options begin like that


CONF = """
import multiprocessing
from pathlib import Path
from shlex import join as on_exit
bind = ["unix:/tmp/x.sock", ":9000"]
workers = 2
worker_class = "uvicorn.workers.UvicornWorker"
keepalive = 65
raw_env = ["A=1,2"]
secure_scheme_headers = {"X-PROTO": "https"}
logconfig_dict = {"version": 1, "long": "x" * 100}
chdir = "."
def post_fork(server, worker): pass
def pre_exec(server): pass
"""


def test_a_gunicorn_file_is_read(moved: Moved) -> None:
    found = moved("gunicorn.conf.py", gunicorn__conf__py=CONF)
    assert settings(found) == {
        "bind": ["unix:/tmp/x.sock", "0.0.0.0:9000"],
        "chdir": ".",
        "workers": 2,
        "keepalive": 65,
        "raw_env": ["A=1,2"],
        "secure_scheme_headers": {"X-PROTO": "https"},
        "on_exit": "shlex:join",
    }
    assert "# post_fork and pre_exec are functions of gunicorn.conf.py, which cannot be imported by name" in found.text
    one = moved("one.conf.py", one__conf__py="def on_exit(server): pass\n")
    assert "# on_exit is a function of one.conf.py, which cannot be imported by name: move it into a" in one.text
    assert "# gunicorn.conf.py, logconfig_dict is a dictionary: write it into a JSON file" in found.text
    assert "log_config" not in settings(found)


def test_a_hook_in_a_file_with_a_module_s_name_is_found_there(moved: Moved) -> None:
    hooks = 'def post_fork(server, worker): pass\nworker_class = "asgi"\n'
    assert settings(moved("confs.py", confs__py=hooks)) == {"post_fork": "confs:post_fork"}
    assert "post_fork" not in settings(moved("confs.py", confs__py=hooks + 'chdir = "."\n'))
    assert settings(moved("gunicorn -c python:confs main:app", confs__py=hooks))["post_fork"] == "confs:post_fork"


def test_the_command_line_wins_over_the_file_that_gunicorn_would_read(moved: Moved) -> None:
    found = moved("gunicorn --keep-alive 5 main:app", gunicorn__conf__py=CONF)
    assert settings(found)["app"] == "main:app" and "keepalive" not in settings(found)
    assert "workers" not in settings(moved("uvicorn main:app"))  # uvicorn reads no such file
    found = moved("gunicorn -c other.py main:app", other__py="workers = 5\nworker_class = 'asgi'\n")
    assert settings(found) == {"app": "main:app", "workers": 5}


def test_a_file_without_a_worker_class_leaves_the_question_open(moved: Moved) -> None:
    found = moved("conf.py", conf__py="workers = 2\n")
    assert settings(found) == {"workers": 2} and "worker_class is not set" in found.text


def test_a_line_break_in_a_word_does_not_leave_its_comment(moved: Moved) -> None:
    found = moved("gunicorn -k asgi --paste a --statsd-prefix 'a\nworkers = 9' 'main:app'")
    assert "workers" not in settings(found)


def samples() -> Iterator[tuple[str, str, str]]:
    """Every option of either program that is on its command line, with a value that is not the default."""
    for name, option in options().items():
        program = "uvicorn" if option.uvicorn else "gunicorn" if option.gunicorn else ""
        if not program or name in ("app", "worker_class", "chdir", "reload", "cert_reqs") or not option.flags:
            continue
        yield (
            program,
            name,
            f"{option.flag} {shlex.quote(value)}" if (value := sample(name, option)) else flag(name, option),
        )


def flag(name: str, option: Option) -> str:
    return f"--no-{option.flag[2:]}" if defaults()[name] is True and option.negatable else option.flag


def sample(name: str, option: Option) -> str:
    if option.is_boolean:
        return "false" if option.takes_value else ""
    if option.choices:
        return next(word for word in option.choices if word != defaults()[name])
    by_kind = {
        Kind.PAIRS: "A=b", Kind.MODE: "007", Kind.BINDS: "127.0.0.1:9", Kind.HOOK: "os:getcwd", Kind.NAME: "os:getcwd",
        Kind.TEXT: "quoted \"text\" \\ ü", Kind.PATH: "some/path", Kind.WORDS: "10.0.0.1", Kind.LINES: "X:1=2",
    }  # fmt: skip
    return by_kind.get(option.kind, "3")


@pytest.mark.parametrize(("program", "name", "words"), list(samples()))
def test_every_option_survives_the_way(moved: Moved, program: str, name: str, words: str) -> None:
    extra = {"keyfile": "--certfile c", "keyfile_password": "--certfile c", "daemon": "--error-logfile x"}.get(name, "")
    found = moved(f"{program} main:app {'-k asgi' if program == 'gunicorn' else ''} {extra} {words}")
    if options()[name].inert:
        assert f"# {name} = " in found.text
    else:
        assert name in settings(found), found.text
