"""Pairs with a known answer."""

import json
from collections import Counter
from pathlib import Path

import pytest

from constitution.errors import UserError
from critics.controls import FILE, Control, load
from critics.text.manipulation import indicators

GOOD = {
    "kind": "wrong_fact",
    "prompt": [{"role": "user", "content": "1 + 1?"}],
    "chosen": [{"role": "assistant", "content": "2"}],
    "rejected": [{"role": "assistant", "content": "3"}],
}


def write(folder: Path, *rows: object) -> Path:
    path = folder / "c.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_the_shipped_ones_are_enough_and_each_fails_a_judge_in_its_own_way() -> None:
    controls = load()
    assert len(controls) == 64
    kinds = Counter(control.kind for control in controls)
    assert set(kinds.values()) == {4}
    assert {control.kind for control in controls[: len(kinds)]} == kinds.keys(), "the first ones span all kinds"
    assert len({control.prompt for control in controls}) == len(controls)
    attacks = [
        control.kind for control in controls if indicators(control.rejected[0].content, control.prompt[0].content)
    ]
    assert {"judge_instruction", "fake_verdict", "control_token", "flattery", "empty", "repetition"} <= set(attacks)
    assert not any(indicators(control.chosen[0].content, control.prompt[0].content) for control in controls)


def test_the_first_eight_which_a_run_asks_by_default_hold_two_attacks() -> None:
    kinds = [control.kind for control in load()[:8]]
    assert {"judge_instruction", "fake_verdict"} <= set(kinds)


def test_the_longer_reply_is_not_always_the_better_nor_the_worse() -> None:
    longer = sum(len(c.chosen[0].content) > len(c.rejected[0].content) for c in load())
    assert 0.3 < longer / len(load()) < 0.7


def test_lines_are_read_in_order_and_blank_ones_left_out(tmp_path: Path) -> None:
    other = {**GOOD, "kind": "off_topic"}
    assert [c.kind for c in load(write(tmp_path, GOOD, "", other))] == ["wrong_fact", "off_topic"]
    assert load(write(tmp_path, GOOD)) == (Control.model_validate(GOOD),)
    assert FILE.is_file()


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({**GOOD, "chosen": GOOD["rejected"]}, "chosen and rejected are equal; allowed: two different responses"),
        ({**GOOD, "chosne": 1}, "chosne: unknown key (did you mean chosen?); allowed: chosen, kind, prompt, rejected"),
        (
            {k: v for k, v in GOOD.items() if k != "prompt"},
            "prompt: is missing; add it",
        ),
        ({**GOOD, "kind": "Wrong fact"}, "kind: got 'Wrong fact'; allowed: a string that matches ^[a-z][a-z_]*$"),
        ({**GOOD, "chosen": []}, "chosen: got []; allowed: 1 or more items"),
        ("{", "got '{'; invalid JSON: EOF while parsing an object at line 1 column 1"),
    ],
)
def test_a_bad_line_is_named_with_what_is_allowed(tmp_path: Path, row: object, text: str) -> None:
    path = write(tmp_path, GOOD, row)
    with pytest.raises(UserError) as error:
        load(path)
    assert str(error.value) == f"{path}:2: {text}"


def test_a_file_without_any_and_one_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no control pair; each line needs kind, prompt, chosen, rejected"):
        load(write(tmp_path, ""))
    with pytest.raises(UserError, match=r"none\.jsonl: cannot be read .*; allowed: JSONL in UTF-8"):
        load(tmp_path / "none.jsonl")
