"""The lifespan conversation: unsupported and failed told apart, nothing hidden, everything limited in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asgi_arbiter.config.errors import LifespanFailed
from asgi_arbiter.config.settings import Config
from asgi_arbiter.worker.lifespan import TABLE, Lifespan, LifespanEvent, LifespanPhase

App = Callable[[Any, Any, Any], Awaitable[None]]


def started(app: App, **settings: Any) -> Lifespan:
    """The lifespan of ``app`` after its startup, and, if it runs, after its shutdown."""

    async def main() -> Lifespan:
        lifespan = Lifespan(app, Config(**settings))
        await lifespan.startup()
        phase = lifespan.phase
        await lifespan.shutdown()
        lifespan.phase = phase if phase is not LifespanPhase.RUNNING else lifespan.phase
        return lifespan

    return asyncio.run(main())


def failure(app: App, **settings: Any) -> LifespanFailed:
    with pytest.raises(LifespanFailed) as caught:
        started(app, **settings)
    return caught.value


async def good(scope: Any, receive: Any, send: Any) -> None:
    assert await receive() == {"type": "lifespan.startup"}
    scope["state"]["ready"] = True
    await send({"type": "lifespan.startup.complete"})
    assert await receive() == {"type": "lifespan.shutdown"}
    await send({"type": "lifespan.shutdown.complete"})


async def ignorant(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("only http here")


async def silent(scope: Any, receive: Any, send: Any) -> None:
    return


async def broken(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise RuntimeError("the database is down")


async def refusing(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no licence"})


async def deaf(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers everything as if it were HTTP."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def endless(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_good_application_starts_keeps_its_state_and_stops(mode: str) -> None:
    lifespan = started(good, lifespan=mode)
    assert lifespan.phase is LifespanPhase.CLOSED
    assert lifespan.state == {"ready": True}


def test_switched_off_the_application_is_not_called() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("called")

    assert started(app, lifespan="off").phase is LifespanPhase.NEW


@pytest.mark.parametrize(
    ("app", "why"),
    [
        (ignorant, "it raised ValueError: only http here"),
        (silent, "it returned without a word"),
        (deaf, "it sent 'http.response.start'"),
    ],
)
def test_an_application_that_does_not_know_lifespan_is_served_with_auto_and_refused_with_on(
    app: App, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "asgi_arbiter.worker"):
        assert started(app, lifespan="auto").phase is LifespanPhase.UNSUPPORTED
    assert caplog.messages == [f"the application does not support lifespan: {why}"]
    assert str(failure(app, lifespan="on")).endswith(why)


def test_the_traceback_of_an_unsupported_lifespan_is_in_the_log_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "asgi_arbiter.worker"):
        started(ignorant)
    assert "in ignorant" in caplog.text
    assert "lifespan.py" not in caplog.messages[1].replace("test_lifespan.py", "")


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_raising_after_the_startup_event_is_a_failure_with_the_users_traceback(mode: str) -> None:
    error = failure(broken, lifespan=mode)
    assert str(error) == "the application's startup failed: it raised RuntimeError: the database is down"
    assert "in broken" in error.traceback_text
    assert "worker/lifespan.py" not in error.traceback_text


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_refused_startup_is_a_failure_in_the_applications_words(mode: str) -> None:
    error = failure(refusing, lifespan=mode)
    assert str(error) == "the application's startup failed: no licence"
    assert error.traceback_text == ""


def test_a_refusal_without_words_is_still_a_sentence() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed"})

    assert str(failure(app)) == "the application's startup failed: it gave no reason"


def test_a_traceback_as_the_reason_is_shortened_to_its_last_line_and_kept_as_the_traceback() -> None:
    """Starlette sends its whole traceback as the message, then raises the same error."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        text = "Traceback (most recent call last):\n  File x\nOSError: no disk\n"
        await send({"type": "lifespan.startup.failed", "message": text})
        raise OSError("no disk")

    error = failure(app)
    assert str(error) == "the application's startup failed: OSError: no disk"
    assert error.traceback_text.startswith("Traceback")


def test_a_startup_that_takes_too_long_is_a_failure_and_its_task_is_cancelled() -> None:
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await endless(scope, receive, send)
        finally:
            ended.append("cancelled")

    error = failure(app, lifespan_startup_timeout=0.01)
    assert str(error) == "the application's startup failed: it did not complete within 0.01 s"
    assert ended == ["cancelled"]


def test_exiting_in_the_startup_is_a_failure_and_not_the_end_of_the_loop() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise SystemExit(3)

    assert str(failure(app)).endswith("it raised SystemExit: 3")


def test_cancelling_the_startup_cancels_the_application_too() -> None:
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await endless(scope, receive, send)
        finally:
            ended.append("cancelled")

    async def main() -> None:
        task = asyncio.create_task(Lifespan(app, Config()).startup())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended == ["cancelled"]


def shutdown_log(end: App, caplog: pytest.LogCaptureFixture, **settings: Any) -> tuple[Lifespan, list[str]]:
    """An application that starts well and then does ``end``; with what was logged."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await end(scope, receive, send)

    with caplog.at_level(logging.ERROR, "asgi_arbiter.worker"):
        lifespan = started(app, **settings)
    return lifespan, caplog.messages


def test_a_shutdown_that_raises_is_logged_and_ends(caplog: pytest.LogCaptureFixture) -> None:
    lifespan, messages = shutdown_log(ignorant, caplog)
    assert lifespan.phase is LifespanPhase.CLOSED
    assert messages == ["the application's shutdown raised ValueError: only http here"]
    assert "in ignorant" in caplog.text


def test_a_shutdown_reported_as_failed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def end(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.shutdown.failed", "message": "queue not empty"})

    assert shutdown_log(end, caplog)[1] == ["the application's shutdown failed: queue not empty"]


def test_a_shutdown_that_takes_too_long_is_logged_and_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    async def end(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.get_running_loop().create_future()

    lifespan, messages = shutdown_log(end, caplog, lifespan_shutdown_timeout=0.01)
    assert lifespan.phase is LifespanPhase.CLOSED
    assert messages == ["the application's shutdown did not complete within 0.01 s (lifespan_shutdown_timeout)"]


def test_returning_at_shutdown_without_a_word_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    lifespan, messages = shutdown_log(silent, caplog)
    assert (lifespan.phase, messages) == (LifespanPhase.CLOSED, [])


@pytest.mark.parametrize("end", [silent, ignorant])
def test_a_lifespan_that_ends_while_serving_is_logged_and_not_shut_down(
    end: App, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await end(scope, receive, send)

    async def main() -> None:
        lifespan = Lifespan(app, Config())
        await lifespan.startup()
        await asyncio.sleep(0)
        assert lifespan.phase is LifespanPhase.CLOSED
        await lifespan.shutdown()

    with caplog.at_level(logging.ERROR, "asgi_arbiter.worker"):
        asyncio.run(main())
    assert len(caplog.messages) == 1
    assert "while serving" in caplog.messages[0]


def test_a_message_out_of_turn_is_raised_into_the_application() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        with pytest.raises(RuntimeError, match="unexpected ASGI message"):
            await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    assert started(app).phase is LifespanPhase.CLOSED


def test_nothing_comes_after_the_shutdown_event() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.01)

    assert started(app).phase is LifespanPhase.CLOSED


def test_every_phase_can_be_reached_and_every_phase_but_the_last_ones_can_be_left() -> None:
    assert set(TABLE.values()) == set(LifespanPhase) - {LifespanPhase.NEW}
    final = {LifespanPhase.CLOSED, LifespanPhase.UNSUPPORTED, LifespanPhase.FAILED}
    assert {phase for phase, _ in TABLE} == set(LifespanPhase) - final


@pytest.mark.parametrize("phase", [LifespanPhase.OFFERED, LifespanPhase.STARTING])
def test_whatever_an_application_does_before_it_runs_has_a_meaning(phase: LifespanPhase) -> None:
    for event in (
        LifespanEvent.STARTUP_COMPLETE,
        LifespanEvent.STARTUP_FAILED,
        LifespanEvent.FOREIGN_MESSAGE,
        LifespanEvent.RETURNED,
        LifespanEvent.RAISED,
        LifespanEvent.TIMED_OUT,
    ):
        assert (phase, event) in TABLE


def test_a_shutdown_can_be_hurried_while_it_runs_and_before() -> None:
    async def hanging(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.Event().wait()

    async def main(before: bool) -> LifespanPhase:
        lifespan = Lifespan(hanging, Config())
        await lifespan.startup()
        if before:
            lifespan.hurry(0.01)
        stopping = asyncio.create_task(lifespan.shutdown())
        while lifespan.phase is not LifespanPhase.STOPPING:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        if not before:
            lifespan.hurry(0.01)
        await asyncio.wait_for(stopping, 5)
        return lifespan.phase

    assert asyncio.run(main(before=True)) is LifespanPhase.CLOSED
    assert asyncio.run(main(before=False)) is LifespanPhase.CLOSED
