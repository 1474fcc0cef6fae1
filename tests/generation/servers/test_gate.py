"""When a server may be asked once more."""

import time
from typing import Any

import pytest

from generation.servers.gate import Gate, Outcome, Ticket
from generation.servers.settings import EndpointSettings


def gate(**more: Any) -> Gate:
    return Gate(EndpointSettings.model_validate({"url": "http://h", "concurrency": 8, "attempts": 3, **more}))


def call(one: Gate, outcome: Outcome, wait: float | None = None) -> None:
    """A call that begins after whatever was noted before."""
    one.end(one.begin()._replace(began=time.monotonic() + 1e-9), outcome, wait=wait)


def test_no_more_calls_than_the_limit_are_under_way() -> None:
    one = gate()
    tickets = [one.begin() for _ in range(8)]
    assert one.opens_in(time.monotonic()) is None
    one.end(tickets[0], Outcome.ANSWERED)
    assert one.opens_in(time.monotonic()) == 0


@pytest.mark.parametrize("outcome", [Outcome.LIMITED, Outcome.CONGESTED])
def test_calls_at_once_are_halved_once_for_all_that_were_under_way(outcome: Outcome) -> None:
    one = gate()
    tickets = [one.begin() for _ in range(8)]
    for ticket in tickets:
        one.end(ticket, outcome)
    assert one.limit == 4
    call(one, outcome)
    assert one.limit == 0.5 * 1 + 0.5  # no more than were under way count, and one call always may be


def test_calls_at_once_grow_again_as_calls_are_answered() -> None:
    one = gate()
    tickets = [one.begin() for _ in range(8)]
    one.end(tickets[0], Outcome.LIMITED, wait=0.0)
    for ticket in tickets[1:]:
        one.end(ticket, Outcome.ANSWERED)
    assert 5 < one.limit < 6
    for _ in range(40):
        call(one, Outcome.ANSWERED)
    assert one.limit == 8


def test_a_named_wait_holds_all_calls_up_to_the_longest() -> None:
    one = gate(max_wait_seconds=20)
    call(one, Outcome.LIMITED, wait=5.0)
    assert one.opens_in(time.monotonic()) == pytest.approx(5, abs=0.5)
    call(one, Outcome.LIMITED, wait=500.0)
    assert one.opens_in(time.monotonic()) == pytest.approx(20, abs=0.5)


def test_a_server_that_is_gone_is_tried_with_one_call_and_ever_later() -> None:
    one = gate(backoff_seconds=10)
    call(one, Outcome.DEAD)
    first = one.opens_in(time.monotonic())
    assert first is not None
    assert 4 < first <= 10
    one._paused_until = 0
    trial = one.begin()
    assert one.opens_in(time.monotonic()) is None  # one call is the trial
    one.end(trial._replace(began=time.monotonic()), Outcome.DEAD)
    second = one.opens_in(time.monotonic())
    assert second is not None
    assert 9 < second <= 20
    for _ in range(3):
        assert not one.down
        call(one, Outcome.DEAD)
    assert one.down
    call(one, Outcome.ANSWERED)
    one._paused_until = 0
    assert (one.down, one.opens_in(time.monotonic())) == (False, 0)


def test_one_failure_among_answers_holds_nobody() -> None:
    one = gate()
    call(one, Outcome.BROKEN)
    assert one.opens_in(time.monotonic()) == 0
    call(one, Outcome.BROKEN)
    assert one.opens_in(time.monotonic()) != 0


def test_requests_a_minute() -> None:
    one = gate(requests_per_minute=120, concurrency=100)  # 2 a second
    now = time.monotonic()
    begun = 0
    while one.opens_in(now) == 0:
        one.begin()
        begun += 1
    assert begun == 2
    wait = one.opens_in(now)
    assert wait == pytest.approx(0.5)
    assert one.opens_in(now + 0.51) == 0


def test_tokens_a_minute_count_what_was_used() -> None:
    one = gate(tokens_per_minute=6000)  # 100 a second
    now = time.monotonic()
    assert one.opens_in(now) == 0
    ticket = one.begin(tokens=301)
    assert one.opens_in(now) == pytest.approx(2.02, abs=0.05)
    one.end(Ticket(ticket.began, 301), Outcome.ANSWERED, used=51)
    assert one.opens_in(now) == 0
