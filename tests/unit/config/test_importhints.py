"""What could have been meant."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from asgi_arbiter.config.importhints import applications_in, nearest_module, nearest_name


def test_a_similar_name_is_suggested_and_others_are_not() -> None:
    assert nearest_name("aplication", ["application", "main"]) == '; did you mean "application"?'
    assert nearest_name("zzz", ["application", "main"]) == ""


def test_the_inner_names_of_python_are_never_suggested() -> None:
    assert nearest_name("name", ["__name__"]) == ""


def test_the_same_name_in_a_folder_comes_before_a_similar_one(tmp_path: Path) -> None:
    (tmp_path / "main2.py").touch()
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").touch()
    assert nearest_module("main", "main", [str(tmp_path)], ":app") == '; did you mean "src.main:app"?'


def test_a_folder_that_cannot_be_read_suggests_nothing() -> None:
    assert nearest_module("main", "main", ["/no/such/folder"], ":app") == ""


def test_only_what_is_an_application_of_the_module_is_listed() -> None:
    module = ModuleType("m")
    exec(
        "import asyncio\n"
        "from asyncio import wait_for\n"
        "async def job(): pass\n"
        "async def site(scope, receive, send): pass\n"
        "class Api:\n    async def __call__(self, scope, receive, send): pass\n"
        "api = Api()\n_hidden = Api()\nnumber = 5\n",
        module.__dict__,
    )
    assert applications_in(module) == "; its applications are named 'site', 'api'"
