"""Lists of alternatives, read: log-probabilities of labels."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from critics.spelling import label_of
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
        pytest.param(position(("A", -0.2), ("AB", -2.0), ("An", -3.0), ("x", -3.0)), {"A": -0.2}, id="other-texts"),
        pytest.param(position(("A", -0.3), ("a", -2.0), ("**A", -3.0), ("(A", -4.0), ("\"B", -5.0), ("[[B", -6.0), ("B.", -7.0)), {"A": both(-0.3, -2, -3, -4), "B": both(-5, -6, -7)}, id="case-and-markup"),
        pytest.param(position(("Ａ", -0.2), ("\ufeffB", -2.0)), {"A": -0.2, "B": -2.0}, id="full-width-and-invisible"),
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
    assert label_logprobs({"content": [listed]}, ["A", "B"]).logprobs == pytest.approx(found, abs=1e-12)


@given(
    entries=st.lists(
        st.tuples(st.sampled_from(["A", " A", "B", " B", "B ", "C"]), st.floats(-30, -3)), max_size=20, unique=True
    ),
    data=st.data(),
)
def test_the_order_of_the_list_decides_nothing(entries: list[tuple[str, float]], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(entries))
    first, second = ({"content": [position(*listed)]} for listed in (entries, shuffled))
    assert label_logprobs(first, ["A", "B"]) == label_logprobs(second, ["A", "B"])


@pytest.mark.parametrize(
    ("listed", "floor"),
    [
        pytest.param(position(("A", -0.105361), ("x", -3.0), ("y", -7.5)), -7.5, id="the-last-of-the-list"),
        pytest.param(position(("A", -0.105361)), math.log(0.1), id="what-one-entry-leaves-over"),
        pytest.param(position(("A", math.log(0.6)), ("x", math.log(0.3))), math.log(0.1), id="what-two-leave-over"),
        pytest.param(position(("A", -0.1)), math.log(1 - math.exp(-0.15)), id="a-number-of-one-digit"),
        pytest.param(position(("A", 0.0)), math.log(1 - math.exp(-0.05)), id="certain-in-one-digit"),
        pytest.param(position(("A", -1e-9), ("x", -2.0)), -24 * math.log(2), id="more-than-everything"),
        pytest.param(position(("A", -0.105361), ("B", -9999.0)), math.log(0.1), id="a-placeholder-is-no-bound"),
        pytest.param(position(("x", -0.7), ("A", -2.5), sampled=("A", -2.5)), math.log(1 - math.exp(-0.75) - math.exp(-2.55)), id="a-drawn-token-is-no-bound"),
        pytest.param({"token": "A", "logprob": -0.105361}, math.log(0.1), id="no-list"),
        pytest.param(position(), None, id="nothing"),
    ],
)  # fmt: skip
def test_a_label_outside_the_list_is_bounded(listed: dict[str, Any], floor: float | None) -> None:
    found = label_logprobs({"content": [listed]}, ["A", "B"]).floor
    assert found == (None if floor is None else pytest.approx(floor, abs=1e-4))


@given(
    probabilities=st.lists(st.floats(0, 1), min_size=3, max_size=30).filter(lambda values: sum(values) > 0.1),
    shown=st.integers(1, 20),
)
def test_the_bound_is_never_under_the_truth(probabilities: list[float], shown: int) -> None:
    """Of any distribution, whatever is left out of its list has at most the floor."""
    total = sum(probabilities)
    ordered = sorted((p / total for p in probabilities), reverse=True)
    entries = [(f"t{i}", round(math.log(p), 6)) for i, p in enumerate(ordered[:shown]) if p > 1e-30]
    floor = label_logprobs({"content": [position(*entries)]}, ["A", "B"]).floor
    assert floor is not None
    assert all(p <= math.exp(floor) + 1e-6 for p in ordered[shown:])


LETTERS = position(("A", -0.105361), ("B", -2.5), sampled=("A", -0.105361))


def at(*tokens: str) -> dict[str, Any]:
    """Positions of these tokens; the letters' list at the last."""
    before = [{"token": token, "logprob": -0.1, "top_logprobs": [{"token": "B", "logprob": -0.5}]} for token in tokens]
    return {"content": [*before, LETTERS]}


@pytest.mark.parametrize(
    "logprobs",
    [
        pytest.param(at(), id="at-once"),
        pytest.param(at("<think>", "\n", "B", " it", " is", "</think>", "\n\n"), id="after-thoughts"),
        pytest.param(at("Maybe", " B", ".", "\n", "</think>", "\n\n"), id="after-thoughts-that-the-template-opened"),
        pytest.param(at("<|channel|>", "analysis", "<|message|>", "B", "<|end|>", "<|start|>", "assistant", "<|channel|>", "final", "<|message|>"), id="after-a-channel"),
        pytest.param(at("**"), id="after-markup"),
        pytest.param(at("\n", " (", "\""), id="after-white-space-and-markup"),
    ],
)  # fmt: skip
def test_labels_are_read_where_the_answer_begins(logprobs: dict[str, Any]) -> None:
    assert label_logprobs(logprobs, ["A", "B"]).logprobs == pytest.approx({"A": -0.105361, "B": -2.5})


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        {},
        [],
        {"content": None},
        {"content": []},
        {"content": [None]},
        {"tokens": None},
        {"content": [{"top_logprobs": 3}]},
        pytest.param(at("<think>", "B", " is")["content"][:3], id="a-list"),
        pytest.param({"content": at("<think>", "B", " is")["content"][:3]}, id="thoughts-alone"),
    ],
)
def test_no_list_says_nothing(logprobs: object) -> None:
    assert label_logprobs(logprobs, ["A", "B"]) == ({}, None)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param((0.95, 0.05, 0.0), id="probabilities"),
        pytest.param((1.0, 0.0, 0.0), id="certain-probabilities"),
        pytest.param((2.5, -0.7, -3.0), id="logits"),
        pytest.param((0.0, 0.0, 0.0), id="zeros"),
        pytest.param((-0.2, -0.4, -0.6), id="more-than-1-together"),
    ],
)
def test_numbers_that_are_no_log_probabilities_say_nothing(values: tuple[float, ...]) -> None:
    listed = [{"token": token, "logprob": value} for token, value in zip("ABC", values, strict=True)]
    logprobs = {"content": [{**listed[0], "top_logprobs": listed}]}
    assert label_logprobs(logprobs, ["A", "B"]) == ({}, None)


def test_the_form_of_completions_is_read() -> None:
    logprobs = {
        "tokens": ["A"],
        "token_logprobs": [-0.2],
        "top_logprobs": [{"A": -0.2, " B": -2.0}],
        "text_offset": [0],
    }
    assert label_logprobs(logprobs, ["A", "B"]).logprobs == {"A": -0.2, "B": -2.0}
    assert label_logprobs(logprobs | {"top_logprobs": None}, ["A", "B"]).logprobs == {"A": -0.2}


def test_tokens_named_by_their_ids_are_read_by_their_bytes() -> None:
    listed = [{"token": "token_id:32", "logprob": -0.2, "bytes": [65]}, {"token": "token_id:33", "logprob": -2.0}]
    assert label_logprobs({"content": [{"top_logprobs": listed}]}, ["A", "B"]).logprobs == {"A": -0.2}
    for token in (None, "", 32):
        unnamed = [
            {"token": token, "logprob": -0.2, "bytes": [65]},
            {"token": token, "logprob": -2.0, "bytes": [300, None]},
        ]
        assert label_logprobs({"content": [{"top_logprobs": unnamed}]}, ["A", "B"]).logprobs == {"A": -0.2}


@pytest.mark.parametrize(
    ("token", "label"),
    [("yes", "Yes"), ("NO", "No"), ("No,", "No"), ("None", None), ("Y", None), ("", None), ("**", None)],
)
def test_a_word_is_spelled_in_any_case(token: str, label: str | None) -> None:
    assert label_of(token, ["Yes", "No"]) == label


@pytest.mark.parametrize(
    ("token", "label"), [("7", "7"), (" 7", "7"), ("-7", None), ("7.", "7"), (".7", None), ("10", None)]
)
def test_a_sign_or_a_point_makes_another_number(token: str, label: str | None) -> None:
    assert label_of(token, [str(n) for n in range(10)]) == label


def test_case_tells_labels_apart_where_they_differ_in_nothing_else() -> None:
    assert [label_of(token, ["a", "A", "B"]) for token in ("a", "A", "b")] == ["a", "A", "B"]
