from __future__ import annotations

from asgi_arbiter.config.derived import consequences

NOTHING = {"worker_class": "", "reload": False}


def test_nothing_follows_from_nothing() -> None:
    assert list(consequences(NOTHING, ())) == []
    assert list(consequences({**NOTHING, "worker_class": "uvicorn.workers.UvicornWorker"}, ())) == []


def test_an_h11_worker_class_chooses_parser_and_loop() -> None:
    values = {**NOTHING, "worker_class": "asgi_arbiter.gunicorn.ArbiterH11Worker"}
    assert list(consequences(values, ())) == [("http", "h11", "worker_class"), ("loop", "asyncio", "worker_class")]


def test_what_was_set_is_left_alone() -> None:
    found = {name for name, _, cause in consequences({**NOTHING, "reload": True}, {"timeout"}) if cause == "reload"}
    assert found == {"graceful_timeout", "quick_timeout", "kill_timeout", "drain_linger"}
