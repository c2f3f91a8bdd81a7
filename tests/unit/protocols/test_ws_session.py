"""The conversation with the application, with a wire that only takes notes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asgi_arbiter.config.settings import Config
from asgi_arbiter.protocols.base import ConnectionContext
from asgi_arbiter.protocols.errors import ClientDisconnected, MisusedByApplication
from asgi_arbiter.protocols.ws_denial import Denial
from asgi_arbiter.protocols.ws_session import _TABLE, Phase, Session

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
TEXT = {"type": "websocket.send", "text": "hello"}
CLOSE = {"type": "websocket.close"}
Application = Callable[[Any, Any, Any], Awaitable[None]]


class Notes:
    """A ``Wire``."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []
        self.is_blocked = False

    def accept(self, subprotocol: str | None, headers: Any) -> None:
        self.said.append(("accept", subprotocol))

    def refuse(self, status: int, reason: str) -> None:
        self.said.append(("refuse", status))

    def start_denial(self, status: int, headers: Any) -> Denial:
        return Denial(status, headers, b"")

    def write_denial(self, data: bytes, denial: Denial) -> None:
        self.said.append(("denial", data.partition(b"\r\n\r\n")[2] or data, denial.is_complete))

    def send_message(self, message: dict[str, Any]) -> None:
        self.said.append(("send", message["text"] if message.get("bytes") is None else message["bytes"]))

    def start_close(self, code: int, reason: str) -> None:
        self.said.append(("close", code, reason))

    def cut(self) -> None:
        self.said.append(("cut",))

    def has_room(self) -> None:
        self.said.append(("room",))

    def application_ended(self) -> None:
        self.said.append(("ended",))

    async def writable(self) -> None:
        self.said.append(("waited",))


def converse(
    app: Application, *steps: Callable[[Session], Any], settings: dict[str, Any] | None = None, draining: str = ""
) -> tuple[Session, list[tuple[Any, ...]]]:
    """Runs ``app``; each step is taken when it has nothing to do."""

    async def main() -> tuple[Session, list[tuple[Any, ...]]]:
        loop = asyncio.get_running_loop()
        context = ConnectionContext(app, Config(**settings or {}), loop)
        context.draining = draining
        wire = Notes()
        session = Session(context, {"type": "websocket", "path": "/chat"}, wire)
        loop.call_soon(session.start)
        for step in (lambda _: None, *steps):
            for _ in range(8):
                await asyncio.sleep(0)
            step(session)
        for _ in range(8):
            await asyncio.sleep(0)
        for task in tuple(context.tasks):
            task.cancel()
            await asyncio.wait([task])
        assert not context.tasks
        return session, wire.said

    return asyncio.run(main())


def text(value: str) -> Callable[[Session], Any]:
    return lambda session: session.deliver({"type": "websocket.receive", "text": value})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    assert await receive() == CONNECT
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


def test_messages_go_in_and_out_in_order_and_are_counted() -> None:
    session, said = converse(echo, lambda s: (text("a")(s), text("b")(s)), text("c"), lambda s: s.end(1000))
    assert [item for item in said if item[0] == "send"] == [("send", "a"), ("send", "b"), ("send", "c")]
    assert said[0] == ("accept", None)
    assert said[-1] == ("ended",)
    assert (session.messages_in, session.messages_out, session.close_code) == (3, 3, 1000)


def test_bytes_are_sent_as_a_binary_message() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await send({"type": "websocket.send", "bytes": b"x", "text": None})
        await send({"type": "websocket.send", "bytes": None, "text": ""})

    assert converse(app)[1][2:4] == [("send", b"x"), ("send", "")]


def test_a_close_before_the_accept_is_403() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(CLOSE)
        assert await receive() == CONNECT
        assert (await receive())["code"] == 1006

    assert converse(app)[1] == [("refuse", 403), ("ended",)]


def test_the_application_may_refuse_with_a_response_of_its_own() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"no", "more_body": True})
        await send({"type": "websocket.http.response.body"})
        with pytest.raises(ClientDisconnected):
            await send(ACCEPT)

    session, said = converse(app)
    assert said == [("denial", b"2\r\nno\r\n", False), ("denial", b"0\r\n\r\n", True), ("ended",)]
    assert session.phase is Phase.CLOSED


@pytest.mark.parametrize("raises", [False, True])
def test_an_application_that_ends_before_the_accept_is_answered_with_500(
    raises: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if raises:
            raise RuntimeError("broken")

    assert converse(app)[1] == [("refuse", 500), ("ended",)]
    assert ("broken" in caplog.text) is raises
    assert ("without accepting" in caplog.text) is not raises


def test_an_application_that_fails_to_be_called_is_answered_with_500(caplog: pytest.LogCaptureFixture) -> None:
    def app(scope: Any) -> None: ...

    assert converse(app)[1] == [("refuse", 500), ("ended",)]  # type: ignore[arg-type]
    assert "TypeError" in caplog.text


@pytest.mark.parametrize("body", [False, True])
def test_an_application_that_fails_in_its_denial_is_500_if_it_still_can_be(body: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        if body:
            await send({"type": "websocket.http.response.body", "body": b"no", "more_body": True})
        raise RuntimeError

    assert converse(app)[1][-2:] == [("cut",) if body else ("refuse", 500), ("ended",)]


def test_an_application_that_returns_after_the_accept_closes_with_1000() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)

    assert converse(app)[1][-2:] == [("close", 1000, ""), ("ended",)]


def test_an_application_that_raises_after_the_accept_closes_with_1011(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        raise RuntimeError("broken")

    assert converse(app)[1][-2:] == [("close", 1011, ""), ("ended",)]
    assert "broken" in caplog.text


@pytest.mark.parametrize(("draining", "code"), [("", 1011), ("shutdown", 1001), ("reload", 1012)])
def test_an_application_that_is_cancelled_closes_with_the_reason_of_the_drain(
    draining: str, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    _session, said = converse(echo, lambda s: s.cancel(), draining=draining)
    assert said[-2:] == [("close", code, ""), ("ended",)]
    assert caplog.text == ""


def test_an_application_that_is_cancelled_before_the_accept_is_answered_with_503() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    assert converse(app, lambda s: s.cancel())[1] == [("refuse", 503), ("ended",)]


def test_the_application_closes_with_its_code_and_hears_the_farewell() -> None:
    heard = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.close", "code": 3001, "reason": "done"})
        heard.append(await receive())
        with pytest.raises(ClientDisconnected):
            await send(TEXT)

    assert ("close", 3001, "done") in converse(app)[1]
    assert heard == [{"type": "websocket.disconnect", "code": 3001, "reason": "done"}]


def test_sending_to_a_peer_that_is_gone_raises_an_oserror_that_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        assert await receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        await send(TEXT)

    _session, said = converse(app, lambda s: s.end(1006))
    assert said[-1] == ("ended",)
    assert caplog.text == ""
    assert issubclass(ClientDisconnected, OSError)


def test_the_same_error_in_a_group_is_not_logged_either_but_its_companions_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        raise ExceptionGroup("tasks", [ClientDisconnected("gone")])

    async def worse(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        raise ExceptionGroup("tasks", [ClientDisconnected("gone"), RuntimeError("broken")])

    converse(app)
    assert caplog.text == ""
    converse(worse)
    assert "broken" in caplog.text


def test_the_farewell_comes_after_the_messages_and_again_each_time() -> None:
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for _ in range(4):
            heard.append((await receive())["type"])

    converse(app, lambda s: (text("a")(s), text("b")(s), s.end(1001, "bye")))
    assert [kind.rpartition(".")[2] for kind in heard] == ["receive", "receive", "disconnect", "disconnect"]


@pytest.mark.parametrize(
    ("messages", "wrong"),
    [
        ([], TEXT),
        ([], {"type": "websocket.http.response.body"}),
        ([ACCEPT], ACCEPT),
        ([ACCEPT], {"type": "http.response.start"}),
        ([ACCEPT], {"type": "websocket.close", "code": 1006}),
        ([ACCEPT], {}),
        ([{"type": "websocket.http.response.start", "status": 403, "headers": []}], ACCEPT),
    ],
)
def test_a_message_out_of_turn_is_an_error_that_names_the_message(messages: list[Any], wrong: dict[str, Any]) -> None:
    raised = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)
        try:
            await send(wrong)
        except (MisusedByApplication, KeyError) as error:
            raised.append(error)

    converse(app)
    assert raised
    assert str(wrong.get("type", "type")) in str(raised[0])


def test_the_queue_is_full_at_its_number_and_has_room_again_at_half() -> None:
    full: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await gate.wait()
        for _ in range(4):
            await receive()
            events.append("received")

    gate = asyncio.Event()
    events: list[str] = []
    _session, said = converse(
        app,
        lambda s: full.extend(s.deliver({"type": "websocket.receive", "text": "x"}) for _ in range(4)),
        lambda s: gate.set(),
        settings={"ws_max_queue": 4},
    )
    assert full == [False, False, False, True]
    assert said.count(("room",)) == 2  # one for the accept, one at half
    assert len(events) == 4


def test_the_queue_is_full_by_its_bytes_too() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await asyncio.Event().wait()

    full: list[bool] = []
    converse(app, lambda s: full.append(s.deliver({"type": "websocket.receive", "bytes": bytes(1 << 20)})))
    assert full == [True]


def test_a_message_is_not_lost_when_the_receiver_is_cancelled_as_it_comes() -> None:
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        pending.append(asyncio.ensure_future(receive()))
        with pytest.raises(asyncio.CancelledError):
            await pending[0]
        heard.append((await receive())["text"])
        heard.append((await receive())["text"])

    pending: list[Any] = []
    converse(app, lambda s: (text("a")(s), pending[0].cancel()), text("b"))
    assert heard == ["a", "b"]


def test_two_tasks_may_wait_in_receive() -> None:
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        for message in await asyncio.gather(receive(), receive()):
            heard.append(message["text"])

    converse(app, text("a"), text("b"))
    assert sorted(heard) == ["a", "b"]


def test_a_drain_closes_an_open_socket_and_one_that_opens_later() -> None:
    ready = asyncio.Event()

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await ready.wait()
        await send(ACCEPT)
        assert (await receive())["code"] == 1012

    assert ("close", 1001, "") in converse(echo, lambda s: s.leave(1001))[1]
    _, said = converse(late, lambda s: s.leave(1012), lambda s: ready.set())
    assert said == [("accept", None), ("close", 1012, ""), ("ended",)]


def test_the_application_cleans_up_after_a_drain() -> None:
    done: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        assert (await receive())["code"] == 1012
        await asyncio.sleep(0)
        done.append("cleaned")

    converse(app, lambda s: s.leave(1012))
    assert done == ["cleaned"]


def test_send_waits_for_a_slow_peer() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        session_wire.is_blocked = True
        await send(TEXT)

    async def main() -> list[tuple[Any, ...]]:
        nonlocal session_wire
        context = ConnectionContext(app, Config(), asyncio.get_running_loop())
        session_wire = Notes()
        session = Session(context, {}, session_wire)
        asyncio.get_running_loop().call_soon(session.start)
        for _ in range(5):
            await asyncio.sleep(0)
        return session_wire.said

    session_wire = Notes()
    assert ("waited",) in asyncio.run(main())


def test_the_table_has_only_rows_of_phases_in_which_one_may_speak() -> None:
    assert {phase for phase, _ in _TABLE} == {Phase.CONNECTING, Phase.DENYING, Phase.OPEN}


def test_a_frameworks_word_for_a_peer_that_is_gone_is_no_error_once_it_is_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class WebSocketDisconnect(Exception):
        """As Starlette has it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        while (await receive())["type"] != "websocket.disconnect":
            pass
        raise WebSocketDisconnect

    async def liar(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        raise WebSocketDisconnect

    converse(app, lambda session: session.end(1006))
    assert caplog.text == ""
    converse(liar)
    assert "WEBSOCKET /chat" in caplog.text


def test_a_message_whose_receiver_is_cancelled_goes_to_another_that_waits_by_then() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        tasks.append(asyncio.ensure_future(receive()))
        await asyncio.Event().wait()

    def step(session: Session) -> None:
        text("a")(session)
        tasks[0].cancel()
        receivers.append(session.receive())
        futures.append(receivers[0].send(None))  # it waits before the other one wakes

    tasks: list[Any] = []
    receivers: list[Any] = []
    futures: list[Any] = []
    converse(app, step)
    assert futures[0].result()["text"] == "a"
    receivers[0].close()


def test_a_receiver_with_a_time_limit_gets_its_message_or_leaves_it_for_the_next() -> None:
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        heard.append((await asyncio.wait_for(receive(), 60))["text"])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0)
        heard.append((await receive())["text"])

    converse(app, text("a"), text("b"))
    assert heard == ["a", "b"]


def test_what_comes_with_the_end_is_heard_before_it() -> None:
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        heard.append((await receive())["text"])
        heard.append((await receive())["code"])

    converse(app, lambda s: (text("last")(s), s.end(1001)))
    assert heard == ["last", 1001]
