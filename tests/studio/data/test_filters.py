"""An address says which pairs are looked for, and a query says its address."""

import math
from urllib.parse import parse_qsl

import pytest

from constitution.errors import UserError
from studio.data.filters import MAX_TEXT, SIZES, PairFilter, PairQuery, read_query

EVERYTHING = PairQuery(
    PairFilter("two word*", (("principle", "kind"), ("principle", "true"), ("tag", "a&b")), (("p", 0.5, 0.75), ("margin", -2.0, math.inf))),
    "-longer", 3, 100,
)  # fmt: skip


def test_an_address_is_read_as_the_query_it_was_made_of() -> None:
    for query in (EVERYTHING, PairQuery(), PairQuery(sort="p"), PairQuery(page=2), PairQuery(size=200)):
        assert read_query(pairs(query.address(page=query.page))) == query


def pairs(address: str) -> list[tuple[str, str]]:
    """Names and values of a query string."""
    return parse_qsl(address)


def test_what_is_empty_was_not_given_and_what_follows_it_was() -> None:
    given = [("q", " "), ("tag", ""), ("p_from", ""), ("sort", ""), ("tag", "x"), ("p_below", "0.9"), ("page", "2")]
    assert read_query(given) == PairQuery(PairFilter("", (("tag", "x"),), (("p", -math.inf, 0.9),)), page=2)


def test_a_text_is_cut_and_a_value_said_twice_is_one() -> None:
    found = read_query([("q", "x" * (MAX_TEXT + 1)), ("tag", "b"), ("tag", "a"), ("tag", "b")]).filter
    assert (found.text, found.values) == ("x" * MAX_TEXT, (("tag", "b"), ("tag", "a")))


def test_numbers_are_read_up_to_their_limits() -> None:
    assert read_query([("page", str(1 << 30)), ("size", str(SIZES[-1]))]) == PairQuery(page=1 << 30, size=SIZES[-1])
    assert read_query([("page", "1"), ("size", "1")]) == PairQuery(page=1, size=1)


def test_all_that_is_wrong_is_told_at_once() -> None:
    given = [
        ("page", "0"), ("page", str((1 << 30) + 1)), ("page", "٣"), ("page", "9" * 12), ("page", "1.5"), ("size", str(SIZES[-1] + 1)),
        ("p_from", "x"), ("p_below", "nan"), ("margin_from", "inf"), ("sort", "name"), ("p_above", "1"), ("else", "1"),
    ]  # fmt: skip
    with pytest.raises(UserError) as error:
        read_query(given)
    assert [problem.key for problem in error.value.problems] == [name for name, _ in given]


def test_another_filter_begins_at_the_first_page() -> None:
    without = read_query(pairs(EVERYTHING.without("principle", "kind")))
    assert without == EVERYTHING._replace(
        filter=EVERYTHING.filter._replace(values=EVERYTHING.filter.values[1:]), page=1
    )
    assert read_query(pairs(EVERYTHING.sorted_by("longer"))).sort == "longer"
    assert read_query(pairs(EVERYTHING.sorted_by("p"))).sort == "-p"


def test_words_are_letters_and_digits_and_a_star_at_the_end() -> None:
    assert PairFilter('one "two" th*ree fo_ur* -5 *').words() == ["one", "two", "th*", "ree", "fo", "ur*", "5"]
