from __future__ import annotations

from asgi_arbiter.protocols.memo import LIMIT, Memo


def filled(tick: int) -> Memo[int, str]:
    memo: Memo[int, str] = Memo()
    for number in range(LIMIT):
        memo.keep(number, "kept", tick)
    return memo


def test_what_is_kept_can_be_read() -> None:
    assert filled(1).get(LIMIT - 1) == "kept"


def test_a_full_memo_is_emptied_for_the_next_entry() -> None:
    memo = filled(1)
    memo.keep(-1, "new", 1)
    assert dict(memo) == {-1: "new"}


def test_a_memo_that_fills_up_again_within_the_tick_takes_nothing_more() -> None:
    memo = filled(1)
    for number in range(2 * LIMIT):
        memo.keep(-number, "flood", 1)
    assert len(memo) == LIMIT
    assert -2 * LIMIT + 1 not in memo


def test_a_full_memo_takes_entries_again_in_the_next_tick() -> None:
    memo = filled(1)
    for number in range(2 * LIMIT):
        memo.keep(-number, "flood", 1)
    memo.keep(5000, "new", 2)
    assert dict(memo) == {5000: "new"}
