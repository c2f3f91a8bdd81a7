"""Selecting by name, and the table of servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import cli, lifecycle
from tests.benchmarks.peers import COMMON, OURS, PEERS, REFERENCE, Launch
from tests.benchmarks.workloads import WORKLOADS


def test_names_come_in_the_order_of_the_table_and_once() -> None:
    assert cli.chosen("c, a,a", ["a", "b", "c"]) == ["a", "c"]
    assert cli.chosen("all", ["a", "b"]) == ["a", "b"]
    assert cli.chosen("half,c", ["a", "b", "c"], {"half": ["b"]}) == ["b", "c"]


def test_an_unknown_name_is_an_error_that_tells_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'d' is none of: a, b"):
        cli.chosen("d", ["a", "b"])


def test_an_unknown_workload_ends_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--workloads", "nonsense"])
    assert ended.value.code == 2
    assert "'nonsense' is none of" in capsys.readouterr().err


def test_the_list_names_every_server_and_workload(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--list"]) == 0
    out = capsys.readouterr().out
    assert [name for name in (*PEERS, *WORKLOADS, *lifecycle.MEASUREMENTS) if f"  {name} " not in out] == []


def test_every_requirement_is_pinned_to_one_version() -> None:
    pins = [*COMMON, *(pin for peer in PEERS.values() for pin in peer.requirements)]
    assert [pin for pin in pins if "==" not in pin] == []
    names = {pin.partition("==")[0]: pin for pin in pins}
    assert len(names) == len(set(pins))


@pytest.mark.parametrize("name", PEERS)
def test_every_server_listens_where_it_is_told_with_the_workers_and_the_certificate_it_is_told(name: str) -> None:
    command = PEERS[name].command(Launch("raw:app", 8123, 3, certificate=Path("/tmp/c.pem"), idle=True))
    assert any("8123" in part for part in command)
    assert "3" in command
    assert command.count("/tmp/c.pem") == 2
    assert command[-1] == "raw:app"


@pytest.mark.parametrize("name", [name for name, peer in PEERS.items() if peer.preloads])
def test_a_server_that_can_preload_is_told_to(name: str) -> None:
    assert "--preload" in PEERS[name].command(Launch("raw:app", 8123, preload=True))
    assert "--preload" not in PEERS[name].command(Launch("raw:app", 8123))


def test_the_reference_and_ours_are_in_the_table() -> None:
    assert {REFERENCE, OURS} <= set(PEERS)


def test_a_workload_and_a_measurement_never_share_a_name() -> None:
    assert not set(WORKLOADS) & set(lifecycle.MEASUREMENTS)
