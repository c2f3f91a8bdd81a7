"""The contexts of generations: made when a generation is opened, kept as long as it may have workers."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_arbiter.arbiter.credentials import Credentials
from asgi_arbiter.config import Config, InvalidSetting


def make(config: Config) -> Any:
    if config.certfile == "broken":
        raise InvalidSetting("certfile: cannot read broken")
    return config.certfile or None


def test_each_generation_has_its_own() -> None:
    credentials = Credentials(make)
    credentials.open(1, Config(certfile="old"))
    credentials.open(2, Config(certfile="new"))
    assert (credentials.of(1), credentials.of(2), credentials.of(3)) == ("old", "new", None)


def test_a_broken_pair_leaves_the_others_alone() -> None:
    credentials = Credentials(make)
    credentials.open(1, Config(certfile="old"))
    with pytest.raises(InvalidSetting):
        credentials.open(2, Config(certfile="broken"))
    assert (credentials.of(1), credentials.of(2)) == ("old", None)


def test_what_is_over_is_let_go_of() -> None:
    credentials = Credentials(make)
    credentials.open(1, Config(certfile="old"))
    credentials.open(2, Config(certfile="new"))
    credentials.keep(2)
    assert (credentials.of(1), credentials.of(2)) == (None, "new")
    credentials.keep(None)
    assert credentials.of(2) is None


def test_without_tls_there_is_nothing_to_hold() -> None:
    credentials = Credentials()
    credentials.open(1, Config())
    assert credentials.of(1) is None
