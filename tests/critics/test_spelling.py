"""A server's list of tokens: whose spelling an entry is, what the spellings hold together, and what the list bounds."""

import math

import pytest

from critics.spelling import SINGLE, label_of, opens_answer, read_list

AB = ("A", "B")


@pytest.mark.parametrize("token", ["A", " A", "a", "**A", "(A", "A)", "A.", "▁A", "Ġ`A`", "“A”:", "Ａ", "<A>"])
def test_spellings_of_a_label(token: str) -> None:
    assert label_of(token, AB) == "A"


@pytest.mark.parametrize("token", ["", " ", "AB", "-A", ".A", "A-", "Ana", "C", "A B"])
def test_what_spells_no_label(token: str) -> None:
    assert label_of(token, AB) is None


def test_case_is_looked_past_where_one_label_has_the_letters() -> None:
    assert label_of("YES", ("yes", "no")) == "yes"
    assert label_of("a", ("a", "A")) == "a"
    assert label_of("Yes", ("YES", "yes")) is None


def test_a_sign_or_a_point_changes_a_number() -> None:
    assert [label_of(token, ("1", "5")) for token in ("1", " 1.", "-1", ".5", "15", "(5")] == [
        "1", "1", None, None, None, "5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("token", "opens"), [("A", True), (" **A", True), (" ", False), ("**", False), ("\n\n", False), (".", True)]
)
def test_what_opens_an_answer(token: str, opens: bool) -> None:
    assert opens_answer(token) is opens


def nats(*shares: float) -> list[float]:
    return [math.log(share) for share in shares]


def test_spellings_add_up() -> None:
    a, space_a, b, other = nats(0.3, 0.2, 0.1, 0.05)
    found = read_list([("A", a), (" a", space_a), ("B", b), ("The", other)], AB)
    assert {label: math.exp(value) for label, value in found.logprobs.items()} == pytest.approx({"A": 0.5, "B": 0.1})
    assert found.floor == pytest.approx(other)  # less than the 0.35 that is left over


def test_what_is_left_over_bounds_what_is_not_listed() -> None:
    found = read_list([("A", math.log(0.9)), ("The", math.log(0.08))], AB)
    assert list(found.logprobs) == ["A"]
    assert found.floor is not None
    assert math.exp(found.floor) == pytest.approx(0.02, rel=1e-5)
    certain = read_list([("A", 0.0)], AB).floor
    assert certain is not None
    assert SINGLE <= math.exp(certain) <= 1


def test_numbers_that_are_rounded_leave_room_for_their_rounding() -> None:
    """-0.1 and -2.4 may be -0.15 and -2.45, which together hold 0.947."""
    found = read_list([("A", -0.1), ("B", -2.4)], AB)
    assert found.floor is not None
    assert math.exp(found.floor) == pytest.approx(1 - math.exp(-0.15) - math.exp(-2.45))


def test_an_entry_that_comes_again_counts_once() -> None:
    once, twice = read_list([("A", -1.0), ("B", -2.0)], AB), read_list([("A", -1.0), ("A", -1.0), ("B", -2.0)], AB)
    assert once == twice
    other = read_list([("A", -1.0), ("A", -3.0), ("B", -2.0)], AB)  # another token of the same text
    assert other.logprobs["A"] == pytest.approx(math.log(math.exp(-1) + math.exp(-3)))


def test_a_token_that_was_drawn_counts_and_bounds_nothing() -> None:
    listed = [("A", -1.0), ("The", -1.5)]
    beside = read_list(listed, AB, ("B", -7.0))
    assert beside.logprobs == pytest.approx({"A": -1.0, "B": -7.0})
    assert beside.floor == pytest.approx(-1.5)
    assert read_list(listed, AB, ("A", -1.005)) == read_list(listed, AB)
    assert read_list([], AB, ("A", -0.5)).logprobs == {"A": -0.5}


def test_an_empty_list_says_nothing() -> None:
    assert read_list([], AB) == ({}, None)


def test_spellings_hold_no_more_than_all() -> None:
    assert read_list([("A", -0.0001), (" A", -3.0)], AB).logprobs == {"A": 0.0}
