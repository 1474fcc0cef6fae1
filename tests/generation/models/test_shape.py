"""What a template makes of messages, found at load: templates in the manner of common families."""

import datetime
from typing import Any

import pytest

from benchmarks.styles import STYLES
from generation.engines.base import ModelError
from generation.models.encoder import Encoder

TURN = "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}"
OPEN = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
TURNS = "{% for m in messages %}" + TURN + "{% endfor %}"
PLAIN = TURNS + OPEN
R1 = TURNS + OPEN.replace("assistant\\n", "assistant\\n<think>\\n")
SWITCH = (
    TURNS + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}"
)
CHANNELS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] }}{% if m['role'] == 'assistant' %}{{ '<|channel|>final' }}{% endif %}"
    "{{ '<|message|>' + m['content'] + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant' }}{% endif %}"
)
LAST_ENDS = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' }}{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}<s>"
FIRST = TURNS.replace(
    "m['role'] +", "('assistant' if loop.index0 == 1 else 'model' if m['role'] == 'assistant' else m['role']) +"
)
NO_SYSTEM = TURNS.replace("in messages", "in messages if m['role'] != 'system'") + OPEN
LAST = "{% for m in messages[-1:] %}" + TURN + "{% endfor %}" + OPEN
NO_TOOL = "{# tool_calls #}" + TURNS.replace("in messages", "in messages if m['role'] != 'tool'") + OPEN
NO_TOOLS = "{# tools #}" + PLAIN
USER = {"role": "user", "content": "Which is better?"}


def encoder(template: str, **told: Any) -> Encoder:
    tokenizer = STYLES["chatml"]()
    tokenizer.chat_template = template
    return Encoder(tokenizer, **told)


def text(template: str, labels: bool, **told: Any) -> str:
    made = encoder(template, **told)
    return str(made._tokenizer.decode(made.encode([USER], labels=labels))).partition("<|im_end|>")[2]


@pytest.mark.parametrize(
    ("template", "told", "labels", "expected"),
    [
        pytest.param(PLAIN, {}, True, "\n<|im_start|>assistant\n", id="plain"),
        pytest.param(R1, {}, False, "\n<|im_start|>assistant\n<think>\n", id="thoughts"),
        pytest.param(R1, {}, True, "\n<|im_start|>assistant\n<think>\n\n</think>\n\n", id="thoughts-are-closed"),
        pytest.param(R1, {"answer_prefix": "</think>\n"}, False, "\n<|im_start|>assistant\n<think>\n</think>\n", id="prefix"),
        pytest.param(R1, {"answer_prefix": "</think>\n"}, True, "\n<|im_start|>assistant\n<think>\n</think>\n", id="prefix-of-labels"),
        pytest.param(SWITCH, {}, False, "\n<|im_start|>assistant\n", id="a-switch"),
        pytest.param(SWITCH, {}, True, "\n<|im_start|>assistant\n<think>\n\n</think>\n\n", id="a-switch-is-used"),
        pytest.param(SWITCH, {"template_kwargs": {"enable_thinking": True}}, True, "\n<|im_start|>assistant\n<think>\n\n</think>\n\n", id="a-switch-that-is-on"),
        pytest.param(SWITCH, {"template_kwargs": {"enable_thinking": False}}, False, "\n<|im_start|>assistant\n<think>\n\n</think>\n\n", id="a-switch-that-is-off"),
        pytest.param(TURNS, {}, True, "\n<|im_start|>assistant\n", id="no-generation-prompt"),
        pytest.param(TURNS.replace("m['content']", "('<think>\\n\\n</think>\\n' if m['role'] == 'assistant' else '') + m['content']"), {}, False,
                     "\n<|im_start|>assistant\n", id="no-generation-prompt-and-closed-thoughts"),
        pytest.param(CHANNELS, {}, True, "<|im_start|>assistant<|channel|>final<|message|>", id="a-header-of-the-answer"),
    ],
)  # fmt: skip
def test_labels_are_read_where_the_answer_begins(
    template: str, told: dict[str, Any], labels: bool, expected: str
) -> None:
    assert text(template, labels, **told) == expected


def test_the_label_is_the_token_with_which_an_answer_goes_on() -> None:
    for template in (PLAIN, R1, SWITCH, CHANNELS):
        made = encoder(template)
        assert made._tokenizer.convert_ids_to_tokens(made.label_id("A")) == "A"
    spaced = STYLES["inst"]()
    made = Encoder(spaced)
    before = made.encode([USER], labels=True)
    answered = [USER, {"role": "assistant", "content": "A"}]
    ids = spaced.apply_chat_template(answered, tokenize=True)["input_ids"]
    assert ids[: len(before) + 1] == [*before, made.label_id("A")]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        pytest.param(LAST_ENDS, "does not open the assistant's turn: before an answer it writes '\\n<|im_start|>assistant\\n', and not in the prompt; write it there", id="no-generation-prompt"),
        pytest.param(FIRST, "does not open the assistant's turn", id="a-header-of-the-first-answer-alone"),
        pytest.param(TURNS + "{% if add_generation_prompt %}{{ '\\n' }}{% endif %}", "does not open the assistant's turn", id="another-prompt"),
        pytest.param(PLAIN.replace("in messages", "in messages if m['role'] != 'assistant'"), "leaves out what the assistant says", id="no-answers"),
        pytest.param(PLAIN.replace("in messages", "in messages if m['role'] != 'user'"), "leaves out what the user says", id="no-questions"),
        pytest.param("{{ raise_exception('no') }}", "cannot write a chat of one user message: the chat does not fit the model's template (no)", id="nothing"),
    ],
)  # fmt: skip
def test_a_template_with_which_nothing_can_be_asked_is_refused(template: str, message: str) -> None:
    with pytest.raises(ModelError) as error:
        encoder(template)
    assert message in str(error.value)


SYSTEM = {"role": "system", "content": "Speak like a pirate."}
ANSWER = {"role": "assistant", "content": "Aye."}
CALLED = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "look", "arguments": {}}}],
}
RESULT = {"role": "tool", "content": "rain"}
TOOL = {"type": "function", "function": {"name": "look", "description": "", "parameters": {}}}


@pytest.mark.parametrize(
    ("template", "chat", "tools", "lost"),
    [
        pytest.param(NO_SYSTEM, [SYSTEM, USER], None, "system", id="system"),
        pytest.param(LAST, [USER, ANSWER, USER], None, "earlier assistant, earlier user", id="history"),
        pytest.param(NO_TOOL, [USER, CALLED, RESULT], None, "tool", id="tool"),
        pytest.param(NO_TOOLS, [USER], [TOOL], "tools", id="tools"),
    ],
)
def test_a_message_that_the_model_would_not_see_is_refused_and_others_are_not(
    template: str, chat: list[dict[str, Any]], tools: Any, lost: str
) -> None:
    if template == LAST:
        template = LAST.replace("messages[-1:]", "messages[(-2 if messages[-1]['role'] == 'assistant' else -1):]")
    made = encoder(template)
    assert made.encode([USER])
    assert lost.split(", ")[0] in made.shape.notes[0]
    with pytest.raises(ValueError, match=f"the model's chat template leaves out: {lost}$"):
        made.encode(chat, tools)


def test_a_message_that_is_left_out_of_one_chat_alone_is_seen() -> None:
    made = encoder(PLAIN.replace("in messages", "in messages[:4]"))
    with pytest.raises(ValueError, match="leaves out a message of the user's"):
        made.encode([USER, ANSWER, USER, ANSWER, {"role": "user", "content": "Something else entirely"}])


def test_the_day_is_the_runs_and_not_the_clocks() -> None:
    dated = "{{ strftime_now('%d %b %Y') }}" + PLAIN
    day, other = datetime.date(2024, 7, 26), datetime.date(2024, 7, 27)
    assert encoder(dated, day=day).encode([USER]) != encoder(dated, day=other).encode([USER])
    assert encoder(dated).encode([USER]) == encoder(dated, day=datetime.date.today()).encode([USER])


def test_a_model_that_thinks_is_known() -> None:
    assert [encoder(template).thinks for template in (PLAIN, R1, SWITCH)] == [False, True, True]
    assert not encoder(SWITCH, template_kwargs={"enable_thinking": False}).thinks
    assert encoder(R1).opens_thoughts == "<think>"
    assert encoder(R1, answer_prefix="</think>").opens_thoughts == ""
