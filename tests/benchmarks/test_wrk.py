"""The command line for wrk and the line of figures that comes back."""

from __future__ import annotations

import re
import shutil
import socketserver
import subprocess
import threading

import pytest

from tests.benchmarks import wrk
from tests.benchmarks.workloads import BROWSER_HEADERS, WORKLOADS

OUTPUT = """Running 1s test @ http://127.0.0.1:18000/
  1 threads and 64 connections
Requests/sec:  33930.14
figures requests=34011 seconds=1.002381 bytes=5339727 p50_us=1710 p99_us=9220 max_us=11002 errors=2 statuses=1
"""


def test_the_figures_are_read_from_their_own_line() -> None:
    found = wrk.figures(OUTPUT)
    assert (found.requests, found.errors, found.statuses) == (34011, 2, 1)
    assert (found.p50_ms, found.p99_ms, found.max_ms) == (1.71, 9.22, 11.002)
    assert found.per_second == pytest.approx(33930.2, abs=0.1)


def test_an_output_without_figures_is_quoted_in_the_error() -> None:
    with pytest.raises(wrk.LoadFailed, match="unable to connect"):
        wrk.figures("unable to connect to 127.0.0.1:9 Connection refused")


def test_a_line_that_lacks_a_figure_is_an_error() -> None:
    with pytest.raises(wrk.LoadFailed, match="seconds"):
        wrk.figures("figures requests=1\n")


def test_a_run_of_no_length_has_no_rate() -> None:
    found = wrk.figures("figures requests=0 seconds=0.0 p50_us=0 p99_us=0 max_us=0 errors=0 statuses=0\n")
    assert found.per_second == 0.0


def test_what_is_missing_is_said_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(wrk.LoadFailed, match="apt-get install wrk"):
        wrk.require()


def test_the_script_gets_method_body_and_depth_behind_the_address() -> None:
    command = WORKLOADS["post"].command(8000, 2.0)
    assert command[-5:] == ["http://127.0.0.1:8000/echo", "--", "POST", "1024", "1"]
    assert WORKLOADS["pipelined"].command(8000, 2.0)[-1] == "16"
    assert WORKLOADS["tls"].command(8000, 2.0)[-5] == "https://127.0.0.1:8000/"


def test_a_run_lasts_at_least_the_one_second_that_wrk_can_do() -> None:
    command = WORKLOADS["hello"].command(8000, 0.2)
    assert command[command.index("-d") + 1] == "1s"


def test_a_browser_sends_twelve_headers_with_host() -> None:
    assert len(BROWSER_HEADERS) == 11
    assert WORKLOADS["headers"].command(8000, 1).count("-H") == 11


class _OneAnswer(socketserver.StreamRequestHandler):
    """Notes the head of one request and answers it."""

    heads: list[bytes]

    def handle(self) -> None:
        self.connection.settimeout(5)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return
            head += line
        self.heads.append(head)
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.mark.skipif(shutil.which("wrk") is None, reason=wrk.HOW_TO_GET_IT)
def test_no_head_of_the_distinct_workload_comes_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []
    monkeypatch.setattr(_OneAnswer, "heads", heads, raising=False)
    with socketserver.TCPServer(("127.0.0.1", 0), _OneAnswer) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            subprocess.run(
                WORKLOADS["distinct"].command(server.server_address[1], 1.0), check=True, capture_output=True
            )
        finally:
            server.shutdown()
            serving.join()
    numbers = [re.findall(rb"X-Request-Id: (\d{12})\r\n", head) for head in heads]
    assert len(heads) > 2
    assert all(len(number) == 1 for number in numbers)
    assert len(set(heads)) == len(heads)
