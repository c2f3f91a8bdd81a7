from __future__ import annotations

import pytest

from asgi_arbiter.config import errors
from asgi_arbiter.config.errors import ArbiterError, ConfigError, ExitCode

CLASSES = [
    each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)
]  # fmt: skip


@pytest.mark.parametrize("error", CLASSES, ids=lambda each: each.__name__)
def test_every_error_carries_a_sentence_an_exit_code_and_the_users_traceback(error: type[ArbiterError]) -> None:
    raised = error("what is wrong", traceback_text="Traceback ...")
    assert (str(raised), raised.traceback_text) == ("what is wrong", "Traceback ...")
    assert error("x").traceback_text == ""
    assert raised.exit_code in ExitCode
    assert raised.exit_code is not ExitCode.OK
    assert error.__doc__


def test_all_that_is_wrong_with_settings_has_one_exit_code() -> None:
    settings = [each for each in CLASSES if issubclass(each, ConfigError)]
    assert len(settings) == 6
    assert {each.exit_code for each in settings} == {ExitCode.CONFIG}


def test_exit_codes_are_distinct_and_each_has_a_meaning() -> None:
    assert [int(code) for code in ExitCode] == list(range(len(ExitCode)))
    assert len({code.meaning for code in ExitCode}) == len(ExitCode)


def test_the_picture_in_the_module_s_head_names_every_class() -> None:
    assert errors.__doc__ is not None
    for each in CLASSES:
        assert each.__name__ in errors.__doc__
