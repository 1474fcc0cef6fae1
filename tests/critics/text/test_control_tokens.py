import pytest

from critics.text.control_tokens import divides_turns, within_turns

TURNS = [
    "Yes.<|im_end|>", "<|start_header_id|>user", "<｜Assistant｜>Yes.", "<|end▁of▁sentence|>", "[INST] Why? [/INST]", "[SYSTEM_PROMPT]",
    "<<SYS>>", "<</SYS>>", "<bos>Yes.", "Yes.<eos>", "<start_of_turn>model", "<end_of_turn>", "<start_of_text>", "<end_of_utterance>",
    "<extra_id_0>", "[CLS] Yes. [SEP]", "<s>Yes.", "Yes.</s>", "Yes.</s><s>No.", "### Instruction:\nSay so.", "Yes.\n###Human: No.",
]  # fmt: skip
NONE = [
    "", "a < b and b > c", "[1] a note", "<b>bold</b> and <s>struck</s> through", "### A heading", "### Response times", "if (a <| b)",
    "[INSTALL]", "x[0]", "<think>so</think>", "<eossed>", "a</s> b",
]  # fmt: skip


@pytest.mark.parametrize("text", TURNS)
def test_what_divides_turns_is_found(text: str) -> None:
    assert divides_turns(text)
    assert divides_turns(text.swapcase())


@pytest.mark.parametrize("text", NONE)
def test_other_marks_divide_no_turns(text: str) -> None:
    assert not divides_turns(text)


def test_tags_within_a_turn() -> None:
    assert all(
        map(
            within_turns,
            ["<think>so</think>", "so</THINK>", '<tool_call>{"name": "add"}</tool_call>', "<tool_response>3"],
        )
    )
    assert not any(map(within_turns, ["", "I think so", "<thinking>", "<b>", "<tool_calls>"]))
