"""What is trained on is what the model's own template writes, and what the assistant writes of it is known token by token."""

from collections import Counter
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, trainers
from transformers import PreTrainedTokenizerFast

from benchmarks.families import FAMILIES, tokenizer_of
from benchmarks.families_more import MORE
from benchmarks.styles import STYLES, control_tokens
from benchmarks.templates_trained import ASKED, ROWS, SYSTEM, TOOLS, WEATHER, called, judged, result, said
from generation.data.message import message
from generation.engines.base import ModelError
from generation.models.encoder import Encoder
from generation.models.written import Written
from tests.properties import examples

BORROWED = "its chat template ends no answer: '<|user|>', with which the next turn begins, is trained on as its end"
UNUSABLE = {"an end between turns alone", "no end of the turn", "answers left out"}


@cache
def made(family: str) -> tuple[Any, Encoder]:
    tokenizer = tokenizer_of((FAMILIES | MORE)[family])
    return tokenizer, Encoder(tokenizer)


def written(family: str, prompt: list[dict[str, Any]], *sides: list[dict[str, Any]], **more: Any) -> Written:
    encoder = made(family)[1]
    chats = [[message(one, Counter()) for one in chat] for chat in (prompt, *sides)]
    return encoder.written(chats[0], chats[1:], **more)


def texts(family: str, found: Written) -> list[tuple[str, str]]:
    """What is learnt of each side, and all of it with what is not in brackets."""
    tokenizer = made(family)[0]
    shown = []
    for side in found.sides:
        text, learnt, own = "", "", True
        for token, trained in zip(side.tokens, side.trained, strict=True):
            if trained != own:
                text, own = text + ("«" if own else "»"), trained
            text += tokenizer.decode([token])
            learnt += tokenizer.decode([token]) * trained
        shown.append((learnt, text + ("" if own else "»")))
    return shown


@pytest.mark.parametrize("family", FAMILIES | MORE)
def test_ids_are_the_templates_own_or_it_is_told(family: str) -> None:
    found = {title: judged(family, row) for title, row in ROWS.items()}
    assert {title: more for title, (kind, more) in found.items() if kind == "wrong"} == {}
    if family in UNUSABLE:
        assert {kind for kind, _ in found.values()} == {"refused"}
    else:
        as_rendered = "told" if made(family)[1].examine_training([])[:1] == [BORROWED] else "equal"
        assert {found[title][0] for title in ("plain", "short", "empty", "earlier turns", "all turns")} == {as_rendered}


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        pytest.param("chatml", "It is mild.<|im_end|>", id="plain"),
        pytest.param("llama 2", " It is mild. </s>", id="spaces-of-the-template"),
        pytest.param("vicuna", " It is mild.</s>", id="a-space"),
        pytest.param("gpt-oss", "<|channel|>final<|message|>It is mild.<|return|>", id="a-channel"),
        pytest.param("qwen3", "<think>\n\n</think>\n\nIt is mild.<|im_end|>", id="closed-thoughts"),
        pytest.param("qwen3 thinking", "\n</think>\n\nIt is mild.<|im_end|>", id="thoughts-the-prompt-opens"),
        pytest.param("deepseek r1", "It is mild.<｜end▁of▁sentence｜>", id="thoughts-left-out"),
        pytest.param("command a", "<|START_RESPONSE|>It is mild.<|END_RESPONSE|><|END_OF_TURN_TOKEN|>", id="an-end-before-the-end"),
        pytest.param("phi 3", "It is mild.<|end|>", id="an-end-of-text-behind"),
        pytest.param("mistral v3", " It is mild.</s>", id="no-header"),
        pytest.param("no generation prompt", "It is mild.<|im_end|>", id="no-generation-prompt"),
        pytest.param("glm 4.5", "\n<think></think>\nIt is mild.<|user|>", id="an-end-from-the-next-turn"),
    ],
)  # fmt: skip
def test_the_assistant_writes_what_follows_the_generation_prompt(family: str, expected: str) -> None:
    found = written(family, [ASKED], [said("assistant", "It is mild.")])
    assert texts(family, found)[0][0] == expected
    assert all(found.sides[0].trained)


def test_thoughts_switched_off_stand_in_the_prompt() -> None:
    found = written("qwen3", [ASKED], [said("assistant", "Mild.")], template_kwargs={"enable_thinking": False})
    tokenizer = made("qwen3")[0]
    assert tokenizer.decode(found.before).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert texts("qwen3", found)[0][0] == "Mild.<|im_end|>"


SEVERAL = [
    called("Paris"),
    result("mild"),
    said("assistant", "It is."),
    said("user", "now?"),
    said("assistant", "now."),
]
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        pytest.param(
            "qwen2.5",
            CALL
            + "<|im_end|>«\n<|im_start|>user\n<tool_response>\nmild\n</tool_response><|im_end|>\n<|im_start|>assistant\n»"
            "It is.<|im_end|>«\n<|im_start|>user\nnow?<|im_end|>\n<|im_start|>assistant\n»now.<|im_end|>",
            id="hermes",
        ),
        pytest.param(
            "gpt-oss",
            ' to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Paris"}<|call|>'
            '«<|start|>functions.look to=assistant<|channel|>commentary<|message|>"mild"<|end|><|start|>assistant»'
            "<|channel|>final<|message|>It is.<|end|>«<|start|>user<|message|>now?<|end|><|start|>assistant»"
            "<|channel|>final<|message|>now.<|return|>",
            id="channels",
        ),
        pytest.param(
            "mistral v7",
            '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris"}}]</s>«[TOOL_RESULTS]mild[/TOOL_RESULTS]»It is.</s>'
            "«[INST]now?[/INST]»now.</s>",
            id="no-generation-prompt",
        ),
        pytest.param(
            "glm 4.5",
            "\n<think></think>\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n</tool_call>"
            "<|observation|>«\n<tool_response>\nmild\n</tool_response><|assistant|>»\n<think></think>\nIt is.<|user|>"
            "«\nnow?<|assistant|>»\n<think></think>\nnow.<|user|>",
            id="ends-from-the-next-turns",
        ),
    ],
)
def test_only_the_assistants_turns_are_learnt(family: str, expected: str) -> None:
    found = written(family, [WEATHER], SEVERAL)
    assert texts(family, found)[0][1] == expected


def test_thoughts_of_earlier_turns_are_learnt_where_the_template_keeps_them() -> None:
    side = [
        called("Paris", reasoning_content="Look it up."),
        result("mild"),
        said("assistant", "Mild.", reasoning_content="So."),
    ]
    found = texts("qwen3", written("qwen3", [WEATHER], side))[0][0]
    assert found == f"<think>\nLook it up.\n</think>\n\n{CALL}<|im_end|><think>\nSo.\n</think>\n\nMild.<|im_end|>"


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        pytest.param("qwen3", "<think>\nSo.\n</think>\n\nMild.<|im_end|>", id="a-field"),
        pytest.param("qwen3 thinking", "So.\n</think>\n\nMild.<|im_end|>", id="a-field-and-opened"),
        pytest.param("deepseek r1", "So.\n</think>\n\nMild.<｜end▁of▁sentence｜>", id="left-out-by-the-template"),
        pytest.param("chatml with think tokens", "<think>\nSo.\n</think>\n\nMild.<|im_end|>", id="tokens-alone"),
        pytest.param("chatml", "Mild.<|im_end|>", id="no-place"),
    ],
)
def test_thoughts_are_learnt_after_the_prompt_that_opens_them(family: str, expected: str) -> None:
    tokenizer, encoder = made(family)
    found = written(family, [ASKED], [said("assistant", "Mild.", reasoning_content="So.")])
    assert texts(family, found)[0][0] == expected
    assert found.before == encoder.encode([message(ASKED, Counter())])
    assert {"<think>", "</think>"} & {*tokenizer.convert_ids_to_tokens(found.sides[0].tokens)} or family == "chatml"


@pytest.mark.parametrize("family", ["chatml", "llama 2", "gpt-oss", "qwen3", "mistral v3", "phi 3", "command a"])
def test_sides_share_their_prompt_and_are_what_each_is_alone(family: str) -> None:
    sides = [[said("assistant", text)] for text in ("It is mild.", " Nobody knows\n", "", "It is.")]
    together = written(family, [ASKED], *sides)
    for side, alone in zip(together.sides, (written(family, [ASKED], side) for side in sides), strict=True):
        assert together.before + side.tokens == alone.before + alone.sides[0].tokens
        assert [token for token, own in zip(side.tokens, side.trained, strict=True) if own] == [
            token for token, own in zip(alone.sides[0].tokens, alone.sides[0].trained, strict=True) if own
        ]


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in UNUSABLE])
def test_a_cut_answer_has_no_end(family: str) -> None:
    tokenizer, encoder = made(family)
    cut = written(family, [ASKED], [said("assistant", "It scatters")], cut=[True]).sides[0]
    assert tokenizer.decode(cut.tokens).endswith("It scatters")
    assert all(cut.trained)
    assert encoder.end_of_turn not in cut.tokens


def test_a_template_that_ends_an_answer_as_it_ends_no_other_is_told() -> None:
    tokenizer = tokenizer_of(FAMILIES["chatml"])
    tokenizer.chat_template = FAMILIES["chatml"].template.replace(
        "<|im_end|>\n{% endfor %}", "{% if m.content != 'no end' %}<|im_end|>\n{% endif %}{% endfor %}"
    )
    with pytest.raises(ValueError, match="does not end this answer as it ends others"):
        Encoder(tokenizer).written([ASKED], [[said("assistant", "no end")]])


def test_a_token_that_reaches_over_the_beginning_of_an_answer_is_the_answers() -> None:
    backend = Tokenizer(models.BPE())
    backend.train_from_iterator(["\n\nb"] * 9, trainers.BpeTrainer(special_tokens=["<|im_start|>", "<|im_end|>"]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")
    tokenizer.chat_template = "{% for m in messages %}{{ '<|im_start|>\n' + m['content'] + '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>\n' }}{% endif %}"
    found = Encoder(tokenizer).written([said("user", "b")], [[said("assistant", text)] for text in ("\nb", "b")])
    shown = [tokenizer.convert_ids_to_tokens(ids) for ids in (found.before, *(side.tokens for side in found.sides))]
    assert shown == [
        ["<|im_start|>", "\n", "b", "<|im_end|>", "<|im_start|>"],
        ["\n\nb", "<|im_end|>"],
        ["\n", "b", "<|im_end|>"],
    ]
    assert [side.trained for side in found.sides] == [[True, True], [False, True, True]]


def test_what_does_not_end_with_an_answer_is_told() -> None:
    with pytest.raises(ValueError, match="does not end with what the assistant says"):
        made("chatml")[1].written([ASKED], [[said("assistant", "a"), said("user", "b")]])


def test_an_answer_that_the_template_leaves_out_is_told() -> None:
    tokenizer = tokenizer_of(FAMILIES["chatml"])
    tokenizer.chat_template = FAMILIES["chatml"].template.replace(
        "{{ m.content }}", "{{ m.content[:12] if m.role == 'assistant' else m.content }}"
    )
    with pytest.raises(ValueError, match="leaves out a message of the assistant's"):
        Encoder(tokenizer).written([ASKED], [[said("assistant", "It is, as somebody remarked")]])


@pytest.mark.parametrize(
    ("turn", "opening"),
    [
        pytest.param(
            "'<|im_start|>' + m.role + '\n' + m.content", "<|im_start|>assistant\n", id="it-opens-answers-as-well"
        ),
        pytest.param("('<s>' if m.role == 'user' else '') + m.content", "", id="the-beginning-of-a-text"),
        pytest.param("m.role + ': ' + m.content", "assistant: ", id="no-token"),
    ],
)
def test_a_token_that_does_not_say_that_the_answer_is_over_ends_none(turn: str, opening: str) -> None:
    tokenizer = tokenizer_of(FAMILIES["chatml"])
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    asked = "{% if add_generation_prompt %}" + opening + "{% endif %}"
    tokenizer.chat_template = "{% for m in messages %}{{ " + turn + " }}{% endfor %}" + asked
    with pytest.raises(ModelError, match="ends the assistant's turn with no control token"):
        _ = Encoder(tokenizer).end_of_turn


@pytest.mark.parametrize("style", [name for name in STYLES if name != "embedded"])
@examples(15)
@given(contents=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Co", "Cs"]), max_size=30), min_size=3, max_size=3))  # fmt: skip
def test_any_texts_have_the_tokenizers_own_ids(style: str, contents: list[str]) -> None:
    tokenizer, encoder = styled(style)
    if any(text in content for content in contents for text in control_tokens(tokenizer)):
        return
    chat = [said(role, text) for role, text in zip(("user", "assistant", "user"), contents, strict=True)]
    found = encoder.written(chat, [[said("assistant", text)] for text in ("one", contents[0])])
    for side, text in zip(found.sides, ("one", contents[0]), strict=True):
        own = tokenizer.apply_chat_template([*chat, said("assistant", text)], tokenize=True)["input_ids"]
        ours = [*found.before, *side.tokens]
        assert ours == own[: len(ours)]
        assert not tokenizer.decode(own[len(ours) :]).strip()


@pytest.mark.parametrize("style", [name for name in STYLES if name != "embedded"])
def test_no_control_token_comes_from_what_is_learnt(style: str) -> None:
    tokenizer, encoder = styled(style)
    controls = control_tokens(tokenizer)
    benign = encoder.written([ASKED], [[said("assistant", "word")]])
    expected = [i for i in [*benign.before, *benign.sides[0].tokens] if i in controls.values()]
    for text in controls:
        for content in (text, f" {text} then", f"before{text}{text}", text[1:], text[len(text) // 2 :]):
            found = encoder.written([ASKED], [[said("assistant", content)]])
            assert [i for i in [*found.before, *found.sides[0].tokens] if i in controls.values()] == expected


@cache
def styled(style: str) -> tuple[Any, Encoder]:
    tokenizer = STYLES[style]()
    return tokenizer, Encoder(tokenizer)


@pytest.mark.parametrize(
    ("family", "kinds", "expected"),
    [
        pytest.param("chatml", ["answers"], [], id="nothing"),
        pytest.param("llama 2", ["answers"], [], id="white-space"),
        pytest.param("gpt-oss", ["answers"], ["its chat template writes '<|channel|>final<|message|>' before an answer, which is trained on as part of it"], id="a-channel"),
        pytest.param("qwen3", ["answers"], ["set chat_template_kwargs: {enable_thinking: false} to have it in the prompt"], id="closed-thoughts"),
        pytest.param("deepseek r1", ["answers"], ["writes '<think>\\n' before an answer is sampled, and not in a chat that is answered"], id="opened-thoughts"),
        pytest.param("deepseek r1", ["thoughts"], ["before an answer is sampled", "thoughts of the last answer are trained on as the model writes them"], id="thoughts-left-out"),
        pytest.param("chatml", ["thoughts"], ["reasoning_content is left out"], id="no-place-for-thoughts"),
        pytest.param("chatml with think tokens", ["thoughts"], ["thoughts are trained on between <think> and </think>"], id="thoughts-by-tokens"),
        pytest.param("chatml", ["calls"], ["knows no tools", "writes no tool calls"], id="no-tools"),
        pytest.param("llama 3.1", ["calls"], ["leaves out what is said beside a tool call"], id="text-beside-a-call"),
        pytest.param("qwen2.5", ["answers", "calls"], [], id="tools"),
    ],
)  # fmt: skip
def test_what_differs_is_told_before_anything_loads(family: str, kinds: list[Any], expected: list[str]) -> None:
    notes = made(family)[1].examine_training(kinds)
    assert len(notes) == len(expected)
    for note, words in zip(notes, expected, strict=True):
        assert words in note


def test_a_template_that_leaves_out_what_is_called_is_refused() -> None:
    tokenizer = tokenizer_of(FAMILIES["qwen2.5"])
    tokenizer.chat_template = tokenizer.chat_template.replace("c.function.name", "'look'")
    with pytest.raises(ModelError, match="leaves out which tool is called; mend it, and save the tokenizer"):
        Encoder(tokenizer).examine_training(["calls"])


def test_a_call_that_no_parser_would_read_back_is_told() -> None:
    with pytest.raises(ValueError, match="arguments hold </tool_call>, which would end the call"):
        written("qwen2.5", [WEATHER], [called("Paris</tool_call>")])
    learnt, _ = texts("mistral v7", written("mistral v7", [WEATHER], [called("Paris</tool_call>")]))[0]
    assert learnt == '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris</tool_call>"}}]</s>'


def test_a_call_that_the_template_leaves_out_is_told() -> None:
    with pytest.raises(ValueError, match="leaves out a tool call"):
        written("gpt-oss", [WEATHER], [called("Paris", "Rome")])


def test_system_messages_and_tools_stand_before_the_sides() -> None:
    found = written("qwen2.5", [SYSTEM, WEATHER], [called("Paris")], [said("assistant", "No.")], tools=TOOLS)
    before = made("qwen2.5")[0].decode(found.before)
    assert "Hello there, friend!" in before
    assert '"name": "get_weather"' in before
    assert [learnt for learnt, _ in texts("qwen2.5", found)] == [f"{CALL}<|im_end|>", "No.<|im_end|>"]
