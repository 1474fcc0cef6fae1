"""Records of a run become what is trained on; the same as its columns would."""

import json
from typing import Any

import pytest

from constitution.errors import UserError
from constitution.records import Function, Message, ToolCall
from generation.data.message import Told
from generation.output import reading
from generation.output.reading import TrainingPair
from training.data.columns import Pair, RowPrompt, Target
from training.data.parsing import pair, prompted, target

ASKED = (Message(role="user", content="Why?"),)
CALL = ToolCall(function=Function(name="look", arguments={"at": "sky"}))
TOOL = {"type": "function", "function": {"name": "look"}}
PROMPT = RowPrompt("p0", ASKED, (TOOL,), ("sky",))
ROW = TrainingPair(
    ASKED, Message(role="assistant", content="Because.", tool_calls=(CALL,)), Message(role="assistant", content="No."),
    0.75, "p0", False, True, (TOOL,), ("sky",), None, "digest", "train",
)  # fmt: skip
COLUMNS: dict[str, Any] = {
    "prompt": [{"role": "user", "content": "Why?"}],
    "chosen": [{"role": "assistant", "content": "Because.", "tool_calls": [CALL.model_dump()]}],
    "rejected": [{"role": "assistant", "content": "No."}],
    "p_chosen": 0.75,
    "prompt_id": "p0",
    "chosen_truncated": False,
    "rejected_truncated": True,
    "tools": json.dumps([TOOL]),
    "tags": ["sky"],
}


def test_a_pair_of_a_run_is_what_its_columns_say() -> None:
    expected = Pair(PROMPT, (ROW.chosen,), (ROW.rejected,), 0.75, 0.0, 1.0, (False, True))
    assert pair(ROW, Told()) == pair(COLUMNS, Told()) == expected
    assert prompted(ROW, Told()) == prompted(COLUMNS, Told()) == expected.prompt


def test_a_target_of_a_run_is_what_its_columns_say() -> None:
    row = reading.Target(ASKED, ROW.rejected, "p0", "p0/s1", "revised", "m", (TOOL,), ("sky",), None, "digest", "test")
    columns = {**COLUMNS, "completion": COLUMNS["rejected"]}
    assert target(row, Told()) == target(columns, Told()) == Target(PROMPT, (ROW.rejected,), 1.0)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param(ROW._replace(rejected=ROW.chosen), "chosen and rejected: are equal", id="equal"),
        pytest.param(ROW._replace(p_chosen=0.4), "p_chosen: got 0.4; allowed: 0.5 to 1", id="label"),
        pytest.param(
            ROW._replace(prompt=(*ASKED, ROW.rejected)), "prompt: the last to speak is assistant", id="assistant-last"
        ),
        pytest.param(ROW._replace(prompt=()), "prompt: the last to speak is nobody", id="empty"),
    ],
)
def test_a_pair_that_teaches_nothing_is_refused(row: TrainingPair, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pair(row, Told())
