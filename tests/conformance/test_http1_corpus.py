"""The corpus under ``http1/``: every case over both parsers, whole and cut into single bytes, ends as the file says.

A case has ``bytes`` (each character is one byte) and either the ``status`` of the refusal that must come, or the
``requests`` that the application must see, and nothing more. Requests before a refusal are answered first.
"""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.http_support import PARSERS, Client, Recorder, run

CORPUS = Path(__file__).parent / "http1"
CASES: list[Any] = [
    pytest.param(case, id=f"{path.stem}: {case['name']}")
    for path in sorted(CORPUS.glob("*.toml"))
    for case in tomllib.loads(path.read_text("utf-8"))["case"]
]


class Outcome:
    """What the application saw and what the client heard."""

    def __init__(self, parser: str, pieces: list[bytes], before: bytes = b"") -> None:
        """``before`` is what another client of the same worker said."""
        recorder = Recorder()

        async def story() -> bytes:
            client = Client(recorder, parser)
            if before:
                await Client(recorder, parser, context=client.context).say(before)
                recorder.scopes.clear()
                recorder.bodies.clear()
            for piece in pieces:
                if client.transport.closing:
                    break
                await client.call(client.connection.data_received, piece)
                while client.transport.is_reading_paused:
                    await asyncio.sleep(0)
            await client.quiet()
            client.freeze()
            self.answers = client.answers()
            self.has_ended = client.is_finished
            return client.heard

        self.heard: bytes = run(story())
        self.scopes = [{key: value for key, value in scope.items() if key != "state"} for scope in recorder.scopes]
        self.bodies = recorder.bodies


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("case", CASES)
def test_the_verdict_is_the_one_of_the_corpus(case: dict[str, Any], parser: str) -> None:
    data = case["bytes"].encode("latin-1")
    whole = Outcome(parser, [data])
    statuses = [answer.status for answer in whole.answers]
    if "status" in case:
        assert statuses[-1:] == [case["status"]], whole.heard
        assert statuses[:-1] == [200] * len(whole.bodies)
        assert whole.answers[-1].get(b"connection") == b"close"
        assert whole.has_ended
    else:
        assert statuses == [200] * len(case["requests"]), whole.heard
        for wanted, scope, body in zip(case["requests"], whole.scopes, whole.bodies, strict=True):
            check(wanted, scope, body)
    if len(data) < 2000:
        cut = Outcome(parser, [data[at : at + 1] for at in range(len(data))])
        assert [answer.status for answer in cut.answers] == statuses
        assert (cut.bodies, cut.scopes[: len(cut.bodies)]) == (whole.bodies, whole.scopes[: len(whole.bodies)])


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("case", CASES)
def test_the_verdict_is_the_same_when_the_head_is_remembered(case: dict[str, Any], parser: str) -> None:
    data = case["bytes"].encode("latin-1")
    first, second = Outcome(parser, [data]), Outcome(parser, [data], before=data)
    assert (first.heard, first.scopes, first.bodies) == (second.heard, second.scopes, second.bodies)


def check(wanted: dict[str, Any], scope: dict[str, Any], body: bytes) -> None:
    fields = scope["headers"]
    assert scope["method"] == wanted["method"]
    assert scope["path"] == wanted["path"]
    assert scope["query_string"] == wanted["query"].encode("latin-1")
    assert body == wanted["body"].encode("latin-1")
    if "raw_path" in wanted:
        assert scope["raw_path"] == wanted["raw_path"].encode("latin-1")
    if "host" in wanted:
        assert [value for name, value in fields if name == b"host"] == [wanted["host"].encode("latin-1")]
    if "fields" in wanted:
        assert [field for field in fields if field[0] != b"host"] == [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in wanted["fields"]
        ]


def test_the_corpus_is_there() -> None:
    assert len(CASES) > 200
    assert len({case.id for case in CASES}) == len(CASES), "two cases have the same name"
