from __future__ import annotations

import shlex
from typing import Any

import click
import pytest
from click.testing import CliRunner

from asgi_arbiter.config import Config, load
from asgi_arbiter.config.cli import CommandLine, command, complaint, flags, gunicorn_arguments, parse
from asgi_arbiter.config.errors import ConfigError, ConflictingSettings
from asgi_arbiter.config.settings import defaults, options
from asgi_arbiter.config.sources import Loaded

NO_DIRECTORY = "/nonexistent"
"""No settings file can be found there."""


def start(line: str) -> Loaded:
    words = parse(shlex.split(line))
    return load(words.values, config_file=words.config_file, environment={}, directory=NO_DIRECTORY)


def chosen(line: str) -> dict[str, Any]:
    loaded = start(line)
    return {name: getattr(loaded.config, name) for name, each in loaded.sources.items() if str(each) != "default"}


WHILE_DEVELOPING = {
    "timeout": 0.0,
    "graceful_timeout": 5.0,
    "quick_timeout": 0.5,
    "kill_timeout": 1.0,
    "drain_linger": 0.0,
}
UVICORN = [
    ("--host 0.0.0.0", {"bind": ("0.0.0.0:8000",)}),
    ("--host ::1", {"bind": ("[::1]:8000",)}),
    ("--port 5000", {"bind": ("127.0.0.1:5000",)}),
    ("--port 0", {"bind": ("127.0.0.1:0",)}),
    ("--uds /tmp/uvicorn.sock", {"bind": ("unix:/tmp/uvicorn.sock",)}),
    ("--fd 3", {"bind": ("fd://3",)}),
    ("--reload", {"reload": True, **WHILE_DEVELOPING}),
    ("--reload-dir src --reload-dir lib", {"reload_dirs": ("src", "lib")}),
    ("--reload-include '*.html'", {"reload_includes": ("*.html",)}),
    ("--reload-exclude '.*'", {"reload_excludes": (".*",)}),
    ("--reload-delay 0.5", {"reload_delay": 0.5}),
    ("--workers 4", {"workers": 4}),
    *((f"--loop {word}", {"loop": word}) for word in ("auto", "asyncio", "uvloop")),
    *((f"--http {word}", {"http": word}) for word in ("auto", "h11", "h1c", "httptools")),
    *((f"--ws {word}", {"ws": word}) for word in ("auto", "none", "websockets", "wsproto")),
    ("--ws websockets-sansio", {"ws": "websockets"}),
    ("--ws-max-size 1000", {"ws_max_size": 1000}),
    ("--ws-max-queue 5", {"ws_max_queue": 5}),
    ("--ws-ping-interval 2.5", {"ws_ping_interval": 2.5}),
    ("--ws-ping-timeout 3", {"ws_ping_timeout": 3.0}),
    ("--ws-per-message-deflate true", {"ws_per_message_deflate": True}),
    ("--ws-per-message-deflate False", {"ws_per_message_deflate": False}),
    ("--ws-deflate-window-bits 9", {"ws_deflate_window_bits": 9}),
    ("--no-ws-deflate-context-takeover", {"ws_deflate_context_takeover": False}),
    *((f"--lifespan {word}", {"lifespan": word}) for word in ("auto", "on", "off")),
    *((f"--interface {word}", {"interface": word}) for word in ("auto", "asgi3", "asgi2", "wsgi")),
    ("--env-file .env", {"env_file": (".env",)}),
    ("--log-config logging.yaml", {"log_config": "logging.yaml"}),
    *((f"--log-level {w}", {"log_level": w}) for w in ("critical", "error", "warning", "info", "debug", "trace")),
    ("--log-level TRACE", {"log_level": "trace"}),
    ("--access-log", {"access_log": True}),
    ("--no-access-log", {"access_log": False}),
    ("--use-colors", {"use_colors": True}),
    ("--no-use-colors", {"use_colors": False}),
    ("--proxy-headers", {"proxy_headers": True}),
    ("--no-proxy-headers", {"proxy_headers": False}),
    ("--server-header", {"server_header": True}),
    ("--no-server-header", {"server_header": False}),
    ("--date-header", {"date_header": True}),
    ("--no-date-header", {"date_header": False}),
    ("--forwarded-allow-ips '10.0.0.0/8,::1'", {"forwarded_allow_ips": ("10.0.0.0/8", "::1")}),
    ("--forwarded-allow-ips '*'", {"forwarded_allow_ips": ("*",)}),
    ("--root-path /api", {"root_path": "/api"}),
    ("--limit-concurrency 100", {"limit_concurrency": 100}),
    ("--backlog 512", {"backlog": 512}),
    ("--limit-max-requests 1000", {"max_requests": 1000}),
    (
        "--limit-max-requests 1000 --limit-max-requests-jitter 50",
        {"max_requests": 1000, "max_requests_jitter": 50},
    ),
    ("--timeout-keep-alive 7", {"keepalive": 7.0}),
    ("--timeout-graceful-shutdown 9", {"graceful_timeout": 9.0}),
    ("--timeout-worker-healthcheck 5", {"timeout": 5.0}),
    (
        "--ssl-keyfile k.pem --ssl-certfile c.pem --ssl-keyfile-password p",
        {"keyfile": "k.pem", "certfile": "c.pem", "keyfile_password": "p"},
    ),
    ("--ssl-version 17", {"ssl_version": 17}),
    (
        "--ssl-certfile c --ssl-cert-reqs 2 --ssl-ca-certs ca.pem",
        {"certfile": "c", "cert_reqs": 2, "ca_certs": "ca.pem"},
    ),
    ("--ssl-ciphers TLSv1", {"ciphers": "TLSv1"}),
    ("--header 'X-A: 1, 2' --header X-B:3", {"headers": ("X-A: 1, 2", "X-B:3")}),
    ("--app-dir src", {"app_dir": "src"}),
    ("--h11-max-incomplete-event-size 32768", {"limit_request_head": 32768}),
    ("--reset-contextvars", {"reset_contextvars": True}),
    ("--factory", {"factory": True}),
]
"""Every option of uvicorn's help text, and those of 0.54 that it lacks."""

GUNICORN = [
    ("-b :8000", {"bind": ("0.0.0.0:8000",)}),
    ("-b 127.0.0.1 -b unix:/x -b fd://4", {"bind": ("127.0.0.1:8000", "unix:/x", "fd://4")}),
    ("--bind=[::1]:80", {"bind": ("[::1]:80",)}),
    ("--backlog 64", {"backlog": 64}),
    ("-w 4", {"workers": 4}),
    ("-w4", {"workers": 4}),
    ("-k uvicorn.workers.UvicornWorker", {"worker_class": "uvicorn.workers.UvicornWorker"}),
    ("--worker-class asgi", {"worker_class": "asgi"}),
    ("--worker-connections 1000", {"worker_connections": 1000}),
    ("--max-requests 5 --max-requests-jitter 2", {"max_requests": 5, "max_requests_jitter": 2}),
    ("-t 60", {"timeout": 60.0}),
    ("--timeout 0", {"timeout": 0.0}),
    ("--graceful-timeout 10", {"graceful_timeout": 10.0}),
    ("--keep-alive 2", {"keepalive": 2.0}),
    ("--asgi-loop uvloop", {"loop": "uvloop"}),
    ("--asgi-lifespan off", {"lifespan": "off"}),
    ("--asgi-disconnect-grace-period 3", {"disconnect_grace_period": 3.0}),
    ("--websocket-max-message-size 0", {"ws_max_size": 0}),
    ("--http-parser fast", {"http": "httptools"}),
    ("--http-parser python", {"http": "h11"}),
    ("--http-parser auto", {"http": "auto"}),
    ("--root-path /x", {"root_path": "/x"}),
    ("--limit-request-line 4094", {"limit_request_line": 4094}),
    ("--limit-request-fields 50", {"limit_request_fields": 50}),
    ("--limit-request-field_size 8190", {"limit_request_field_size": 8190}),
    ("--reload", {"reload": True, **WHILE_DEVELOPING}),
    ("--reload-extra-file a.html --reload-extra-file b", {"reload_includes": ("a.html", "b")}),
    ("--preload", {"preload_app": True}),
    ("--reuse-port", {"reuse_port": True}),
    ("--chdir /", {"chdir": "/"}),
    ("-D --error-logfile x", {"daemon": True, "error_logfile": "x"}),
    ("--daemon --log-file x", {"daemon": True, "error_logfile": "x"}),
    ("-e A=1,2 -e B=2", {"raw_env": ("A=1,2", "B=2")}),
    ("--env A=1", {"raw_env": ("A=1",)}),
    ("-p /run/x.pid", {"pidfile": "/run/x.pid"}),
    ("--pid /run/x.pid", {"pidfile": "/run/x.pid"}),
    ("-u www -g 33 --initgroups", {"user": "www", "group": "33", "initgroups": True}),
    ("--user www --group www", {"user": "www", "group": "www"}),
    ("-m 007", {"umask": 0o7}),
    ("--umask 0o022", {"umask": 0o22}),
    ("--pythonpath a,b", {"pythonpath": ("a", "b")}),
    ("--forwarded-allow-ips '*'", {"forwarded_allow_ips": ("*",)}),
    ("--forwarder-headers A_B,C_D", {"forwarder_headers": ("A_B", "C_D")}),
    ("--header-map refuse", {"header_map": "refuse"}),
    ("--proxy-protocol", {"proxy_protocol": "auto"}),
    ("--proxy-protocol v2", {"proxy_protocol": "v2"}),
    ("--proxy-allow-from 10.0.0.1", {"proxy_allow_ips": ("10.0.0.1",)}),
    ("--access-logfile -", {"access_logfile": "-"}),
    ("--access-logformat '%(h)s'", {"access_log_format": "%(h)s"}),
    ("--log-level DEBUG", {"log_level": "debug"}),
    ("--capture-output", {"capture_output": True}),
    ("--log-config x.ini", {"log_config": "x.ini"}),
    ("--log-config-json x.json", {"log_config": "x.json"}),
    ("-n api", {"proc_name": "api"}),
    ("--name api", {"proc_name": "api"}),
    ("--certfile c --keyfile k --ca-certs a --cert-reqs 1", {"certfile": "c", "keyfile": "k", "ca_certs": "a", "cert_reqs": 1}),
    ("--ciphers X", {"ciphers": "X"}),
    ("--ssl-version 2", {"ssl_version": 2}),
    ("--ssl-version TLS_SERVER", {"ssl_version": 17}),
]  # fmt: skip
"""Every flag of gunicorn 27 that has an effect here."""

WITHOUT_EFFECT = [
    "--threads 4",
    "--spew",
    "--no-sendfile",
    "--worker-tmp-dir /dev/shm",
    "--reload-engine poll",
    "--logger-class a.B",
    "-R",
    "--enable-stdio-inheritance",
    "--log-syslog",
    "--log-syslog-to udp://x",
    "--log-syslog-prefix x",
    "--log-syslog-facility daemon",
    "--disable-redirect-access-to-syslog",
    "--statsd-host x:1",
    "--statsd-prefix x",
    "--dogstatsd-tags x",
    "--enable-backlog-metric",
    "--paste x.ini",
    "--paster x.ini",
    "--paste-global a=b",
    "--protocol uwsgi",
    "--uwsgi-allow-from 1.2.3.4",
    "--do-handshake-on-connect",
    "--http-protocols h2,h1",
    "--http2-cleartext both",
    "--http2-max-concurrent-streams 5",
    "--http2-initial-window-size 5",
    "--http2-max-frame-size 5",
    "--http2-max-header-list-size 5",
    "--permit-obsolete-folding",
    "--strip-header-spaces",
    "--permit-unconventional-http-method",
    "--permit-unconventional-http-version",
    "--casefold-http-method",
    "--dirty-app a:b",
    "--dirty-workers 1",
    "--dirty-timeout 1",
    "--dirty-threads 2",
    "--dirty-graceful-timeout 1",
    "--control-socket /x",
    "--control-socket-mode 600",
    "--no-control-socket",
    "--http2",
]


@pytest.mark.parametrize(("line", "values"), UVICORN)
def test_an_option_of_uvicorn_is_taken(line: str, values: dict[str, Any]) -> None:
    assert chosen(f"main:app {line}") == {"app": "main:app", **values}
    assert chosen(f"{line} main:app") == {"app": "main:app", **values}


@pytest.mark.parametrize(("line", "values"), GUNICORN)
def test_a_flag_of_gunicorn_is_taken(line: str, values: dict[str, Any]) -> None:
    assert chosen(f"{line} main:app") == {"app": "main:app", **values}


@pytest.mark.parametrize("line", WITHOUT_EFFECT)
def test_a_flag_without_effect_is_taken_with_exactly_one_warning(line: str) -> None:
    loaded = start(f"{line} main:app")
    assert loaded.config.app == "main:app"
    assert len(loaded.warnings) == 1
    assert ": has no effect: " in loaded.warnings[0]


def test_the_default_that_gunicorn_would_set_again_is_taken_without_a_word() -> None:
    assert start("--suppress-ragged-eofs main:app").warnings == ()


def test_every_advertised_flag_was_tried_above_or_is_ours_alone() -> None:
    tried = " ".join([line for line, _ in UVICORN + GUNICORN] + WITHOUT_EFFECT)
    for option in options().values():
        for flag in (*option.flags, *option.also):
            theirs = option.gunicorn or flag in option.uvicorn
            ours_too = ("--keyfile-password", "--limit-request-field-size", "--suppress-ragged-eofs", "--sendfile")
            renamed = option.uvicorn and flag not in option.uvicorn
            mixed = flag in (
                *ours_too,
                "--pidfile",
                "--preload-app",
                "--disconnect-grace-period",
                "--access-log-format",
            )
            assert flag in tried or not theirs or renamed or mixed, flag


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("main:app", {"app": "main:app"}),
        ("--factory main:create_app", {"app": "main:create_app", "factory": True}),
        (
            "example:app -w 4 -k uvicorn.workers.UvicornWorker",
            {"app": "example:app", "workers": 4, "worker_class": "uvicorn.workers.UvicornWorker"},
        ),
        (
            "-w 4 -k uvicorn_worker.UvicornWorker -b unix:/run/a.sock --access-logfile - --error-logfile - main:app",
            {
                "app": "main:app",
                "workers": 4,
                "worker_class": "uvicorn_worker.UvicornWorker",
                "bind": ("unix:/run/a.sock",),
                "access_logfile": "-",
                "error_logfile": "-",
            },
        ),
    ],
)
def test_whole_command_lines_from_the_others_manuals(line: str, values: dict[str, Any]) -> None:
    assert chosen(line) == values


def test_a_flag_with_an_optional_value_does_not_swallow_the_application() -> None:
    assert chosen("--proxy-protocol main:app") == {"app": "main:app", "proxy_protocol": "auto"}


def test_what_was_not_given_stays_absent() -> None:
    assert parse([]) == CommandLine({}, "", "")


def test_every_option_can_be_parsed_and_gives_its_default_back() -> None:
    for name, option in options().items():
        if not option.flag or option.is_list or defaults()[name] in ("", None):
            continue
        default = defaults()[name]
        if option.is_boolean and not option.takes_value:
            words = [option.flag] if default or not option.negatable else [f"--no-{option.flag[2:]}"]
        else:
            words = [option.flag, str(default)]
        values = parse(words).values
        assert set(values) == {name}
        if option.negatable:
            assert getattr(load(values, environment={}, directory=NO_DIRECTORY).config, name) == default


def test_messages_repeat_the_spelling_that_was_typed() -> None:
    assert parse(["-w", "3"]).values["workers"].where == "command line, --workers"
    assert parse(["--limit-max-requests", "3"]).values["max_requests"].where == "command line, --limit-max-requests"
    assert parse(["--no-access-log"]).values["access_log"].where == "command line, --no-access-log"


def test_two_spellings_of_one_setting_are_refused() -> None:
    with pytest.raises(ConflictingSettings) as refusal:
        parse(["--max-requests", "3", "--limit-max-requests", "4"])
    assert str(refusal.value) == (
        "command line, --limit-max-requests: the same setting as in command line, --max-requests; keep one of them"
    )


def test_two_spellings_of_a_list_add_up() -> None:
    assert chosen("--reload-include a --reload-extra-file b,c") == {"reload_includes": ("a", "b", "c")}


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("--wrokers 3", "no such option --wrokers; did you mean --workers?"),
        (
            "--limit-max-request 3",
            "no such option --limit-max-request; did you mean --limit-max-requests or --limit-max-requests-jitter?",
        ),
        ("--max-request 3", "no such option --max-request; did you mean --max-requests or --max-requests-jitter?"),
        ("-Z", "no such option -Z"),
        ("--work 3", "no such option --work; did you mean --workers, --worker-class or --worker-tmp-dir?"),
        ("--worker-conn 3", "no such option --worker-conn; did you mean --worker-connections?"),
        (
            "--post_fork m:f",
            "no such option --post_fork; set post_fork in the settings file or as ASGI_ARBITER_POST_FORK",
        ),
        ("--workers", "--workers needs a value"),
        (
            "main:app other:app",
            '"other:app" is too much: the application is "main:app"; options begin with --, and those for on and off take '
            "no value",
        ),
        (
            "main:app --forwarded-allow-ips a.py b.py c.py d.py e.py f.py",
            '"b.py" and 4 more words are too much: the application is "main:app"; the shell replaces a *: write "*"',
        ),
        ("main:app 9000", '"9000" is too much: the application is "main:app"; a port is --port 9000'),
        ("run main:app", 'there is no subcommand "run"; write asgi-arbiter main:app'),
        ("dev src/main.py", 'there is no subcommand "dev"; write asgi-arbiter src.main:app'),
    ],
)
def test_click_s_complaints_are_said_in_our_words(line: str, text: str) -> None:
    with pytest.raises(click.ClickException) as refusal:
        parse(line.split())
    assert complaint(refusal.value) == text


def test_gunicorn_s_variable_is_a_command_line_of_its_own() -> None:
    layer, config_file = gunicorn_arguments("-w 3 -c x.toml --env 'A=b c' ignored:app")
    assert {name: given.raw for name, given in layer.values.items()} == {"workers": "3", "raw_env": ["A=b c"]}
    assert layer.values["workers"].where == "GUNICORN_CMD_ARGS, --workers"
    assert config_file == "x.toml"
    with pytest.raises(ConfigError, match=r"^environment, GUNICORN_CMD_ARGS: no such option --x"):
        gunicorn_arguments("--x")


def test_help_is_by_section_with_defaults_and_without_what_has_no_effect() -> None:
    made = command(lambda line: None, lambda: "")
    text = CliRunner().invoke(made, ["--help"], terminal_width=110).output
    sections = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    visible = dict.fromkeys(each.section for each in options().values() if each.flags and not each.inert)
    assert sections == [f"{section}:" for section in (*visible, "Actions")]
    assert "Usage: asgi-arbiter [OPTIONS] APP" in text
    words = text.replace(",", " ").split()
    for option in (each for each in options().values() if each.flag):
        assert (option.flag in words) is not bool(option.inert)
    assert "Number of worker processes; auto is one for each CPU" in text
    assert "[default: 30]" in text
    assert CliRunner().invoke(made, ["-h"], terminal_width=110).output == text


def test_actions_are_told_apart() -> None:
    assert parse(["--check-config"]).action == "check-config"
    assert parse(["--print-config", "-c", "x.toml"]) == CommandLine({}, "x.toml", "print-config")


def test_every_flag_is_known_to_the_hints() -> None:
    known = set(flags())
    for option in options().values():
        assert known.issuperset((*option.flags, *option.also))
    assert {"--host", "--no-access-log", "--version", "-c"} <= known


def test_the_command_line_of_all_defaults_is_the_default_config() -> None:
    assert start("").config == Config()


def test_click_gets_the_options_that_are_mentioned_and_for_completion_all() -> None:
    program = command(lambda line: line, lambda: "")
    with program.make_context("asgi-arbiter", ["--workers=4", "--no-access-log", "-k", "asgi", "main:app"]) as context:
        few = {each.name for each in context.command.params}
    assert {"app", "workers", "access_log", "worker_class"} <= few
    assert {"keepalive", "backlog", "headers"}.isdisjoint(few)
    with program.make_context("asgi-arbiter", [], resilient_parsing=True) as context:
        assert {option for option, each in options().items() if each.flags} <= {
            each.name for each in context.command.params
        }


@pytest.mark.parametrize("word", ["-vw4", "-w", "-bw"])
def test_letters_behind_a_short_flag_may_be_flags_too(word: str) -> None:
    program = command(lambda line: line, lambda: "versions")
    result = CliRunner().invoke(program, [word, "4"])
    assert "no such option" not in result.output.lower()
