from __future__ import annotations

import pickle
import tomllib
from pathlib import Path

import pytest

from asgi_arbiter.config import Config, configure, load
from asgi_arbiter.config.cli import parse
from asgi_arbiter.config.errors import ConfigError
from asgi_arbiter.config.layers import Given
from asgi_arbiter.config.settings import options
from asgi_arbiter.config.sources import Loaded
from asgi_arbiter.config.written import toml_value


class Program:
    """A start of the program in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def file(self, text: str, name: str = "asgi-arbiter.toml") -> Program:
        (self.directory / name).write_text(text)
        return self

    def start(self, line: str = "", **environment: str) -> Loaded:
        words = parse(line.split())
        return load(words.values, config_file=words.config_file, environment=environment, directory=self.directory)

    def refusal(self, line: str = "", **environment: str) -> str:
        with pytest.raises(ConfigError) as refusal:
            self.start(line, **environment)
        assert "\n" not in str(refusal.value)
        return str(refusal.value)

    def bind(self, line: str = "", **environment: str) -> tuple[str, ...]:
        return self.start(line, **environment).config.bind


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def test_nothing_said_means_the_defaults(program: Program) -> None:
    loaded = program.start()
    assert loaded.config == Config()
    assert {str(source) for source in loaded.sources.values()} == {"default"}
    assert (loaded.warnings, loaded.notices) == ((), ())


def test_each_layer_beats_the_one_below(program: Program) -> None:
    program.file("workers = 2")
    steps = [
        program.start(),
        program.start(WEB_CONCURRENCY="3"),
        program.start(WEB_CONCURRENCY="3", GUNICORN_CMD_ARGS="-w 4"),
        program.start(WEB_CONCURRENCY="3", GUNICORN_CMD_ARGS="-w 4", UVICORN_WORKERS="5"),
        program.start(WEB_CONCURRENCY="3", UVICORN_WORKERS="5", ASGI_ARBITER_WORKERS="6"),
        program.start("-w 7", WEB_CONCURRENCY="3", UVICORN_WORKERS="5", ASGI_ARBITER_WORKERS="6"),
    ]
    assert [each.config.workers for each in steps] == [2, 3, 4, 5, 6, 7]
    assert [str(each.sources["workers"]) for each in steps] == [
        "asgi-arbiter.toml, workers",
        "environment, WEB_CONCURRENCY",
        "GUNICORN_CMD_ARGS, --workers",
        "environment, UVICORN_WORKERS",
        "environment, ASGI_ARBITER_WORKERS",
        "command line, --workers",
    ]


def test_the_whole_table_written_as_toml_is_the_same_config(program: Program) -> None:
    config = Config(
        app="a.b:c",
        bind=("unix:/x", "[::1]:5"),
        uds_permissions=0o600,
        umask=0o27,
        use_colors=False,
        headers=("vary: a, b", 'q: "x"'),
        secure_scheme_headers=(("A", "b"),),
        graceful_timeout=0.25,
        log_level="trace",
        post_fork="a:b",
    )
    lines = [f"{name} = {toml_value(getattr(config, name), kind=each.kind)}" for name, each in options().items()]
    assert program.file("\n".join(lines)).start().config == config


@pytest.mark.parametrize(
    ("file", "line", "environment", "message"),
    [
        ('graceful_timeout = "soon"', "", {}, 'asgi-arbiter.toml, graceful_timeout: expected seconds, found "soon"'),
        (
            '[stopping]\ngraceful_timeout = "soon"',
            "",
            {},
            'asgi-arbiter.toml, [stopping] graceful_timeout: expected seconds, found "soon"',
        ),
        ("", "--graceful-timeout soon", {}, 'command line, --graceful-timeout: expected seconds, found "soon"'),
        (
            "",
            "--timeout-graceful-shutdown soon",
            {},
            'command line, --timeout-graceful-shutdown: expected seconds, found "soon"',
        ),
        (
            "",
            "",
            {"ASGI_ARBITER_WORKERS": "x"},
            'environment, ASGI_ARBITER_WORKERS: expected a whole number between 1 and 512 or "auto", found "x"',
        ),
        ("", "", {"WEB_CONCURRENCY": "x"}, 'environment, WEB_CONCURRENCY: expected a whole number between 1 and 512 '
         'or "auto", found "x"'),
        ("", "", {"PORT": "http"}, 'environment, PORT: expected a port between 0 and 65535, found "http"'),
        ("", "--port 70000", {}, 'command line, --port: expected a port between 0 and 65535, found "70000"'),
        ("", "--fd -1", {}, 'command line, --fd: expected the number of a file descriptor, found "-1"'),
        ("", "--fd x", {}, 'command line, --fd: expected the number of a file descriptor, found "x"'),
        ("port = true", "", {}, "asgi-arbiter.toml, port: expected a port between 0 and 65535, found true"),
        ("host = 3", "", {}, "asgi-arbiter.toml, host: expected a text, found 3"),
        ("", "--host a/b", {}, 'command line, --host: "a/b" is neither a host name nor an IP address'),
        ("", "-b x:y", {}, 'command line, --bind: "y" in "x:y" is not a port number'),
        ("", "-b a --port 5", {}, "command line, --port: the same setting as in command line, --bind; keep one"),
        ("", "--keyfile k", {}, "command line, --keyfile: a private key without a certificate; set certfile too"),
        (
            "reload = true",
            "--daemon",
            {},
            "command line, --daemon: reload is for development and daemon for production; choose one",
        ),
        (
            "",
            "--log-level loud",
            {},
            'command line, --log-level: expected critical, error, warning, info, debug or trace, found "loud"',
        ),
        ("", "-c missing.toml", {}, "missing.toml: there is no such file"),
        ("", "", {"ASGI_ARBITER_CONFIG": "missing.toml"}, "missing.toml: there is no such file"),
        ("", "", {"GUNICORN_CMD_ARGS": "--wrokers 3"}, "environment, GUNICORN_CMD_ARGS: no such option --wrokers; "
         "did you mean --workers?"),
        ("", "", {"GUNICORN_CMD_ARGS": "'"}, "environment, GUNICORN_CMD_ARGS: No closing quotation"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_begins_with_its_source(
    program: Program, file: str, line: str, environment: dict[str, str], message: str
) -> None:
    assert program.file(file).refusal(line, **environment) == message


def test_a_unix_path_that_is_too_long_is_refused_where_it_was_written(program: Program) -> None:
    message = program.refusal("--uds /" + "x" * 110)
    assert message.startswith("command line, --uds: the path of the Unix socket has 111 bytes, the system allows 107: ")


# ---------------------------------------------------------------------------------------------------------------- bind


@pytest.mark.parametrize(
    ("file", "line", "environment", "bind"),
    [
        ("", "--host 0.0.0.0", {}, ["0.0.0.0:8000"]),
        ("", "--port 9000", {}, ["127.0.0.1:9000"]),
        ("", "--host ::1 --port 0", {}, ["[::1]:0"]),
        ("", "--host [::1]", {}, ["[::1]:8000"]),
        ("", "--uds /x --host h --port 5", {}, ["unix:/x"]),
        ("", "--fd 0 --uds /x --host h", {}, ["fd://0"]),
        ("", "-b a:1 -b b:2,c:3", {}, ["a:1", "b:2", "c:3"]),
        ('host = "h"', "--port 9000", {}, ["h:9000"]),
        ('host = "h"\nport = 5', "--port 9000", {}, ["h:9000"]),
        ("port = 5", "--host h", {}, ["h:5"]),
        ('bind = "0.0.0.0:80"', "--port 9000", {}, ["0.0.0.0:9000"]),
        ('bind = ["a:1", "b:2"]', "--port 9000", {}, ["127.0.0.1:9000"]),
        ('uds = "/x"', "--port 9000", {}, ["127.0.0.1:9000"]),
        ('host = "h"', "--uds /x", {}, ["unix:/x"]),
        ('host = "h"', "-b x:1", {}, ["x:1"]),
        ('bind = ["a:1", "b:2"]', "-b x:1", {}, ["x:1"]),
        ("", "", {"PORT": "5000"}, ["0.0.0.0:5000"]),
        ("", "--host 127.0.0.1", {"PORT": "5000"}, ["127.0.0.1:5000"]),
        ("", "--port 9000", {"PORT": "5000"}, ["0.0.0.0:9000"]),
        ("", "-b x:1", {"PORT": "5000"}, ["x:1"]),
        ('host = "h"', "", {"PORT": "5000"}, ["h:5000"]),
        ('bind = "unix:/x"', "", {"PORT": "5000"}, ["unix:/x"]),
        ('bind = ["a:1", "b:2"]', "", {"PORT": "5000"}, ["a:1", "b:2"]),
        ("", "", {"UVICORN_HOST": "h", "UVICORN_PORT": "5"}, ["h:5"]),
        ("", "", {"UVICORN_HOST": "h", "ASGI_ARBITER_PORT": "6"}, ["h:6"]),
        ("", "", {"ASGI_ARBITER_BIND": "a:1,b:2"}, ["a:1", "b:2"]),
        ("", "", {"ASGI_ARBITER_FD": "3"}, ["fd://3"]),
    ],
)
def test_addresses_are_put_together_as_a_person_expects(
    program: Program, file: str, line: str, environment: dict[str, str], bind: list[str]
) -> None:
    assert list(program.file(file).bind(line, **environment)) == bind


def test_the_source_of_an_address_is_the_layer_that_changed_it(program: Program) -> None:
    program.file('host = "h"')
    assert str(program.start().sources["bind"]) == "asgi-arbiter.toml, host"
    assert str(program.start("--port 5").sources["bind"]) == "command line, --port"
    program.file('bind = "unix:/x"')
    assert str(program.start(PORT="5").sources["bind"]) == "asgi-arbiter.toml, bind"


# ---------------------------------------------------------------------------------------------------- other behaviour


def test_a_setting_without_effect_earns_one_warning_with_the_reason(program: Program) -> None:
    loaded = program.file("threads = 2").start("--threads 4 --no-sendfile")
    assert loaded.warnings == (
        "command line, --threads: has no effect: an ASGI worker runs one event loop; threads belong to the application",
        "command line, --no-sendfile: has no effect: it concerns WSGI's file wrapper, which ASGI does not have",
    )
    assert loaded.config.threads == 4


def test_a_setting_without_effect_at_its_default_is_no_news(program: Program) -> None:
    assert program.start("--threads 1 --http-protocols h1 --protocol http").warnings == ()


def test_a_replaced_value_earns_a_warning(program: Program) -> None:
    loaded = program.start("--http zttp --loop zuvloop")
    assert (loaded.config.http, loaded.config.loop) == ("auto", "uvloop")
    assert set(loaded.warnings) == {
        "command line, --http: zttp is not supported; the default parser is used",
        "command line, --loop: zuvloop is not supported; uvloop is used",
    }


def test_a_rule_that_is_no_reason_to_stop_earns_a_warning(program: Program) -> None:
    assert program.start("--max-requests-jitter 5").warnings == (
        "command line, --max-requests-jitter: has no effect without max_requests",
    )


def test_an_h11_worker_class_chooses_what_nobody_else_chose(program: Program) -> None:
    loaded = program.start("-k uvicorn_worker.UvicornH11Worker")
    assert (loaded.config.http, loaded.config.loop) == ("h11", "asyncio")
    assert str(loaded.sources["http"]) == "command line, --worker-class"
    config = program.start("-k uvicorn_worker.UvicornH11Worker --loop uvloop").config
    assert (config.http, config.loop) == ("h11", "uvloop")


def test_a_reload_reads_the_file_again_and_nothing_else(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    first = program.file("workers = 2\ntimeout = 5").start("--timeout 9", WEB_CONCURRENCY="3", PORT="5")
    monkeypatch.setenv("WEB_CONCURRENCY", "44")
    monkeypatch.chdir("/")
    program.file("workers = 5\ntimeout = 6\nkeepalive = 7")
    second = first.reload()
    assert (second.config.workers, second.config.timeout, second.config.keepalive) == (3, 9.0, 7.0)
    assert [name for name, _ in second.config.changed_from(first.config)] == ["keepalive"]
    program.file("workers = ")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        second.reload()


def test_a_file_that_appears_later_is_found_by_a_reload(program: Program) -> None:
    first = program.start()
    program.file("workers = 5")
    assert first.reload().config.workers == 5


def test_how_the_program_was_started_is_plain_data(program: Program) -> None:
    loaded = program.start("-w 3 main:app", PORT="80", HOME="/root", ASGI_ARBITER_TIMEOUT="4")
    assert pickle.loads(pickle.dumps(loaded)).reload() == loaded
    assert dict(loaded.invocation.environment) == {"PORT": "80", "ASGI_ARBITER_TIMEOUT": "4"}


def test_chdir_is_made_absolute_since_a_reload_happens_after_it(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program.directory / "sub").mkdir()
    loaded = program.start("--chdir sub")
    assert loaded.config.chdir == str(program.directory / "sub")
    monkeypatch.chdir(program.directory / "sub")
    assert loaded.reload().config.chdir == loaded.config.chdir


def test_a_named_file_is_meant_from_the_directory_of_the_start(program: Program) -> None:
    program.file("workers = 4", "other.toml").file("workers = 3")
    assert program.start("-c other.toml").config.workers == 4
    assert program.start(ASGI_ARBITER_CONFIG="other.toml").config.workers == 4
    assert program.start("-c file:other.toml").config.workers == 4
    assert program.start(GUNICORN_CMD_ARGS="-c other.toml").config.workers == 4
    assert program.start(f"-c {program.directory}/other.toml").config.workers == 4


def test_gunicorn_cmd_args_are_honoured_with_a_notice(program: Program) -> None:
    loaded = program.start("-w 5", GUNICORN_CMD_ARGS="--bind=127.0.0.1 --workers 3 --access-logfile -")
    assert (loaded.config.workers, loaded.config.bind) == (5, ("127.0.0.1:8000",))
    assert loaded.notices == (
        "GUNICORN_CMD_ARGS is taken into account: --bind=127.0.0.1 --workers 3 --access-logfile -",
    )


def test_the_description_is_toml_with_the_source_of_each_value(program: Program) -> None:
    lines = program.start("-w 3 --no-access-log", PORT="5").describe()
    described = tomllib.loads("\n".join(lines))
    assert (described["workers"], described["access_log"], described["bind"]) == (3, False, ["0.0.0.0:5"])
    assert next(line for line in lines if line.startswith("workers ")).endswith("  # command line, --workers")
    assert next(line for line in lines if line.startswith("access_log ")).endswith("  # command line, --no-access-log")
    assert len({line.index("#") for line in lines if len(line.split("  #")[0]) <= 60}) == 1


def test_keywords_are_settings_under_any_name_without_files_and_without_our_variables(tmp_path: Path) -> None:
    environment = {"WEB_CONCURRENCY": "3", "ASGI_ARBITER_TIMEOUT": "4", "PORT": "5"}
    loaded = configure({"app": "m:a", "host": "h", "limit_max_requests": 5, "uds": None}, environment=environment)
    assert loaded.config == Config(app="m:a", bind=("h:8000",), max_requests=5, workers=3)
    with pytest.raises(ConfigError, match=r'^Config\(\), workers: expected a whole number .* found "x"$'):
        configure({"workers": "x"}, environment={})


def test_reload_has_other_defaults_for_what_a_developer_would_wait_for() -> None:
    loaded = load({"reload": Given(True, "command line, --reload")}, environment={}, directory="/")
    assert (loaded.config.timeout, loaded.config.quick_timeout, loaded.config.drain_linger) == (0.0, 0.5, 0.0)
    assert (loaded.config.graceful_timeout, loaded.config.kill_timeout) == (5.0, 1.0)
    assert str(loaded.sources["timeout"]) == "command line, --reload"


def test_reload_leaves_alone_what_was_set() -> None:
    values = {"reload": Given(True, "x"), "timeout": Given("7", "x"), "drain_linger": Given("1", "x")}
    config = load(values, environment={}, directory="/").config
    assert (config.timeout, config.drain_linger, config.quick_timeout) == (7.0, 1.0, 0.5)
