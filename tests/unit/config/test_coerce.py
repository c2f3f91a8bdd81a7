from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asgi_arbiter.config import memory
from asgi_arbiter.config.coerce import Misfit, coerce, found, notice
from asgi_arbiter.config.schema import Option
from asgi_arbiter.config.settings import options
from asgi_arbiter.config.written import toml_value

Take = Callable[[str, object], Any]


def take(name: str, raw: object) -> Any:
    return coerce(_option(name), raw)


def refusal(name: str, raw: object) -> str:
    with pytest.raises(Misfit) as misfit:
        take(name, raw)
    return str(misfit.value)


def _option(name: str) -> Option:
    return options()[name]


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (30, 30.0),
        (1.5, 1.5),
        ("30", 30.0),
        ("1.5", 1.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("6h", 21600.0),
        ("1d", 86400.0),
        ("500ms", 0.5),
        ("1h30m", 5400.0),
        ("0", 0.0),
        (" 2S ", 2.0),
    ],
)
def test_durations_have_units_or_are_seconds(raw: object, seconds: float) -> None:
    value = take("graceful_timeout", raw)
    assert value == seconds
    assert type(value) is float


@pytest.mark.parametrize("raw", ["soon", "", "5 minutes", "5x", "s", "1.5.2", True, None, [], "nan", float("inf")])
def test_what_is_no_duration_is_refused(raw: object) -> None:
    assert refusal("graceful_timeout", raw) == "seconds"


@pytest.mark.parametrize("raw", [-1, "-1", -0.5])
def test_a_negative_duration_is_refused_with_the_bound(raw: object) -> None:
    assert refusal("graceful_timeout", raw) == "seconds of at least 0"


@pytest.mark.parametrize(
    ("raw", "size"),
    [
        (1000, 1000),
        ("1000", 1000),
        ("512M", 512 * 2**20),
        ("16MiB", 16 * 2**20),
        ("1G", 2**30),
        ("10k", 10240),
        ("10 KB", 10240),
        ("1.5K", 1536),
        ("7b", 7),
        ("0", 0),
    ],
)
def test_sizes_have_units_or_are_bytes(raw: object, size: int) -> None:
    assert take("max_worker_memory", raw) == size


@pytest.mark.parametrize("raw", ["big", "", "-1", -1, 1.5, True, "1.5", "1P", "M"])
def test_what_is_no_size_is_refused(raw: object) -> None:
    assert refusal("max_worker_memory_jitter", raw) == "a size such as 512M or a number of bytes"
    assert refusal("max_worker_memory", raw) == "a size such as 512M or a number of bytes, or a share such as 20%"


def test_a_share_of_the_memory_is_worked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1000)
    assert take("max_worker_memory", "20%") == 200
    assert take("max_worker_memory", " 12.5 %") == 125
    assert refusal("max_worker_memory", "0%") == "a share above 0% and up to 100%"
    assert refusal("max_worker_memory", "101%") == "a share above 0% and up to 100%"
    assert "20%" not in refusal("max_worker_memory_jitter", "20%")
    monkeypatch.setattr(memory, "available", lambda: 0)
    assert "cannot be known" in refusal("max_worker_memory", "20%")


@pytest.mark.parametrize(
    ("raw", "mode"), [("660", 0o660), ("0o660", 0o660), ("0660", 0o660), (0o660, 0o660), ("0", 0), ("", None)]
)
def test_modes_are_octal(raw: object, mode: int | None) -> None:
    assert take("uds_permissions", raw) == mode


@pytest.mark.parametrize("raw", ["999", "rw", 660, "7777", -1, True])
def test_what_is_no_mode_is_refused(raw: object) -> None:
    assert refusal("uds_permissions", raw) == 'an octal mode such as "660" or 0o660'


@pytest.mark.parametrize("raw", [True, "true", "TRUE", "1", 1, "yes", "on", "t", "y"])
def test_words_for_true(raw: object) -> None:
    assert take("access_log", raw) is True


@pytest.mark.parametrize("raw", [False, "false", "0", 0, "no", "off", "F", "n"])
def test_words_for_false(raw: object) -> None:
    assert take("access_log", raw) is False


@pytest.mark.parametrize("raw", ["maybe", "", 2, None, 1.0, []])
def test_other_words_are_neither(raw: object) -> None:
    assert refusal("access_log", raw) == "true or false"


def test_colours_may_be_left_to_the_terminal() -> None:
    assert take("use_colors", "auto") is None
    assert take("use_colors", "no") is False
    assert refusal("use_colors", "red") == "true, false or auto"


@pytest.mark.parametrize("raw", ["x", "", "1.5", 1.5, True, None, "1_000"])
def test_what_is_no_number_is_refused(raw: object) -> None:
    assert refusal("backlog", raw) == "a whole number of at least 1"


def test_bounds_are_part_of_the_message() -> None:
    assert refusal("backlog", "0") == "a whole number of at least 1"
    assert refusal("cert_reqs", 3) == "a whole number between 0 and 2 or one of none, optional, required"


@pytest.mark.parametrize(("raw", "number"), [("required", 2), ("OPTIONAL", 1), ("0", 0), (2, 2), ("CERT_REQUIRED", 2)])
def test_numbers_may_have_words(raw: object, number: int) -> None:
    assert take("cert_reqs", raw) == number


@pytest.mark.parametrize(("raw", "number"), [("17", 17), ("TLS", 2), ("PROTOCOL_TLS_SERVER", 17), ("TLSv1_2", 5)])
def test_tls_versions_are_those_of_the_ssl_module_by_number_or_name(raw: object, number: int) -> None:
    assert take("ssl_version", raw) == number


def test_workers_may_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_arbiter.config.cpus.available", lambda: 6)
    assert take("workers", "auto") == 6
    assert take("workers", "3") == 3
    assert refusal("workers", "many") == 'a whole number between 1 and 512 or "auto"'
    assert refusal("workers", 0) == 'a whole number between 1 and 512 or "auto"'


def test_choices_ignore_case_and_know_other_words() -> None:
    assert take("log_level", "TRACE") == "trace"
    assert take("log_level", "warn") == "warning"
    assert take("log_level", 10) == "debug"
    assert refusal("log_level", "loud") == "critical, error, warning, info, debug or trace"
    assert refusal("lifespan", None) == "auto, on or off"


def test_parsers_have_names_and_third_party_ones_have_places() -> None:
    assert take("http", "fast") == "httptools"
    assert take("http", "python") == "h11"
    assert take("http", "my.module:Parser") == "my.module:Parser"
    assert take("ws", "websockets-sansio") == "websockets"
    assert refusal("http", "quick") == "auto, httptools, h1c or h11, or module:attribute"


def test_a_value_that_stands_for_another_comes_with_a_notice() -> None:
    assert take("loop", "zuvloop") == "uvloop"
    assert notice(_option("loop"), "zuvloop") == "zuvloop is not supported; uvloop is used"
    assert notice(_option("loop"), "uvloop") == ""
    assert notice(_option("loop"), 3) == ""


def test_lists_are_arrays_or_have_commas() -> None:
    assert take("forwarded_allow_ips", "10.0.0.0/8, ::1,") == ("10.0.0.0/8", "::1")
    assert take("forwarded_allow_ips", ["a", "b"]) == ("a", "b")
    assert take("forwarded_allow_ips", "") == ()
    assert refusal("forwarded_allow_ips", [1]) == "a list of texts"
    assert refusal("forwarded_allow_ips", 1) == "a list of texts"


def test_headers_may_contain_commas_and_are_divided_by_lines() -> None:
    assert take("headers", "vary: a, b\nx: y") == ("vary: a, b", "x: y")
    assert take("headers", ["vary: a, b"]) == ("vary: a, b",)


def test_addresses_are_checked_and_written_in_one_way() -> None:
    assert take("bind", [":80", "::1", ":80"]) == ("0.0.0.0:80", "[::1]:8000")
    assert refusal("bind", "x:y") == '"y" in "x:y" is not a port number'
    assert refusal("bind", "") == "at least one address"


def test_pairs_are_a_table_or_a_list_or_text() -> None:
    wanted = (("X-A", "1"), ("X-B", "2"))
    assert take("secure_scheme_headers", {"X-A": "1", "X-B": "2"}) == wanted
    assert take("secure_scheme_headers", "X-A=1, X-B=2") == wanted
    assert take("secure_scheme_headers", [["X-A", "1"], ["X-B", "2"]]) == wanted
    assert refusal("secure_scheme_headers", {"X-A": 1}) == "a table of names and values"
    assert refusal("secure_scheme_headers", "X-A") == "NAME=VALUE, comma separated"


def test_a_table_without_effect_may_hold_anything() -> None:
    assert take("logconfig_dict", {"version": 1, "root": {}}) == (("version", "1"), ("root", "{}"))
    assert refusal("logconfig_dict", "x") == "a table"


def test_hooks_are_places() -> None:
    assert take("post_fork", "my.hooks:post_fork") == "my.hooks:post_fork"
    assert take("post_fork", "") == ""
    assert refusal("post_fork", "post_fork") == "module:function"
    assert refusal("post_fork", print) == "module:function"


def test_users_may_be_numbers_and_texts_have_no_zero_bytes() -> None:
    assert take("user", 1000) == "1000"
    assert refusal("user", True) == "a text"
    assert refusal("user", "a\0") == "a text without zero bytes"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text("0123456789.smhdkMG:-@[]/,="),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


@example(name="backlog", raw="9" * 5000)
@example(name="timeout", raw="9" * 5000)
@example(name="timeout", raw="9" * 5000 + "h")
@example(name="max_worker_memory", raw="9" * 5000 + "G")
@example(name="bind", raw="h:" + "9" * 5000)
@example(name="bind", raw="fd://" + "9" * 5000)
@given(name=st.sampled_from(sorted(options())), raw=ANYTHING)
def test_anything_is_taken_or_refused_and_what_is_taken_survives_a_second_reading(name: str, raw: object) -> None:
    option = _option(name)
    try:
        value = coerce(option, raw)
    except Misfit as misfit:
        assert str(misfit)
        assert found(raw)
        return
    if value is not None or option.kind.name in ("MODE", "MAYBE"):
        again = tomllib.loads(f"x = {toml_value(value, kind=option.kind)}")["x"]
        assert coerce(option, again) == value


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("soon", '"soon"'),
        (True, "true"),
        (3, "3"),
        ({"a": 1}, "a table"),
        (["a", 1], '["a", 1]'),
        ("x" * 200, '"' + "x" * 97 + '..."'),
    ],
)
def test_what_was_found_is_quoted_as_it_was_written(raw: object, text: str) -> None:
    assert found(raw) == text


def test_the_same_address_twice_is_one_but_two_free_ports_are_two() -> None:
    assert take("bind", ["127.0.0.1:80", "127.0.0.1:80"]) == ("127.0.0.1:80",)
    assert take("bind", ["127.0.0.1:0", "127.0.0.1:0"]) == ("127.0.0.1:0", "127.0.0.1:0")
