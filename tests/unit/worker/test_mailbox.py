"""The mailbox: whole messages in order, nothing blocks, and nothing a worker writes can hurt the arbiter."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator

import pytest

from asgi_arbiter.worker.mailbox import LIMIT, Mailbox, decode, encode, open_pair

Pair = tuple[Mailbox, Mailbox]


@pytest.fixture
def pair() -> Iterator[Pair]:
    parent, child = open_pair()
    ends = Mailbox(parent), Mailbox(child)
    yield ends
    for end in ends:
        end.close()


def test_messages_arrive_whole_and_in_order(pair: Pair) -> None:
    parent, child = pair
    assert child.send({"kind": "ready"})
    assert child.send({"kind": "retiring", "reason": "memory"})
    assert parent.receive() == [{"kind": "ready"}, {"kind": "retiring", "reason": "memory"}]
    assert parent.receive() == []
    assert not parent.at_eof


def test_both_directions_work(pair: Pair) -> None:
    parent, child = pair
    parent.send({"kind": "leave", "reason": "reload"})
    assert child.receive() == [{"kind": "leave", "reason": "reload"}]


def test_a_message_in_pieces_waits_for_its_end() -> None:
    raw, child = open_pair()
    mailbox = Mailbox(child)
    raw.send(b'{"kind": "re')
    assert mailbox.receive() == []
    raw.send(b'ady"}\n{"kind"')
    assert mailbox.receive() == [{"kind": "ready"}]
    raw.close()
    mailbox.close()


def test_what_was_written_before_the_death_is_still_delivered(pair: Pair) -> None:
    parent, child = pair
    child.send({"kind": "failed", "code": 4, "reason": "x", "traceback": ""})
    child.close()
    assert [message["kind"] for message in parent.receive()] == ["failed"]
    assert parent.at_eof
    assert parent.receive() == []


def test_writing_to_a_dead_reader_is_no_error(pair: Pair) -> None:
    parent, child = pair
    parent.close()
    assert not child.send({"kind": "ready"})
    assert child.flush()


@pytest.mark.parametrize("line", [b"", b"nonsense", b"[]", b'{"no": "kind"}', b'{"kind": 3}', b"\xff\xfe"])
def test_a_line_that_is_no_message_is_dropped_and_the_next_one_is_read(line: bytes) -> None:
    assert decode(line) is None
    raw, end = open_pair()
    mailbox = Mailbox(end)
    raw.send(line + b"\n" + encode({"kind": "ready"}))
    assert mailbox.receive() == [{"kind": "ready"}]
    raw.close()
    mailbox.close()


def test_an_endless_line_is_dropped_without_being_kept() -> None:
    raw, end = open_pair()
    mailbox = Mailbox(end)
    for _ in range(4):
        raw.send(b"x" * (LIMIT // 2))
        mailbox.receive()
        assert len(mailbox._incoming) <= LIMIT
    raw.send(b"x\n" + encode({"kind": "ready"}))
    assert mailbox.receive() == [{"kind": "ready"}]
    raw.close()
    mailbox.close()


def test_what_does_not_fit_now_is_written_later(pair: Pair) -> None:
    parent, child = pair
    big = {"kind": "failed", "traceback": "é" * 8_000}
    sent = 0
    while child.send(big):
        sent += 1
        assert sent < 10_000
    received = 0
    for _ in range(10_000):
        received += len(parent.receive())
        if child.flush():
            break
    received += len(parent.receive())
    assert received == sent + 1


def test_flushing_to_a_reader_that_does_not_read_gives_up_in_time(pair: Pair) -> None:
    _, child = pair
    while child.send({"kind": "failed", "traceback": "x" * 60_000}):
        pass
    assert not child.flush(timeout=0.01)


def test_a_long_traceback_loses_its_middle_only() -> None:
    line = encode({"kind": "failed", "code": 4, "traceback": "BEGIN" + "\U0001f40d" * LIMIT + "END"})
    assert len(line) <= LIMIT
    text = json.loads(line)["traceback"]
    assert text.startswith("BEGIN")
    assert text.endswith("END")
    assert "shortened" in text


def test_a_message_too_long_for_any_other_reason_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encode({"kind": "ready", "reason": "x" * LIMIT})


def test_neither_end_passes_to_programs_that_are_executed() -> None:
    ends = open_pair()
    assert not any(os.get_inheritable(end.fileno()) for end in ends)
    assert all(end.family == socket.AF_UNIX for end in ends)
    for end in ends:
        end.close()
