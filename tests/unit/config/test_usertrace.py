"""Tracebacks with the user's frames alone."""

from __future__ import annotations

import importlib

from asgi_arbiter.config.usertrace import has_user_frames, summary, user_traceback


def caught(source: str) -> BaseException:
    try:
        exec(compile(source, "their.py", "exec"), {})
    except (ValueError, ArithmeticError, SyntaxError, ExceptionGroup) as problem:
        return problem
    raise AssertionError


def test_frames_of_the_import_system_are_removed() -> None:
    try:
        importlib.import_module("no_such_module_at_all")
    except ImportError as problem:
        text = user_traceback(problem)
    assert "<frozen importlib" not in text
    assert importlib.__file__ not in text
    assert __file__ in text


def test_an_error_without_any_frame_of_the_user_is_only_its_last_line() -> None:
    assert user_traceback(ValueError("plain")) == "ValueError: plain"
    assert not has_user_frames(ValueError("plain"))
    assert has_user_frames(caught("1/0"))


def test_a_chain_keeps_its_links() -> None:
    text = user_traceback(caught("try:\n  1/0\nexcept Exception as e:\n  raise ValueError('x') from e"))
    assert "ZeroDivisionError" in text
    assert "direct cause" in text
    assert text.endswith("ValueError: x")


def test_the_members_of_a_group_are_shown() -> None:
    text = user_traceback(caught("raise ExceptionGroup('many', [ValueError('one'), TypeError('two')])"))
    assert "ValueError: one" in text
    assert "TypeError: two" in text


def test_a_summary_is_one_line() -> None:
    assert summary(ValueError("a\nb")) == "ValueError: a b"
    assert summary(KeyError("name")) == "KeyError: 'name'"
    assert summary(caught("def broken(:")) == "SyntaxError: invalid syntax (their.py, line 1)"
