from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from asgi_arbiter.arbiter.check import answer, check
from asgi_arbiter.config import Config
from asgi_arbiter.config.errors import ExitCode
from asgi_arbiter.config.layers import Given
from asgi_arbiter.config.sources import load


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_good_application_is_imported_in_another_process(capfd: pytest.CaptureFixture[str]) -> None:
    Path("good_one.py").write_text("import os\nprint(os.getppid())\nasync def app(scope, receive, send): ...\n")
    assert check(Config(app="good_one:app")) is ExitCode.OK
    out, err = capfd.readouterr()
    assert err == ""
    assert "good_one" not in sys.modules
    assert int(out) == __import__("os").getpid()


def test_a_broken_application_is_named_with_its_own_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    Path("bad_one.py").write_text("def boot():\n    return 1 / 0\napp = boot()\n")
    assert check(Config(app="bad_one:app")) is ExitCode.FAILED
    err = capfd.readouterr().err
    assert 'bad_one.py", line 3, in <module>' in err
    assert "ZeroDivisionError" in err
    assert err.splitlines()[-1].startswith("asgi-arbiter: error: ")
    assert "importlib" not in err


def test_a_missing_module_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert check(Config(app="no_such_module:app")) is ExitCode.FAILED
    err = capfd.readouterr().err
    assert err.startswith("asgi-arbiter: error: ")
    assert err.count("\n") == 1


def test_an_application_that_ends_the_process_is_no_success(capfd: pytest.CaptureFixture[str]) -> None:
    Path("last_one.py").write_text("import os\nos._exit(7)\n")
    assert check(Config(app="last_one:app")) is ExitCode.FAILED
    assert capfd.readouterr().err == "asgi-arbiter: error: the check ended with status 7\n"


def test_directory_and_environment_are_those_of_a_worker(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "moved_one.py").write_text(
        "import os\nassert os.environ['COLOUR'] == 'blue'\nassert os.getcwd().endswith('below')\n"
        "async def app(scope, receive, send): ...\n"
    )
    config = Config(app="moved_one:app", chdir=str(tmp_path / "below"), raw_env=("COLOUR=blue",))
    assert check(config) is ExitCode.OK


def test_a_certificate_that_cannot_be_read_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    Path("good_two.py").write_text("async def app(scope, receive, send): ...\n")
    assert answer(pickle.dumps((Config(app="good_two:app", certfile="missing.pem"), {}))) is ExitCode.FAILED
    assert "missing.pem" in capfd.readouterr().err


def test_a_function_of_a_settings_file_is_found_in_the_other_process(capfd: pytest.CaptureFixture[str]) -> None:
    Path("good_three.py").write_text("async def app(scope, receive, send): ...\n")
    Path("cert.pem").touch()
    Path("conf.py").write_text(
        "import ssl\ncertfile = 'cert.pem'\ndef ssl_context(config, factory):\n    return ssl.create_default_context()\n"
    )
    assert check(load({"app": Given("good_three:app", "")}, config_file="conf.py").config) is ExitCode.OK
    assert capfd.readouterr().err == ""
