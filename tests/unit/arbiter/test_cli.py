from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from asgi_arbiter import __version__
from asgi_arbiter.arbiter import check
from asgi_arbiter.arbiter.cli import main, run, version_text
from asgi_arbiter.config.errors import BindError, ExitCode
from asgi_arbiter.config.sources import Loaded


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file, and no variable that matters."""
    monkeypatch.chdir(tmp_path)
    for name in ("WEB_CONCURRENCY", "PORT", "FORWARDED_ALLOW_IPS", "GUNICORN_CMD_ARGS"):
        monkeypatch.delenv(name, raising=False)


class Recorder:
    """Stands in for the arbiter."""

    loaded: Loaded | None = None
    outcome: ExitCode | BaseException = ExitCode.OK

    def __init__(self, loaded: Loaded) -> None:
        Recorder.loaded = loaded

    def run(self) -> ExitCode:
        if isinstance(Recorder.outcome, BaseException):
            raise Recorder.outcome
        return Recorder.outcome


@pytest.fixture
def arbiter(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    module = ModuleType("asgi_arbiter.arbiter.loop")
    module.Arbiter = Recorder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    Recorder.loaded, Recorder.outcome = None, ExitCode.OK
    return Recorder


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = run(arguments)
    out, err = capsys.readouterr()
    assert out == ""
    return code, err


def test_the_arbiter_gets_the_settings_and_gives_the_exit_code(arbiter: type[Recorder]) -> None:
    arbiter.outcome = ExitCode.LIFESPAN
    assert run(["main:app", "-w", "3"]) == 5
    assert arbiter.loaded is not None
    assert (arbiter.loaded.config.app, arbiter.loaded.config.workers) == ("main:app", 3)


def test_main_leaves_with_the_exit_code(arbiter: type[Recorder]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["main:app"])
    assert leaving.value.code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((), 2, "APP is missing; name the application, as in: asgi-arbiter main:app"),
        (("--wrokers", "3", "main:app"), 2, "no such option --wrokers; did you mean --workers?"),
        (("main:app", "--workers"), 2, "--workers needs a value"),
        (("main.py",), 4, '"main.py" is not of the form module:attribute; a module is named with dots, not as a file: did '
         'you mean "main:app"?'),
        (("main:app", "--host", "0.0.0.0:80"), 2, 'command line, --host: "0.0.0.0:80" is not an IPv6 address; a host with '
         "its port is --bind 0.0.0.0:80"),
        (("migrate", "nginx"), 2, "migrate: expected uvicorn, gunicorn or the name of a gunicorn.conf.py, found "
         '"nginx"'),
        (("migrate", "uvicorn", "--wrokers", "3"), 2, "no such option --wrokers; did you mean --workers?"),
        (("main:app", "-t", "x"), 2, 'command line, --timeout: expected seconds, found "x"'),
        (("main:app", "-c", "no.toml"), 2, "no.toml: there is no such file"),
        (("main:app", "-k", "x", "--check-config"), 1, 'command line, --worker-class: "x" is not known; asgi-arbiter '
         "has one kind of worker: leave the setting out, and write what the class configures as settings"),
        (("--check-config",), 1, "APP is missing; name the application, as in: asgi-arbiter main:app"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_an_exit_code(
    arguments: tuple[str, ...], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(capsys, *arguments) == (code, f"asgi-arbiter: error: {text}\n")


def test_an_error_of_the_arbiter_is_one_line_with_its_own_code(
    arbiter: type[Recorder], capsys: pytest.CaptureFixture[str]
) -> None:
    arbiter.outcome = BindError("127.0.0.1:80: permission denied")
    assert refusal(capsys, "main:app") == (3, "asgi-arbiter: error: 127.0.0.1:80: permission denied\n")


def test_a_traceback_of_the_user_s_comes_before_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("conf.py").write_text("workers = 1 / 0\n")
    code, err = refusal(capsys, "main:app", "-c", "conf.py")
    assert code == 2
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith("\nasgi-arbiter: error: conf.py: ZeroDivisionError: division by zero\n")


def test_ctrl_c_before_the_arbiter_listens_to_it_ends_like_a_signal(arbiter: type[Recorder]) -> None:
    arbiter.outcome = KeyboardInterrupt()
    assert run(["main:app"]) == 130


def test_print_config_shows_values_and_sources_as_toml(capsys: pytest.CaptureFixture[str]) -> None:
    Path("asgi-arbiter.toml").write_text("threads = 2\n[stopping]\ngraceful_timeout = '1m'\n")
    assert run(["--print-config", "-w", "3"]) == 0
    out, err = capsys.readouterr()
    described = tomllib.loads(out)
    assert (described["workers"], described["graceful_timeout"]) == (3, 60)
    assert "# asgi-arbiter.toml, [stopping] graceful_timeout\n" in out
    assert err.startswith("asgi-arbiter: warning: asgi-arbiter.toml, threads: has no effect: ")


def test_migrate_prints_a_settings_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["migrate", "uvicorn", "main:app", "--workers", "4"]) == 0
    assert tomllib.loads(capsys.readouterr().out) == {"app": "main:app", "workers": 4}
    assert run(["migrate", "--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: asgi-arbiter migrate ")
    assert run(["migrate"]) == 2
    assert capsys.readouterr().err.startswith("Usage: asgi-arbiter migrate ")


@pytest.mark.parametrize("app", ["migrate:app", "migrate.asgi:app", "migrator"])
def test_an_application_may_be_named_migrate(arbiter: type[Recorder], app: str) -> None:
    assert run([app]) == 0 and arbiter.loaded is not None
    assert arbiter.loaded.config.app == app
    assert run(["--workers", "2", "migrate"]) == 0 and arbiter.loaded.config.app == "migrate"


def test_the_version_names_the_program_the_interpreter_and_the_companions(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"Running asgi-arbiter {__version__} with CPython 3.")
    companions = [word.split()[0] for word in second.split(", ")]
    assert companions[:4] == ["uvloop", "httptools", "h11", "websockets"]
    assert companions[4:] == ["gunicorn_h1c"] * (find_spec("gunicorn_h1c") is not None)
    assert version_text() == f"{first}\n{second}"


def test_a_companion_that_is_missing_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_arbiter.arbiter.cli._COMPANIONS", ("no-such-package",))
    assert version_text().splitlines()[1].startswith("no no-such-package")


def test_help_leaves_with_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: asgi-arbiter [OPTIONS] APP\n")


def test_the_version_imports_nothing_that_serves() -> None:
    probe = (
        "import sys; from asgi_arbiter.arbiter.cli import run; run(['--version']); run(['--help']);"
        "print(sorted({'asyncio', 'ssl', 'uvloop', 'httptools', 'h11', 'websockets', 'psutil', 'tomllib', 'json'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", probe], capture_output=True, text=True, check=True)
    heavy = done.stdout.splitlines()[-1]
    assert heavy in ("[]", "['json']"), "importlib.metadata of some versions brings json along"


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    line = f"{sys.executable} -P -m asgi_arbiter --help | head -1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("Usage: asgi-arbiter [OPTIONS] APP\n", "")


def test_check_config_asks_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []
    monkeypatch.setattr(check, "check", lambda config: asked.append(config.app) or ExitCode.FAILED)
    assert run(["--check-config", "main:app", "--threads", "3"]) == 1
    assert asked == ["main:app"]
    assert "--threads: has no effect" in capsys.readouterr().err
