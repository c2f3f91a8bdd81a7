"""What a user gets from ``pip install``: built, installed into environments of their own, and looked at from outside.

Each environment is made once per session. Dependencies come from the environment that runs the tests (through a
``.pth`` file), so that these tests need no package index and say nothing about it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("arbiter", "config", "protocols", "worker")

pytestmark = [pytest.mark.install, pytest.mark.timeout(300)]


def run(*command: str | Path, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ASGI_ARBITER"))}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environ, capture_output=True, text=True, timeout=240
    )
    assert not check or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tracked files, as a clone has them; nothing that the build makes lands in the real tree."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs the git checkout: the source archive lists its files by git")
    target = tmp_path_factory.mktemp("checkout") / "asgi-arbiter"
    run("git", "clone", "--quiet", "--no-hardlinks", ROOT, target, cwd=ROOT)
    changed = run("git", "diff", "--name-only", "HEAD", cwd=ROOT).stdout.split()
    for name in changed:  # what is being worked on counts too
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, target / name)
    return target


@pytest.fixture(scope="session")
def archives(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-P", "-m", "build", "--no-isolation", "--outdir", out, checkout, cwd=out)
    return {path.suffix: path for path in out.iterdir()}


def environment(path: Path) -> Path:
    """A fresh virtual environment that can import our dependencies, but not asgi_arbiter itself."""
    venv.create(path)  # without pip of its own: the setuptools that comes with it on 3.11 would hide the newer one
    python = path / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=path).stdout.strip())
    (site / "dependencies_of_the_test_run.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def install(python: Path, *what: str | Path) -> None:
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
        "--force-reinstall", *what, cwd=python.parent)  # fmt: skip


@pytest.fixture(scope="session")
def from_wheel(archives: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    python = environment(tmp_path_factory.mktemp("wheel") / "venv")
    install(python, archives[".whl"])
    return python


@pytest.fixture(scope="session", params=["wheel", "source archive", "folder", "editable folder"])
def installed(
    request: pytest.FixtureRequest,
    archives: dict[str, Path],
    checkout: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path]:
    if request.param == "wheel":
        yield request.getfixturevalue("from_wheel")
        return
    python = environment(tmp_path_factory.mktemp("env") / "venv")
    what: tuple[str | Path, ...] = {
        "source archive": (archives[".gz"],),
        "folder": (checkout,),
        "editable folder": ("-e", checkout),
    }[request.param]
    install(python, *what)
    yield python


def test_the_wheel_has_every_file_of_the_four_folders_and_no_other_top_level_name(archives: dict[str, Path]) -> None:
    names = zipfile.ZipFile(archives[".whl"]).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"asgi_arbiter"}
    for folder in FOLDERS:
        for path in (ROOT / folder).glob("*.py"):
            assert f"asgi_arbiter/{folder}/{path.name}" in names
    assert {"asgi_arbiter/__init__.py", "asgi_arbiter/__main__.py", "asgi_arbiter/py.typed"} <= set(names)
    assert not [name for name in names if "facade" in name]


def test_the_source_archive_has_all_that_is_tracked_but_dot_files(archives: dict[str, Path], checkout: Path) -> None:
    with tarfile.open(archives[".gz"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = run("git", "ls-files", cwd=checkout).stdout.split()
    assert [name for name in tracked if not name.startswith(".") and name not in names] == []


def test_it_is_imported_from_elsewhere_and_knows_its_version(installed: Path, tmp_path: Path) -> None:
    code = "import asgi_arbiter, asgi_arbiter.arbiter, asgi_arbiter.config; print(asgi_arbiter.__version__)"
    version = run(installed, "-c", code, cwd=tmp_path).stdout.strip()
    assert version.count(".") >= 2
    shown = run(installed, "-m", "pip", "show", "asgi-arbiter", cwd=tmp_path).stdout
    assert f"Version: {version}\n" in shown


def test_console_script_and_module_print_the_version(installed: Path, tmp_path: Path) -> None:
    script = run(installed.parent / "asgi-arbiter", "--version", cwd=tmp_path).stdout
    module = run(installed, "-m", "asgi_arbiter", "--version", cwd=tmp_path).stdout
    assert script == module
    assert "asgi-arbiter" in script


def test_our_folder_names_stay_free_for_the_users_own_modules(installed: Path, tmp_path: Path) -> None:
    for name in FOLDERS:
        done = run(installed, "-c", f"import {name}", cwd=tmp_path, check=False)
        assert "ModuleNotFoundError" in done.stderr, name


def test_a_users_modules_of_the_same_names_are_the_ones_that_his_application_gets(
    installed: Path, tmp_path: Path
) -> None:
    for name in ("config", "worker", "arbiter"):
        (tmp_path / f"{name}.py").write_text(f"MINE = {name!r}\n")
    (tmp_path / "protocols").mkdir()
    (tmp_path / "protocols" / "__init__.py").write_text("MINE = 'protocols'\n")
    (tmp_path / "main.py").write_text(
        "import arbiter, config, protocols, worker\n"
        "assert [m.MINE for m in (arbiter, config, protocols, worker)] == ['arbiter', 'config', 'protocols', 'worker']\n"
        "async def app(scope, receive, send): ...\n"
    )
    done = run(installed.parent / "asgi-arbiter", "--check-config", "main:app", cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_is_typed(from_wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "use.py").write_text("from asgi_arbiter.config import Config\nreveal_type(Config().graceful_timeout)\n")
    if run(sys.executable, "-P", "-m", "mypy", "--version", cwd=tmp_path, check=False).returncode != 0:
        pytest.skip("mypy is not installed")
    done = run(
        sys.executable, "-P", "-m", "mypy", "--python-executable", from_wheel, "use.py", cwd=tmp_path, check=False
    )  # fmt: skip
    assert 'Revealed type is "float"' in done.stdout.replace("builtins.", ""), done.stdout
