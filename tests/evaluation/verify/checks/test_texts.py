"""Texts that hold what does not belong there."""

from collections.abc import Callable
from typing import Any

import pytest

from evaluation.verify.finding import Finding

Found = Callable[..., dict[str, Finding]]
Rows = list[dict[str, Any]]
Make = Callable[[int], Rows]


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("control_tokens", lambda row: {"chosen": row["chosen"] + "<|im_end|>"}),
        ("control_tokens_in_prompts", lambda row: {"prompt": f"[INST] {row['prompt']} [/INST]"}),
        ("judge_transcripts", lambda row: {"rejected": row["rejected"] + "\n[[A]]"}),
        ("other_turns", lambda row: {"chosen": row["chosen"] + "\n\nHuman: And then?"}),
        ("prompt_twice", lambda row: {key: f"{row['prompt']}\n{row[key]}" for key in ("chosen", "rejected")}),
        ("doubled_prompt", lambda row: {"prompt": f"{row['prompt']}\n{row['prompt']}"}),
        ("garbled_texts", lambda row: {"chosen": row["chosen"] + " itâ€™s"}),
        ("unreadable_rows", lambda row: {"chosen": [{"role": "nobody", "content": "x"}]}),
    ],
)
def test_what_is_found(
    found: Found, pairs: Make, check: str, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    rows = [row | change(row) if i % 10 == 0 else row for i, row in enumerate(pairs(300))]
    assert found(rows)[check].hits == 30
    few = [row | change(row) if i == 0 else row for i, row in enumerate(pairs(300))]
    assert check not in found(few)


def test_the_prompt_twice_in_messages(found: Found, pairs: Make) -> None:
    """A prompt of messages and whole conversations beside it: a trainer puts them one after another."""

    def whole(row: dict[str, Any], key: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row[key]}]

    rows = pairs(100)
    implicit = [{key: whole(row, key) for key in ("chosen", "rejected")} for row in rows]
    assert found(implicit) == {}
    assert found([row | {"prompt": old["prompt"]} for row, old in zip(implicit, rows, strict=True)]) == {}
    twice = [row | {"prompt": whole(old, "chosen")[:1]} for row, old in zip(implicit, rows, strict=True)]
    assert found(twice)["prompt_twice"].hits == 100
