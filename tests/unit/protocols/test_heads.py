"""What is remembered of heads: the same answer as the parser's, within bounds, and without the values that move."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from asgi_arbiter.protocols.errors import Refusal
from asgi_arbiter.protocols.fields import FieldCollector, strict_fields
from asgi_arbiter.protocols.heads import MOST_MOVING, SELDOM, HeadMemory
from asgi_arbiter.protocols.memo import LIMIT, LONGEST
from asgi_arbiter.protocols.request_line import parse_request_line
from asgi_arbiter.protocols.terms import inspect

LINE = parse_request_line(b"GET / HTTP/1.1")


def section(*lines: bytes) -> bytes:
    return b"\r\n".join([b"", b"Host: a", *lines, b"", b""])


def judge(memory: HeadMemory, text: bytes, tick: int = 0) -> list[tuple[bytes, bytes]]:
    """The fields as a connection gets them; what was not known is judged and kept."""
    known = memory.find(text)
    if known is None:
        fields = collect(text)
        memory.keep(text, fields.fields, inspect(LINE, fields), tick)
        return fields.fields
    return known[0]


def collect(text: bytes) -> FieldCollector:
    collector = FieldCollector()
    for name, value in strict_fields(b"GET / HTTP/1.1" + text):
        collector.on_header(name, value)
    return collector


def flood(memory: HeadMemory, lines: Iterable[bytes], tick: int = 0) -> None:
    for line in lines:
        judge(memory, section(b"Accept: x", line, b"X-Last: y"), tick)


def taught() -> HeadMemory:
    memory = HeadMemory()
    flood(memory, (b"X-Request-Id: %d" % number for number in range(LIMIT + 2)))
    return memory


def test_a_head_that_comes_again_is_known() -> None:
    memory = HeadMemory()
    judge(memory, section(b"A: b"))
    known = memory.find(section(b"A: b"))
    assert known is not None
    assert known[0] == [(b"host", b"a"), (b"a", b"b")]
    assert memory.find(section(b"A: c")) is None


def test_when_the_memory_is_full_the_name_that_moves_is_found_and_its_value_set_aside() -> None:
    memory = taught()
    known = memory.find(section(b"Accept: x", b"X-Request-Id: never seen", b"X-Last: y"))
    assert known is not None
    fields, terms, _ = known
    assert fields == [(b"host", b"a"), (b"accept", b"x"), (b"x-request-id", b"never seen"), (b"x-last", b"y")]
    assert terms.length == 0 and terms.keep_alive


def test_each_head_gets_its_own_fields() -> None:
    memory = taught()
    heads = [section(b"Accept: x", b"X-Request-Id: %d" % number, b"X-Last: y") for number in (9001, 9002)]
    first, second = (judge(memory, head) for head in heads)
    assert first[2] == (b"x-request-id", b"9001") and second[2] == (b"x-request-id", b"9002")


@pytest.mark.parametrize(
    "value", [b"", b" ", b"a ", b" a", b"a\tb", b"a\xffb", b"a\0b", b"a\nb", b"a\rb", b"a\x7f", b"a\r\n folded"]
)
def test_a_value_that_is_not_simple_is_left_to_the_parser(value: bytes) -> None:
    memory = taught()
    for _ in range(2):
        assert memory.find(section(b"Accept: x", b"X-Request-Id: " + value, b"X-Last: y")) is None
        head = section(b"Accept: x", b"X-Request-Id: " + value, b"X-Last: y")
        try:
            fields = collect(head)
        except Refusal:
            continue
        memory.keep(head, fields.fields, inspect(LINE, fields), 0)


def test_the_place_of_the_line_is_part_of_what_is_known() -> None:
    memory = taught()
    first = judge(memory, section(b"X-Request-Id: 1", b"Accept: x", b"X-Last: y"))
    assert first[1] == (b"x-request-id", b"1")
    assert judge(memory, section(b"Accept: x", b"X-Last: y", b"X-Request-Id: 2"))[3] == (b"x-request-id", b"2")
    assert judge(memory, section(b"X-Request-Id: 3", b"Accept: x", b"X-Last: y"))[1] == (b"x-request-id", b"3")


def test_only_the_first_of_two_lines_of_a_name_is_set_aside() -> None:
    memory = taught()
    for last in (b"1", b"2"):
        head = section(b"X-Request-Id: a", b"X-Request-Id: " + last)
        assert judge(memory, head) == judge(memory, head) == collect(head).fields


@pytest.mark.parametrize("name", [b"Host", b"Content-Length", b"Connection", b"Expect", b"TE", b"Upgrade"])
def test_what_means_something_to_the_server_is_never_set_aside(name: bytes) -> None:
    memory = HeadMemory()
    for number in range(LIMIT + 2):
        text = b"\r\nHost: a\r\n" + name + b": 1%d\r\n\r\n"
        fields = FieldCollector()
        memory.keep(text % number, [(b"host", b"a"), (name.lower(), b"1%d" % number)], inspect_plain(fields), 0)
    assert memory.find(text % 9999) is None
    assert memory._moving == ()


def inspect_plain(collector: FieldCollector) -> object:
    collector.on_header(b"Host", b"a")
    return inspect(LINE, collector)


def test_the_address_that_a_proxy_adds_is_set_aside_and_still_announced() -> None:
    memory = HeadMemory()
    flood(memory, (b"X-Forwarded-For: 10.0.%d.%d" % divmod(number, 200) for number in range(LIMIT + 2)))
    known = memory.find(section(b"Accept: x", b"X-Forwarded-For: 9.9.9.9", b"X-Last: y"))
    assert known is not None
    assert known[0][2] == (b"x-forwarded-for", b"9.9.9.9")
    assert known[1].forwarded


def test_a_name_that_moves_no_more_is_looked_for_no_more() -> None:
    memory = taught()
    flood(memory, (b"Other: %d" % number for number in range(2 * LIMIT)), tick=1)
    assert memory._moving == (b"\r\nOther: ",)


@pytest.mark.parametrize(("names", "looked_for"), [(MOST_MOVING, MOST_MOVING), (MOST_MOVING + 1, 0)])
def test_not_more_names_are_looked_for_than_pays(names: int, looked_for: int) -> None:
    memory = HeadMemory()
    for number in range(LIMIT + 2):
        judge(memory, section(*(b"N%d: %d" % (name, number) for name in range(names))))
    assert len(memory._moving) == looked_for
    head = section(*(b"N%d: new" % name for name in range(names)))
    assert (memory.find(head) is not None) == (looked_for > 0)
    assert judge(memory, head) == collect(head).fields


def test_while_heads_do_not_come_again_few_are_kept_until_some_do() -> None:
    memory = HeadMemory()
    for number in range(LIMIT + 1):
        judge(memory, section(*(b"N%d: %d" % (name, number) for name in range(MOST_MOVING + 1))))
    before = len(memory._known)
    for number in range(10 * SELDOM):
        judge(memory, section(b"%d: x" % number))
    assert len(memory._known) == before + 10
    for _ in range(SELDOM):
        judge(memory, section(b"A: b"))
    assert memory.find(section(b"A: b")) is not None


def test_a_flood_is_bounded_and_long_heads_are_not_kept() -> None:
    memory = HeadMemory()
    for number in range(3000):
        judge(memory, section(b"%d: x" % number))
    assert len(memory._known) <= LIMIT
    judge(memory, section(b"A: " + b"x" * LONGEST), tick=2)
    assert max(map(len, memory._known)) <= LONGEST


@pytest.mark.parametrize("after", [b"X-Last: y", b"X-Request-Id: 2"])
def test_where_fields_were_dropped_the_places_of_lines_say_nothing(after: bytes) -> None:
    memory = taught()
    text = section(b"a_b: c", b"X-Request-Id: 1", after)
    judged = collect(text)
    dropped = [field for field in judged.fields if field[0] != b"a_b"]
    for _ in range(SELDOM):
        memory.keep(text, dropped, inspect(LINE, judged), 0)
    assert memory.find(section(b"a_b: c", b"X-Request-Id: 3", after)) is None
