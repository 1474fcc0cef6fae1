"""Rows of preference data of every form -> labelled pairs: which is better, what is asked, and what else the row says."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from evaluation.verify.columns import Layout
from evaluation.verify.rows import MOST_PAIRS, Pair, Unlabelled, asked_first, read, spoken, won_first
from generation.data.record import BadRow, Record

NOTHING = Layout({}, (), (), None, (), False, None)
SIDES = {"chosen": "chosen", "rejected": "rejected"}
TWO = {"first": "a", "second": "b", "winner": "w"}
LIST = {"responses": "responses"}


def layout(fields: Mapping[str, str], **more: Any) -> Layout:
    return NOTHING._replace(fields=fields, **more)


def pairs(row: Mapping[str, Any] | BadRow, of: Layout) -> list[Pair]:
    return list(read(Record("x:3", row), of, 1, 3, Counter()))


def pair(row: Mapping[str, Any], fields: Mapping[str, str], **more: Any) -> Pair:
    (one,) = pairs(row, layout(fields, **more))
    return one


def turn(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", ("", "plain")),
        ("", ("", "")),
        (None, ("", "")),
        (" begins with a blank", ("", " begins with a blank")),
        ("(a remark)", ("", "(a remark)")),
        ('[{"role": "user", "content": "q"}, {"role": "assistant", "content": "x"}]', ("q", "x")),
        ("\n\nHuman: q\n\nAssistant: x", ("q", "x")),
        ([turn("system", "s"), turn("user", "q"), turn("assistant", "x")], ("q", "x")),
        ([turn("user", "q"), turn("assistant", "one"), turn("user", "r"), turn("assistant", "x")], ("q\none\nr", "x")),
        ([turn("assistant", "x")], ("", "x")),
        ([turn("assistant", [{"type": "text", "text": "x"}])], ("", "x")),
        ([turn("system", "s")], ("", "")),
        ([], ("", "")),
    ],
)
def test_what_is_said_last_and_what_before_it(value: Any, expected: tuple[str, str]) -> None:
    assert spoken("chosen", value, Counter()) == expected


@pytest.mark.parametrize("content", ["", None])
def test_calls_of_tools_are_part_of_what_is_said(content: str | None) -> None:
    call = {"type": "function", "function": {"name": "look", "arguments": {"at": "x"}}}
    before, last = spoken("chosen", [turn("user", "q"), turn("assistant", content, tool_calls=[call])], Counter())
    assert before == "q"
    assert last.startswith("\n{")
    assert '"look"' in last


@pytest.mark.parametrize("content", ["q", [{"type": "text", "text": "q"}]], ids=["text", "parts"])
def test_sides_end_with_the_assistant_and_prompts_with_anybody(content: Any) -> None:
    assert spoken("prompt", [turn("user", content)], Counter()) == ("", "q")
    for side in ("chosen", "rejected"):
        with pytest.raises(BadRow, match="user"):
            spoken(side, [turn("assistant", "x"), turn("user", content)], Counter())


def test_a_labelled_row_is_a_pair() -> None:
    assert pair({"chosen": "x", "rejected": "y"}, SIDES) == Pair(3, 1, "", "x", "y")


def test_what_is_asked_stands_in_a_column_or_before_the_responses() -> None:
    asked = (("system", "s"), ("prompt", "prompt"))
    whole = [turn("user", "hello"), turn("assistant", "hm"), turn("user", "q")]
    told = pair({"prompt": "q", "chosen": "x", "rejected": "y"}, SIDES, asked=asked)
    assert (told.prompt, told.given, told.twice) == ("q", "q", False)
    told = pair({"prompt": whole, "chosen": "x", "rejected": "y"}, SIDES, asked=asked)
    assert (told.prompt, told.given) == ("hello\nhm\nq",) * 2
    sides = {side: [turn("user", "q is longer"), turn("assistant", side)] for side in SIDES}
    told = pair({**sides}, SIDES, asked=asked)
    assert (told.prompt, told.given, told.twice, told.chosen) == ("q is longer", "", False, "chosen")
    told = pair({"prompt": "another question", **sides}, SIDES, asked=asked)
    assert (told.prompt, told.twice) == ("another question", False)


@pytest.mark.parametrize(
    ("prompt", "form", "twice"),
    [
        ([turn("user", "q")], "messages", True),
        ("q", "messages", False),
        ("q", "text", True),
        ([turn("user", "other")], "messages", False),
    ],
)
def test_a_prompt_that_is_given_twice_is_noticed(prompt: Any, form: str, twice: bool) -> None:
    sides: dict[str, Any] = {side: [turn("user", "so q is"), turn("assistant", side)] for side in SIDES}
    if form == "text":
        sides = {side: f"\n\nHuman: so q is\n\nAssistant: {side}" for side in SIDES}
    assert pair({"prompt": prompt, **sides}, SIDES, asked=(("prompt", "prompt"),)).twice is twice
    alone = {**sides, "rejected": "no"}
    assert pair({"prompt": prompt, **alone}, SIDES, asked=(("prompt", "prompt"),)).twice is False


def test_numbers_beside_a_labelled_pair() -> None:
    row = {"chosen": "x", "rejected": "y", "sc": "7", "sr": 2, "m": 4, "fc": "length", "fr": "stop"}
    told = pair(row, SIDES, scores=(("s", "sc", "sr"),), margins=(("m", 1.0),), cut=("fc", "fr"))
    assert (told.scores, told.margins, told.cut) == (((7.0, 2.0),), (3.0,), (True, False))
    assert pair(row, SIDES, scores=(("s", "sc", "sr"),), bare=True).scores == ()
    plain = pair(row, SIDES)
    assert (plain.scores, plain.margins, plain.cut, plain.listed_first, plain.asked_first, plain.verdict) == (
        (), (), None, None, None, None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "cut"),
    [(True, True), (False, False), (1, True), (None, False), (" Length ", True), ("true", True), ("max_tokens", True), ("1", True), ("stop", False), ("", False)],
)  # fmt: skip
def test_what_says_that_a_response_was_cut(value: Any, cut: bool) -> None:
    row = {"chosen": "x", "rejected": "y", "c": value, "d": False}
    assert pair(row, SIDES, cut=("c", "d")).cut == (cut, False)
    assert pair(row, SIDES, cut=("d", "c")).cut == (False, cut)


@pytest.mark.parametrize(
    ("value", "base", "first"),
    [
        (0, 0, True), (1, 0, False), (2, 0, None), (1, 1, True), (2, 1, False), (0, 1, False), (3, 1, None),
        (-2.5, -1, True), (0, -1, None), (3, -1, False), ("response_1", 1, True), ("response_2", 1, False),
        ("A", None, True), ("model a", None, True), ("Response (1)", None, True), (" first ", None, True), ("left", None, True),
        ("b", None, False), ("[B]", None, False), ("response_2", None, False), ("second", None, False), ("right", None, False),
        ("tie", None, None), ("both", None, None), (None, None, None), (None, 0, None), (1, None, None), ("", 1, None),
    ],
)  # fmt: skip
def test_which_response_a_winner_names(value: Any, base: int | None, first: bool | None) -> None:
    assert won_first(value, base) is first


@pytest.mark.parametrize(
    ("winner", "more", "first"),
    [
        ("a", {}, True), ("b", {}, False), ("the first text", {}, True), ("the second text", {}, False),
        ("small", {"model_a": "small", "model_b": "large"}, True), ("large", {"model_a": "small", "model_b": "large"}, False),
    ],
)  # fmt: skip
def test_a_winner_may_be_named_by_its_column_its_text_or_its_model(
    winner: str, more: dict[str, str], first: bool
) -> None:
    row = {"a": "the first text", "b": "the second text", "w": winner, "x": 1, "y": 2, **more}
    told = pair(row, TWO, scores=(("s", "x", "y"),))
    sides = ("the first text", "the second text") if first else ("the second text", "the first text")
    assert (told.chosen, told.rejected, told.listed_first) == (*sides, first)
    assert told.scores == (((1.0, 2.0),) if first else ((2.0, 1.0),))
    assert told.verdict is None


def test_a_row_that_calls_neither_better_has_no_pair() -> None:
    for winner in ("tie", "the same", None, "unknown"):
        with pytest.raises(Unlabelled):
            pairs({"a": "the same", "b": "the same", "w": winner}, layout(TWO))
    with pytest.raises(Unlabelled):
        pairs({"a": "x", "b": "y", "w": "twin", "model_a": "twin", "model_b": "twin"}, layout(TWO))


def test_sides_of_which_one_has_no_column_are_no_pair() -> None:
    row = {"a": "x", "b": "y", "w": "a", "responses": ["p", "q"], "scores": [1, 2]}
    ranked = {**LIST, "scores": "scores"}
    for one in ({"first": "a"}, {"second": "b"}, {"winner": "w"}, {"first": "a", "winner": "w"}, {"chosen": "a"}):
        assert pair(row, {**ranked, **one}).chosen == "q"
    assert pair(row, {**TWO, "chosen": "a"}).listed_first is True


def test_a_row_that_cannot_be_read_says_so() -> None:
    with pytest.raises(BadRow, match="broken"):
        pairs(BadRow("bad_row", "broken", "anything"), layout(SIDES))


@pytest.mark.parametrize(
    ("row", "fields", "expected"),
    [
        (
            {"responses": ["x", "y", "z"], "scores": [1, 3, 2]}, {**LIST, "scores": "scores"},
            [("y", "x", 3, 1), ("z", "x", 2, 1), ("y", "z", 3, 2)],
        ),
        ({"responses": ["x", "y"], "rank": [1, 2]}, {**LIST, "scores": "rank"}, [("x", "y", -1, -2)]),
        ({"responses": '["x", "y"]', "scores": "[1, 2]"}, {**LIST, "scores": "scores"}, [("y", "x", 2, 1)]),
        ({"responses": ["x", "y", "z"], "scores": [1, 1, 2]}, {**LIST, "scores": "scores"}, [("z", "x", 2, 1), ("z", "y", 2, 1)]),
        ({"responses": ["x", "y", "z"], "scores": [None, 1, 2]}, {**LIST, "scores": "scores"}, [("z", "y", 2, 1)]),
        ({"responses": ["x", "y", "z"], "scores": [1, None, 2]}, {**LIST, "scores": "scores"}, [("z", "x", 2, 1)]),
        ({"responses": [{"text": "x", "score": 1}, {"text": "y", "score": "2"}]}, LIST, [("y", "x", 2, 1)]),
        ({"responses": [{"response": "x", "rank": 1}, {"response": "y", "rank": 2}]}, LIST, [("x", "y", -1, -2)]),
    ],
)  # fmt: skip
def test_a_list_of_responses_is_a_pair_for_each_two_of_other_scores(
    row: dict[str, Any], fields: dict[str, str], expected: list[tuple[Any, ...]]
) -> None:
    assert [(p.chosen, p.rejected, *p.scores[0]) for p in pairs(row, layout(fields))] == expected


@pytest.mark.parametrize(
    ("responses", "scores"),
    [([], []), (None, None), (["x"], [1]), (["x", "y"], [1]), (["x", "y"], [1, 2, 3]), (["x", "y"], [2, 2]), (["x", "y"], None)],
)  # fmt: skip
def test_a_list_without_two_scores_to_compare_has_no_pair(responses: Any, scores: Any) -> None:
    with pytest.raises(Unlabelled):
        pairs({"responses": responses, "scores": scores}, layout({**LIST, "scores": "scores"}))


def test_of_a_long_list_the_first_pairs_are_taken() -> None:
    row = {"responses": [f"r{i}" for i in range(6)], "scores": [*range(6)]}
    assert len(pairs(row, layout({**LIST, "scores": "scores"}))) == MOST_PAIRS == 10


def test_a_list_without_scores_is_one_of_objects() -> None:
    with pytest.raises(BadRow, match="objects with a response and its score"):
        pairs({"responses": ["x", "y"]}, layout(LIST))


@pytest.mark.parametrize(
    ("more", "fields", "first"),
    [
        ({"a": "x", "b": "y"}, {"first": "a", "second": "b"}, True),
        ({"a": "y", "b": "x"}, {"first": "a", "second": "b"}, False),
        ({"a": "x", "b": "x"}, {"first": "a", "second": "b"}, None),
        ({"a": "p", "b": "q"}, {"first": "a", "second": "b"}, None),
        ({"w": "a"}, {"winner": "w"}, True),
        ({"w": "b"}, {"position": "w"}, False),
        ({"responses": ["y", "x"]}, LIST, False),
        ({"responses": ["x", "z", "y"]}, LIST, True),
        ({"responses": ["x", "z"]}, LIST, None),
        ({"responses": "x"}, LIST, None),
        ({"responses": ["x", "y"], "scores": [2, 1]}, {**LIST, "scores": "scores"}, None),
    ],
)
def test_where_the_chosen_one_was_listed(more: dict[str, Any], fields: dict[str, str], first: bool | None) -> None:
    assert pair({"chosen": "x", "rejected": "y", **more}, {**SIDES, **fields}).listed_first is first


def test_scores_of_the_list_that_a_pair_was_taken_from() -> None:
    row = {"chosen": "x", "rejected": "y", "responses": ["y", "z", "x"], "scores": [5, 6, 7], "rank": [3, 2, 1]}
    assert pair(row, {**SIDES, **LIST, "scores": "scores"}).scores == ((7.0, 5.0),)
    assert pair(row, {**SIDES, **LIST, "scores": "rank"}).scores == ((-1.0, -3.0),)
    assert pair({**row, "scores": [5, 6]}, {**SIDES, **LIST, "scores": "scores"}).scores == ()
    assert pair({**row, "scores": None}, {**SIDES, **LIST, "scores": "scores"}).scores == ()
    same = {"chosen": "x", "rejected": "x", "responses": ["x", "y"], "scores": [1, 2]}
    assert pair(same, {**SIDES, **LIST, "scores": "scores"}).scores == ()


@pytest.mark.parametrize(
    ("question", "first"),
    [("A: x is it, B: y it was", True), ("A: y it was, B: x is it", False), ("A: x is it", None), ("neither", None), (None, None)],
)  # fmt: skip
def test_what_the_judge_was_shown_first(question: str | None, first: bool | None) -> None:
    row = {"chosen": "x is it", "rejected": "y it was", "v": "A.", "q": question}
    told = pair(row, {**SIDES, "verdict": "v", "question": "q"})
    assert (told.verdict, told.asked_first) == ("A.", first)
    chat = [turn("user", question), turn("assistant", "A.")] if question else None
    told = pair({**row, "v": chat}, {**SIDES, "verdict": "v"})
    assert (told.verdict, told.asked_first) == ("A." if question else "", first)
    told = pair({**row, "q": [turn("user", question or "")]}, {**SIDES, "verdict": "v", "question": "q"})
    assert told.asked_first is first


@pytest.mark.parametrize(
    ("swapped", "first"),
    [(False, True), (True, False), ("yes", False), ("BA", False), (" b,a ", False), ("reversed", False), ("swapped", False), ("1", False), ("true", False), ("no", True), (None, True)],
)  # fmt: skip
def test_who_was_listed_first_was_shown_first_unless_they_were_swapped(swapped: Any, first: bool) -> None:
    row = {"chosen": "x", "rejected": "y", "w": "a", "v": "good", "s": swapped}
    fields = {**SIDES, "winner": "w", "verdict": "v"}
    assert pair(row, fields).asked_first is True
    assert pair(row, {**fields, "swapped": "s"}).asked_first is first
    assert pair({**row, "w": "b"}, {**fields, "swapped": "s"}).asked_first is (not first)
    won = {"a": "x", "b": "y", "w": "b", "v": "good", "s": swapped}
    assert pair(won, {**TWO, "verdict": "v", "swapped": "s"}).asked_first is (not first)


def test_a_verdict_of_any_form_is_kept_as_text() -> None:
    fields = {**SIDES, "verdict": "v"}
    row = {"chosen": "x", "rejected": "y"}
    assert pair({**row, "v": {"grade": "é"}}, fields).verdict == '{"grade": "é"}'
    assert pair({**row, "v": ["a", 2]}, fields).verdict == '["a", 2]'
    assert pair({**row, "v": 4}, fields).verdict == "4"
    assert pair({**row, "v": None}, fields).verdict == ""


def test_responses_are_found_by_what_tells_them_apart() -> None:
    def seen(one: str, other: str, question: str) -> bool | None:
        return asked_first(question, Pair(1, 0, "", one, other))

    assert seen("alpha one", "beta two", "[A] alpha one [B] beta two") is True
    assert seen("alpha one", "beta two", "[A] beta two [B] alpha one") is False
    assert seen("alpha one", "beta two", "first alpha one, then [A] beta two [B] alpha one") is False, (
        "the last place counts"
    )
    assert seen('alpha "quoted"', "beta two", 'alpha \\"quoted\\" | beta two') is True
    alike = "the same beginning of both " * 4
    assert seen(f"{alike}ends one", f"{alike}ends two", f"{alike}ends two | {alike}ends one") is False
    assert seen(f"{alike}ends one", f"{alike}ends two", f"{alike}ends one | {alike}ends two") is True
    assert seen("alpha", "alpha and more", "alpha and more | alpha") in (None, False)
    assert seen("alpha", "beta", "") is None
    assert seen("same", "same", "same same") is None
    beginning = "x" * 79
    assert seen(f"{beginning}a, cut here", f"{beginning}b, cut here", f"{beginning}b.. {beginning}a..") is False
