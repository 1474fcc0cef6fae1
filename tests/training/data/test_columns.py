"""The columns of a row of any dataset: what each says, what is refused and where."""

from typing import Any

import pytest

from constitution.errors import UserError
from constitution.records import Message
from generation.data.message import Told
from training.data.columns import MEDIA, Pair, RowPrompt, Target, pair, prompted, target, weight

LONG = "Why is the sky blue?"
USER, SYSTEM = Message(role="user", content=LONG), Message(role="system", content="Be short.")
YES, NO = Message(role="assistant", content="Yes."), Message(role="assistant", content="No.")
PLAIN = {"prompt": LONG, "chosen": "Yes.", "rejected": "No.", "id": "a"}


def told_of(**columns: Any) -> list[str]:
    """What is wrong with a pair of these columns beside PLAIN's: (key, got, allowed, fix), where there is one each."""
    with pytest.raises(UserError) as error:
        pair({**PLAIN, **columns}, Told())
    (problem,) = error.value.problems
    return [problem.key, problem.got, problem.allowed, problem.fix]


def test_a_pair_in_texts() -> None:
    asked = RowPrompt("a", (USER,))
    assert pair(PLAIN, Told()) == Pair(asked, (YES,), (NO,), 1.0, 0.0, 1.0)
    more = {
        "p_chosen": "0.75",
        "margin": 2,
        "weight": "0.5",
        "chosen_truncated": " True",
        "rejected_truncated": None,
        "tags": ["x"],
    }
    assert pair({**PLAIN, **more}, Told()) == Pair(
        asked._replace(tags=("x",)), (YES,), (NO,), 0.75, 2.0, 0.5, (True, False)
    )
    assert pair({**PLAIN, "p_chosen": 0.5, "weight": 0}, Told())[3:6] == (0.5, 0.0, 0.0)


def test_a_prompt_is_what_both_begin_with_where_there_is_no_column() -> None:
    both = {name: [USER.model_dump(), end.model_dump()] for name, end in (("chosen", YES), ("rejected", NO))}
    assert pair({**both, "id": "a"}, Told()) == Pair(RowPrompt("a", (USER,)), (YES,), (NO,), 1.0, 0.0, 1.0)
    assert prompted({**both, "id": "a"}, Told()) == RowPrompt("a", (USER,))


def test_a_prompt_ends_before_the_answers() -> None:
    messages = [m.model_dump() for m in (SYSTEM, USER, YES, NO)]
    assert prompted({"messages": messages, "id": 3}, Told()) == RowPrompt("3", (SYSTEM, USER))
    assert prompted({"prompt": LONG, "system": "Be short.", "prompt_id": "p", "id": "a"}, Told()) == RowPrompt(
        "p", (SYSTEM, USER)
    )


def test_a_row_without_a_name_has_that_of_its_messages() -> None:
    one, same, other = (prompted({"prompt": text, "id": ""}, Told()).id for text in (LONG, LONG, LONG + "!"))
    assert one == same != other
    assert len(one) == 16


def test_a_completion_may_be_empty_and_an_answer_before_a_question_is_not_learnt() -> None:
    nothing = Message(role="assistant", content="")
    assert target({"prompt": LONG, "completion": "", "id": "a"}, Told()) == Target(
        RowPrompt("a", (USER,)), (nothing,), 1.0
    )
    chat = {"messages": [m.model_dump() for m in (NO, USER, YES, USER, NO)], "id": "a"}
    assert target(chat, Told()) == Target(RowPrompt("a", (NO, USER, YES, USER)), (NO,), 1.0)
    assert target(chat, Told(), "all") == Target(RowPrompt("a", (NO, USER)), (YES, USER, NO), 1.0)
    assert target({**chat, "completion_truncated": "false"}, Told()).truncated is False


def test_several_turns_of_a_response_are_counted() -> None:
    told = Told()
    turns = [YES.model_dump(), USER.model_dump(), NO.model_dump()]
    assert pair({**PLAIN, "chosen": turns}, told).chosen == (YES, USER, NO)
    pair(PLAIN, told)
    assert [*told.values()] == [1]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"rejected": "Yes."}, ["chosen and rejected", "are equal", "two different responses", "leave the row out"]),
        ({"p_chosen": 0.49}, ["p_chosen", "got 0.49", "0.5 to 1", "where rejected is better, swap the two"]),
        ({"p_chosen": 1.01}, ["p_chosen", "got 1.01", "0.5 to 1", "where rejected is better, swap the two"]),
        ({"p_chosen": True}, ["p_chosen", "got True", "a finite number, or no column p_chosen", ""]),
        ({"margin": "nan"}, ["margin", "got 'nan'", "a finite number, or no column margin", ""]),
        ({"margin": 10**400}, ["margin", f"got {str(10**400)[:40]}", "a finite number, or no column margin", ""]),
        ({"weight": -0.5}, ["weight", "got -0.5", "0 or more", ""]),
        ({"chosen_truncated": 1}, ["chosen_truncated", "got 1", "true, false, or no column chosen_truncated", ""]),
        ({"rejected_truncated": "yes"}, ["rejected_truncated", "got 'yes'", "true, false, or no column rejected_truncated", ""]),
        ({"images": ["x"]}, ["images", "is not empty, and training reads text alone", "", "leave such rows out, or empty the column"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_at_its_column(columns: dict[str, Any], said: list[str]) -> None:
    found = told_of(**columns)
    assert [found[0], found[1][: len(said[1])], *found[2:]] == said


def test_empty_columns_of_media_are_no_trouble() -> None:
    assert pair({**PLAIN, **{name: [] for name in MEDIA}}, Told()) == pair(PLAIN, Told())
    assert weight({"weight": None}) == 1.0


def test_a_prompt_in_front_of_the_response_is_told_where_it_is_long_enough_to_be_no_chance() -> None:
    twice = {**PLAIN, "chosen": f" {LONG} Yes.", "rejected": f"{LONG} No."}
    assert told_of(**twice)[:2] == ["chosen and rejected", "begin with the prompt, which would be trained on twice"]
    assert pair({**twice, "rejected": "No."}, Told()).chosen[0].content == f" {LONG} Yes.", "one alone may quote it"
    short = {**PLAIN, "prompt": "Say so: or not?", "chosen": "Say so: or not? Yes.", "rejected": "Say so: or not? No."}
    assert pair(short, Told()).p == 1.0
    with pytest.raises(UserError, match="completion: begins with the prompt"):
        target({"prompt": LONG, "completion": f"{LONG} Yes."}, Told())


def test_missing_columns_are_named() -> None:
    for row, fix in (
        ({"prompt": "x", "chosen": "y"}, "add rejected"), ({}, "add prompt, chosen, rejected"), ({"chosen": "y"}, "add prompt, rejected"),
    ):  # fmt: skip
        with pytest.raises(UserError) as error:
            pair(row, Told())
        assert error.value.problems[0].fix == fix
    for read in (target, prompted):
        with pytest.raises(UserError, match="has columns label; add prompt"):
            read({"label": 1}, Told())
