"""Responses on their way out: framing, headers, lengths, trailers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http_support import (
    START,
    body,
    request,
    respond,
    start,
)

# Framing


def test_nothing_is_sent_before_the_first_body_message() -> None:
    client, _ = respond(START, data=request("/", "POST", "Content-Length: 9"))
    assert client.transport.writes == 1, "only the 500 for the missing body"


def test_head_and_small_body_go_out_in_one_write() -> None:
    client, _ = respond(START, body(b"hello"))
    assert client.transport.writes == 1
    assert client.answers()[0].body == b"hello"


def test_a_body_in_pieces_is_chunked_and_empty_pieces_make_no_chunk() -> None:
    client, _ = respond(START, body(b"one", True), body(b"", True), body(b"two", True), body(b""))
    (answer,) = client.answers()
    assert (answer.body, answer.chunked) == (b"onetwo", True)
    assert client.heard.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


def test_an_empty_first_piece_sends_the_head() -> None:
    client, _ = respond(START, body(b"", True), body(b"x", True), body(b"y"))
    (answer,) = client.answers()
    assert answer.body == b"xy"


def test_large_pieces_are_chunked_too() -> None:
    client, _ = respond(START, body(b"a" * 20_000, True), body(b"b" * 20_000))
    assert client.answers()[0].body == b"a" * 20_000 + b"b" * 20_000


def test_a_body_in_pieces_with_a_declared_length_is_not_chunked() -> None:
    client, _ = respond(start(200, (b"content-length", b"6")), body(b"one", True), body(b"two"))
    (answer,) = client.answers()
    assert (answer.body, answer.chunked, answer.get(b"content-length")) == (b"onetwo", False, b"6")


@pytest.mark.parametrize("data", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes")])
def test_any_bytes_make_a_body(data: Any) -> None:
    assert respond(START, body(data))[0].answers()[0].body == b"bytes"


def test_missing_keys_have_their_defaults() -> None:
    client, _ = respond({"type": "http.response.start", "status": 200}, {"type": "http.response.body"})
    (answer,) = client.answers()
    assert (answer.body, answer.get(b"content-length")) == (b"", b"0")


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_body_sends_none(status: int) -> None:
    client, _ = respond(start(status), body(b"not sent", True), body(b"not sent"), data=request() + request())
    first, second = client.answers()
    assert (first.status, first.body, first.get(b"transfer-encoding"), first.get(b"content-length")) == (
        status,
        b"",
        None,
        None,
    )
    assert second.status == status


def test_a_204_has_no_content_length_even_if_the_application_sets_one() -> None:
    client, _ = respond(start(204, (b"x", b"1"), (b"content-length", b"5"), (b"y", b"2")), body(b""))
    (answer,) = client.answers()
    assert (answer.get(b"x"), answer.get(b"content-length"), answer.get(b"y")) == (b"1", None, b"2")


def test_head_gets_the_length_and_no_body() -> None:
    client, _ = respond(START, body(b"hello"), data=request("/", "HEAD") * 2)
    first, second = client.answers("HEAD", "HEAD")
    assert (first.get(b"content-length"), second.get(b"content-length")) == (b"5", b"5")
    assert client.heard.endswith(b"\r\n\r\n")


def test_head_keeps_the_length_that_the_application_declares() -> None:
    client, _ = respond(start(200, (b"content-length", b"1000")), body(b""), data=request("/", "HEAD"))
    assert client.answers("HEAD")[0].get(b"content-length") == b"1000"
    assert not client.is_finished


def test_head_of_a_stream_has_no_body_either() -> None:
    client, _ = respond(START, body(b"one", True), body(b"two"), data=request("/", "HEAD") * 2)
    assert [answer.status for answer in client.answers("HEAD", "HEAD")] == [200, 200]


def test_an_unregistered_status_has_an_empty_phrase() -> None:
    client, _ = respond(start(299), body(b""))
    assert client.heard.startswith(b"HTTP/1.1 299 \r\n")


# Headers


def test_names_go_out_as_given_and_ours_only_where_the_application_has_none() -> None:
    client, _ = respond(start(200, (b"X-Name", b"v"), (b"Date", b"never"), (b"SERVER", b"mine")), body(b""))
    assert b"\r\nX-Name: v\r\n" in client.heard
    (answer,) = client.answers()
    assert (answer.get(b"date"), answer.get(b"server")) == (b"never", b"mine")


def test_the_server_header_can_be_switched_off() -> None:
    client, _ = respond(START, body(b""), server_header=False)
    assert client.answers()[0].get(b"server") is None


def test_default_headers_are_added_unless_the_application_sets_them() -> None:
    client, _ = respond(start(200, (b"x-one", b"app")), body(b""), headers=("X-One: default", "X-Two: default"))
    (answer,) = client.answers()
    assert (answer.get(b"x-one"), answer.get(b"x-two")) == (b"app", b"default")


@pytest.mark.parametrize("name", [b"Connection", b"keep-alive", b"Transfer-Encoding", b"upgrade"])
def test_hop_by_hop_headers_are_ours(name: bytes) -> None:
    client, _ = respond(start(200, (name, b"chunked")), body(b"x"))
    (answer,) = client.answers()
    assert (answer.get(name.lower()), answer.body) == (None, b"x")


def test_an_application_may_ask_for_the_end_of_the_connection() -> None:
    client, _ = respond(start(200, (b"Connection", b"foo, Close")), body(b"x"))
    assert client.answers()[0].get(b"connection") == b"close"
    assert client.is_finished


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"a\r\nset-cookie: b"),
        (b"x", b"a\nb"),
        (b"x", b"a\rb"),
        (b"x", b"a\0b"),
        (b"x y", b"a"),
        (b"x:", b"a"),
        (b"", b"a"),
        (b"x\r\n", b"a"),
        ("x", b"a"),
        (b"x", "a"),
        (b"x", None),
        (b"x",),
        (b"content-length", b"five"),
        (b"content-length", b"-1"),
        (b"content-length", b"+1"),
    ],
)
def test_a_header_that_could_split_or_spoil_a_response_is_a_500(header: Any, caplog: pytest.LogCaptureFixture) -> None:
    client, raised = respond(start(200, header), body(b"x"))
    (answer,) = client.answers()
    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    assert len(raised) == 1
    assert isinstance(raised[0], RuntimeError)


def test_two_content_lengths_are_an_error(caplog: pytest.LogCaptureFixture) -> None:
    client, _ = respond(start(200, (b"content-length", b"1"), (b"Content-Length", b"1")), body(b"x"))
    assert client.answers()[0].status == 500


# Wrong lengths


@pytest.mark.parametrize("data", [b"toolong", b"x"])
def test_a_whole_body_of_the_wrong_length_is_a_500(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    client, raised = respond(start(200, (b"content-length", b"5")), body(data))
    assert client.answers()[0].status == 500
    assert "content-length" in str(raised[0])


@pytest.mark.parametrize("pieces", [[b"abc", b"def"], [b"abc", b"d"]])
def test_a_streamed_body_of_the_wrong_length_is_cut_not_corrupted(
    pieces: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    client, raised = respond(start(200, (b"content-length", b"5")), body(pieces[0], True), body(pieces[1]))
    assert client.heard.endswith(b"\r\n\r\nabc")
    assert client.transport.aborted
    assert isinstance(raised[0], RuntimeError)


# Extensions


def test_an_early_hint_goes_before_the_response() -> None:
    hint = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>"]}
    client, _ = respond(hint, START, hint, body(b"x"))
    first, second, third = client.answers()
    assert (first.status, second.status, third.status) == (103, 103, 200)
    assert first.headers == [(b"link", b"</a.css>; rel=preload"), (b"link", b"</b.js>")]


def test_trailers_follow_the_last_chunk_where_the_client_takes_them() -> None:
    trailers = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": True}
    last = {"type": "http.response.trailers", "headers": [(b"x-more", b"2")]}
    data = request("/", "GET", "TE: trailers", "Connection: TE")
    client, _ = respond(start(200, trailers=True), body(b"x"), trailers, last, data=data * 2)
    for answer in client.answers():
        assert (answer.body, answer.chunked) == (b"x", True)
        assert answer.trailers == [(b"x-sum", b"1"), (b"x-more", b"2")]
    assert len(client.answers()) == 2


def test_a_client_that_takes_no_trailers_gets_none() -> None:
    trailers = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
    client, raised = respond(start(200, trailers=True), body(b"x"), trailers, data=request() * 2)
    assert [answer.trailers for answer in client.answers()] == [[], []]
    assert raised == []


def test_an_application_that_leaves_its_trailers_out_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    data = request("/", "GET", "TE: trailers", "Connection: TE")
    client, _ = respond(start(200, trailers=True), body(b"x"), data=data)
    assert client.transport.aborted
