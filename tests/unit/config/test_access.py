"""The access log, by the short way and by records."""

from __future__ import annotations

import functools
import json
import logging
import logging.handlers
import queue
import re
import timeit
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asgi_arbiter.config import Config, InvalidSetting, logconfig, logs
from asgi_arbiter.config.access import AccessLog, AccessRecord
from asgi_arbiter.config.loglook import AccessFormatter

NAMES = ("asgi_arbiter", logs.ARBITER, logs.WORKER, logs.ACCESS, "uvicorn.access", "uvicorn", "gunicorn.error")


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    saved = {name: logging.getLogger(name) for name in NAMES}
    state = {name: (one.handlers[:], one.filters[:], one.level, one.propagate) for name, one in saved.items()}
    before, logs._state, logconfig._cached = logs._state, logs._State(), None
    yield
    logs._state, logconfig._cached = before, None
    for name, one in saved.items():
        one.handlers[:], one.filters[:], level, one.propagate = state[name]
        one.setLevel(level)
        one.disabled = False


def record(**changes: Any) -> AccessRecord:
    given: dict[str, Any] = {
        "kind": "http",
        "client": ("127.0.0.1", 51934),
        "scheme": "http",
        "method": "GET",
        "target": b"/x?y=1",
        "http_version": "1.1",
        "status": 200,
        "bytes_sent": 1234,
        "duration": 0.01234,
        "request_headers": [(b"user-agent", b"curl")],
    }
    return AccessRecord(**(given | changes))


class Written:
    """An access log to a file, and what is in the file."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.path = path
        self.settings = {"access_logfile": str(path)} | settings

    @functools.cached_property
    def log(self) -> AccessLog:
        # Made in the test and not in its fixture: pytest adds a handler to each logger that does not propagate then.
        config = Config(**self.settings)
        logs.configure(config, identity="worker=2 gen=5 pid=8")
        return AccessLog(config)

    def __call__(self, **changes: Any) -> str:
        self.log(record(**changes))
        lines = self.path.read_text().splitlines()
        return lines[-1] if lines else ""

    def tail(self, **changes: Any) -> str:
        return self(**changes).partition("] ")[2]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "a.log")


WEBSOCKET: dict[str, Any] = {"kind": "websocket", "target": b"/chat", "status": 101, "duration": 12.3}


def test_a_request_is_one_line_with_bytes_and_duration(written: Written) -> None:
    line = written()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d INFO     \[worker=2 gen=5 pid=8\] "
        r'127\.0\.0\.1:51934 - "GET /x\?y=1 HTTP/1\.1" 200 1234B 0\.0123s',
        line,
    )


def test_a_websocket_is_one_line_with_its_counts(written: Written) -> None:
    tail = written.tail(**WEBSOCKET, close_code=1000, messages_in=3, messages_out=5)
    assert tail == '127.0.0.1:51934 - "WEBSOCKET /chat" 101 closed=1000 in=3 out=5 12.3000s'


def test_a_websocket_without_a_close_and_one_that_was_refused(written: Written) -> None:
    assert "101 closed=- in=0 out=0" in written.tail(**WEBSOCKET)
    assert written.tail(**(WEBSOCKET | {"status": 403})).endswith('"WEBSOCKET /chat" 403 1234B 12.3000s')


@pytest.mark.parametrize(
    ("client", "shown"),
    [
        (None, "- -"),
        (("", 0), "- -"),
        (("::1", 80), "[::1]:80 -"),
        (("evil\n\x1b", 1), "evil\\x0a\\x1b:1 -"),
        (("größe", 1), "gr\\xf6\\xdfe:1 -"),
    ],
)
def test_the_client_is_shown_safely(written: Written, client: Any, shown: str) -> None:
    assert written.tail(client=client).startswith(f'{shown} "GET')


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (b'/"\r\nforged\x1b[2J\\', '/\\"\\x0d\\x0aforged\\x1b[2J\\\\'),
        (b"/\xc3\xa9", "/\\xc3\\xa9"),
        (b"/a%20b", "/a%20b"),
        (b"*", "*"),
    ],
)
def test_a_target_cannot_forge_a_line(written: Written, target: bytes, shown: str) -> None:
    assert f'"GET {shown} HTTP/1.1" 200' in written.tail(target=target)
    assert len(written.path.read_text().splitlines()) == 1


def test_a_method_cannot_forge_a_line(written: Written) -> None:
    assert '"M-SEARCH /x' in written.tail(method="M-SEARCH")
    assert '"G\\"\\x0a /x' in written.tail(method='G"\n')


def test_a_format_in_atoms_is_the_whole_line(tmp_path: Path) -> None:
    written = Written(tmp_path / "a.log", access_log_format='%(h)s "%(r)s" %(s)s %({User-Agent}i)s')
    assert written() == '127.0.0.1 "GET /x?y=1 HTTP/1.1" 200 curl'


def test_a_format_that_cannot_be_read_is_refused_when_the_log_is_made() -> None:
    with pytest.raises(InvalidSetting, match="access_log_format"):
        AccessLog(Config(access_log_format="%(h"))


def test_json_has_the_fields(tmp_path: Path) -> None:
    written = Written(tmp_path / "a.log", log_format="json")
    line = json.loads(written(target=b'/"\n\xff'))
    ts = line.pop("ts")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", ts)
    assert line == {
        "level": "info",
        "logger": "asgi_arbiter.access",
        "event": "request",
        "role": "worker",
        "worker": 2,
        "generation": 5,
        "pid": 8,
        "client": "127.0.0.1:51934",
        "scheme": "http",
        "method": "GET",
        "target": '/"\n\xff',
        "http_version": "1.1",
        "status": 200,
        "bytes_sent": 1234,
        "duration": 0.01234,
        "message": '127.0.0.1:51934 - "GET /\\"\\x0a\\xff HTTP/1.1" 200 1234B 0.0123s',
    }
    socket = json.loads(written(**WEBSOCKET, close_code=1001))
    assert (socket["event"], socket["close_code"], socket["messages_in"]) == ("websocket", 1001, 0)


def test_json_and_a_format_make_the_format_the_message(tmp_path: Path) -> None:
    written = Written(tmp_path / "a.log", log_format="json", access_log_format="%(m)s")
    assert json.loads(written())["message"] == "GET"


def test_colours_are_on_the_status_alone(capfd: Any) -> None:
    logs.configure(Config(use_colors=True), identity="worker=2 gen=5 pid=8")
    AccessLog(Config(use_colors=True))(record(status=404))
    out = capfd.readouterr().out
    assert '" \x1b[31m404\x1b[0m 1234B' in out


@pytest.mark.parametrize(
    ("settings", "enabled"), [({}, True), ({"access_log": False}, False), ({"access_logfile": ""}, False)]
)
def test_a_log_that_nobody_wants_is_not_enabled(tmp_path: Path, settings: dict[str, Any], enabled: bool) -> None:
    assert Written(tmp_path / "a.log", **settings).log.enabled is enabled


def test_embedded_and_unconfigured_it_is_as_the_logger_says() -> None:
    assert not AccessLog(Config()).enabled
    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign]
    logger = logging.getLogger(logs.ACCESS)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    log = AccessLog(Config())
    assert log.enabled
    log(record())
    assert seen[0].getMessage().endswith('"GET /x?y=1 HTTP/1.1" 200 1234B 0.0123s')


def test_no_record_is_made_while_nobody_else_listens(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written.log, "_by_record", None)
    assert "GET /x" in written()


def test_a_filter_on_uvicorns_logger_still_works(written: Written) -> None:
    class NoHealth(logging.Filter):
        def filter(self, entry: logging.LogRecord) -> bool:
            return isinstance(entry.args, tuple) and entry.args[2] != "/health"

    assert "/x" in written.tail()
    logging.getLogger("uvicorn.access").addFilter(NoHealth())
    assert "/health" not in written.tail(target=b"/health")
    assert written.tail(target=b"/other").endswith('"GET /other HTTP/1.1" 200 1234B 0.0123s')
    assert len(written.path.read_text().splitlines()) == 2


@pytest.mark.parametrize("how", ["level", "disabled", "handlers", "clear"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_uvicorns_logger_can_be_silenced_the_usual_ways(written: Written, how: str, when: str) -> None:
    uvicorn = logging.getLogger("uvicorn.access")
    logs.configure(Config(**written.settings), identity="worker=2 gen=5 pid=8")
    log = AccessLog(Config(**written.settings)) if when == "after" else None
    if how == "level":
        uvicorn.setLevel(logging.WARNING)
    elif how == "disabled":
        uvicorn.disabled = True
    elif how == "handlers":
        uvicorn.handlers = []
    else:
        uvicorn.handlers.clear()
    log = log or AccessLog(Config(**written.settings))
    log(record())
    log(record())
    assert written.path.read_text() == ""


def test_uvicorns_handler_can_be_replaced(written: Written) -> None:
    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign]
    assert written.log.enabled
    logging.getLogger("uvicorn.access").handlers = [handler]
    assert written() == ""
    assert written() == ""
    assert [entry.args[1] for entry in seen if isinstance(entry.args, tuple)] == ["GET", "GET"]


def test_uvicorns_lines_can_be_sent_up(written: Written) -> None:
    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign]
    assert written.log.enabled
    uvicorn = logging.getLogger("uvicorn.access")
    uvicorn.handlers, uvicorn.propagate = [], True
    logging.getLogger("uvicorn").addHandler(handler)
    assert written() == ""
    assert len(seen) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_formatter_of_uvicorns_first_handler_can_be_changed(written: Written, when: str) -> None:
    logs.configure(Config(**written.settings), identity="worker=2 gen=5 pid=8")
    log = AccessLog(Config(**written.settings)) if when == "after" else None
    formatter = AccessFormatter("{levelprefix} : {status_code} {duration:.3f}", style="{", use_colors=False)
    logging.getLogger("uvicorn.access").handlers[0].setFormatter(formatter)
    log = log or AccessLog(Config(**written.settings))
    log(record())
    assert written.path.read_text() == "INFO:     : 200 OK 0.012\n"


def test_a_handler_that_the_application_adds_gets_records_and_so_do_we(written: Written) -> None:
    seen: queue.Queue[logging.LogRecord] = queue.Queue()
    logging.getLogger(logs.ACCESS).addHandler(logging.handlers.QueueHandler(seen))  # type: ignore[arg-type]
    assert written.tail().startswith("127.0.0.1:51934")
    entry = seen.get_nowait()
    assert entry.getMessage() == '127.0.0.1:51934 - "GET /x?y=1 HTTP/1.1" 200 1234B 0.0123s'
    assert entry.status == 200  # type: ignore[attr-defined]


def test_a_handler_on_uvicorns_logger_gets_records_too(written: Written) -> None:
    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign]
    logging.getLogger("uvicorn.access").addHandler(handler)
    assert written() != ""
    assert seen[0].args == ("127.0.0.1:51934", "GET", "/x?y=1", "1.1", 200)


def test_a_logging_configuration_of_uvicorn_is_served(tmp_path: Path) -> None:
    logging_config = pytest.importorskip("uvicorn.config").LOGGING_CONFIG
    copied = json.loads(json.dumps(logging_config))
    copied["handlers"]["access"] = {
        "class": "logging.FileHandler",
        "filename": str(tmp_path / "u.log"),
        "formatter": "access",
    }
    path = tmp_path / "log.json"
    path.write_text(json.dumps(copied))
    config = Config(log_config=str(path), use_colors=False)
    logs.configure(config, identity="worker=2 gen=5 pid=8")
    log = AccessLog(config)
    assert log.enabled
    log(record())
    assert (tmp_path / "u.log").read_text() == 'INFO:     127.0.0.1:51934 - "GET /x?y=1 HTTP/1.1" 200 OK\n'
    logging.getLogger("uvicorn.access").handlers[0].close()


def test_the_short_way_costs_a_few_microseconds(written: Written) -> None:
    one = record()
    written.log._sink = None
    line = written.log._line
    best = min(timeit.repeat(lambda: line(one), number=1000, repeat=5)) / 1000
    assert best < 50e-6  # measured: under 2; the limit only catches another order of magnitude
