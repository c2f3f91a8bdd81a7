"""Cores, processes and clocks, read about this very process."""

from __future__ import annotations

import os
import sys

import pytest

from tests.benchmarks import machine
from tests.benchmarks.websocket_load import client_frame

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def test_server_and_load_get_a_core_each_where_there_are_two() -> None:
    cores = machine.choose_cores({3, 1, 2})
    assert (cores.server, cores.load, cores.shared) == ({1}, {2}, {1, 2, 3})


def test_with_one_core_they_share_it() -> None:
    cores = machine.choose_cores({0})
    assert cores.server == cores.load == cores.shared == {0}


def test_the_clock_of_a_process_only_goes_forward_and_a_dead_one_has_none() -> None:
    before = machine.cpu_seconds(os.getpid())
    sum(range(20000))
    assert machine.cpu_seconds(os.getpid()) > before
    with pytest.raises(OSError):
        machine.cpu_seconds(2**22 + 1)


def test_the_family_of_a_process_begins_with_itself() -> None:
    assert machine.family(os.getpid())[0] == os.getpid()
    assert os.getpid() in machine.family(os.getppid())


def test_a_process_that_shares_pages_has_at_most_the_proportional_memory_that_is_resident() -> None:
    assert 0 < machine.pss_kib(os.getpid()) <= machine.rss_kib(os.getpid()) * 1.1


def test_a_client_frame_is_masked() -> None:
    frame = client_frame(b"ab", b"\x01\x02\x03\x04")
    assert frame == b"\x82\x82\x01\x02\x03\x04" + bytes((ord("a") ^ 1, ord("b") ^ 2))
