"""A lean client on bare epoll, run as a program of its own on the load's core.

``echo PORT CONNECTIONS SECONDS``: on every connection a 64-byte message goes out as soon as the last came back.
``idle-http PORT CONNECTIONS`` and ``idle-websocket PORT CONNECTIONS``: opens them (one request or handshake each),
says ``open``, and holds them until its standard input ends.

Rules: standard library only, no event loop, nothing per message but one recv and one send.
"""

from __future__ import annotations

import os
import resource
import select
import socket
import sys
import time

PAYLOAD = b"a" * 64
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: benchmark\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
HELLO = b"GET / HTTP/1.1\r\nHost: benchmark\r\n\r\n"


def client_frame(payload: bytes, mask: bytes = b"\x11\x22\x33\x44") -> bytes:
    """A whole binary message as a client must send it: masked (RFC 6455, 5.2). At most 125 bytes."""
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes((0x82, 0x80 | len(payload))) + mask + masked


def connect(port: int, opening: bytes, expected: bytes) -> socket.socket:
    """A connection on which ``opening`` was answered with ``expected``. Raises ConnectionError otherwise."""
    connection = socket.create_connection(("127.0.0.1", port), 10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(opening)
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(4096)
        if not part:
            raise ConnectionError(f"closed after {answer!r}")
        answer += part
    if not answer.startswith(expected):
        raise ConnectionError(f"expected {expected!r}, got {answer[:80]!r}")
    return connection


def echo(port: int, count: int, seconds: float) -> str:
    """The line of figures of one run; a figure's ``requests`` are messages that came back."""
    frame = client_frame(PAYLOAD)
    answer = bytes((0x82, len(PAYLOAD))) + PAYLOAD
    poll = select.epoll()
    connections: dict[int, socket.socket] = {}
    for _ in range(count):
        connection = connect(port, HANDSHAKE, b"HTTP/1.1 101")
        connection.setblocking(False)
        connections[connection.fileno()] = connection
        poll.register(connection.fileno(), select.EPOLLIN)
    clock = time.perf_counter
    begun = clock()
    sent = dict.fromkeys(connections, begun)
    partial: dict[int, bytes] = {}
    times: list[float] = []
    errors = 0
    for connection in connections.values():
        connection.send(frame)
    end = begun + seconds
    while (now := clock()) < end and connections:
        for number, _ in poll.poll(0.1):
            try:
                data = connections[number].recv(4096)
            except OSError:
                data = b""
            if data != answer:
                data = partial.pop(number, b"") + data
                if data and answer.startswith(data) and len(data) < len(answer):
                    partial[number] = data
                    continue
                if data != answer:
                    errors += 1
                    poll.unregister(number)
                    connections.pop(number).close()
                    continue
            now = clock()
            times.append(now - sent[number])
            sent[number] = now
            connections[number].send(frame)
    took = clock() - begun
    times.sort()
    p50, p99, worst = (times[int(share * (len(times) - 1))] * 1e6 for share in (0.5, 0.99, 1.0)) if times else (0, 0, 0)
    return (
        f"figures requests={len(times)} seconds={took:.6f} bytes=0 p50_us={p50:.0f} p99_us={p99:.0f} "
        f"max_us={worst:.0f} errors={errors} statuses=0"
    )


def hold(port: int, count: int, opening: bytes, expected: bytes) -> None:
    """Opens the connections, says so, and keeps them until the other side of our standard input goes away."""
    held = [connect(port, opening, expected) for _ in range(count)]
    print("open", len(held), flush=True)
    os.read(0, 1)


def main(arguments: list[str]) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    what, port, count, *rest = arguments
    if what == "echo":
        print(echo(int(port), int(count), float(rest[0])))
    elif what == "idle-http":
        hold(int(port), int(count), HELLO, b"HTTP/1.1 200")
    else:
        hold(int(port), int(count), HANDSHAKE, b"HTTP/1.1 101")


if __name__ == "__main__":
    main(sys.argv[1:])
