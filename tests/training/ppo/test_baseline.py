"""The first policy's responses to held-out prompts: sampled once, kept, and read again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from constitution.records import Function, Message, Response, ToolCall
from training.data.columns import RowPrompt
from training.data.encode import PromptRow
from training.ppo.baseline import FILE, baseline

ROWS = [PromptRow(RowPrompt(name, (Message(role="user", content=name),)), (1, 2)) for name in "pq"]
CALL = (ToolCall(function=Function(name="look", arguments={"at": "sky"})),)


class Once:
    """A policy that writes two responses to each prompt, and only once."""

    def __init__(self) -> None:
        self.seeds: list[Sequence[Sequence[int]]] = []

    def write(self, rows: Sequence[PromptRow], seeds: Sequence[Sequence[int]]) -> list[Any]:
        assert not self.seeds, "the policy was asked again"
        self.seeds.append(seeds)
        return [row.prompt.id for row in rows]

    def said(self, rows: Sequence[PromptRow], written: Sequence[Any]) -> list[list[Response]]:
        first = Message(role="assistant", content="Blue.", tool_calls=CALL)
        other = Message(role="assistant", content="Red.")
        return [
            [
                Response(f"{name}/s{i}", name, message, "sampled", "<raw>", truncated=name == "q")
                for i, message in enumerate((first, other))
            ]
            for name in written
        ]


def test_the_first_response_is_kept_whole_and_sampled_once(tmp_path: Path) -> None:
    policy: Any = Once()
    made = baseline(tmp_path, policy, ROWS, 3, main=True)
    assert baseline(tmp_path, policy, ROWS, 3, main=True) == made
    assert [len(seeds) for seeds in policy.seeds[0]] == [1, 1]
    found = made["q"]
    assert (found.id, found.prompt_id, found.origin, found.raw) == ("q/baseline", "q", "sampled", "<raw>")
    assert (found.message.content, found.message.tool_calls) == ("Blue.", CALL)
    assert (made["p"].truncated, found.truncated) == (False, True)


def test_other_processes_write_no_file(tmp_path: Path) -> None:
    policy: Any = Once()
    assert baseline(tmp_path, policy, ROWS[:1], 3, main=False).keys() == {"p"}
    assert not (tmp_path / FILE).exists()
