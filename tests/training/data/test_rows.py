"""Rows -> pairs, targets and prompts: the columns that are known, the splits, and what is said of bad rows."""

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tiny import some_pairs, some_targets
from constitution.errors import UserError
from constitution.records import Message
from generation.output.dataset import split_of
from tests.training.small_run import CALL, LAWS, write_run
from training.data import rows
from training.recipes.config import DPO, SFT, Reward

Write = Callable[..., Path]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def words(side: tuple[Message, ...]) -> list[str]:
    """What the assistant says in a response of one turn."""
    assert [message.role for message in side] == ["assistant"]
    return [message.content for message in side]


def dpo(*paths: Path, **more: Any) -> DPO:
    return DPO(data=dict.fromkeys(map(str, paths), 1.0), **{"test_fraction": 0.0, **more})


ASKED = "Why is the sky blue at noon?"
PLAIN = {"prompt": ASKED, "chosen": "It scatters light.", "rejected": "Nobody knows."}
TOLD = {"prompt": [user(ASKED)], "chosen": [assistant("It scatters light.")], "rejected": [assistant("Nobody knows.")]}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(PLAIN, id="text"),
        pytest.param(TOLD, id="messages"),
        pytest.param({**TOLD, "chosen": PLAIN["chosen"]}, id="mixed"),
        pytest.param(
            {"chosen": [user(ASKED), *TOLD["chosen"]], "rejected": [user(ASKED), *TOLD["rejected"]]}, id="implicit-prompt"
        ),
        pytest.param({**TOLD, "chosen": [user(ASKED), *TOLD["chosen"]]}, id="prompt-beside-a-conversation"),
        pytest.param({**PLAIN, "prompt": json.dumps(TOLD["prompt"]), "chosen": str(TOLD["chosen"])}, id="kept-as-strings"),
        pytest.param(
            {f"{side}": f"\n\nHuman: {ASKED}\n\nAssistant: {PLAIN[side]}" for side in ("chosen", "rejected")}, id="dialogue"
        ),
        pytest.param({**PLAIN, "score_chosen": 9.0, "anything": {"else": None}}, id="more-columns"),
    ],
)  # fmt: skip
def test_pairs_in_every_form_that_trl_takes(row: dict[str, Any], write_rows: Write) -> None:
    (pair,) = rows.pairs(dpo(write_rows([row]))).train
    assert pair.prompt.messages == (Message(role="user", content=ASKED),)
    assert (words(pair.chosen), words(pair.rejected)) == (["It scatters light."], ["Nobody knows."])
    assert (pair.p, pair.margin, pair.weight) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"prompt": ASKED, "completion": "It scatters light."}, id="text"),
        pytest.param({"prompt": [user(ASKED)], "completion": [assistant("It scatters light.")]}, id="conversation"),
        pytest.param({"messages": [user(ASKED), assistant("It scatters light.")]}, id="messages"),
        pytest.param(
            {"conversations": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": "It scatters light."}]},
            id="sharegpt",
        ),
    ],
)
def test_targets_in_every_form_that_trl_takes(row: dict[str, Any], write_rows: Write) -> None:
    (target,) = rows.targets(SFT(data={str(write_rows([row])): 1.0}, test_fraction=0)).train
    assert target.prompt.messages == (Message(role="user", content=ASKED),)
    assert (words(target.response), target.weight) == (["It scatters light."], 1.0)


def test_labels_margins_and_weights_are_read(write_rows: Write) -> None:
    path = write_rows([{**PLAIN, "p_chosen": 0.7, "margin": -1.5, "weight": 3}])
    (pair,) = rows.pairs(DPO(data={str(path): 0.5}, test_fraction=0)).train
    assert (pair.p, pair.margin, pair.weight) == (0.7, -1.5, 1.5)


def test_a_call_of_a_tool_stays_a_message(tmp_path: Path) -> None:
    """For the model's template to write: it has tokens of its own for calls."""
    split = rows.pairs(dpo(write_run(tmp_path / "run", tools=True)))
    assert split.train[0].chosen == (Message(role="assistant", content="it scatters light", tool_calls=(CALL,)),)
    assert words(split.train[0].rejected) == ["nobody knows"]
    targets = rows.targets(SFT(data={str(tmp_path / "run"): 1.0}))
    assert targets.train[0].response == split.train[0].chosen


def test_margins_that_are_subtracted_must_be_there(write_rows: Write) -> None:
    path = write_rows([{**PLAIN, "margin": 0.0}, PLAIN])
    with pytest.raises(UserError) as told:
        rows.pairs(Reward(data={str(path): 1.0}, max_failed=0), margins=True)
    head, line = str(told.value).split("\n")
    assert head.endswith("each needs prompt, chosen, rejected and margin")
    assert (
        line == f"{path}:2: margin: is missing, and margins: true subtracts it; add the column, or set margins: false"
    )
    assert len(rows.pairs(Reward(data={str(path): 1.0}, test_fraction=0)).train) == 2


@pytest.mark.parametrize("tools", [[{"name": "look"}], '[{"name": "look"}]'], ids=["objects", "json"])
def test_tools_come_as_objects_or_as_json(tools: object, write_rows: Write) -> None:
    (pair,) = rows.pairs(dpo(write_rows([{**PLAIN, "tools": tools}]))).train
    assert pair.prompt.tools == ({"name": "look"},)


def test_prompts_are_different_ones(write_rows: Write) -> None:
    path = write_rows([PLAIN, {**PLAIN, "chosen": "Another"}, {"messages": [user("Who?"), assistant("I.")]}])
    split = rows.prompts(dpo(path))
    assert [prompt.messages[-1].content for prompt in split.train] == [ASKED, "Who?"]
    assert [len(prompt.messages) for prompt in split.train] == [1, 1]
    assert split.repeated == (1, 0)
    counts = Counter(read=2, kept=2), Counter(read=0)
    split.tell(*counts)
    assert counts == ({"read": 3, "kept": 2, "dropped_repeated": 1}, {"read": 0})


def test_prompts_bring_the_columns_that_rules_read(write_rows: Write) -> None:
    in_metadata = {"prompt": "Sum?", "metadata": json.dumps({"answer": 4, "source": "made"})}
    found = [{"prompt": "Two?", "answer": 2, "source": "made"}, in_metadata, {"prompt": "Else?", "metadata": "none"}]
    split = rows.prompts(dpo(write_rows(found)), ("answer",))
    assert [prompt.metadata for prompt in split.train] == ['{"answer": 2}', '{"answer": 4}', ""]
    assert [prompt.metadata for prompt in rows.prompts(dpo(write_rows(found))).train] == ["", "", ""]
    with pytest.raises(UserError, match="no row has column key, which a rule reads; add it, or correct the rule"):
        rows.prompts(dpo(write_rows(found)), ("answer", "key"))


def test_a_prompt_with_other_tools_or_tags_is_another(write_rows: Write) -> None:
    tools = [{"name": "look"}]
    found = [PLAIN, {**PLAIN, "tools": tools}, {**PLAIN, "tags": ["hard"]}, {**PLAIN, "tools": tools}]
    split = rows.prompts(dpo(write_rows(found)))
    assert [(prompt.tools, prompt.tags) for prompt in split.train] == [
        ((), ()),
        (({"name": "look"},), ()),
        ((), ("hard",)),
    ]
    assert split.repeated == (1, 0)


def asked(part: list[Any]) -> set[str]:
    return {row.prompt.messages[-1].content.strip() for row in part}


def test_no_prompt_is_in_both_splits(write_rows: Write) -> None:
    """White space around a prompt makes no other prompt of it, and the split is the one that a run would make."""
    found = [{**PLAIN, "prompt": f"Question {i}" + " " * (i % 2), "chosen": str(n)} for i in range(60) for n in (1, 2)]
    found += [{**row, "prompt": row["prompt"].strip(), "chosen": "again"} for row in found]
    split = rows.pairs(dpo(write_rows(found), test_fraction=0.3))
    assert len(split.train) + len(split.test) == 240
    assert asked(split.train) & asked(split.test) == set()
    assert 0.15 < len(split.test) / 240 < 0.45
    for row in split.test[:120]:
        prompt = rows.Prompt(id="", messages=row.prompt.messages)
        assert split_of(prompt, 0.3) == "test"


def test_what_one_source_holds_out_no_other_trains_on(tmp_path: Path, write_rows: Write) -> None:
    """A run knows its splits; a file has none, and all of its rows would be trained on."""
    run = write_run(tmp_path / "run")
    same = [{**PLAIN, "prompt": f"why is {i} blue ?"} for i in range(20)]
    split = rows.pairs(dpo(run, write_rows(same)))
    assert asked(split.train) & asked(split.test) == set()
    assert len(split.test) == 2 * len(asked(split.test)) > 0
    assert split.moved == len(asked(split.test))
    counts = Counter(read=len(split.test))
    split.tell(Counter(), counts)
    assert counts == {"read": len(split.test), "moved_to_test": split.moved}
    assert len(split.train) + len(split.test) == 40
    given = write_rows(same)
    tested = rows.pairs(dpo(run, given, eval_sources=(str(given),)))
    assert (len(tested.test), tested.untested, tested.train) == (split.moved, split.moved, split.train)


def test_held_out_rows_of_sources_that_are_not_tested_are_left_out(write_rows: Write) -> None:
    """They are not trained on either."""
    new = write_rows([{**PLAIN, "prompt": f"New {i}?"} for i in range(40)], "new.jsonl")
    old = write_rows([{**PLAIN, "prompt": f"{age} {i}?"} for i in range(40) for age in ("New", "Old")], "old.jsonl")
    every = rows.pairs(dpo(new, old, test_fraction=0.3))
    split = rows.pairs(dpo(new, old, test_fraction=0.3, eval_sources=(str(new),)))
    assert split.train == every.train
    assert asked(split.test) == {text for text in asked(every.test) if text.startswith("New")}
    assert 0 < len(split.test) == len(asked(split.test))
    assert split.untested == len(every.test) - len(split.test)
    counts = Counter(read=len(split.test))
    split.tell(Counter(), counts)
    assert counts == {"read": len(every.test), "dropped_untested": split.untested}
    assert rows.prompts(dpo(new, old, test_fraction=0.3, eval_sources=(str(new),))).untested == split.untested


def test_sources_are_mixed_by_weight_and_named(tmp_path: Path, write_rows: Write) -> None:
    run, path = write_run(tmp_path / "run"), write_rows(some_pairs(3))
    split = rows.pairs(DPO(data={str(run): 0.25, str(path): 2.0}, test_fraction=0))
    assert sorted({row.weight for row in split.train}) == [0.25, 2.0]
    first, second = split.sources
    assert (first.name, first.rows, first.weight, first.constitutions) == (str(run), 20, 0.25, (LAWS.digest,))
    assert (second.name, second.rows, second.weight, second.constitutions) == (str(path), 3, 2.0, ())
    assert len({first.digest, second.digest}) == 2
    again = rows.pairs(DPO(data={str(path): 1.0}, test_fraction=0.5)).sources[0]
    assert again.digest == second.digest  # neither weight nor split is part of it
    changed = write_rows([{**row, "p_chosen": 0.51} for row in some_pairs(3)], "changed.jsonl")
    assert rows.pairs(dpo(changed)).sources[0].digest != second.digest


def test_a_limit_is_of_each_source(tmp_path: Path, write_rows: Write) -> None:
    split = rows.pairs(dpo(write_run(tmp_path / "run"), write_rows(some_pairs(9)), limit=2))
    assert [source.rows for source in split.sources] == [4, 2]  # a run has two splits


LONG = "It scatters light, of which blue most."
BAD = [
    pytest.param({"text": "x"}, "has columns text; add prompt, chosen, rejected", id="other-columns"),
    pytest.param({}, "has columns none; add prompt", id="no-columns"),
    pytest.param({**PLAIN, "rejected": None}, "add rejected", id="null"),
    pytest.param({"chosen": "a", "rejected": "b"}, "has no prompt, and chosen and rejected are responses alone; add a column prompt", id="implicit-text"),
    pytest.param(
        {"chosen": [user("a"), assistant("b"), user("c"), assistant("d")], "rejected": [user("x"), assistant("b")]},
        "chosen and rejected answer different conversations; allowed: two responses to one", id="implicit-apart",
    ),
    pytest.param({**PLAIN, "rejected": PLAIN["chosen"]}, "chosen and rejected: are equal; allowed: two", id="equal"),
    pytest.param({**PLAIN, "p_chosen": math.nan}, "p_chosen: got nan; allowed: a finite number", id="nan"),
    pytest.param({**PLAIN, "p_chosen": 0.3}, "p_chosen: got 0.3; allowed: 0.5 to 1; where rejected is", id="p-low"),
    pytest.param({**PLAIN, "p_chosen": 1.2}, "p_chosen: got 1.2; allowed: 0.5 to 1", id="p-high"),
    pytest.param({**PLAIN, "p_chosen": "sure"}, "p_chosen: got 'sure'; allowed: a finite", id="p-text"),
    pytest.param({**PLAIN, "p_chosen": [0.7]}, "p_chosen: got [0.7]; allowed: a finite", id="p-list"),
    pytest.param({**PLAIN, "weight": 10**400}, "weight: got ", id="weight-too-large"),
    pytest.param({**PLAIN, "p_chosen": True}, "p_chosen: got True", id="p-bool"),
    pytest.param({**PLAIN, "rejected_truncated": 1}, "rejected_truncated: got 1; allowed: true, false, or no column", id="cut"),
    pytest.param({**PLAIN, "margin": math.inf}, "margin: got inf; allowed: a finite number", id="margin"),
    pytest.param({**PLAIN, "weight": -1}, "weight: got -1.0; allowed: 0 or more", id="weight"),
    pytest.param(
        {**TOLD, "chosen": [user("Else?"), assistant("a")]}, "chosen: does not begin with the prompt's messages", id="other-prompt",
    ),
    pytest.param(
        {"prompt": ASKED, "chosen": f"{ASKED} Light.", "rejected": f"{ASKED}\nNo."},
        "chosen and rejected: begin with the prompt, which would be trained on twice", id="trap-text",
    ),
    pytest.param(
        {**PLAIN, "prompt": f"<|im_start|>user\n{ASKED}<|im_end|>\n"},
        "prompt: holds '<|im_start|>', so it went through a chat template already", id="rendered",
    ),
    pytest.param({**PLAIN, "chosen": "Light.<|eot_id|>"}, "chosen: holds '<|eot_id|>', so it went", id="rendered-end"),
    pytest.param({**PLAIN, "rejected": "No.</s>"}, "rejected: holds '</s>', so it went", id="rendered-s"),
    pytest.param({**PLAIN, "prompt": "[INST] Hi [/INST]"}, "prompt: holds '[INST]'", id="rendered-inst"),
    pytest.param({**PLAIN, "prompt": 7}, "prompt: got 7; allowed: text, a message or a list of messages", id="number"),
    pytest.param({**TOLD, "prompt": []}, "prompt: the last to speak is nobody; allowed: the user", id="no-messages"),
    pytest.param({**TOLD, "prompt": [user("a"), assistant("b")]}, "the last to speak is assistant", id="answered"),
    pytest.param({**TOLD, "chosen": [user("b")]}, "chosen: got role 'user'; allowed: an assistant's", id="user"),
    pytest.param({**TOLD, "prompt": [{"content": "a"}]}, "prompt.0.role: is missing; allowed: ", id="no-role"),
    pytest.param({**TOLD, "prompt": [{"role": "robot", "content": "a"}]}, "prompt.0.role: got 'robot' (did you mean bot?); allowed: assistant, ", id="role"),
    pytest.param({**PLAIN, "tools": "look"}, "tools: got 'look'; allowed: a list of objects", id="tools"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "message"), BAD)
def test_a_bad_pair_is_named(row: dict[str, Any], message: str, write_rows: Write) -> None:
    path = write_rows([PLAIN, row])
    with pytest.raises(UserError) as told:
        rows.pairs(dpo(path, max_failed=0))
    head, line, *more = str(told.value).split("\n")
    allowed = "(allowed by max_failed: 0%)"
    assert head == f"--data {path}: 1 of 2 rows cannot be trained on {allowed}; each needs prompt, chosen and rejected"
    assert line.startswith(f"{path}:2: ")
    assert message in line
    assert all(problem.startswith(f"{path}:2: prompt.0.") for problem in more)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param({"text": "x"}, "has columns text; add prompt and completion, or messages", id="other-columns"),
        pytest.param({"prompt": ASKED, "completion": f"{ASKED} Light."}, "completion: begins with the prompt", id="trap"),
        pytest.param({"messages": [user("a")]}, "messages: the last to speak is user", id="one-message"),
        pytest.param({"messages": [user("a"), user("b")]}, "messages: the last to speak is user", id="no-answer"),
        pytest.param({"prompt": "a", "completion": "b", "weight": -1}, "weight: got -1.0", id="weight"),
    ],
)  # fmt: skip
def test_a_bad_target_is_named(row: dict[str, Any], message: str, write_rows: Write) -> None:
    path = write_rows([*some_targets(1), row])
    with pytest.raises(UserError) as told:
        rows.targets(SFT(data={str(path): 1.0}, max_failed=0))
    assert f"\n{path}:2: {message}" in str(told.value)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({**PLAIN, "chosen": f"{ASKED} Let me think."}, id="one-response-repeats-the-question"),
        pytest.param({"prompt": "Hi", "chosen": "Hi there", "rejected": "Hi!"}, id="a-short-question"),
        pytest.param({**TOLD, "chosen": [assistant(f"{ASKED} Light.")], "rejected": [assistant(f"{ASKED} No.")]}, id="messages"),
        pytest.param({**TOLD, "prompt": [user("What is <|im_end|>?")]}, id="a-question-about-marks"),
        pytest.param({**TOLD, "rejected": [assistant("")]}, id="an-empty-response"),
    ],
)  # fmt: skip
def test_what_looks_bad_and_is_not(row: dict[str, Any], write_rows: Write) -> None:
    assert len(rows.pairs(dpo(write_rows([row]))).train) == 1


def test_problems_are_told_all_at_once_and_alike_ones_together(write_rows: Write) -> None:
    path = write_rows([{"a": 1}, {"a": 1}, PLAIN, {**PLAIN, "p_chosen": 2}, {"a": 1}])
    with pytest.raises(UserError) as told:
        rows.pairs(dpo(path))
    assert str(told.value).split("\n")[1:] == [
        f"{path}:1 and 2 more rows: has columns a; add prompt, chosen, rejected",
        f"{path}:4: p_chosen: got 2.0; allowed: 0.5 to 1; where rejected is better, swap the two",
    ]


def test_reading_ends_after_many_problems(write_rows: Write) -> None:
    path = write_rows([{**PLAIN, "p_chosen": 2 + i} for i in range(100)])
    with pytest.raises(UserError) as told:
        rows.pairs(dpo(path))
    lines = str(told.value).split("\n")
    assert len(lines) == 22
    assert lines[0].endswith(
        "20 of 20 rows cannot be trained on (and none is left); each needs prompt, chosen and rejected"
    )
    assert lines[-1] == f"--data {path}: was read up to the 20th row"


def test_a_few_bad_rows_are_left_out_told_and_counted(write_rows: Write, capsys: pytest.CaptureFixture[str]) -> None:
    bad = [{**PLAIN, "p_chosen": 2 + i} for i in range(5)]
    path = write_rows([*bad[:4], *some_pairs(20), bad[4]])

    split = rows.pairs(dpo(path))

    assert (len(split.train), split.unusable, split.sources[0].rows) == (20, (5, 0), 20)
    first, *more = capsys.readouterr().err.splitlines()
    assert first.endswith(f"--data {path}: 5 of 25 rows cannot be trained on and are left out, as:")
    assert [line.split(": got")[0].strip() for line in more] == [f"{path}:{i}: p_chosen" for i in (1, 2, 3)]
    counts = Counter[str](), Counter[str]()
    split.tell(*counts)
    assert counts == ({"read": 5, "dropped_unusable": 5}, {})
    with pytest.raises(UserError, match="5 of 25 rows cannot be trained on"):
        rows.pairs(dpo(path, max_failed=0.19))


def test_one_bad_row_of_few_is_left_out(write_rows: Write) -> None:
    path = write_rows([PLAIN, {**PLAIN, "p_chosen": 2}])
    split = rows.pairs(dpo(path))
    assert (len(split.train), split.unusable) == (1, (1, 0))
    two = write_rows([PLAIN, {**PLAIN, "p_chosen": 2}, {**PLAIN, "p_chosen": 3}], "two.jsonl")
    with pytest.raises(UserError, match="2 of 3 rows cannot be trained on"):
        rows.pairs(dpo(two))


def test_with_many_bad_rows_the_first_are_listed(write_rows: Write) -> None:
    path = write_rows([*some_pairs(1), *({**PLAIN, "p_chosen": 2 + i} for i in range(30))])
    with pytest.raises(UserError) as told:
        rows.pairs(dpo(path, max_failed=0.5))
    lines = str(told.value).split("\n")
    assert len(lines) == 22
    assert lines[-1] == f"--data {path}: has 10 more such rows"


def test_problems_of_all_sources_are_told_at_once(write_rows: Write, tmp_path: Path) -> None:
    first, second = write_rows([{**PLAIN, "p_chosen": 2}], "a.jsonl"), tmp_path / "gone.jsonl"
    third = write_rows([{**TOLD, "prompt": [{"role": "robot"}, 7]}], "c.jsonl")
    with pytest.raises(UserError) as told:
        rows.pairs(dpo(first, second, third))
    found = [(problem.place, problem.key) for problem in told.value.problems]
    assert found == [
        (f"--data {first}", ""), (f"{first}:1", "p_chosen"), (f"--data {second}", ""), (f"--data {third}", ""),
        (f"{third}:1", "prompt.0.role"),
    ]  # fmt: skip


def test_no_rows_at_all(write_rows: Write) -> None:
    path = write_rows([])
    with pytest.raises(UserError, match=r"holds no row to train on; each row needs prompt, chosen and rejected"):
        rows.pairs(dpo(path))
    with pytest.raises(UserError, match=r"--data: got none; name a run folder"):
        rows.pairs(DPO())
    one = write_rows([PLAIN])
    with pytest.raises(UserError, match=r"all 1 are held out; lower test_fraction"):
        rows.pairs(dpo(one, test_fraction=0.999999))


def test_odd_characters_are_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text(json.dumps({**PLAIN, "prompt": "a\ud800\0b", "chosen": "\u2028"}) + "\n")
    split = rows.pairs(dpo(path))
    assert split.sources[0].digest
