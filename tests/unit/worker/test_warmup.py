"""What the arbiter imports for its workers."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys, threading
from asgi_arbiter.config import Config
from asgi_arbiter.worker.warmup import warm_up
warm_up(Config(http={http!r}, loop={loop!r}, access_log={access_log!r}, user={user!r}, ws={ws!r}), shares={shares!r})
assert threading.active_count() == 1
print(*sorted(sys.modules))
"""


def imported(
    http: str = "auto",
    loop: str = "auto",
    *,
    access_log: bool = True,
    user: str = "",
    ws: str = "auto",
    shares: bool = False,
) -> set[str]:
    script = SCRIPT.format(http=http, loop=loop, access_log=access_log, user=user, ws=ws, shares=shares)
    return set(
        subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, check=True, text=True).stdout.split()
    )


def test_the_server_and_the_chosen_parser_are_there_after_it() -> None:
    modules = imported(http="h11", loop="asyncio")
    assert {"asgi_arbiter.worker.server", "asgi_arbiter.protocols.h11_parser", "asyncio"} <= modules
    assert "uvloop" not in modules and "httptools" not in modules


@pytest.mark.parametrize("wanted", [True, False])
def test_the_first_request_does_not_wait_for_the_modules_of_the_access_log(wanted: bool) -> None:
    assert ({"asgi_arbiter.protocols.http_log", "asgi_arbiter.config.access"} <= imported(access_log=wanted)) is wanted


@pytest.mark.parametrize(
    ("ws", "shares", "wanted"),
    [
        ("auto", False, False),
        ("auto", True, True),
        ("websockets", False, True),
        ("none", True, False),
        ("a:b", True, False),
    ],
)
def test_the_library_for_websockets_is_there_if_it_is_named_or_costs_nobody_anything(
    ws: str, shares: bool, wanted: bool
) -> None:
    assert ("asgi_arbiter.protocols.websocket" in imported(ws=ws, shares=shares)) is wanted


@pytest.mark.parametrize("name", ["users_module:Thing", "users_module:thing"])
def test_the_users_own_code_is_not_touched(name: str) -> None:
    assert "users_module" not in imported(http=name, loop=name)


def test_what_is_missing_is_left_for_the_worker_to_explain() -> None:
    imported(loop="no-such-loop")


@pytest.mark.parametrize("user", ["", "www-data"])
def test_a_worker_without_rights_finds_what_resolving_a_name_needs(user: str) -> None:
    assert ("encodings.idna" in imported(user=user)) is bool(user)
