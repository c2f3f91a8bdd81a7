from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asgi_arbiter.config import Config
from asgi_arbiter.config.rules import check, wants_h11

TLS = {"certfile": "c.pem", "keyfile": "k.pem"}


def complaints(**values: Any) -> list[tuple[bool, tuple[str, ...], str]]:
    return [(each.fatal, each.about, each.text) for each in check(Config(**values), set(values))]


def test_the_defaults_break_no_rule() -> None:
    assert complaints() == []


@pytest.mark.parametrize(
    ("values", "about", "text"),
    [
        (
            {"worker_class": "gthread"},
            ("worker_class",),
            '"gthread" runs WSGI applications and asgi-arbiter runs ASGI ones; for WSGI use --interface wsgi instead',
        ),
        (
            {"worker_class": "my.Worker"},
            ("worker_class",),
            '"my.Worker" is not known; asgi-arbiter has one kind of worker: leave the setting out, and write '
            "what the class configures as settings",
        ),
        ({"keyfile": "k"}, ("keyfile",), "a private key without a certificate; set certfile too"),
        ({"cert_reqs": 2}, ("cert_reqs",), "client certificates need TLS; set certfile too"),
        (
            {"reload": True, "daemon": True, "error_logfile": "x"},
            ("daemon", "reload"),
            "reload is for development and daemon for production; choose one",
        ),
        (
            {"min_worker_lifetime": 90.0, "max_worker_lifetime": 60.0},
            ("min_worker_lifetime", "max_worker_lifetime"),
            "min_worker_lifetime (90 s) is longer than max_worker_lifetime (60 s)",
        ),
        ({"raw_env": ("A",)}, ("raw_env",), 'expected NAME=VALUE, found "A"'),
        ({"raw_env": ("=A",)}, ("raw_env",), 'expected NAME=VALUE, found "=A"'),
        ({"headers": ("no colon",)}, ("headers",), 'expected NAME:VALUE, found "no colon"'),
        ({"headers": ("a b: c",)}, ("headers",), 'expected NAME:VALUE, found "a b: c"'),
        ({"headers": ("a: b\r\nc: d",)}, ("headers",), 'expected NAME:VALUE, found "a: b\r\nc: d"'),
        (
            {"headers": ("Transfer-Encoding: chunked",)},
            ("headers",),
            '"Transfer-Encoding: chunked" frames the response; the server writes that header itself',
        ),
        (
            {"access_log_format": "%(h)s %h"},
            ("access_log_format",),
            "found '%h', expected an atom such as %(h)s or %({Host}i)s, or %% for a percent sign",
        ),
        ({"chdir": "/no/such/place"}, ("chdir",), 'there is no directory "/no/such/place"'),
    ],
)
def test_an_impossible_combination_is_fatal(values: dict[str, Any], about: tuple[str, ...], text: str) -> None:
    assert complaints(**values) == [(True, about, text)]


@pytest.mark.parametrize(
    ("values", "about", "text"),
    [
        (
            {**TLS, "cert_reqs": 2},
            "cert_reqs",
            "client certificates cannot be checked without authorities; set ca_certs too",
        ),
        ({"keyfile_password": "x"}, "keyfile_password", "has no effect without keyfile"),
        ({**TLS, "ssl_crl": "crl.pem"}, "ssl_crl", "has no effect without cert_reqs"),
        ({"pidfile": "8000"}, "pidfile", "writes the process id into a file named 8000; a port is --port 8000"),
        ({"daemon": True}, "daemon", "the log goes nowhere without a terminal; set error_logfile"),
        (
            {"reuse_port": True, "bind": ("unix:/x",)},
            "reuse_port",
            "has no effect on Unix sockets, and nothing else is bound",
        ),
        ({"uds_permissions": 0o600}, "uds_permissions", "has no effect without a Unix socket file in bind"),
        (
            {"uds_owner": "www", "bind": ("unix:@x",)},
            "uds_owner",
            "has no effect without a Unix socket file in bind",
        ),
        ({"max_requests_jitter": 5}, "max_requests_jitter", "has no effect without max_requests"),
        ({"max_worker_memory_jitter": 5}, "max_worker_memory_jitter", "has no effect without max_worker_memory"),
        (
            {"quick_timeout": 60.0},
            "quick_timeout",
            "quick_timeout (60 s) is longer than graceful_timeout (30 s): Ctrl-C would be slower than SIGTERM",
        ),
        (
            {"timeout": 0.5},
            "timeout",
            "workers beat once a second; below 2 seconds a healthy one may be aborted",
        ),
        (
            {"ws_ping_interval": 0.0, "ws_ping_timeout": 5.0},
            "ws_ping_timeout",
            "has no effect without ws_ping_interval",
        ),
        (
            {"reload": True, "reload_dirs": ("/no/such", "/neither")},
            "reload_dirs",
            'there is no directory "/no/such", "/neither"; the current directory is watched instead',
        ),
        (
            {"reload": True, "chdir": str(Path(__file__).parent), "reload_dirs": ("../config", "no such")},
            "reload_dirs",
            'there is no directory "no such"',
        ),
        ({"reload_dirs": ("src",)}, "reload_dirs", "has no effect without reload"),
        (
            {"forwarded_allow_ips": ("unix:", "testclient", "fe80::/10", "10.0.0.1/8", "300.1.1.1")},
            "forwarded_allow_ips",
            '"300.1.1.1" is neither an address nor a network, no peer has it',
        ),
        (
            {"proxy_allow_ips": ("*", "10.0.0.0/33")},
            "proxy_allow_ips",
            '"10.0.0.0/33" is neither an address nor a network, no peer has it',
        ),
        ({"root_path": "api/"}, "root_path", '"api/" makes paths that applications do not expect; write "/api"'),
        ({"root_path": "/"}, "root_path", '"/" makes paths that applications do not expect; leave it out'),
        (
            {"access_log_format": "%(h)s %(zz)s %(y)d"},
            "access_log_format",
            "prints - for %(zz)s, %(y)d, which no access log has",
        ),
        ({"reload_includes": ("*.html",)}, "reload_includes", "has no effect without reload"),
    ],
)
def test_a_combination_without_effect_is_a_warning(values: dict[str, Any], about: str, text: str) -> None:
    assert complaints(**values) == [(False, (about,), text)]


def test_a_log_configuration_decides_the_format() -> None:
    assert complaints(log_config="x.ini", log_format="json") == [
        (False, ("log_format", "log_config"), "log_config replaces it")
    ]


def test_a_default_that_nobody_chose_breaks_no_rule() -> None:
    assert complaints(graceful_timeout=1.0) == []
    assert complaints(ws_ping_interval=0.0) == []


@pytest.mark.parametrize(
    "values",
    [
        {"reload": True, "workers": 4},
        {"reload": False, "reload_includes": ("*.html",)},
        {"root_path": "/api/v1", "forwarded_allow_ips": ("::1", "127.0.0.1", "proxy.local", "abc")},
        {**TLS, "cert_reqs": 1, "ca_certs": "ca.pem"},
        {"certfile": "both.pem"},
        {"ssl_sni_dir": "names", "keyfile_password": "x", "cert_reqs": 2, "ca_certs": "ca.pem", "ssl_crl": "crl.pem"},
        {"max_requests": 10, "max_requests_jitter": 5},
        {"bind": ("unix:/x", "h:1"), "uds_permissions": 0o600, "reuse_port": True},
        {"timeout": 0.0},
        {"raw_env": ("A=", "B=x=y")},
        {"headers": ("X-Empty:", "X: a, b")},
        {"chdir": str(Path(__file__).parent)},
    ],
)
def test_a_sensible_combination_breaks_no_rule(values: dict[str, Any]) -> None:
    assert complaints(**values) == []


@pytest.mark.parametrize(
    ("name", "h11"),
    [
        ("asgi", False),
        ("uvicorn.workers.UvicornWorker", False),
        ("uvicorn.workers.UvicornH11Worker", True),
        ("uvicorn_worker.UvicornWorker", False),
        ("uvicorn_worker.UvicornH11Worker", True),
        ("asgi_arbiter.gunicorn.ArbiterWorker", False),
        ("asgi_arbiter.gunicorn.ArbiterH11Worker", True),
    ],
)
def test_asgi_worker_classes_are_accepted(name: str, h11: bool) -> None:
    assert complaints(worker_class=name) == []
    assert wants_h11(name) is h11
