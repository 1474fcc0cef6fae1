"""The file of what is imitated: its columns, and that it is read as it was written."""

import json
from pathlib import Path

import pytest

from constitution.records import Function, Message, Prompt, Response, ToolCall
from generation.data.message import Told
from training.best_of.choice import Choice, RewardedSample
from training.best_of.responses import Outcome
from training.best_of.rows import read, write
from training.data import sources
from training.data.columns import RowPrompt, Target
from training.data.parsing import target

TOOLS = ({"type": "function", "function": {"name": "look"}},)
CALL = ToolCall(function=Function(name="look", arguments={"at": "sky"}))


def outcome(name: str, prompt: Prompt, message: Message, truncated: bool) -> Outcome:
    kept = RewardedSample(3, Response(f"{name}/s3", name, message, "sampled", "raw", truncated=truncated), 2.5)
    other = RewardedSample(
        0, Response(f"{name}/s0", name, Message(role="assistant", content="no"), "sampled", "no"), 0.5
    )
    return Outcome(prompt, (other, kept), (), Choice((kept,), 1.5, ""))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    why, how = (Message(role="user", content=text) for text in ("Why?", "How?"))
    plain = Prompt(id="p0", messages=(why,))
    tagged = Prompt(id="p1", messages=(Message(role="system", content="Be brief."), how), tools=TOOLS, tags=("hard",))
    said, called = Message(role="assistant", content="so"), Message(role="assistant", tool_calls=(CALL,))
    write(
        tmp_path / "best.jsonl",
        {"train": [outcome("p0", plain, said, False)], "test": [outcome("p1", tagged, called, True)]},
    )
    return tmp_path / "best.jsonl"


def test_a_line_has_the_columns_of_sft_and_how_it_was_chosen(path: Path) -> None:
    plain, tagged = (json.loads(line) for line in path.read_text().splitlines())
    assert plain == {
        "prompt": [{"role": "user", "content": "Why?"}],
        "completion": [{"role": "assistant", "content": "so"}],
        "score": 2.5, "mean": 1.5, "sample": 3, "responses": 2, "prompt_id": "p0", "split": "train",
    }  # fmt: skip
    assert (tagged["split"], tagged["completion_truncated"], tagged["tags"]) == ("test", True, ["hard"])
    assert tagged["tools"] == [*TOOLS]


def test_it_is_read_as_it_was_written_here_and_as_data_of_sft(path: Path) -> None:
    found = read(path)
    system = Message(role="system", content="Be brief.")
    called, said = Message(role="assistant", tool_calls=(CALL,)), Message(role="assistant", content="so")
    assert found == {
        "train": [Target(RowPrompt("p0", (Message(role="user", content="Why?"),)), (said,), 1.0)],
        "test": [
            Target(
                RowPrompt("p1", (system, Message(role="user", content="How?")), TOOLS, ("hard",)),
                (called,),
                1.0,
                truncated=True,
            )
        ],
    }
    assert [target(raw.row, Told()) for raw in sources.read(str(path), "sft")] == [*found["train"], *found["test"]]


def test_what_was_thought_before_a_response_is_imitated_with_it(tmp_path: Path) -> None:
    prompt = Prompt(id="p0", messages=(Message(role="user", content="Why?"),))
    message = Message(role="assistant", content="So.")
    kept = RewardedSample(0, Response("p0/s0", "p0", message, "sampled", "<think>\nHm.\n</think>\n\nSo."), 1.0)
    write(tmp_path / "best.jsonl", {"train": [Outcome(prompt, (kept,), (), Choice((kept,), 1.0, ""))], "test": []})
    (row,) = map(json.loads, (tmp_path / "best.jsonl").read_text().splitlines())
    assert row["completion"] == [{"role": "assistant", "content": "So.", "reasoning_content": "Hm."}]
