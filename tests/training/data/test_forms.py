"""The forms in which makers of data keep rows, which of their turns are learnt, and what is not read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tiny import some_pairs
from constitution.errors import UserError
from constitution.records import Message
from tests.training.small_run import CALL
from training.data import rows
from training.recipes.config import DPO, SFT, Reward

Write = Callable[..., Path]
ASKED = "Why is the sky blue at noon?"
PLAIN = {"prompt": ASKED, "chosen": "It scatters light.", "rejected": "Nobody knows."}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


TOLD = {"prompt": [user(ASKED)], "chosen": [assistant("It scatters light.")], "rejected": [assistant("Nobody knows.")]}


def dpo(*paths: Path, **more: Any) -> DPO:
    return DPO(data=dict.fromkeys(map(str, paths), 1.0), **{"test_fraction": 0.0, **more})


LOOK = {"role": "assistant", "content": "", "tool_calls": [CALL.model_dump(exclude_defaults=True)]}
SEEN = {"role": "tool", "content": "blue"}


def spoken(side: tuple[Message, ...]) -> list[str]:
    """Roles and texts; calls by a star."""
    return [f"{m.role}: {m.content}" + "*" * len(m.tool_calls) for m in side]


SEVERAL = [
    pytest.param(
        {"prompt": [user("a")], "chosen": [LOOK, SEEN, assistant("b")], "rejected": [assistant("c")]},
        ["user: a"], ["assistant: *", "tool: blue", "assistant: b"], ["assistant: c"], id="after-a-prompt",
    ),
    pytest.param(
        {"prompt": "a", "chosen": [user("a"), LOOK, SEEN, assistant("b")], "rejected": "c"},
        ["user: a"], ["assistant: *", "tool: blue", "assistant: b"], ["assistant: c"], id="a-conversation-beside-a-text",
    ),
    pytest.param(
        {"chosen": [user("a"), assistant("b"), user("c"), assistant("d")], "rejected": [user("a"), assistant("x")]},
        ["user: a"], ["assistant: b", "user: c", "assistant: d"], ["assistant: x"], id="conversations-that-part-early",
    ),
    pytest.param(
        {"chosen": [user("a"), LOOK, SEEN, assistant("b")], "rejected": [user("a"), LOOK, SEEN, assistant("c")]},
        ["user: a", "assistant: *", "tool: blue"], ["assistant: b"], ["assistant: c"], id="the-same-call",
    ),
    pytest.param(
        {
            "chosen": [user("a"), LOOK, SEEN, assistant("b")],
            "rejected": [user("a"), {**LOOK, "tool_calls": [{"function": {"name": "look", "arguments": {"at": "sea"}}}]}, SEEN, assistant("c")],
        },
        ["user: a"], ["assistant: *", "tool: blue", "assistant: b"], ["assistant: *", "tool: blue", "assistant: c"], id="other-calls",
    ),
    pytest.param(
        {"prompt": [user("a")], "chosen": [user("a"), assistant("b"), user("c"), assistant("d")],
         "rejected": [user("a"), assistant("b"), user("c"), assistant("e")]},
        ["user: a", "assistant: b", "user: c"], ["assistant: d"], ["assistant: e"], id="conversations-longer-than-their-prompt",
    ),
    pytest.param(
        {"prompt": "a", "chosen": [{"role": "system", "content": "s"}, user("a"), LOOK, SEEN, assistant("b")], "rejected": "c"},
        ["system: s", "user: a"], ["assistant: *", "tool: blue", "assistant: b"], ["assistant: c"], id="under-a-system-message",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("row", "before", "chosen", "rejected"), SEVERAL)
def test_sides_of_several_turns(
    row: dict[str, Any], before: list[str], chosen: list[str], rejected: list[str], write_rows: Write
) -> None:
    (pair,) = rows.pairs(dpo(write_rows([row]))).train
    assert [spoken(part) for part in (pair.prompt.messages, pair.chosen, pair.rejected)] == [before, chosen, rejected]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ([assistant("b"), user("c")], "chosen: got role 'user'"),
        ([SEEN, assistant("b")], "chosen: does not begin with the prompt's messages"),
        ([assistant("b"), {"role": "system", "content": "s"}, assistant("c")], "chosen: has a system message after the prompt"),
    ],
)  # fmt: skip
def test_what_is_no_side(chosen: list[Any], message: str, write_rows: Write) -> None:
    with pytest.raises(UserError, match=message):
        rows.pairs(dpo(write_rows([{"prompt": [user("a")], "chosen": chosen, "rejected": "c"}])))


TURNS = [user("a"), assistant("b"), user("c"), LOOK, SEEN, assistant("d")]


@pytest.mark.parametrize(
    ("row", "train_on", "before", "learnt"),
    [
        pytest.param({"messages": TURNS}, "last", 5, 1, id="last"),
        pytest.param({"messages": TURNS}, "all", 1, 5, id="all"),
        pytest.param({"messages": TURNS[1:]}, "all", 2, 3, id="a-greeting-is-not-learnt"),
        pytest.param({"prompt": TURNS[:3], "completion": TURNS[3:]}, "last", 3, 3, id="a-completion-of-several-turns"),
        pytest.param({"prompt": TURNS[:3], "completion": TURNS[3:]}, "all", 3, 3, id="a-prompt-is-not-learnt"),
        pytest.param({"prompt": TURNS[:3], "completion": TURNS}, "last", 3, 3, id="a-completion-that-repeats-the-prompt"),
    ],
)  # fmt: skip
def test_which_turns_are_learnt(
    row: dict[str, Any], train_on: Any, before: int, learnt: int, write_rows: Write
) -> None:
    settings = SFT(data={str(write_rows([row])): 1.0}, test_fraction=0, train_on=train_on)
    (target,) = rows.targets(settings, settings.train_on).train
    assert (len(target.prompt.messages), len(target.response)) == (before, learnt)
    assert target.response[-1].content == "d"


OTHER_FORMS = [
    pytest.param({"prompt": ASKED, "chosen": [user(ASKED), assistant("yes")], "rejected": [user(ASKED), assistant("no")], "messages": [user(ASKED), assistant("yes")], "score_chosen": 8.0}, id="ultrafeedback"),
    pytest.param({"conversations": [{"from": "human", "value": ASKED}], "chosen": {"from": "gpt", "value": "yes"}, "rejected": {"from": "gpt", "value": "no"}}, id="sharegpt"),
    pytest.param({"instruction": ASKED, "input": "", "chosen": "yes", "rejected": "no"}, id="alpaca"),
    pytest.param({"instruction": ASKED[:10], "input": ASKED[11:], "chosen": "yes", "rejected": "no"}, id="alpaca-with-input"),
    pytest.param({"prompt": [{"role": "user", "content": [{"type": "text", "text": ASKED}]}], "chosen": [assistant("yes")], "rejected": [{"role": "assistant", "content": [{"type": "text", "text": "no"}]}]}, id="content-parts"),
    pytest.param({"prompt": ASKED, "chosen": "yes", "rejected": "no", "p_chosen": None, "margin": None, "tools": None, "metadata": None, "weight": None, "tags": None, "system": None, "chat_template_kwargs": None, "images": None, "chosen_truncated": None, "prompt_id": None}, id="nulls"),
    pytest.param({"prompt": ASKED, "chosen": "yes", "rejected": "no", "images": [], "tools": "", "chat_template_kwargs": "{}"}, id="empty"),
]  # fmt: skip


@pytest.mark.parametrize("row", OTHER_FORMS)
def test_forms_of_other_makers(row: dict[str, Any], write_rows: Write) -> None:
    (pair,) = rows.pairs(dpo(write_rows([row]))).train
    assert " ".join(" ".join(spoken(pair.prompt.messages)).split()) == f"user: {ASKED}"
    assert (spoken(pair.chosen), spoken(pair.rejected)) == (["assistant: yes"], ["assistant: no"])
    assert (pair.p, pair.margin, pair.weight, pair.prompt.tools, pair.prompt.template_kwargs) == (1.0, 0.0, 1.0, (), {})


def test_targets_of_alpacas_form(write_rows: Write, tmp_path: Path) -> None:
    found = [
        {"instruction": "Say it.", "input": "Hi", "output": "Ho", "history": [["a", "b"], ["c", "d"]]},
        {"instruction": "Go.", "input": "", "output": "I go.", "system": "Be brief."},
    ]
    long, short = rows.targets(SFT(data={str(write_rows(found)): 1.0}, test_fraction=0)).train
    assert spoken(long.prompt.messages) == [
        "user: a", "assistant: b", "user: c", "assistant: d", "user: Say it.\nHi",
    ]  # fmt: skip
    assert (spoken(short.prompt.messages), spoken(short.response)) == (
        ["system: Be brief.", "user: Go."],
        ["assistant: I go."],
    )
    listed = tmp_path / "rows.json"
    listed.write_text(json.dumps(found))
    assert rows.targets(SFT(data={str(listed): 1.0}, test_fraction=0)).train == [long, short]
    odd = write_rows([{"instruction": "a", "output": "b", "history": ["a"]}, *found * 4], "odd.jsonl")
    assert rows.targets(SFT(data={str(odd): 1.0}, test_fraction=0)).unusable == (1, 0)


def test_a_developers_message_is_the_systems(write_rows: Write) -> None:
    row = {**TOLD, "prompt": [{"role": "developer", "content": "Be brief."}, user(ASKED)]}
    (pair,) = rows.pairs(dpo(write_rows([row]))).train
    assert [message.role for message in pair.prompt.messages] == ["system", "user"]


@pytest.mark.parametrize("given", [{"enable_thinking": False, "depth": None}, '{"enable_thinking": false}'])
def test_what_a_row_tells_the_template_is_kept(given: Any, write_rows: Write) -> None:
    path = write_rows([{**PLAIN, "chat_template_kwargs": given}])
    assert rows.pairs(dpo(path)).train[0].prompt.template_kwargs == {"enable_thinking": False}


NOT_READ = [
    pytest.param({"images": ["a.png"]}, "images: is not empty, and training reads text alone", id="images"),
    pytest.param({"image": "a.png"}, "image: is not empty", id="image"),
    pytest.param({"prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]}, "prompt.0.content: has a part of type 'image'; allowed: parts of type text", id="part"),
    pytest.param({"chat_template_kwargs": "yes"}, "chat_template_kwargs", id="kwargs"),
    pytest.param({"chat_template_kwargs": [1]}, "chat_template_kwargs: got [1]; allowed: an object", id="kwargs-list"),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "message"), NOT_READ)
def test_what_training_does_not_read_is_left_out_and_told(
    columns: dict[str, Any], message: str, write_rows: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    split = rows.pairs(dpo(write_rows([*some_pairs(9), {**PLAIN, **columns}])))
    assert (len(split.train), split.unusable) == (9, (1, 0))
    assert message in capsys.readouterr().err


def test_numbers_and_flags_of_a_table_of_texts(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("prompt,chosen,rejected,p_chosen,chosen_truncated,weight\nHi?,a,b,0.7,True,\nHo?,a,b,,,2\n")
    first, second = rows.pairs(dpo(path)).train
    assert (first.p, first.truncated, first.weight) == (0.7, (True, False), 1.0)
    assert (second.p, second.truncated, second.weight) == (1.0, (False, False), 2.0)


def test_columns_that_are_not_read_are_named_once(write_rows: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_rows([{**PLAIN, "margin": 1.0, "score_chosen": 9.0, "weight": 2.0}] * 3)
    rows.pairs(dpo(path))
    assert capsys.readouterr().err == f"--data {path}: columns not read: margin, score_chosen\n"
    rows.pairs(Reward(data={str(path): 1.0}, test_fraction=0), margins=True)
    assert capsys.readouterr().err == f"--data {path}: columns not read: score_chosen\n"
    rows.prompts(dpo(path))
    assert "columns not read: chosen, margin, rejected, score_chosen, weight\n" in capsys.readouterr().err
    named = write_rows([{"question": ASKED, "chosen": "a", "rejected": "b"}], "named.jsonl")
    rows.pairs(dpo(named, columns={"prompt": "question"}))
    assert capsys.readouterr().err == ""


def test_margins_may_not_be_null_where_they_are_subtracted(write_rows: Write) -> None:
    path = write_rows([{**PLAIN, "margin": None}])
    with pytest.raises(UserError, match="margin: is missing, and margins: true subtracts it"):
        rows.pairs(Reward(data={str(path): 1.0}), margins=True)
