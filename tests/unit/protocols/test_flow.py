"""Backpressure: the buffer of unread body, and waiting."""

from __future__ import annotations

import asyncio
import platform
import subprocess
import sys

import pytest

from asgi_arbiter.protocols.flow import BodyBuffer, wait, wake


def test_a_single_piece_is_taken_without_a_copy() -> None:
    body, piece = BodyBuffer(), b"piece" * 100
    body.put(piece)
    assert body.size == 500
    assert body.take() is piece
    assert (body.size, body.taken) == (0, True)


def test_pieces_are_taken_together_and_in_order() -> None:
    body = BodyBuffer()
    for piece in (b"a", b"b", b"c"):
        body.put(piece)
    assert body.take() == b"abc"
    assert body.take() == b""


def test_what_is_cleared_was_not_taken() -> None:
    body = BodyBuffer()
    body.put(b"x")
    body.clear()
    assert (body.size, body.taken, body.take()) == (0, False, b"")


def test_a_cancelled_waiter_leaves_the_others_waiting_and_no_trace() -> None:
    async def story() -> None:
        waiters: list[asyncio.Future[None]] = []
        loop = asyncio.get_running_loop()
        first, second = (asyncio.create_task(wait(waiters, loop)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        assert len(waiters) == 1
        assert not second.done()
        wake(waiters)
        await second
        assert waiters == []

    asyncio.run(story())


READS = """
import resource
from asgi_arbiter.protocols.flow import keep_freed_memory

def read():
    pieces = [b"%d" % number * 250_000 for number in range(1, 8)]

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        read()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

read()
without = faults()
keep_freed_memory()
read()
print(without, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have their own ways")
def test_memory_of_large_reads_is_kept_for_the_next_ones() -> None:
    done = subprocess.run([sys.executable, "-c", READS], capture_output=True, text=True, check=True)
    without, kept = map(int, done.stdout.split())
    assert without > 1000
    assert kept < 100
