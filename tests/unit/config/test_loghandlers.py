"""The pieces of logging that are ours."""

from __future__ import annotations

import logging
import logging.config
import os
from pathlib import Path

import pytest

from asgi_arbiter.config.logformat import Identity, TextFormatter
from asgi_arbiter.config.loghandlers import HandOver, Identify, Lent, SinkHandler, Steady, reopen_file_handlers
from asgi_arbiter.config.sinks import open_path


def make(tmp_path: Path) -> tuple[logging.Logger, Path]:
    path = tmp_path / "a.log"
    logger = logging.Logger("private")
    logger.addHandler(SinkHandler(open_path(str(path)), TextFormatter(Identity("arbiter pid=1"))))
    return logger, path


def test_a_record_becomes_one_line(tmp_path: Path) -> None:
    logger, path = make(tmp_path)
    logger.info("größe %s", "\udcff")
    assert path.read_bytes().endswith("[arbiter pid=1] größe ".encode() + b"\\udcff\n")


def test_arguments_that_do_not_fit_are_written_and_not_raised(tmp_path: Path) -> None:
    class Bad:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    logger, path = make(tmp_path)
    logger.info("%d lines", "x")
    logger.info("%s", Bad())
    first, second = path.read_text().splitlines()
    assert "'%d lines' (its arguments do not fit: TypeError" in first
    assert "RuntimeError: no text" in second


def test_a_closed_handler_still_writes_since_logging_closes_handlers_at_will(tmp_path: Path) -> None:
    logger, path = make(tmp_path)
    logger.handlers[0].close()
    logger.info("still here")
    assert "still here" in path.read_text()


def test_records_are_handed_over_with_the_level_of_the_other() -> None:
    seen: list[logging.LogRecord] = []
    other = logging.getLogger("test.hand.over")
    other.propagate = False
    other.setLevel(logging.WARNING)
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign]
    other.addHandler(handler)
    logger = logging.Logger("private")
    logger.addHandler(HandOver("test.hand.over"))
    logger.info("quiet")
    logger.warning("loud %d", 1, extra={"event": "x"})
    other.removeHandler(handler)
    (record,) = seen
    assert (record.name, record.getMessage(), record.event) == ("test.hand.over", "loud 1", "x")  # type: ignore[attr-defined]


def test_records_get_an_identity_and_an_event() -> None:
    identify = Identify()
    identify.text = "arbiter pid=1"
    record = logging.LogRecord("n", 20, "p", 1, "m", (), None)
    assert identify.filter(record)
    assert (record.identity, record.event) == ("arbiter pid=1", None)  # type: ignore[attr-defined]
    record.event = "kept"
    identify.filter(record)
    assert record.event == "kept"


def test_a_steady_logger_survives_the_logging_configuration_of_an_application() -> None:
    name = "test.steady"
    logging.getLogger(name).__class__ = Steady
    logging.getLogger("test.other")
    before = logging.root.handlers[:]
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": True})
    logging.root.handlers[:] = before
    assert logging.getLogger(name).disabled is False
    assert logging.getLogger("test.other").disabled is True
    for logger in logging.root.manager.loggerDict.values():  # the test's own damage
        if isinstance(logger, logging.Logger):
            logger.disabled = False


def test_files_of_other_handlers_are_reopened_and_a_failure_keeps_them(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    handler = logging.FileHandler(folder / "user.log")
    logger = logging.getLogger("test.files")
    logger.addHandler(handler)
    try:
        (folder / "user.log").rename(folder / "user.log.1")
        reopen_file_handlers()
        logger.warning("after")
        assert "after" in (folder / "user.log").read_text()
        folder.rename(tmp_path / "moved")
        reopen_file_handlers()
        logger.warning("kept")
        assert "kept" in (tmp_path / "moved" / "user.log").read_text()
    finally:
        logger.removeHandler(handler)
        handler.close()
    assert os.path.exists(tmp_path / "moved")


@pytest.mark.parametrize("level", [5, 20])
def test_a_hand_over_respects_levels_below_debug(level: int) -> None:
    seen: list[logging.LogRecord] = []
    other = logging.getLogger("test.levels")
    other.propagate = False
    other.setLevel(level)
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign]
    other.addHandler(handler)
    logger = logging.Logger("private")
    logger.addHandler(HandOver("test.levels"))
    logger.log(5, "trace")
    other.removeHandler(handler)
    assert len(seen) == (1 if level == 5 else 0)


def test_a_lent_logger_can_be_disabled_but_not_by_the_way() -> None:
    name = "of_test_loghandlers"
    logger = logging.getLogger(name)
    logger.__class__ = Lent
    logging.config.dictConfig({"version": 1})
    assert not logger.disabled
    logger.disabled = True
    assert logger.disabled
    del logging.root.manager.loggerDict[name]
