from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_arbiter.config import Config, InvalidSetting, load, logconfig, pyfile
from asgi_arbiter.config.errors import ConfigError, SourceUnreadable
from asgi_arbiter.config.importer import import_object
from asgi_arbiter.config.schema import Kind
from asgi_arbiter.config.settings import options
from asgi_arbiter.config.sources import Loaded

GUNICORN_CONF = """
import logging
import multiprocessing
import os
from pathlib import Path

timeouts = {"long": 90}

wsgi_app = "main:app"
bind = ["127.0.0.1:9000", "unix:/run/app.sock"]
workers = min(multiprocessing.cpu_count() * 2 + 1, 500)
worker_class = "uvicorn_worker.UvicornWorker"
timeout = timeouts["long"]
keepalive = 5
loglevel = "DEBUG"
accesslog = "-"
errorlog = "-"
pidfile = None
umask = 0o007
raw_env = ["A=1,2", "B=3"]
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
certfile = Path("/etc/cert.pem")
my_own_name = object()
_private = 3


def post_fork(server, worker):
    return ("forked", server, worker)


def when_ready(server):
    pass


def helper():
    pass
"""


@pytest.fixture(autouse=True)
def no_leftovers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [name for name in sys.modules if name.startswith("asgi_arbiter_settings_")]:
        del sys.modules[name]


def read(directory: Path, text: str, *, named: str = "conf.py") -> Loaded:
    (directory / "conf.py").write_text(text)
    return load(config_file=named, environment={}, directory=directory)


def test_a_gunicorn_file_is_read_as_it_is(tmp_path: Path) -> None:
    config = read(tmp_path, GUNICORN_CONF).config
    assert (config.app, config.bind) == ("main:app", ("127.0.0.1:9000", "unix:/run/app.sock"))
    assert (config.timeout, config.keepalive, config.log_level) == (90.0, 5.0, "debug")
    assert (config.worker_class, config.umask) == ("uvicorn_worker.UvicornWorker", 0o7)
    assert (config.pidfile, config.certfile) == ("", "/etc/cert.pem")
    assert config.raw_env == ("A=1,2", "B=3")
    assert config.secure_scheme_headers == (("X-FORWARDED-PROTO", "https"),)
    assert config.workers >= 3


def test_its_functions_are_hooks_that_can_be_imported_like_any_other(tmp_path: Path) -> None:
    config = read(tmp_path, GUNICORN_CONF).config
    hook = import_object(config.post_fork)
    assert hook("server", "worker") == ("forked", "server", "worker")
    assert config.post_fork.endswith(":post_fork")


def test_a_reload_executes_it_again_and_leaves_the_old_hooks_alone(tmp_path: Path) -> None:
    first = read(tmp_path, "x = 1\ndef post_fork(server, worker):\n    return x\n")
    (tmp_path / "conf.py").write_text("x = 2\ndef post_fork(server, worker):\n    return x\n")
    second = first.reload()
    assert import_object(first.config.post_fork)(None, None) == 1
    assert import_object(second.config.post_fork)(None, None) == 2


def test_an_error_in_it_is_reported_with_its_own_traceback(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        read(tmp_path, "def f():\n    return 1 / 0\nworkers = f()\n")
    assert str(refusal.value) == "conf.py: ZeroDivisionError: division by zero"
    text = refusal.value.traceback_text
    assert 'conf.py", line 3, in <module>' in text
    assert "pyfile.py" not in text


def test_a_file_that_wants_to_exit_does_not_end_a_running_arbiter(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^conf.py: SystemExit: 3$"):
        read(tmp_path, "raise SystemExit(3)")


def test_a_syntax_error_in_it_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^conf.py: SyntaxError: "):
        read(tmp_path, "workers = = 3")


def test_a_wrong_value_is_named_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        read(tmp_path, 'graceful_timeout = "soon"')
    assert str(refusal.value) == 'conf.py, graceful_timeout: expected seconds, found "soon"'


def test_it_may_be_named_as_a_file_or_a_module(tmp_path: Path) -> None:
    assert read(tmp_path, "workers = 3", named="file:conf.py").config.workers == 3
    (tmp_path / "settings_elsewhere.py").write_text("workers = 4\ndef on_exit(server):\n    return 5\n")
    loaded = load(config_file="python:settings_elsewhere", environment={}, directory=tmp_path)
    assert loaded.config.workers == 4
    assert str(loaded.sources["workers"]) == "python:settings_elsewhere, workers"
    assert import_object(loaded.config.on_exit)(None) == 5


def test_a_missing_file_and_a_missing_module_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^nowhere.py: there is no such file$"):
        load(config_file="nowhere.py", environment={}, directory=tmp_path)
    with pytest.raises(ConfigError, match=r"^python:no_such_settings: ImportError: "):
        load(config_file="python:no_such_settings", environment={}, directory=tmp_path)


def test_gunicorn_s_own_file_is_found_and_said_so(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("workers = 3")
    loaded = load(environment={}, directory=tmp_path)
    assert loaded.config.workers == 3
    assert loaded.notices == (
        "gunicorn.conf.py: read as the settings file; an asgi-arbiter.toml beside it takes its place",
    )


def test_a_worker_class_may_be_a_class(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        read(tmp_path, "class worker_class:\n    __module__ = 'mine'\n")
    assert str(refusal.value).startswith('conf.py, worker_class: "mine.worker_class" is not known')


def test_it_may_import_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "numbers_of_ours.py").write_text("WORKERS = 7")
    assert read(tmp_path, "from numbers_of_ours import WORKERS as workers").config.workers == 7


def test_names_that_gunicorn_does_not_know_are_the_file_s_own(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
from importlib import reload

host = "0.0.0.0"
port = 9000
name = "api"
app = object()
log_level = "noise"
bind = f"{host}:{port}"
config = "x"


def user():
    return 5
""",
    ).config
    assert config == Config(bind=("0.0.0.0:9000",))


def test_our_own_settings_may_stand_beside_gunicorn_s(tmp_path: Path) -> None:
    config = read(tmp_path, "header_timeout = '5s'\nmax_worker_memory = '1G'\nkeepalive = 3").config
    assert (config.header_timeout, config.max_worker_memory, config.keepalive) == (5.0, 2**30, 3.0)


def test_what_has_no_effect_is_taken_in_any_form(tmp_path: Path) -> None:
    loaded = read(tmp_path, "threads = 4\nclass logger_class: pass\n")
    assert [text.split(":")[0] for text in loaded.warnings] == ["conf.py, threads", "conf.py, logger_class"]


def test_a_dictionary_for_logging_stays_in_the_file_and_goes_before_one_in_a_file_of_its_own(tmp_path: Path) -> None:
    text = "logconfig = 'log.ini'\nlogconfig_dict = {'root': {'level': 'WARNING'}}\n"
    loaded = read(tmp_path, text)
    assert loaded.warnings == ()
    assert loaded.sources["log_config"].where == "conf.py, logconfig_dict"
    held = logconfig.read(loaded.config.log_config)
    assert isinstance(held.content, dict)
    assert held.content["root"] == {"level": "WARNING"}
    assert held.content["version"] == 1
    assert held.names == {"", "gunicorn.error", "gunicorn.access"}
    assert read(tmp_path, text.replace("{'root': {'level': 'WARNING'}}", "{}")).config.log_config == "log.ini"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("def post_fork(server): pass", "post_fork: it is called as post_fork(arbiter, worker), which"),
        ("def on_exit(): pass", "on_exit: it is called as on_exit(arbiter), which"),
        ("def post_request(worker): pass", "post_request: it is called as post_request(worker, request, environ, "),
        ("def nworkers_changed(server, new, old): pass", ""),
        ("def post_request(worker, req): pass", ""),
        ("def post_request(worker, req, environ): pass", ""),
        ("def post_request(worker, req, environ, resp): pass", ""),
        ("def when_ready(*args, **kwargs): pass", ""),
        ("when_ready = print", ""),
    ],
)
def test_a_hook_that_cannot_be_called_is_refused(tmp_path: Path, text: str, wrong: str) -> None:
    if not wrong:
        read(tmp_path, text)
        return
    with pytest.raises(InvalidSetting) as refusal:
        read(tmp_path, text)
    assert str(refusal.value).startswith("conf.py, " + wrong)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "conf.py").mkdir()
    with pytest.raises(SourceUnreadable, match=r"^conf.py: Is a directory$") as refusal:
        pyfile.python_layer("conf.py", tmp_path)
    assert refusal.value.traceback_text == ""


def test_the_manual_says_how_each_hook_is_called() -> None:
    hooks = {name: option.help for name, option in options().items() if option.kind is Kind.HOOK and not option.inert}
    assert [name for name, help in hooks.items() if not help.startswith(f"Called as {name}(")] == []


def test_hooks_of_a_settings_file_can_be_had_in_another_process_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf.py").write_text("def on_exit(server):\n    return 'from the file'\n")
    (tmp_path / "conf_module.py").write_text("def on_exit(server):\n    return 'from the module'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    names = []
    for named in ("conf.py", "python:conf_module"):
        layer = pyfile.python_layer(named, tmp_path)
        names.append(str(layer.values["on_exit"].raw).partition(":")[0])
    told = {name: pyfile.executed()[name] for name in names}
    for name in names:
        monkeypatch.delitem(sys.modules, name)
    pyfile.execute_again(told)
    assert [sys.modules[name].on_exit(None) for name in names] == ["from the file", "from the module"]
