"""Importing applications from real temporary modules, and every way in which that fails."""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asgi_arbiter.config import AppImportError, Config, InvalidSetting
from asgi_arbiter.config.importer import import_object, load_application, prepare_path

_numbers = itertools.count()
ASGI3 = "async def app(scope, receive, send): pass\n"

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module under a fresh name (Python remembers modules) and returns the name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)

    def write(text: str, name: str = "") -> str:
        name = name or f"written{next(_numbers)}"
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return name

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def refused(app: str, **settings: object) -> AppImportError:
    with pytest.raises(AppImportError) as caught:
        load_application(Config(app=app, **settings))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return caught.value


# ------------------------------------------------------------------------------------------------- what works


def test_an_application_is_imported_by_module_and_attribute(write: Write) -> None:
    name = write(ASGI3)
    assert load_application(Config(app=f"{name}:app")) is sys.modules[name].app


def test_an_attribute_may_have_dots(write: Write) -> None:
    name = write("class site:\n    class api:\n        async def app(scope, receive, send): pass\n")
    assert load_application(Config(app=f"{name}:site.api.app")) is sys.modules[name].site.api.app


@pytest.mark.parametrize("attribute", ["app", "application"])
def test_an_attribute_left_out_is_application_or_app(write: Write, attribute: str) -> None:
    name = write(f"async def {attribute}(scope, receive, send): pass\n")
    assert load_application(Config(app=name)) is getattr(sys.modules[name], attribute)


def test_application_comes_before_app_as_with_gunicorn(write: Write) -> None:
    name = write(ASGI3 + "async def application(scope, receive, send): pass\n")
    assert load_application(Config(app=name)) is sys.modules[name].application


def test_a_call_with_literal_arguments_makes_the_application(write: Write) -> None:
    name = write("""
        def make(*args, **kwargs):
            async def app(scope, receive, send): return args, kwargs
            app.given = args, kwargs
            return app
    """)
    app = load_application(Config(app=f"{name}:make('a', 1, debug=True)"))
    assert app.given == (("a", 1), {"debug": True})  # type: ignore[attr-defined]


def test_a_declared_factory_is_called_in_silence(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    name = write("def make():\n    async def app(scope, receive, send): pass\n    return app\n")
    with caplog.at_level(logging.DEBUG):
        app = load_application(Config(app=f"{name}:make", factory=True))
    assert app.__name__ == "app"  # type: ignore[attr-defined]
    assert not caplog.records


@pytest.mark.parametrize(
    "source",
    [
        "def make():\n    async def app(scope, receive, send): pass\n    return app\n",
        "def make(settings=None, debug=False, name='x'):\n    async def app(s, r, t): pass\n    return app\n",
        "def make(*args, **kwargs):\n    async def app(scope, receive, send): pass\n    return app\n",
        "class make:\n    async def __call__(self, scope, receive, send): pass\n",
    ],
)
def test_an_undeclared_factory_is_called_with_one_warning(
    write: Write, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[logging.LogRecord] = []
    monkeypatch.setattr(logging.getLogger("asgi_arbiter.worker"), "handle", lines.append)
    name = write(source)
    app = load_application(Config(app=f"{name}:make"))
    assert app is not sys.modules[name].make
    assert [line.event for line in lines] == ["factory_detected"]  # type: ignore[attr-defined]
    assert "--factory" in lines[0].getMessage()
    load_application(Config(app=f"{name}:make"), announce=False)
    assert len(lines) == 1


@pytest.mark.parametrize(
    "source",
    [
        ASGI3,
        "async def app(*args): pass\n",
        "async def inner(scope, receive, send): pass\ndef app(*args, **kwargs): return inner(*args, **kwargs)\n",
        "def app(*args):\n    async def run(): pass\n    return run()\n",
        "import functools\nasync def f(x, scope, receive, send): pass\napp = functools.partial(f, 1)\n",
        "class App:\n    async def __call__(self, scope, receive, send): pass\napp = App()\n",
        "class App:\n"
        "    __slots__ = ('__call__',)\n"
        "    def __init__(self): self.__call__ = self.run\n"
        "    async def run(self, scope, receive, send): pass\n"
        "app = App()\n",
    ],
)
def test_an_application_is_not_taken_for_a_factory(write: Write, source: str) -> None:
    name = write(source)
    assert load_application(Config(app=f"{name}:app")) is sys.modules[name].app


def test_a_name_with_a_warning_worth_seeing_is_not_hidden_by_the_import_cache(write: Write, tmp_path: Path) -> None:
    refused("appears_later:app")
    write(ASGI3, "appears_later")
    assert load_application(Config(app="appears_later:app"))


def test_a_module_written_after_its_directory_was_listed_is_found(write: Write, tmp_path: Path) -> None:
    stamp = tmp_path.stat().st_mtime_ns
    with pytest.raises(AppImportError):
        load_application(Config(app="too_late:app"))
    name = write(ASGI3, "too_late")
    os.utime(tmp_path, ns=(stamp, stamp))  # a change that the time of the directory does not tell
    assert callable(load_application(Config(app=f"{name}:app")))


def test_importing_an_application_does_not_import_what_the_server_has_no_use_for(write: Write, tmp_path: Path) -> None:
    name = write(ASGI3)
    program = (
        "import sys; from asgi_arbiter.config import Config; from asgi_arbiter.config.importer import load_application\n"
        f"sys.path.insert(0, {str(tmp_path)!r}); load_application(Config(app={name + ':app'!r}))\n"
        "print('importlib.metadata' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_an_object_in_place_of_a_name_is_taken_as_it_is() -> None:
    async def app(scope: object, receive: object, send: object) -> None: ...

    assert load_application(Config(app=app)) is app  # type: ignore[arg-type]


def test_import_object_serves_hooks_too(write: Write) -> None:
    name = write("def hook(server): return 7\n")
    assert import_object(f"{name}:hook")(None) == 7


# --------------------------------------------------------------------------------------------------- the path


def test_the_application_directory_comes_first_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/a", str(tmp_path), "/b"])
    prepare_path(Config(app_dir=str(tmp_path)))
    prepare_path(Config(app_dir=str(tmp_path)))
    assert sys.path == [str(tmp_path), "/a", "/b"]


def test_without_an_application_directory_it_is_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["/a"])
    prepare_path(Config())
    assert sys.path == [str(Path.cwd()), "/a"]


def test_pythonpath_comes_before_the_application_directory_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["/a", "/y"])
    prepare_path(Config(pythonpath=("/x", "/y")))
    assert sys.path == ["/x", "/y", str(Path.cwd()), "/a"]


def test_an_application_directory_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="app_dir: there is no directory '/no/such'"):
        prepare_path(Config(app_dir="/no/such"))


# ------------------------------------------------------------------------------------------------- the errors


@pytest.mark.parametrize(
    ("app", "hint"),
    [
        (":app", ""),
        ("main:", ""),
        ("my-module:app", ""),
        ("main app", ""),
        ("main.py", 'did you mean "main:app"?'),
        ("main.py:app", 'did you mean "main:app"?'),
        ("./src/site/main.py:application", 'did you mean "src.site.main:application"?'),
        ("/srv/site/main.py", "did you mean --app-dir /srv/site main:app?"),
        ("src/main:app", 'did you mean "src.main:app"?'),
    ],
)
def test_a_bad_form_is_named(app: str, hint: str) -> None:
    message = str(refused(app))
    assert message.startswith(f'"{app}" is not of the form module:attribute')
    assert message.endswith(hint or "attribute")


@pytest.mark.parametrize("rest", ["1", "a b", "a[0]", "f()()", "a.1"])
def test_an_attribute_that_is_no_name_is_refused(write: Write, rest: str) -> None:
    name = write(ASGI3)
    assert f'"{rest}" is neither an attribute nor a call' in str(refused(f"{name}:{rest}"))


def test_no_application_at_all_says_how_to_name_one() -> None:
    assert "module:attribute" in str(refused(""))


def test_a_missing_module_names_where_was_looked(write: Write, tmp_path: Path) -> None:
    error = refused("no_such_module:app")
    assert f'there is no module "no_such_module" (looked in {tmp_path} and the installed packages)' in str(error)
    assert error.traceback_text == ""


def test_the_current_directory_is_named_only_if_it_was_looked_into(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert f"(looked in {tmp_path} and the installed packages)" in str(refused("no_such_module:app"))
    monkeypatch.setattr("sys.path", [*sys.path, ""])
    assert f"(looked in {tmp_path} and {tmp_path / 'here'} and the" in str(refused("no_such_module:app"))


def test_an_application_directory_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(InvalidSetting, match=r"app_dir: cannot look into '.*' \(in .*\): Permission denied"):
        prepare_path(Config(app_dir=str(tmp_path)))


def test_a_missing_module_suggests_the_nearest_name(write: Write) -> None:
    write(ASGI3, "application_main")
    assert str(refused("aplication_main:app")).endswith('did you mean "application_main:app"?')


def test_a_missing_module_is_found_one_folder_deeper(write: Write) -> None:
    write(ASGI3, "backend.deepmain")
    assert str(refused("deepmain:api")).endswith('did you mean "backend.deepmain:api"?')


def test_a_missing_module_of_a_package_looks_in_the_package(write: Write, tmp_path: Path) -> None:
    write("", "pkg_a.__init__")
    write(ASGI3, "pkg_a.server")
    message = str(refused("pkg_a.servr:app"))
    assert f'no module "pkg_a.servr" (looked in {tmp_path / "pkg_a"}' in message
    assert message.endswith('did you mean "pkg_a.server:app"?')


def test_a_missing_package_is_named_rather_than_its_module(write: Write) -> None:
    assert 'there is no module "no_such_pkg"' in str(refused("no_such_pkg.main:app"))


def test_a_dot_in_place_of_the_colon_is_recognised(write: Write) -> None:
    name = write(ASGI3)
    message = str(refused(f"{name}.app"))
    assert f'"{name}" is a module, not a package' in message
    assert message.endswith(f'did you mean "{name}:app"?')


def test_a_module_that_the_application_needs_is_its_own_failure(write: Write) -> None:
    name = write("x = 1\nimport no_such_dependency\n")
    error = refused(f"{name}:app")
    assert f'the module "{name}" failed while it was imported: ModuleNotFoundError' in str(error)
    assert "no_such_dependency" in str(error)
    assert "line 2, in <module>" in error.traceback_text
    assert "importlib" not in error.traceback_text
    assert "importer.py" not in error.traceback_text
    assert error.traceback_text.splitlines()[-1] == "ModuleNotFoundError: No module named 'no_such_dependency'"


def test_a_module_that_imports_a_missing_one_of_its_own_name_is_not_called_missing(write: Write) -> None:
    name = write("import sys\nimport_me = __name__ + '.inner'\n__import__(import_me)\n")
    assert "failed while it was imported" in str(refused(f"{name}:app"))


def test_a_module_that_raises_shows_its_own_frames_only(write: Write) -> None:
    name = write("def connect():\n    raise RuntimeError('no database')\nconnect()\n")
    error = refused(f"{name}:app")
    assert str(error).endswith("failed while it was imported: RuntimeError: no database")
    assert error.traceback_text.count("  File ") == 2
    assert error.traceback_text.splitlines()[0] == "Traceback (most recent call last):"


def test_the_cause_of_an_error_is_shown_without_our_frames_too(write: Write) -> None:
    name = write("try:\n    import no_such_one\nexcept ImportError as e:\n    raise RuntimeError('outer') from e\n")
    text = refused(f"{name}:app").traceback_text
    assert "No module named 'no_such_one'" in text
    assert "RuntimeError: outer" in text
    assert "importlib" not in text


def test_a_syntax_error_is_shown_as_python_shows_it(write: Write, tmp_path: Path) -> None:
    name = write("x = 1\ndef broken(:\n    pass\n")
    error = refused(f"{name}:app")
    assert f"SyntaxError: invalid syntax ({tmp_path / name}.py, line 2)" in str(error)
    lines = error.traceback_text.splitlines()
    assert lines[0] == f'  File "{tmp_path / name}.py", line 2'
    assert "^" in lines[2]
    assert lines[-1] == "SyntaxError: invalid syntax"


def test_a_syntax_error_further_down_shows_who_imported_it(write: Write) -> None:
    inner = write("def broken(:\n")
    name = write(f"import {inner}\n")
    text = refused(f"{name}:app").traceback_text
    assert f"import {inner}" in text
    assert text.splitlines()[0] == "Traceback (most recent call last):"


@pytest.mark.parametrize(("code", "shown"), [("3", "3"), ("", ""), ("'bye'", "'bye'")])
def test_a_module_that_exits_is_named(write: Write, code: str, shown: str) -> None:
    name = write(f"import sys\nsys.exit({code})\n")
    error = refused(f"{name}:app")
    assert f"ended the program with sys.exit({shown}) while it was imported" in str(error)
    assert "line 2" in error.traceback_text


def test_a_missing_attribute_suggests_the_nearest_name(write: Write) -> None:
    name = write(ASGI3)
    error = refused(f"{name}:ap")
    assert str(error) == f'"{name}:ap": "{name}" has no attribute "ap"; did you mean "app"?'
    assert error.traceback_text == ""


def test_a_missing_attribute_names_what_looks_like_an_application(write: Write) -> None:
    name = write("async def service(scope, receive, send): pass\nasync def unrelated(): pass\n")
    assert str(refused(f"{name}:app")).endswith("; its applications are named 'service'")


@pytest.mark.parametrize(("app", "missing"), [("pkg_b:app", 'no attribute "app"'), ("pkg_b", 'nor "app"')])
def test_a_package_suggests_its_usual_module(write: Write, app: str, missing: str) -> None:
    write("", "pkg_b.__init__")
    write(ASGI3, "pkg_b.main")
    assert str(refused(app)).endswith(f'{missing}; did you mean "pkg_b.main:app"?')


def test_a_missing_inner_attribute_names_its_owner(write: Write) -> None:
    name = write("class site: pass\n")
    assert f'"{name}.site" has no attribute "app"' in str(refused(f"{name}:site.app"))


def test_a_module_without_the_default_attributes_says_so(write: Write) -> None:
    name = write("x = 1\n")
    message = str(refused(name))
    assert 'neither "application" nor "app"' in message
    assert f"{name}:attribute" in message


def test_a_property_that_raises_is_the_users_failure(write: Write) -> None:
    name = write("def __getattr__(name):\n    raise RuntimeError('lazy ' + name)\n")
    error = refused(f"{name}:thing")
    assert 'reading "thing" raised RuntimeError: lazy thing' in str(error)
    assert "in __getattr__" in error.traceback_text


@pytest.mark.parametrize("factory", [True, False])
def test_a_factory_that_raises_shows_its_frames(write: Write, factory: bool) -> None:
    name = write("def make():\n    raise TypeError('inside')\n")
    error = refused(f"{name}:make", factory=factory)
    assert str(error) == f'"{name}:make": the factory raised TypeError: inside'
    assert "in make" in error.traceback_text
    assert "importer.py" not in error.traceback_text


def test_a_factory_that_exits_is_named(write: Write) -> None:
    name = write("import sys\ndef make(): sys.exit(1)\n")
    assert "the factory raised SystemExit: 1" in str(refused(f"{name}:make", factory=True))


def test_a_factory_that_needs_arguments_is_named_without_a_traceback(write: Write) -> None:
    name = write("def make(settings): pass\n")
    error = refused(f"{name}:make", factory=True)
    assert "the factory cannot be called with no arguments: missing a required argument: 'settings'" in str(error)
    assert error.traceback_text == ""


def test_an_asynchronous_factory_is_named(write: Write) -> None:
    name = write("async def make(): pass\n")
    assert "the factory is asynchronous" in str(refused(f"{name}:make", factory=True))


def test_a_factory_that_returns_nothing_is_named(write: Write) -> None:
    name = write("def make(): pass\n")
    assert "the factory returned None" in str(refused(f"{name}:make", factory=True))


def test_arguments_that_are_no_literals_are_refused(write: Write) -> None:
    name = write("def make(x): pass\n")
    assert "must be literals" in str(refused(f"{name}:make(open('x'))"))


def test_a_call_that_does_not_fit_is_named(write: Write) -> None:
    name = write("def make(x): pass\n")
    assert "cannot be called with these arguments: too many positional arguments" in str(refused(f"{name}:make(1, 2)"))


@pytest.mark.parametrize(("source", "kind"), [("app = 5", "an int"), ("app = None", "None"), ("app = 'x'", "a str")])
@pytest.mark.parametrize("factory", [True, False])
def test_what_is_not_callable_is_no_application(write: Write, source: str, kind: str, factory: bool) -> None:
    name = write(source)
    assert str(refused(f"{name}:app", factory=factory)).startswith(f'"{name}:app" is not callable: {kind}')


def test_calling_what_is_not_callable_is_named(write: Write) -> None:
    name = write("thing = 5")
    assert '"thing" is not callable' in str(refused(f"{name}:thing()"))


def test_a_wsgi_application_is_told_which_flag_it_needs(write: Write) -> None:
    name = write("def app(environ, start_response): return []\n")
    assert "--interface wsgi" in str(refused(f"{name}:app"))
