from __future__ import annotations

from pathlib import Path

import pytest

from asgi_arbiter.config.errors import ConfigError, ConflictingSettings, SourceUnreadable, UnknownSetting
from asgi_arbiter.config.layers import (
    Layer,
    Origin,
    ambient_layer,
    find_file,
    keyword_layer,
    own_layer,
    toml_layer,
    unknown,
    uvicorn_layer,
)


def read(tmp_path: Path, text: str, name: str = "asgi-arbiter.toml") -> Layer:
    (tmp_path / name).write_text(text)
    return toml_layer(tmp_path / name, name)


def raw(layer: Layer) -> dict[str, object]:
    return {name: given.raw for name, given in layer.values.items()}


def test_keys_stand_at_the_top_or_in_the_table_of_their_section(tmp_path: Path) -> None:
    layer = read(tmp_path, "workers = 3\n[stopping]\ngraceful-timeout = 5\n[proxies.secure_scheme_headers]\nX = 'y'\n")
    assert raw(layer) == {"workers": 3, "graceful_timeout": 5, "secure_scheme_headers": {"X": "y"}}
    assert layer.values["workers"].where == "asgi-arbiter.toml, workers"
    assert layer.values["graceful_timeout"].where == "asgi-arbiter.toml, [stopping] graceful-timeout"
    assert layer.origin is Origin.FILE


def test_a_setting_may_be_written_under_another_server_s_name(tmp_path: Path) -> None:
    assert raw(read(tmp_path, "limit_max_requests = 3\nloglevel = 'debug'\nhost = 'x'\n")) == {
        "max_requests": 3,
        "log_level": "debug",
        "host": "x",
    }


def test_pyproject_has_a_table_of_ours(tmp_path: Path) -> None:
    layer = read(
        tmp_path,
        "[tool.ruff]\nx = 1\n[tool.asgi-arbiter]\nworkers = 3\n[tool.asgi-arbiter.stopping]\nkill_timeout = 1\n",
        "pyproject.toml",
    )
    assert raw(layer) == {"workers": 3, "kill_timeout": 1}
    assert layer.values["workers"].where == "pyproject.toml, [tool.asgi-arbiter] workers"
    assert layer.values["kill_timeout"].where == "pyproject.toml, [tool.asgi-arbiter.stopping] kill_timeout"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wrokers = 3", 'asgi-arbiter.toml, wrokers: no such setting "wrokers"; did you mean workers?'),
        (
            "[stopping]\ngraceful_timeot = 3",
            'asgi-arbiter.toml, [stopping] graceful_timeot: no such setting "graceful_timeot"; '
            "did you mean graceful_timeout?",
        ),
        (
            "limit_max_request = 3",
            'asgi-arbiter.toml, limit_max_request: no such setting "limit_max_request"; did you mean limit_max_requests?',
        ),
        ("[stoping]\nx = 3", 'asgi-arbiter.toml, [stoping]: no such table "stoping"; did you mean stopping?'),
        ("qqqq = 3", 'asgi-arbiter.toml, qqqq: no such setting "qqqq"'),
        (
            "[stopping]\nworkers = 3",
            "asgi-arbiter.toml, [stopping] workers: belongs into [processes] or before the first table",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UnknownSetting) as refusal:
        read(tmp_path, text)
    assert str(refusal.value) == message


def test_the_same_setting_twice_in_one_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConflictingSettings) as refusal:
        read(tmp_path, "max_requests = 3\n[recycling]\nlimit_max_requests = 4")
    assert str(refusal.value) == (
        "asgi-arbiter.toml, [recycling] limit_max_requests: the same setting as in asgi-arbiter.toml, max_requests; "
        "keep one of them"
    )


def test_a_file_that_is_no_toml_is_refused_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match=r"^asgi-arbiter.toml: is not valid TOML: .*line 1"):
        read(tmp_path, "workers = =")
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SourceUnreadable, match="is not UTF-8 text"):
        toml_layer(tmp_path / "x.toml", "x.toml")
    with pytest.raises(SourceUnreadable, match=r"^t: Is a directory"):
        toml_layer(tmp_path, "t")


def test_our_own_file_is_found_before_pyproject_and_gunicorn_s_comes_last(tmp_path: Path) -> None:
    assert find_file(tmp_path) is None
    (tmp_path / "gunicorn.conf.py").write_text("")
    assert find_file(tmp_path) == tmp_path / "gunicorn.conf.py"
    (tmp_path / "pyproject.toml").write_text("[tool.asgi-arbiter]\n")
    assert find_file(tmp_path) == tmp_path / "pyproject.toml"
    (tmp_path / "asgi-arbiter.toml").write_text("")
    assert find_file(tmp_path) == tmp_path / "asgi-arbiter.toml"


def test_a_pyproject_without_our_table_is_left_alone_even_if_it_is_broken(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.other]\n"asgi-arbiter" = [')
    assert find_file(tmp_path) is None
    (tmp_path / "pyproject.toml").write_text("[tool.asgi-arbiter.stopping]\nx = [")
    assert find_file(tmp_path) is not None


def test_platforms_set_workers_port_and_trusted_peers() -> None:
    layer = ambient_layer({"WEB_CONCURRENCY": "3", "PORT": "80", "FORWARDED_ALLOW_IPS": "*", "HOME": "/"})
    assert raw(layer) == {"workers": "3", "port": "80", "forwarded_allow_ips": "*"}
    assert layer.values["workers"].where == "environment, WEB_CONCURRENCY"
    assert raw(ambient_layer({"WEB_CONCURRENCY": "", "PORT": " "})) == {}


def test_our_variables_take_every_name_of_a_setting() -> None:
    layer = own_layer(
        {"ASGI_ARBITER_WORKERS": "3", "ASGI_ARBITER_TIMEOUT_KEEP_ALIVE": "7", "ASGI_ARBITER_HOST": "h", "X": "1"}
    )
    assert raw(layer) == {"workers": "3", "keepalive": "7", "host": "h"}


def test_an_unknown_variable_of_ours_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UnknownSetting) as refusal:
        own_layer({"ASGI_ARBITER_GRACEFULL_TIMEOUT": "3"})
    assert str(refusal.value) == (
        'environment, ASGI_ARBITER_GRACEFULL_TIMEOUT: no such variable "ASGI_ARBITER_GRACEFULL_TIMEOUT"; '
        "did you mean ASGI_ARBITER_GRACEFUL_TIMEOUT?"
    )


def test_the_program_s_own_variables_and_the_name_of_the_file_are_no_settings() -> None:
    assert raw(own_layer({"ASGI_ARBITER__FDS": "3", "ASGI_ARBITER_CONFIG": "x.toml"})) == {}


def test_an_empty_variable_counts_as_absent_unless_empty_is_a_value() -> None:
    layer = own_layer(
        {"ASGI_ARBITER_WORKERS": "", "ASGI_ARBITER_ROOT_PATH": "", "ASGI_ARBITER_FORWARDED_ALLOW_IPS": ""}
    )
    assert raw(layer) == {"root_path": "", "forwarded_allow_ips": ""}


def test_two_variables_for_one_setting_are_refused() -> None:
    with pytest.raises(ConflictingSettings, match=r"^environment, ASGI_ARBITER_MAX_REQUESTS: the same setting as in"):
        own_layer({"ASGI_ARBITER_MAX_REQUESTS": "3", "ASGI_ARBITER_LIMIT_MAX_REQUESTS": "3"})


def test_uvicorn_s_variables_are_read_as_uvicorn_reads_them() -> None:
    layer = uvicorn_layer(
        {
            "UVICORN_APP": "main:app",
            "UVICORN_HOST": "0.0.0.0",
            "UVICORN_LIMIT_MAX_REQUESTS": "5",
            "UVICORN_SSL_KEYFILE": "k",
            "UVICORN_RELOAD_DIRS": "a b",
            "UVICORN_HEADERS": "a:1 b:2",
            "UVICORN_ACCESS_LOG": "false",
            "UVICORN_LOG_LEVEL": "",
            "UVICORN_SOMETHING_ELSE": "x",
        }
    )
    assert raw(layer) == {
        "app": "main:app",
        "host": "0.0.0.0",
        "max_requests": "5",
        "keyfile": "k",
        "reload_dirs": ["a", "b"],
        "headers": ["a:1", "b:2"],
        "access_log": "false",
    }


def test_keywords_may_be_none_and_paths() -> None:
    assert raw(keyword_layer({"limit_max_requests": None, "uds": Path("/x"), "port": 5})) == {"uds": "/x", "port": 5}
    with pytest.raises(ConfigError, match=r'^Config\(\), wrokers: no such setting "wrokers"; did you mean workers\?'):
        keyword_layer({"wrokers": 3})


def test_far_names_are_not_guessed() -> None:
    assert unknown("option", "--zzz", ["--workers"]) == 'no such option "--zzz"'
