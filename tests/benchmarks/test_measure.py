"""From samples to medians and ratios."""

from __future__ import annotations

from tests.benchmarks.measure import Sample, summary


def sample(cpu_us: float, errors: int = 0, p99_ms: float = 3.0) -> Sample:
    return Sample(cpu_us=cpu_us, per_second=1e6 / cpu_us, p50_ms=1.0, p99_ms=p99_ms, requests=100, errors=errors)


def test_the_summary_has_medians_and_the_ratio_to_the_reference() -> None:
    table = summary(
        {"uvicorn": [sample(30), sample(90), sample(32)], "granian": [sample(20), sample(60), sample(16, errors=2)]}
    )
    assert table["uvicorn"]["cpu_us"] == 32
    assert table["uvicorn"]["ratio"] == 1.0
    assert table["granian"]["ratio"] == 1.5
    assert table["granian"]["errors"] == 2


def test_without_the_reference_there_is_no_ratio() -> None:
    assert summary({"granian": [sample(20)]})["granian"]["ratio"] is None


def test_a_server_without_a_good_round_has_empty_cells() -> None:
    table = summary({"uvicorn": [sample(20)], "granian": [None]})
    assert table["granian"]["cpu_us"] is None
    assert table["granian"]["ratio"] is None


def test_a_latency_that_the_load_did_not_see_is_no_latency() -> None:
    assert summary({"uvicorn": [sample(20, p99_ms=0.0)]})["uvicorn"]["p99_ms"] is None
