"""Our records in gunicorn's logs."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_arbiter.config.access import AccessRecord
from asgi_arbiter.worker.gunicorn_log import AccessToGunicorn, adopt, error_stream, wants_access

glogging = pytest.importorskip("gunicorn.glogging")
PLAIN = glogging.Logger.access


@pytest.fixture
def ours() -> Iterator[logging.Logger]:
    """Our logger, as it was afterwards."""
    logger = logging.getLogger("asgi_arbiter")
    before = logger.handlers[:], logger.propagate, logger.level
    yield logger
    logger.handlers[:], logger.propagate = before[:2]
    logger.setLevel(before[2])


def cfg(**settings: Any) -> Any:
    none = dict.fromkeys(("accesslog", "logconfig", "logconfig_dict", "syslog"))
    return SimpleNamespace(**{**none, "disable_redirect_access_to_syslog": False, **settings})


class Old:
    """A logger without ``access_log_enabled``, as before gunicorn 25."""

    access = PLAIN

    def __init__(self, **settings: Any) -> None:
        self.cfg = cfg(**settings)


class New(Old):
    access_log_enabled = True


class Statsd(Old):
    def access(self, *arguments: object) -> None:
        """Counts."""


@pytest.mark.parametrize(
    ("log", "wanted"),
    [
        (Old(), False),
        (Old(accesslog="-"), True),
        (Old(logconfig="file"), True),
        (Old(logconfig_json="file"), True),
        (Old(syslog=True), True),
        (Old(syslog=True, disable_redirect_access_to_syslog=True), False),
        (New(), True),
        (Statsd(), True),
    ],
)
def test_access_records_are_made_for_those_who_want_them(log: Any, wanted: bool) -> None:
    assert wants_access(log, PLAIN) is wanted


def record(**more: Any) -> AccessRecord:
    values: dict[str, Any] = {
        "kind": "http",
        "client": ("10.0.0.1", 5),
        "scheme": "http",
        "method": "GET",
        "target": b"/x?y",
        "http_version": "1.1",
        "status": 200,
        "bytes_sent": 3,
        "duration": 0.25,
        "request_headers": [(b"x-a", b'quoted " here')],
        "response_headers": [(b"X-B", b"c")],
    }
    return AccessRecord(**{**values, **more})


def test_a_record_goes_through_gunicorns_own_atoms() -> None:
    stream = io.StringIO()
    log: Any = object.__new__(glogging.Logger)
    log.cfg = cfg(
        accesslog="-", access_log_format='%(h)s "%(r)s" %(s)s %(B)s %(M)s %({x-a}i)s %({x-b}o)s %({raw_uri}e)s'
    )
    log._access_log_enabled = True
    log.access_log = logging.Logger("gunicorn.access")
    log.access_log.addHandler(logging.StreamHandler(stream))
    AccessToGunicorn(log)(record())
    assert stream.getvalue() == '10.0.0.1 "GET /x?y HTTP/1.1" 200 3 250 quoted \\" here c /x?y\n'


def test_a_logger_class_that_raises_harms_nobody() -> None:
    said: list[str] = []

    class Wrong:
        exception = said.append

        def access(self, *arguments: object) -> None:
            raise ZeroDivisionError

    AccessToGunicorn(Wrong())(record(client=None, response_headers=None))
    assert said == ["Exception in the access log"]


def test_our_records_reach_gunicorns_error_log_with_its_level(ours: logging.Logger) -> None:
    stream = io.StringIO()
    target = logging.Logger("gunicorn.error", logging.WARNING)
    target.addHandler(logging.StreamHandler(stream))
    adopt(SimpleNamespace(error_log=target))
    adopt(SimpleNamespace(error_log=target))  # once is enough
    logger = logging.getLogger("asgi_arbiter.worker")
    logger.info("unheard")
    logger.error("heard %d", 1)
    assert stream.getvalue() == "heard 1\n"


def test_a_logger_class_of_another_kind_gets_level_and_text(ours: logging.Logger) -> None:
    said: list[Any] = []
    adopt(SimpleNamespace(log=lambda level, text, **more: said.append((level, text))))
    logging.getLogger("asgi_arbiter.worker").warning("heard %d", 1)
    assert said == [(logging.WARNING, "heard 1")]


def test_stacks_go_where_the_error_log_goes(tmp_path: Path) -> None:
    target = logging.Logger("gunicorn.error")
    target.addHandler(logging.StreamHandler(io.StringIO()))  # without a descriptor
    assert error_stream(SimpleNamespace(error_log=target)) is sys.__stderr__
    file = logging.FileHandler(tmp_path / "log")
    target.addHandler(file)
    assert error_stream(SimpleNamespace(error_log=target)) is file.stream
    file.close()
    assert error_stream(object()) is sys.__stderr__
