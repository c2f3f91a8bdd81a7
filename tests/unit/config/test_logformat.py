"""How lines look."""

from __future__ import annotations

import datetime
import json
import logging
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from asgi_arbiter.config.logformat import (
    Identity,
    JsonFormatter,
    TextFormatter,
    clean,
    clf_stamp,
    dump,
    local_stamp,
    quote,
    utc_stamp,
)

WORKER = Identity("worker=2 gen=5 pid=4711")
AT = 1785412983.4817


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    local_stamp(0.0)  # forget the second that was formatted last
    yield
    monkeypatch.undo()
    time.tzset()
    local_stamp(0.0)


def record(message: str, *args: Any, level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("asgi_arbiter.worker", level, __file__, 1, message, args, None)
    made.created = AT
    made.__dict__.update(extra)
    return made


def test_times_have_milliseconds_and_an_offset(berlin: None) -> None:
    assert local_stamp(AT) == "2026-07-30 14:03:03.481+02:00"
    assert utc_stamp(AT) == "2026-07-30T12:03:03.481Z"
    assert clf_stamp(AT) == "[30/Jul/2026:14:03:03 +0200]"
    assert datetime.datetime.fromisoformat(local_stamp(AT)) == datetime.datetime.fromisoformat(utc_stamp(AT))


def test_an_offset_west_of_greenwich_with_a_half_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XST+03:30")
    time.tzset()
    local_stamp(0.0)
    assert local_stamp(AT).endswith("-03:30")
    assert clf_stamp(AT).endswith("-0330]")
    monkeypatch.undo()
    time.tzset()
    local_stamp(0.0)


def test_a_line_has_time_level_identity_and_message(berlin: None) -> None:
    line = TextFormatter(WORKER).format(record("ready in %d ms", 212))
    assert line == "2026-07-30 14:03:03.481+02:00 INFO     [worker=2 gen=5 pid=4711] ready in 212 ms"


def test_colours_stay_away_from_the_message() -> None:
    line = TextFormatter(WORKER, colours=True).format(record("ready", level=logging.ERROR))
    assert "\x1b[31mERROR   \x1b[0m" in line
    assert line.endswith("\x1b[0m ready")
    assert re.sub(r"\x1b\[\d+m", "", line) == TextFormatter(WORKER).format(record("ready", level=logging.ERROR))


def test_a_message_cannot_forge_a_line_or_reach_the_terminal() -> None:
    line = TextFormatter(WORKER).format(record("bad\n2026-01-01 INFO forged\r\n\x1b[2J\x9b\x07\u2028"))
    assert line.endswith("bad\n    2026-01-01 INFO forged\n    \\x1b[2J\\x9b\\x07\\u2028")


def test_a_traceback_is_indented_so_that_its_text_cannot_forge_a_line() -> None:
    try:
        raise ValueError("x\n2026-01-01 forged")
    except ValueError:
        made = record("failed")
        made.exc_info = sys.exc_info()
    lines = TextFormatter(WORKER).format(made).splitlines()
    assert lines[1] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in lines[1:])
    assert lines[-1] == "    2026-01-01 forged"


def test_a_json_line_has_all_fields_and_the_extras() -> None:
    line = JsonFormatter(WORKER).format(record("ready in %d ms", 212, event="worker_ready", took=212, where={"a": {1}}))
    assert "\n" not in line
    assert json.loads(line) == {
        "ts": "2026-07-30T12:03:03.481Z",
        "level": "info",
        "logger": "asgi_arbiter.worker",
        "event": "worker_ready",
        "role": "worker",
        "worker": 2,
        "generation": 5,
        "pid": 4711,
        "message": "ready in 212 ms",
        "took": 212,
        "where": {"a": "{1}"},
    }


def test_a_json_line_has_the_exception_and_a_null_event() -> None:
    try:
        raise ValueError("x")
    except ValueError:
        made = record("failed", level=5)
        made.exc_info = sys.exc_info()
    line = json.loads(JsonFormatter(Identity("arbiter pid=1")).format(made))
    assert line["exception"].endswith("ValueError: x")
    assert (line["event"], line["role"], line["pid"]) == (None, "arbiter", 1)


def test_extras_do_not_overwrite_what_is_ours() -> None:
    line = json.loads(JsonFormatter(WORKER).format(record("text", ts="forged", role="forged")))
    assert line["role"] == "worker"
    assert line["ts"] != "forged"


def test_json_of_what_has_no_form_is_still_a_line() -> None:
    loop: dict[str, Any] = {"a": 1}
    loop["self"] = loop
    assert json.loads(dump(loop))["a"] == 1
    assert json.loads(dump({"x": {(1, 2): 3}}))["x"] == "{(1, 2): 3}"


@pytest.mark.parametrize("formatter", [TextFormatter(WORKER), JsonFormatter(WORKER)])
def test_lost_lines_are_announced_in_the_same_form(formatter: TextFormatter | JsonFormatter) -> None:
    line = formatter.announce(3, "the reader was too slow").decode()
    assert line.endswith("\n")
    if isinstance(formatter, JsonFormatter):
        found = json.loads(line)
        assert (found["event"], found["lost"], found["level"]) == ("log_lines_lost", 3, "warning")
        line = found["message"] + "\n"
    assert line.endswith("3 log lines were lost: the reader was too slow\n")
    assert b"1 log line was lost" in formatter.announce(1, "x")


def test_quoting_leaves_plain_ascii_and_escapes_the_rest() -> None:
    assert quote("/a?b=c%20d") == "/a?b=c%20d"
    assert quote('"\\\r\n\t\x00\x1b\x7f\x9bé') == '\\"\\\\\\x0d\\x0a\\x09\\x00\\x1b\\x7f\\x9b\\xe9'
    assert quote("☃").isascii()


def test_cleaning_leaves_text_of_any_language() -> None:
    assert clean("größer 大 \t ok") == "größer 大 \t ok"


def test_an_identity_is_text_and_fields() -> None:
    assert Identity("arbiter pid=7").fields == {"role": "arbiter", "pid": 7}
    assert WORKER.fields == {"role": "worker", "worker": 2, "generation": 5, "pid": 4711}


def test_a_line_about_a_worker_has_the_worker_s_pid_and_not_the_arbiter_s() -> None:
    record = logging.makeLogRecord({"msg": "ready", "levelno": logging.INFO, "pid": 77, "worker": 2, "role": "x"})
    line = json.loads(JsonFormatter(Identity("arbiter pid=1")).format(record))
    assert (line["role"], line["pid"], line["worker"]) == ("arbiter", 77, 2)


def test_an_identity_changes_in_a_fork_and_every_formatter_hears_of_it() -> None:
    identity = Identity("mold gen=2 pid=5")
    formatter = JsonFormatter(identity)
    identity.become("worker=1 gen=2 pid=6")
    line = json.loads(formatter.format(logging.makeLogRecord({"msg": "ready"})))
    assert (line["role"], line["worker"], line["generation"], line["pid"]) == ("worker", 1, 2, 6)
