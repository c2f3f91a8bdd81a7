"""The set-up of the three loggers: who hears what, once."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asgi_arbiter.config import LOGGING_CONFIG, Config, InvalidSetting, logconfig, logs

NAMES = (
    "asgi_arbiter",
    logs.ARBITER,
    logs.WORKER,
    logs.ACCESS,
    "uvicorn",
    "uvicorn.error",
    "uvicorn.access",
    "gunicorn.error",
)


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Leave logging as it was found."""
    saved = {name: logging.getLogger(name) for name in NAMES}
    state = {name: (one.handlers[:], one.filters[:], one.level, one.propagate) for name, one in saved.items()}
    root = logging.root.handlers[:], logging.root.level
    before, logs._state, logconfig._cached = logs._state, logs._State(), None
    yield
    logs._state, logconfig._cached = before, None
    for name, one in saved.items():
        one.handlers[:], one.filters[:], level, one.propagate = state[name]
        one.setLevel(level)
        one.disabled = False
    logging.root.handlers[:], logging.root.level = root


def arbiter() -> logging.Logger:
    return logging.getLogger(logs.ARBITER)


def access() -> logging.Logger:
    return logging.getLogger(logs.ACCESS)


def dictionary(tmp_path: Path, **loggers: Any) -> str:
    """A configuration file whose named loggers write their message to ``user.log``."""
    handler = {"class": "logging.FileHandler", "filename": str(tmp_path / "user.log"), "formatter": "f"}
    content: dict[str, Any] = {
        "version": 1,
        "disable_existing_loggers": True,
        "formatters": {"f": {"format": "%(name)s %(message)s"}},
        "handlers": {"h": handler},
    }
    if "root" in loggers:
        content["root"] = {"handlers": ["h"], "level": "INFO"}
    named = {name: value for name, value in loggers.items() if name != "root"}
    content["loggers"] = {name: {"handlers": ["h"], **value} for name, value in named.items()}
    path = tmp_path / "log.json"
    path.write_text(json.dumps(content))
    return str(path)


@pytest.fixture
def user_log(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "user.log"
    for logger in (logging.root, *(logging.getLogger(name) for name in NAMES)):
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.close()


def test_the_servers_log_is_on_standard_error_and_the_access_log_on_standard_output(capfd: Any) -> None:
    logs.configure(Config(), identity="arbiter pid=7")
    arbiter().info("started")
    access().info("request")
    out, err = capfd.readouterr()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:.]+[+-]\d\d:\d\d INFO     \[arbiter pid=7\] started\n", err)
    assert out.endswith("[arbiter pid=7] request\n")
    assert out.count("\n") == 1


def test_configuring_again_replaces_the_identity_and_duplicates_nothing(capfd: Any) -> None:
    logs.configure(Config(), identity="arbiter pid=7")
    logs.configure(Config(), identity="worker=2 gen=5 pid=8")
    logs.configure(Config(), identity="worker=2 gen=5 pid=8")
    logging.getLogger(logs.WORKER).info("ready")
    access().info("request")
    out, err = capfd.readouterr()
    assert err.count("ready") == out.count("request") == 1
    assert "[worker=2 gen=5 pid=8] ready" in err
    assert len(logging.getLogger("asgi_arbiter").handlers) == 1


def test_a_destination_that_stays_the_same_stays_open(tmp_path: Path) -> None:
    config = Config(error_logfile=str(tmp_path / "e.log"), access_log=False)
    logs.configure(config, identity="arbiter pid=7")
    first = logs._state.server
    logs.configure(config, identity="worker=1 gen=1 pid=8")
    assert logs._state.server is first is not None
    assert first.announce(1, "x").count(b"worker=1 gen=1 pid=8") == 1


def test_handlers_of_the_root_logger_do_not_repeat_our_lines(tmp_path: Path) -> None:
    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign]
    logging.root.addHandler(handler)
    logs.configure(
        Config(error_logfile=str(tmp_path / "e"), access_logfile=str(tmp_path / "a")), identity="arbiter pid=7"
    )
    arbiter().error("x")
    access().info("y")
    assert not seen


@pytest.mark.parametrize(
    ("level", "heard"), [("warning", "WE"), ("info", "IWE"), ("debug", "DIWE"), ("trace", "TDIWE"), ("critical", "")]
)
def test_the_level_decides_what_is_heard(tmp_path: Path, level: str, heard: str) -> None:
    logs.configure(Config(error_logfile=str(tmp_path / "e"), log_level=level), identity="arbiter pid=7")
    for number, letter in ((logs.TRACE, "T"), (10, "D"), (20, "I"), (30, "W"), (40, "E")):
        arbiter().log(number, letter)
    text = (tmp_path / "e").read_text()
    assert "".join(line[-1] for line in text.splitlines()) == heard
    assert ("TRACE" in text) is (level == "trace")


def test_lines_may_be_json(capfd: Any) -> None:
    logs.configure(Config(log_format="json"), identity="worker=2 gen=5 pid=8")
    logging.getLogger(logs.WORKER).warning("slow", extra={"event": "slow", "seconds": 1.5})
    line = json.loads(capfd.readouterr().err)
    assert (line["level"], line["event"], line["seconds"], line["worker"]) == ("warning", "slow", 1.5, 2)


def test_a_file_that_cannot_be_opened_is_named_with_its_setting() -> None:
    with pytest.raises(InvalidSetting, match=r"error_logfile: cannot open /no/such/e.log: No such file or directory"):
        logs.configure(Config(error_logfile="/no/such/e.log"), identity="arbiter pid=7")
    with pytest.raises(InvalidSetting, match=r"access_logfile: cannot open /no/such/a.log"):
        logs.configure(Config(access_logfile="/no/such/a.log"), identity="arbiter pid=7")


def test_one_file_for_both_logs_is_opened_once(tmp_path: Path) -> None:
    path = str(tmp_path / "both.log")
    logs.configure(Config(error_logfile=path, access_logfile=path), identity="arbiter pid=7")
    assert logs.access_target().sink is logs._state.server


def test_files_are_reopened_after_a_rotation(tmp_path: Path) -> None:
    error, requests = tmp_path / "e.log", tmp_path / "a.log"
    logs.configure(Config(error_logfile=str(error), access_logfile=str(requests)), identity="arbiter pid=7")
    error.rename(tmp_path / "e.1")
    requests.rename(tmp_path / "a.1")
    logs.reopen()
    arbiter().info("x")
    access().info("y")
    assert error.read_text().endswith("x\n")
    assert requests.read_text().endswith("y\n")
    assert (tmp_path / "e.1").read_text() == ""


def test_a_file_that_cannot_be_reopened_stays_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    logs.configure(Config(error_logfile=str(folder / "e.log")), identity="arbiter pid=7")
    folder.rename(tmp_path / "moved")
    logs.reopen()
    text = (tmp_path / "moved" / "e.log").read_text()
    assert f"log file {folder / 'e.log'} could not be opened again (No such file or directory)" in text


@pytest.mark.parametrize(
    ("settings", "heard"),
    [
        ({}, True),
        ({"access_log": False}, False),
        ({"access_logfile": ""}, False),
        ({"log_level": "warning"}, False),
        ({"log_level": "debug"}, True),
    ],
)
def test_the_access_log_can_be_silenced(settings: dict[str, Any], heard: bool, capfd: Any) -> None:
    logs.configure(Config(**settings), identity="arbiter pid=7")
    access().info("request")
    assert ("request" in capfd.readouterr().out) is heard
    assert access().isEnabledFor(logging.INFO) is heard


def test_an_access_log_file_that_was_asked_for_is_written_at_any_level(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    logs.configure(Config(access_logfile=str(path), log_level="error"), identity="arbiter pid=7")
    access().info("request")
    assert "request" in path.read_text()


@pytest.mark.parametrize(
    ("use", "terminal", "variables", "coloured"),
    [
        (None, True, {}, True),
        (None, False, {}, False),
        (None, True, {"NO_COLOR": "1"}, False),
        (None, True, {"NO_COLOR": ""}, True),
        (None, True, {"TERM": "dumb"}, False),
        (True, False, {"NO_COLOR": "1"}, True),
        (False, True, {}, False),
    ],
)
def test_colours_are_for_terminals(
    use: bool | None, terminal: bool, variables: dict[str, str], coloured: bool, monkeypatch: Any, capfd: Any
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(logs.sinks.Sink, "isatty", lambda sink: terminal)
    logs.configure(Config(use_colors=use), identity="arbiter pid=7")
    arbiter().info("x")
    assert ("\x1b[" in capfd.readouterr().err) is coloured


def test_a_file_is_never_coloured(tmp_path: Path) -> None:
    logs.configure(Config(use_colors=True, error_logfile=str(tmp_path / "e")), identity="arbiter pid=7")
    arbiter().info("x")
    assert "\x1b" not in (tmp_path / "e").read_text()


def test_what_a_worker_prints_goes_into_the_log_file_and_the_access_log_does_not(tmp_path: Path, capfd: Any) -> None:
    path = tmp_path / "e.log"
    config = Config(capture_output=True, error_logfile=str(path))
    logs.configure(config, identity="arbiter pid=7")
    os.write(1, b"arbiter speaks\n")
    saved = os.dup(1), os.dup(2)
    try:
        logs.configure(config, identity="worker=1 gen=1 pid=8")
        os.write(1, b"printed\n")
        os.write(2, b"complained\n")
        access().info("request")
        path.rename(tmp_path / "e.1")
        logs.reopen()
        os.write(1, b"printed later\n")
        logs.configure(config, identity="worker=1 gen=1 pid=8")
        access().info("another")
    finally:
        for number, descriptor in enumerate(saved, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)
    assert (tmp_path / "e.1").read_text() == "printed\ncomplained\n"
    assert path.read_text() == "printed later\n"
    out = capfd.readouterr().out
    assert "arbiter speaks" in out
    assert "request" in out
    assert "another" in out


def test_a_stream_that_leads_elsewhere_is_opened_again(tmp_path: Path, capfd: Any) -> None:
    logs.configure(Config(), identity="arbiter pid=7")
    saved = os.dup(2)
    with (tmp_path / "daemon").open("wb") as file:
        os.dup2(file.fileno(), 2)
    try:
        logs.configure(Config(), identity="arbiter pid=8")
        arbiter().info("from the daemon")
    finally:
        os.dup2(saved, 2)
        os.close(saved)
    assert "from the daemon" in (tmp_path / "daemon").read_text()


def test_a_file_for_our_loggers_is_obeyed(tmp_path: Path, user_log: Path, capfd: Any) -> None:
    path = dictionary(tmp_path, asgi_arbiter={"level": "WARNING"})
    logs.configure(Config(log_config=path), identity="arbiter pid=7")
    arbiter().warning("loud")
    arbiter().info("quiet")
    assert user_log.read_text() == "asgi_arbiter.arbiter loud\n"
    assert capfd.readouterr() == ("", "")


def test_a_level_on_the_command_line_wins_over_the_file(tmp_path: Path, user_log: Path) -> None:
    path = dictionary(tmp_path, asgi_arbiter={"level": "WARNING"})
    logs.configure(Config(log_config=path, log_level="debug"), identity="arbiter pid=7")
    arbiter().debug("heard")
    assert "heard" in user_log.read_text()


def test_a_file_written_for_uvicorn_gets_our_lines(tmp_path: Path, user_log: Path, capfd: Any) -> None:
    settings = {"level": "DEBUG", "propagate": False}
    path = dictionary(tmp_path, **{"uvicorn.error": settings, "uvicorn.access": settings, "root": {}})
    logs.configure(Config(log_config=path), identity="arbiter pid=7")
    arbiter().debug("detail")
    assert user_log.read_text() == "uvicorn.error detail\n"
    assert logs.access_target().logger.name == "uvicorn.access"
    assert capfd.readouterr() == ("", "")


def test_a_file_that_only_has_a_root_gets_our_lines_once(tmp_path: Path, user_log: Path, capfd: Any) -> None:
    logs.configure(Config(log_config=dictionary(tmp_path, root={})), identity="arbiter pid=7")
    arbiter().info("x")
    access().info("y")
    assert user_log.read_text() == "asgi_arbiter.arbiter x\nasgi_arbiter.access y\n"
    assert capfd.readouterr() == ("", "")


def test_a_file_that_is_silent_about_us_leaves_our_own_handlers(tmp_path: Path, user_log: Path, capfd: Any) -> None:
    logs.configure(Config(log_config=dictionary(tmp_path, myapp={})), identity="arbiter pid=7")
    arbiter().info("x")
    assert "[arbiter pid=7] x" in capfd.readouterr().err


def test_an_access_log_in_the_file_is_not_repeated_in_the_servers_log(
    tmp_path: Path, user_log: Path, capfd: Any
) -> None:
    path = dictionary(tmp_path, **{"asgi_arbiter.access": {"level": "INFO"}})
    logs.configure(Config(log_config=path), identity="arbiter pid=7")
    access().info("request")
    arbiter().info("x")
    out, err = capfd.readouterr()
    assert user_log.read_text() == "asgi_arbiter.access request\n"
    assert "request" not in out + err
    assert "] x" in err


def test_formats_of_a_user_may_use_identity_and_event(tmp_path: Path, user_log: Path) -> None:
    path = Path(dictionary(tmp_path, asgi_arbiter={"level": "INFO"}))
    path.write_text(path.read_text().replace("%(name)s %(message)s", "%(identity)s|%(event)s|%(message)s"))
    logs.configure(Config(log_config=str(path)), identity="arbiter pid=7")
    arbiter().info("x")
    arbiter().info("y", extra={"event": "e"})
    assert user_log.read_text() == "arbiter pid=7|None|x\narbiter pid=7|e|y\n"


def test_taking_a_file_away_brings_our_handlers_back(tmp_path: Path, user_log: Path, capfd: Any) -> None:
    logs.configure(Config(log_config=dictionary(tmp_path, root={})), identity="arbiter pid=7")
    logs.configure(Config(), identity="arbiter pid=7")
    arbiter().info("x")
    assert "x" in capfd.readouterr().err
    assert user_log.read_text() == ""


def test_before_it_is_configured_the_access_logger_is_as_its_owner_left_it() -> None:
    target = logs.access_target()
    assert target.logger.name == logs.ACCESS
    assert target.sink is None


def test_lines_kept_for_a_slow_reader_are_flushed(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    logs.configure(Config(error_logfile=str(path), access_log=False), identity="arbiter pid=7")
    for _ in range(1000):
        arbiter().info("x" * 100)
    read = len(os.read(reader, 1 << 20))
    logs.flush()
    assert os.read(reader, 1 << 20)
    assert read <= 1 << 16
    os.close(reader)


# Loggers of other servers, which applications use


@pytest.mark.parametrize("name", ["uvicorn", "uvicorn.error", "gunicorn.error"])
def test_what_an_application_writes_to_the_loggers_of_other_servers_is_in_our_log(name: str, capfd: Any) -> None:
    logs.configure(Config(), identity="worker=2 gen=5 pid=8")
    logging.getLogger(name).info("hello")
    logging.getLogger(name).debug("quiet")
    assert re.fullmatch(r"\S+ \S+ INFO     \[worker=2 gen=5 pid=8\] hello\n", capfd.readouterr().err)


def test_an_application_may_take_gunicorn_s_handlers_and_level(capfd: Any) -> None:
    logs.configure(Config(log_level="debug"), identity="worker=2 gen=5 pid=8")
    mine, theirs = logging.Logger("mine"), logging.getLogger("gunicorn.error")
    mine.handlers = theirs.handlers
    mine.setLevel(theirs.level)
    mine.debug("hello")
    assert "hello" in capfd.readouterr().err


def test_an_application_may_change_the_formatter_of_the_first_handler(capfd: Any) -> None:
    logs.configure(Config(), identity="worker=2 gen=5 pid=8")
    logging.getLogger("uvicorn").handlers[0].setFormatter(logging.Formatter("mine %(message)s"))
    logging.getLogger(logs.WORKER).info("hello")
    assert capfd.readouterr().err == "mine hello\n"


@pytest.mark.parametrize("touched", ["handler", "level", "propagate"])
def test_a_logger_that_somebody_has_set_up_is_left_alone(touched: str, capfd: Any) -> None:
    logger = logging.getLogger("uvicorn")
    if touched == "handler":
        logger.addHandler(logging.NullHandler())
    elif touched == "level":
        logger.setLevel(logging.ERROR)
    else:
        logger.propagate = False
    before = logger.handlers[:], logger.level, logger.propagate
    logs.configure(Config(), identity="worker=2 gen=5 pid=8")
    assert (logger.handlers, logger.level, logger.propagate) == before


def test_what_was_lent_is_taken_back(tmp_path: Path, user_log: Path) -> None:
    logs.configure(Config(), identity="worker=2 gen=5 pid=8")
    logs.configure(Config(), identity="worker=2 gen=5 pid=8")
    assert len(logging.getLogger("uvicorn").handlers) == len(logging.getLogger("uvicorn.access").handlers) == 1
    logs.configure(Config(log_config=dictionary(tmp_path, root={})), identity="worker=2 gen=5 pid=8")
    for name in ("uvicorn", "uvicorn.access", "gunicorn.error"):
        logger = logging.getLogger(name)
        assert (logger.handlers, logger.level, logger.propagate) == ([], logging.NOTSET, True)


def test_an_application_s_own_configuration_does_not_silence_them_by_the_way(capfd: Any) -> None:
    logs.configure(Config(), identity="worker=2 gen=5 pid=8")
    logging.config.dictConfig({"version": 1})
    logging.getLogger("uvicorn").info("hello")
    assert "hello" in capfd.readouterr().err
    logging.getLogger("uvicorn").disabled = True
    logging.getLogger("uvicorn").info("quiet")
    assert capfd.readouterr().err == ""


# The look of uvicorn's lines


def test_the_dictionary_of_uvicorn_s_shape_has_our_lines(capfd: Any) -> None:
    wanted = json.loads(json.dumps(LOGGING_CONFIG))
    wanted["formatters"]["access"]["fmt"] = "%(levelname)s %(client_addr)s"
    logs.configure(Config(log_config=wanted), identity="worker=2 gen=5 pid=8")
    logging.getLogger(logs.WORKER).info("ready")
    access().info("%s - %s %s %s %d", "127.0.0.1:5", "GET", "/", "1.1", 200)
    assert capfd.readouterr() == ("INFO 127.0.0.1:5\n", "INFO:     ready\n")


@pytest.mark.parametrize("use_colors", [True, False])
def test_colours_may_be_wanted_or_not_for_it(use_colors: bool, capfd: Any) -> None:
    logs.configure(Config(log_config=LOGGING_CONFIG, use_colors=use_colors), identity="worker=2 gen=5 pid=8")
    arbiter().info("x")
    assert capfd.readouterr().err == ("\x1b[32mINFO\x1b[0m:     x\n" if use_colors else "INFO:     x\n")
    assert LOGGING_CONFIG["formatters"]["default"]["use_colors"] is None


def test_the_error_logger_of_its_shape_is_both_of_ours(capfd: Any) -> None:
    wanted = json.loads(json.dumps(LOGGING_CONFIG))
    wanted["loggers"]["asgi_arbiter.error"]["level"] = "WARNING"
    logs.configure(Config(log_config=wanted), identity="worker=2 gen=5 pid=8")
    for name in (logs.ARBITER, logs.WORKER):
        logging.getLogger(name).info("quiet")
        logging.getLogger(name).warning("loud")
    assert capfd.readouterr().err == "WARNING:  loud\n" * 2


def test_a_level_silences_the_access_log_of_a_file(capfd: Any) -> None:
    logs.configure(Config(log_config=LOGGING_CONFIG, log_level="warning"), identity="worker=2 gen=5 pid=8")
    access().info("%s - %s %s %s %d", "127.0.0.1:5", "GET", "/", "1.1", 200)
    assert capfd.readouterr().out == ""
