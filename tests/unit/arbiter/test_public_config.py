"""``Config`` as programs write it: every form of uvicorn's keywords, in the frozen settings of the table."""

from __future__ import annotations

import configparser
import copy
import io
import logging
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asgi_arbiter.arbiter.public_config import Config, UnknownKeyword
from asgi_arbiter.config import LOGGING_CONFIG, AppImportError, ConfigError, InvalidSetting, UnknownSetting, logs
from asgi_arbiter.config.logconfig import LogConfig
from tests.logging_support import untouched


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    with untouched():
        yield


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The application of a program."""


def make(**keywords: Any) -> Config:
    """A ``Config`` that leaves logging alone."""
    return Config(app, **{"log_config": None, **keywords})


# One keyword, and what becomes of it in the settings.
FORMS: list[tuple[dict[str, Any], str, Any]] = [
    ({"host": "0.0.0.0", "port": 5000}, "bind", ("0.0.0.0:5000",)),
    ({"port": 0}, "bind", ("127.0.0.1:0",)),
    ({"host": "::1"}, "bind", ("[::1]:8000",)),
    ({"uds": Path("/tmp/x.sock")}, "bind", ("unix:/tmp/x.sock",)),
    ({"fd": 3}, "bind", ("fd://3",)),
    ({"bind": ["127.0.0.1:1", "unix:/x"]}, "bind", ("127.0.0.1:1", "unix:/x")),
    ({"loop": "none"}, "loop", "asyncio"),
    ({"http": "h11"}, "http", "h11"),
    ({"ws": "websockets-sansio"}, "ws", "websockets"),
    ({"ws_max_size": 5}, "ws_max_size", 5),
    ({"ws_max_queue": 5}, "ws_max_queue", 5),
    ({"ws_ping_interval": None, "ws_ping_timeout": None}, "ws_ping_interval", 0.0),
    ({"ws_ping_interval": 5}, "ws_ping_interval", 5.0),
    ({"ws_per_message_deflate": False}, "ws_per_message_deflate", False),
    ({"lifespan": "off"}, "lifespan", "off"),
    ({"log_level": logging.WARNING}, "log_level", "warning"),
    ({"log_level": 15}, "log_level", "info"),
    ({"log_level": 0}, "log_level", "trace"),
    ({"log_level": 99}, "log_level", "critical"),
    ({"log_level": "TRACE"}, "log_level", "trace"),
    ({"access_log": False}, "access_log", False),
    ({"use_colors": True}, "use_colors", True),
    ({"interface": "asgi3"}, "interface", "asgi3"),
    ({"reload_dirs": "a,b"}, "reload_dirs", ("a,b",)),
    ({"reload_includes": ["*.html", Path("x")]}, "reload_includes", ("*.html", "x")),
    ({"workers": 0}, "workers", 1),
    ({"proxy_headers": False}, "proxy_headers", False),
    ({"forwarded_allow_ips": "*"}, "forwarded_allow_ips", ("*",)),
    ({"forwarded_allow_ips": ["10.0.0.0/8", "::1"]}, "forwarded_allow_ips", ("10.0.0.0/8", "::1")),
    ({"root_path": "/api"}, "root_path", "/api"),
    ({"limit_concurrency": 7}, "limit_concurrency", 7),
    ({"limit_max_requests": 7}, "max_requests", 7),
    ({"limit_max_requests": 7, "limit_max_requests_jitter": 2}, "max_requests_jitter", 2),
    ({"timeout_keep_alive": 7}, "keepalive", 7.0),
    ({"timeout_graceful_shutdown": 7}, "graceful_timeout", 7.0),
    ({"timeout_worker_healthcheck": 7}, "timeout", 7.0),
    ({"ssl_certfile": Path("c.pem"), "ssl_keyfile": "k.pem"}, "certfile", "c.pem"),
    ({"ssl_certfile": "c.pem", "ssl_version": ssl.PROTOCOL_TLS_SERVER}, "ssl_version", 17),
    (
        {"ssl_certfile": "c.pem", "ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "a"},
        "cert_reqs",
        2,
    ),
    ({"headers": [("X-One", "1"), (b"x-two", b"2, 3")]}, "headers", ("X-One:1", "x-two:2, 3")),
    ({"headers": {"X-One": "1"}}, "headers", ("X-One:1",)),
    ({"headers": ["X-One: 1"]}, "headers", ("X-One: 1",)),
    ({"h11_max_incomplete_event_size": 999}, "limit_request_head", 999),
    ({"reset_contextvars": True}, "reset_contextvars", True),
    ({"app_dir": "/srv"}, "app_dir", "/srv"),
    ({"graceful_timeout": "2m"}, "graceful_timeout", 120.0),
]


@pytest.mark.parametrize(("keywords", "name", "value"), FORMS)
def test_a_keyword_becomes_a_setting(keywords: dict[str, Any], name: str, value: Any) -> None:
    assert getattr(make(**keywords).settings, name) == value


def test_what_uvicorn_passes_by_default_is_the_default_here() -> None:
    absent = ["uds", "fd", "limit_concurrency", "limit_max_requests", "forwarded_allow_ips", "ssl_keyfile", "workers"]
    absent += ["env_file", "log_level", "use_colors", "reload_dirs", "headers", "timeout_graceful_shutdown"]
    assert make(**dict.fromkeys(absent)).settings.bind == ("127.0.0.1:8000",)
    assert make(**dict.fromkeys(absent)).settings == make().settings


def test_the_address_may_be_positional() -> None:
    assert Config(app, "0.0.0.0", 81, log_config=None).settings.bind == ("0.0.0.0:81",)


def test_the_environment_counts_as_in_uvicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    monkeypatch.setenv("ASGI_ARBITER_BACKLOG", "5")
    assert make().settings.workers == 3
    assert make(workers=2).settings.workers == 2
    assert make().settings.backlog == 2048


# What is wrong


def test_an_unknown_keyword_is_a_type_error_that_names_the_nearest() -> None:
    with pytest.raises(TypeError, match=r'^Config\(\), prot: no such setting "prot"; did you mean port\?$') as caught:
        make(prot=5)
    assert isinstance(caught.value, UnknownKeyword)
    assert isinstance(caught.value, UnknownSetting)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"workers": "x"}, r'^Config\(\), workers: expected a whole number .*, found "x"$'),
        ({"port": "http"}, r"^Config\(\), port: expected a port"),
        ({"http": object}, r"^Config\(\), http: expected auto, httptools, h1c or h11, found <class"),
        ({"headers": [5]}, r"^Config\(\), headers: expected pairs of name and value, found 5$"),
        ({"headers": [("Content-Length", "5")]}, r"^Config\(\), headers: .* the server writes that header itself"),
        ({"log_config": 5}, r"^Config\(\), log_config: expected a dictionary, a path or None, found 5$"),
        ({"keepalive": 1, "timeout_keep_alive": 1}, r"^Config\(\), timeout_keep_alive: the same setting as in"),
        ({"ssl_keyfile": "k.pem"}, r"^Config\(\), ssl_keyfile: a private key without a certificate"),
    ],
)
def test_a_wrong_value_is_named_with_its_keyword(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**keywords)


# Attributes


def test_settings_can_be_read_under_every_name() -> None:
    config = make(host="0.0.0.0", port=81, limit_max_requests=5, headers=[("a", "b")], log_level=30)
    assert (config.host, config.port, config.uds, config.fd) == ("0.0.0.0", 81, None, None)
    assert config.limit_max_requests == config.max_requests == 5
    assert (config.headers, config.log_level, config.log_config, config.app) == ([("a", "b")], 30, None, app)
    assert (config.timeout_notify, config.callback_notify, config.ssl_context_factory) == (30.0, None, None)
    assert (make(uds="/x").uds, make(uds="/x").port, make(fd=3).fd) == ("/x", 8000, 3)
    with pytest.raises(AttributeError, match="no attribute 'prot'"):
        _ = config.prot


def test_settings_can_be_changed_and_are_checked_at_once() -> None:
    config = make(port=5000, timeout_keep_alive=3)
    config.port = 0
    config.keepalive = 4
    assert (config.settings.bind, config.timeout_keep_alive) == (("127.0.0.1:0",), 4)
    with pytest.raises(InvalidSetting):
        config.workers = "many"
    assert config.workers == 1
    config.app = "main:app"
    assert config.settings.app == "main:app"
    assert config.checked.reload().config == config.settings


def test_the_questions_of_uvicorn_are_answered() -> None:
    assert not make().is_ssl
    assert make(ssl_certfile="x").is_ssl
    assert make(ssl_context_factory=lambda config, default: default()).is_ssl
    assert not make(reload=True).should_reload
    config = Config("main:app", reload=True, log_config=None)
    assert config.should_reload
    assert config.use_subprocess
    assert (make().asgi_version, make(interface="asgi2").asgi_version) == ("3.0", "2.0")
    config.setup_event_loop()
    assert callable(config.get_loop_factory())


@pytest.mark.parametrize(
    ("keywords", "headers"),
    [
        ({}, [(b"server", b"asgi-arbiter")]),
        ({"server_header": False}, []),
        ({"headers": [("X-One", "1:2")]}, [(b"server", b"asgi-arbiter"), (b"x-one", b"1:2")]),
        ({"headers": [("Server", "mine")]}, [(b"server", b"mine")]),
    ],
)
def test_the_headers_of_each_response_can_be_read(keywords: dict[str, Any], headers: Any) -> None:
    assert make(**keywords).encoded_headers == headers


def test_what_only_worker_processes_can_have_is_told() -> None:
    assert make(preload_app=True).for_arbiter == ("preload_app",)
    assert make().for_arbiter == ()
    assert make(workers=1, backlog=5).for_arbiter == ()
    assert make(workers=4, reload=True, pidfile="x", post_fork="m:f").for_arbiter == (
        "workers=4",
        "reload",
        "pidfile",
        "post_fork",
    )


# The application


def test_an_object_is_loaded_as_it_is_and_once() -> None:
    config = make()
    assert not config.loaded
    config.load()
    assert config.loaded
    assert config.loaded_app is app
    config.app = "nowhere:app"
    config.load()
    assert config.loaded_app is app


def test_the_application_can_be_imported_alone() -> None:
    config = make()
    assert config.load_app() is app
    assert not config.loaded


def test_a_factory_is_called() -> None:
    config = Config(lambda: app, factory=True, log_config=None)
    config.load()
    assert config.loaded_app is app


def test_an_import_string_that_leads_nowhere_is_told() -> None:
    with pytest.raises(AppImportError, match="no module"):
        Config("there_is_no_such_module:app", log_config=None).load()


def test_the_import_path_changes_for_app_dir_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys, "path", list(sys.path))
    before = list(sys.path)
    make().load()
    assert sys.path == before
    (tmp_path / "application_of_public_config.py").write_text("async def app(scope, receive, send): ...")
    config = Config("application_of_public_config:app", app_dir=str(tmp_path), log_config=None)
    config.load()
    assert sys.path == [str(tmp_path), *before]
    del sys.modules["application_of_public_config"]


def test_an_environment_file_is_read_when_the_config_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    (tmp_path / ".env").write_text("OF_PUBLIC_CONFIG=1\n")
    from asgi_arbiter.config import envfile

    monkeypatch.setattr(envfile.load_environment, "__defaults__", (os.environ,))
    make(env_file=tmp_path / ".env")
    assert os.environ["OF_PUBLIC_CONFIG"] == "1"


def test_a_tls_function_that_returns_something_else_is_called_by_its_name() -> None:
    def my_factory(config: Config, default: Any) -> Any:
        return "context"

    with pytest.raises(InvalidSetting, match=r"my_factory returned a str, expected an ssl\.SSLContext$"):
        make(ssl_context_factory=my_factory).load()


def test_certificates_that_are_not_there_cannot_be_read_anew() -> None:
    with pytest.raises(InvalidSetting, match="certfile: there are no certificates to be read"):
        make().read_certificates()


def test_a_tls_function_gets_the_program_s_config_and_a_way_to_the_default() -> None:
    seen: list[Any] = []

    def factory(config: Config, default: Any) -> ssl.SSLContext:
        seen.extend((config, default))
        return made

    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    config = make(ssl_context_factory=factory)
    config.load()
    assert config.ssl is made
    assert seen[0] is config
    with pytest.raises(InvalidSetting, match="needs a certificate"):
        seen[1]()


# Logging


def test_logging_is_set_up_when_the_config_is_made_and_the_root_logger_left_alone() -> None:
    root = list(logging.root.handlers), logging.root.level
    Config(app, log_level="debug")
    logger = logging.getLogger("asgi_arbiter")
    assert logger.level == logging.DEBUG
    assert logger.handlers
    assert not logger.propagate
    assert (list(logging.root.handlers), logging.root.level) == root


def test_without_a_configuration_logging_is_left_alone() -> None:
    before = logging.getLogger("asgi_arbiter").handlers[:]
    make()
    assert logging.getLogger("asgi_arbiter").handlers == before
    assert logs._state.configured is False


def test_a_dictionary_for_logging_is_taken() -> None:
    made = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"null": {"class": "logging.NullHandler"}},
        "loggers": {"asgi_arbiter": {"handlers": ["null"], "level": "ERROR"}},
    }
    config = Config(app, log_config=made)
    logger = logging.getLogger("asgi_arbiter")
    assert [type(handler) for handler in logger.handlers] == [logging.NullHandler]
    assert logger.level == logging.ERROR
    assert config.log_config is made


@pytest.fixture
def logging_config() -> Iterator[dict[str, Any]]:
    before = copy.deepcopy(LOGGING_CONFIG)
    yield LOGGING_CONFIG
    LOGGING_CONFIG.clear()
    LOGGING_CONFIG.update(before)


@pytest.mark.parametrize("given", [True, False])
def test_the_dictionary_of_uvicorn_s_shape_can_be_changed_and_passed_on_or_only_changed(
    logging_config: dict[str, Any], given: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    logging_config["formatters"]["default"]["fmt"] = "mine %(message)s"
    config = Config(app, log_config=logging_config) if given else Config(app)
    logging.getLogger("asgi_arbiter.worker").info("hello")
    assert capfd.readouterr().err == "mine hello\n"
    assert config.leaves_logging_alone is False


INI = "[loggers]\nkeys=root\n[handlers]\nkeys=\n[formatters]\nkeys=\n[logger_root]\nhandlers=\n"


def test_a_parser_or_an_open_file_for_logging_is_taken() -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(INI)
    for given in (parser, io.StringIO(INI), io.BytesIO(INI.encode())):
        held: object = make(log_config=given).settings.log_config
        assert isinstance(held, LogConfig)
        assert held.names == {""}


def test_workers_that_leave_logging_alone_hand_their_lines_to_the_program_s_handlers() -> None:
    settings = make(workers=2).settings
    logs.configure(settings, identity="worker=1")
    assert logging.getLogger("asgi_arbiter").propagate
    assert logging.getLogger("asgi_arbiter").handlers == []
