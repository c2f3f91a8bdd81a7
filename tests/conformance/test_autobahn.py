"""The short part of the Autobahn suite; ``tests/conformance/autobahn/run.py`` runs the rest."""

from __future__ import annotations

import pytest

from tests.conformance.autobahn.run import SHORT, Missing, complaints, find_client, fuzz


@pytest.mark.process
@pytest.mark.timeout(600)
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_both_implementations_pass_strictly(loop: str) -> None:
    try:
        client = find_client()
    except Missing as missing:
        pytest.skip(str(missing))
    assert complaints(fuzz(client, SHORT, loop=loop)) == []


def test_a_result_that_is_not_ok_is_a_complaint_and_an_expected_one_is_not() -> None:
    def result(behavior: str, close: str = "OK") -> dict[str, str]:
        return {"behavior": behavior, "behaviorClose": close}

    report = {
        "some": {
            "7.1.6": result("INFORMATIONAL"),
            "1.1.1": result("OK"),
            "6.4.2": result("NON-STRICT"),
            "7.3.1": result("OK", "WRONG CODE"),
            "7.13.1": result("FAILED"),
        }
    }
    assert complaints(report) == [
        "some 6.4.2: NON-STRICT, close OK",
        "some 7.3.1: OK, close WRONG CODE",
        "some 7.13.1: FAILED, close OK",
    ]
