"""Lists of alternatives, read: log-probabilities of labels."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.servers.logprobs import label_logprobs


def position(*listed: tuple[str, Any], sampled: tuple[str, Any] | None = None) -> dict[str, Any]:
    entry = {"top_logprobs": [{"token": token, "logprob": value} for token, value in listed]}
    return entry | ({"token": sampled[0], "logprob": sampled[1]} if sampled else {})


def both(*values: float) -> float:
    return math.log(sum(map(math.exp, values)))


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        pytest.param(position(("A", -0.1), ("B", -2.4), ("A", -12.0)), {"A": both(-0.1, -12), "B": -2.4}, id="the-same-text-twice"),
        pytest.param(position(("B", -12.0), ("A", -2.4), ("B", -0.1)), {"A": -2.4, "B": both(-0.1, -12)}, id="in-any-order"),
        pytest.param(position((" A", -0.2), (" B", -2.0), ("B", -5.0), ("A", -7.0)), {"A": both(-0.2, -7), "B": both(-2, -5)}, id="with-and-without-a-space"),
        pytest.param(position(("\u2581A", -0.2), ("\u0120B", -2.0)), {"A": -0.2, "B": -2.0}, id="spaces-as-vocabularies-write-them"),
        pytest.param(position(("A", -0.2), ("A", -0.2), ("B", -2.0)), {"A": -0.2, "B": -2.0}, id="an-entry-twice"),
        pytest.param(position(("A", -0.2), ("B", -2.0), sampled=("A", -0.2)), {"A": -0.2, "B": -2.0}, id="sampled-and-listed"),
        pytest.param(position(("B", -2.0), sampled=("A", -0.2)), {"A": -0.2, "B": -2.0}, id="sampled-beside-the-list"),
        pytest.param(position(("A", -0.2), ("b", -1.0), ("AB", -1.0), ("x", -3.0)), {"A": -0.2}, id="other-texts"),
        pytest.param(position(("A", -0.1), ("B", -9999.0)), {"A": -0.1}, id="placeholder"),
        pytest.param(position(("A", -0.1), ("B", -math.inf)), {"A": -0.1}, id="minus-infinity"),
        pytest.param(position(("A", -0.1), ("B", None)), {"A": -0.1}, id="null"),
        pytest.param(position(("A", math.nan), ("B", -0.1)), {"B": -0.1}, id="nan"),
        pytest.param(position(("A", 3.0), ("B", True), ("B", "-1")), {}, id="no-log-probabilities"),
        pytest.param(position(("A", -9999.0), ("A", -0.1), ("B", -2.0)), {"A": -0.1, "B": -2.0}, id="a-placeholder-beside-a-number"),
        pytest.param(position(("A", 1e-7)), {"A": 0.0}, id="rounded-above-0"),
        pytest.param({"token": "A", "logprob": -0.1, "top_logprobs": None}, {"A": -0.1}, id="no-list"),
    ],
)  # fmt: skip
def test_probabilities_of_one_text_add_up_and_what_is_no_number_is_left_out(
    listed: dict[str, Any], found: dict[str, float]
) -> None:
    assert label_logprobs(listed, ["A", "B"]) == pytest.approx(found, abs=1e-12)


@given(
    entries=st.lists(
        st.tuples(st.sampled_from(["A", " A", "B", " B", "B ", "C"]), st.floats(-30, -3)), max_size=20, unique=True
    ),
    data=st.data(),
)
def test_the_order_of_the_list_decides_nothing(entries: list[tuple[str, float]], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(entries))
    assert label_logprobs(position(*entries), ["A", "B"]) == label_logprobs(position(*shuffled), ["A", "B"])
