"""The reading half: the fast way, the slow way, both libraries and the reference must agree on every stream of bytes.

The reference is the whole sans-I/O connection of ``websockets``, given the bytes as they are.
"""

from __future__ import annotations

import codecs
import itertools
import zlib
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from asgi_arbiter.protocols.websocket import WebsocketsCore
from asgi_arbiter.protocols.ws_deflate import Deflate
from asgi_arbiter.protocols.ws_frames import close_payload
from asgi_arbiter.protocols.ws_reader import FrameReader
from asgi_arbiter.protocols.ws_session import Phase
from asgi_arbiter.protocols.wsproto_websocket import WsprotoCore
from tests.ws_support import MASK, client_frame

CORES = [WebsocketsCore, WsprotoCore]
LIMIT = 300
Outcome = list[tuple[Any, ...]]


class Listener:
    """Stands in for the session."""

    def __init__(self, outcome: Outcome, room: int) -> None:
        self.phase = Phase.OPEN
        self.outcome = outcome
        self.room = room

    def deliver(self, message: dict[str, Any]) -> bool:
        self.outcome.append(("message", message.get("text"), message.get("bytes")))
        self.room -= 1
        return self.room == 0


class Reader(FrameReader):
    """Notes what happens."""

    def __init__(self, core: Any, *, deflate: bool = False, limit: int = LIMIT, room: int = 0) -> None:
        super().__init__(core, limit)
        self.deflate = Deflate() if deflate else None
        self.outcome: Outcome = []
        self.listener = self.session = Listener(self.outcome, room)  # type: ignore[assignment]
        self.has_room()

    def fail(self, code: int, reason: str) -> None:
        if self.session.phase is Phase.OPEN:
            self.outcome.append(("end", code))
        self.session.phase = Phase.CLOSED

    def peer_closed(self, payload: bytes, code: int, reason: str) -> None:
        self.outcome.append(("closed", code, reason))
        self.session.phase = Phase.CLOSED

    def answer_ping(self, payload: bytes) -> None:
        self.outcome.append(("ping", payload))

    def take_pong(self, payload: bytes) -> None:
        self.outcome.append(("pong", payload))

    def pause_reading(self) -> None:
        self.outcome.append(("paused",))

    def resume_reading(self) -> None:
        pass


class SlowReader(Reader):
    """Without the hot path: the plain version that it must equal."""

    def _read(self, data: bytes) -> None:
        at = 0 if self._unfinished is None else self._continue(data, 0)
        while at < len(data):
            at = self._step(data, at)


def reference(stream: bytes, *, deflate: bool, limit: int = LIMIT) -> Outcome:
    """What the library makes of it."""
    inner = ServerProtocol(state=State.OPEN, max_size=limit)
    if deflate:
        inner.extensions = [PerMessageDeflate(False, False, 15, 15)]
    outcome: Outcome = []
    text: Any = None
    whole = b""
    begin = 0
    for index in range(len(stream)):
        inner.receive_data(stream[index : index + 1])
        for frame in inner.events_received():
            begin = index + 1
            data = bytes(frame.data)  # type: ignore[union-attr]
            if frame.opcode is Opcode.PING:  # type: ignore[union-attr]
                outcome.append(("ping", data))
            elif frame.opcode is Opcode.PONG:  # type: ignore[union-attr]
                outcome.append(("pong", data))
            elif frame.opcode is Opcode.CLOSE:  # type: ignore[union-attr]
                assert inner.close_rcvd is not None
                return [*outcome, ("closed", int(inner.close_rcvd.code), inner.close_rcvd.reason)]
            else:
                if frame.opcode is not Opcode.CONT:  # type: ignore[union-attr]
                    text = codecs.getincrementaldecoder("utf-8")() if frame.opcode is Opcode.TEXT else None  # type: ignore[union-attr]
                    whole = b""
                whole += data
                try:
                    if text is not None:
                        text.decode(data, frame.fin)  # type: ignore[union-attr]
                except UnicodeDecodeError:
                    return [*outcome, ("end", 1007)]
                if frame.fin:  # type: ignore[union-attr]
                    outcome.append(("message", None, whole) if text is None else ("message", whole.decode(), None))
        if inner.parser_exc is not None:
            assert inner.close_sent is not None
            # The library counts a ping between two fragments as if it were a part of the message; we do not.
            assume(not (inner.close_sent.code == 1009 and stream[begin] & 0x08))
            return [*outcome, ("end", int(inner.close_sent.code))]
    return outcome


masks = st.binary(min_size=4, max_size=4)
payloads = st.one_of(st.binary(max_size=150), st.text(max_size=60).map(str.encode), st.just(b"x" * 126))
controls = st.tuples(st.sampled_from((0x9, 0xA)), st.binary(max_size=125), masks).map(
    lambda parts: client_frame(parts[0], parts[1], mask=parts[2])
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """One message, in one frame or several, with control frames in between."""
    opcode = draw(st.sampled_from((0x1, 0x2)))
    parts = draw(st.lists(payloads, min_size=1, max_size=3))
    stream = b""
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        stream += client_frame(0 if index else opcode, part, fin=last, mask=draw(masks))
        if not last:
            stream += b"".join(draw(st.lists(controls, max_size=1)))
    return stream


@st.composite
def compressed(draw: st.DrawFn) -> bytes:
    """The same, compressed without context, sometimes damaged, sometimes a bomb."""
    data = draw(st.one_of(payloads, st.just(b"y" * 5000), st.just(b"\xff\xff")))
    encoder = zlib.compressobj(wbits=-15)
    squeezed = (encoder.compress(data) + encoder.flush(zlib.Z_FULL_FLUSH))[:-4]
    cut = draw(st.integers(0, len(squeezed)))
    opcode = draw(st.sampled_from((0x1, 0x2)))
    if draw(st.booleans()):
        return client_frame(opcode, squeezed, rsv=4, mask=draw(masks))
    return client_frame(opcode, squeezed[:cut], rsv=4, fin=False) + client_frame(0, squeezed[cut:], mask=draw(masks))


oddities = st.one_of(
    st.builds(lambda rsv: client_frame(0x1, b"abc", rsv=rsv), st.integers(1, 7)),
    st.builds(lambda opcode: client_frame(opcode, b"abc"), st.sampled_from((0x3, 0x7, 0xB, 0xF, 0x0))),
    st.just(client_frame(0x9, b"abc", fin=False)),
    st.just(client_frame(0x9, b"a", rsv=4)),
    st.just(client_frame(0x9, b"x" * 126)),
    st.just(client_frame(0x2, b"x" * (LIMIT + 1))),
    st.just(b"\x81\x03abc"),
    st.builds(client_frame, st.just(0x8), st.sampled_from((b"", b"\x03", close_payload(4000, "bye"), b"\x03\xedx"))),
    st.just(client_frame(0x1, b"a", fin=False) + client_frame(0x2, b"b")),
)
streams = st.tuples(st.lists(st.one_of(messages(), controls), max_size=5), st.lists(oddities, max_size=1), messages())
deflated = st.tuples(
    st.lists(st.one_of(messages(), compressed(), controls), max_size=5), st.lists(oddities, max_size=1), compressed()
)


def joined(parts: tuple[list[bytes], list[bytes], bytes]) -> bytes:
    return b"".join((*parts[0], *parts[1], parts[2]))


def read(reader: Reader, stream: bytes, cuts: list[int]) -> Outcome:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for start, stop in itertools.pairwise(edges):
        reader.data_received(stream[start:stop])
    return reader.outcome


def agrees(found: Outcome, expected: Outcome) -> bool:
    """A message that is both too long and bad text may be refused for either: what is seen first depends on the cuts."""
    if found != expected and {found[-1], expected[-1]} == {("end", 1007), ("end", 1009)}:
        return found[:-1] == expected[:-1]
    return found == expected


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("kind", [Reader, SlowReader])
@pytest.mark.parametrize("deflate", [False, True])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_stream_cut_anywhere_means_what_the_library_says(
    core: Any, kind: type[Reader], deflate: bool, data: st.DataObject
) -> None:
    stream = joined(data.draw(deflated if deflate else streams))
    cuts = data.draw(st.lists(st.integers(0, 2000), max_size=12))
    expected = reference(stream, deflate=deflate)
    assert agrees(read(kind(core, deflate=deflate), stream, cuts), expected)
    assert agrees(read(kind(core, deflate=deflate), stream, list(range(len(stream)))), expected)


@pytest.mark.parametrize("core", CORES)
@settings(max_examples=60, deadline=None)
@given(parts=streams, room=st.integers(1, 3), cuts=st.lists(st.integers(0, 2000), max_size=5))
def test_pausing_for_a_full_queue_loses_and_reorders_nothing(core: Any, parts: Any, room: int, cuts: list[int]) -> None:
    stream = joined(parts)
    reader = Reader(core, room=room)
    read(reader, stream, cuts)
    while reader._is_held:
        reader.listener.room = room  # type: ignore[attr-defined]
        reader.has_room()
    assert [item for item in reader.outcome if item != ("paused",)] == reference(stream, deflate=False)


def test_a_full_queue_stops_the_parsing_and_the_reading() -> None:
    reader = Reader(WebsocketsCore, room=2)
    reader.data_received(client_frame(0x1, b"one") * 5)
    assert [item[0] for item in reader.outcome] == ["message", "message", "paused"]


def test_whole_frames_and_long_ones_need_no_core() -> None:
    reader = Reader(None, limit=1 << 20)
    stream = client_frame(0x1, b"a") + client_frame(0x2, bytes(70000)) + client_frame(0x9, b"p")
    for index in range(0, len(stream), 1000):
        reader.data_received(stream[index : index + 1000])
    assert [item[0] for item in reader.outcome] == ["message", "message", "ping"]


@pytest.mark.parametrize("kind", [Reader, SlowReader])
@pytest.mark.parametrize(
    "frame",
    [
        b"\x82\xfe\x00\x05" + MASK + bytes(5),
        b"\x82\xff" + (200).to_bytes(8, "big") + MASK + bytes(200),
        b"\x82\xff\x80" + bytes(7) + MASK,
    ],
)
def test_a_length_not_in_its_shortest_form_is_1002(kind: type[Reader], frame: bytes) -> None:
    reader = kind(WebsocketsCore, limit=0)
    reader.data_received(frame)
    assert reader.outcome == [("end", 1002)]


def test_a_close_frame_may_come_within_a_fragmented_message() -> None:
    reader = Reader(WebsocketsCore)
    reader.data_received(client_frame(0x1, b"a", fin=False) + client_frame(0x8, close_payload(1001)))
    assert reader.outcome == [("closed", 1001, "")]


def test_bad_text_is_refused_before_its_frame_has_ended() -> None:
    reader = Reader(WebsocketsCore)
    frame = client_frame(0x1, b"abc\xff" + b"d" * 100)
    reader.data_received(frame[:12])
    assert reader.outcome == [("end", 1007)]


def test_a_frame_that_announces_too_much_is_refused_before_it_comes() -> None:
    reader = Reader(WebsocketsCore)
    reader.data_received(client_frame(0x2, bytes(LIMIT + 1))[:8])
    assert reader.outcome == [("end", 1009)]


@pytest.mark.parametrize("core", CORES)
def test_a_bomb_is_refused_without_being_unpacked(core: Any) -> None:
    encoder = zlib.compressobj(wbits=-15)
    bomb = (encoder.compress(bytes(50_000_000)) + encoder.flush(zlib.Z_SYNC_FLUSH))[:-4]
    reader = Reader(core, deflate=True, limit=100_000)
    reader.data_received(client_frame(0x2, bomb, rsv=4))
    assert reader.outcome == [("end", 1009)]


@pytest.mark.parametrize("core", CORES)
def test_a_million_empty_fragments_take_no_memory(core: Any) -> None:
    reader = Reader(core)
    reader.data_received(client_frame(0x2, b"a", fin=False))
    for _ in range(200):
        reader.data_received(client_frame(0x0, b"", fin=False) * 10)
    held = reader.core._message._bytes.getvalue() if core is WebsocketsCore else reader.core._parts  # type: ignore[attr-defined]
    assert len(held) == 1
    reader.data_received(client_frame(0x0, b"b"))
    assert reader.outcome == [("message", None, b"ab")]


def test_while_closing_messages_are_skipped_and_the_close_frame_is_found() -> None:
    reader = Reader(WebsocketsCore)
    reader.data_received(client_frame(0x1, b"a", fin=False))
    reader.session.phase = Phase.CLOSING
    stream = client_frame(0x0, b"\xff" * 200) + client_frame(0x2, b"b" * 200) + client_frame(0x8, close_payload(1000))
    for index in range(len(stream)):
        reader.data_received(stream[index : index + 1])
    assert reader.outcome == [("closed", 1000, "")]


def test_bytes_before_the_accept_wait_and_are_bounded() -> None:
    reader = Reader(WebsocketsCore)
    reader._is_held = True
    reader.data_received(client_frame(0x1, b"early"))
    assert reader.outcome == []
    reader.data_received(bytes(70000))
    assert reader.outcome == [("paused",)]
