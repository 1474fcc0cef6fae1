"""Texts of models that think, cut at the end of their thoughts; and texts about thoughts, left whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from critics.text.thoughts import answer_start, marks_thoughts, split

OPENED = {
    "think": "<think>\nMaybe {t}.\n</think>\n\n{a}",
    "on one line": "<think>{t}</think>{a}",
    "in capitals": "<THINK>{t}</Think> {a}",
    "thinking": "<thinking>{t}</thinking>\n{a}",
    "thought": "<thought>{t}</thought>\n{a}",
    "reasoning": "<reasoning>{t}</reasoning>\n{a}",
    "Seed": "<seed:think>{t}</seed:think>{a}",
    "Magistral": "[THINK]{t}[/THINK]{a}",
    "Kimi": "◁think▷{t}◁/think▷{a}",
    "Open Thoughts": "<|begin_of_thought|>{t}<|end_of_thought|>\n<|begin_of_solution|>{a}<|end_of_solution|>",
    "Command A": "<|START_THINKING|>{t}<|END_THINKING|><|START_RESPONSE|>{a}<|END_RESPONSE|>",
    "Hunyuan": "<think>{t}</think>\n<answer>\n{a}\n</answer>",
    "gpt-oss": "<|channel|>analysis<|message|>{t}<|end|><|start|>assistant<|channel|>final<|message|>{a}<|return|>",
    "gpt-oss, a type named": "<|channel|>analysis<|message|>{t}<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>{a}",
    "gpt-oss without special tokens": "analysisWe {t}.assistantfinal{a}",
    "thoughts that speak of the mark": "<think>It ends with </think> I {t}\n</think>\n{a}",
    "an unclosed block of code in them": "<think>\n```py\n{t}\n</think>\n{a}",
}  # fmt: skip


@pytest.mark.parametrize("thinks", [True, False, None])
def test_thoughts_that_were_opened_are_cut(thinks: bool | None) -> None:
    for name, form in OPENED.items():
        for answer in ("No issues.", "The user said </b>.\n\n```py\nprint(1)\n```"):
            text = form.format(t="wonder", a=answer)
            found = split(text, thinks)
            assert found.answer == answer, name
            assert "wonder" in found.thoughts, name
            assert not marks_thoughts(found.thoughts.replace("</think>", "")), name
            assert text[answer_start(text, thinks) :].lstrip().startswith((answer, "<")), name


@pytest.mark.parametrize(
    "text", ["<think>\nMaybe", "<think></think>", " [THINK]so", "<|channel|>analysis<|message|>We", "◁think▷"]
)
def test_thoughts_that_nothing_follows_are_all_there_is(text: str) -> None:
    assert split(text).answer == ""
    assert answer_start(text) == len(text)


@pytest.mark.parametrize(
    ("before", "call"),
    [
        ("<|channel|>analysis<|message|>We wonder.<|end|>", "<|start|>assistant<|channel|>commentary to=functions.look <|constrain|>json<|message|>{}"),
        ("<|channel|>analysis<|message|>We wonder.<|end|>", "<|start|>assistant to=functions.look<|channel|>commentary json<|message|>{}"),
        ("analysisWe wonder.", "assistantcommentary to=functions.look json{}"),
        ("", "<|channel|>commentary to=functions.look <|constrain|>json<|message|>{}"),
        ("", " to=functions.look<|channel|>commentary json<|message|>{}"),
    ],
)  # fmt: skip
def test_a_call_of_a_tool_ends_thoughts_in_channels(before: str, call: str) -> None:
    assert split(f"{before}{call}<|call|>" if "<|" in call else f"{before}{call}") == (
        call.strip() + ("<|call|>" if "<|" in call and not before else ""), "We wonder." if before else "",
    )  # fmt: skip


TEMPLATE_OPENED = "The user wants X.\n</think>\n\nGOOD eggs."


def test_thoughts_that_the_template_opened_are_cut_unless_the_model_does_not_think() -> None:
    assert split(TEMPLATE_OPENED, True) == split(TEMPLATE_OPENED) == ("GOOD eggs.", "The user wants X.")
    assert split(TEMPLATE_OPENED, False).answer == TEMPLATE_OPENED
    on_one_line = "So it is.</think>Eggs."
    assert split(on_one_line, True).answer == "Eggs."
    assert split(on_one_line).answer == on_one_line


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Close it with `</think>`\nand go on.", id="in-backticks"),
        pytest.param('Write "</think>"\n', id="in-quotes"),
        pytest.param("The tag </think> ends thoughts.", id="in-prose"),
        pytest.param("For example:\n```xml\n<think>\nhm\n</think>\n```\nThat is all.", id="in-a-block-of-code"),
        pytest.param("For example:\n~~~\nhm\n</think>\n~~~", id="in-another-block"),
        pytest.param("A model writes\n<think>\nhm\n</think>\nand then answers.", id="a-pair-in-the-middle"),
        pytest.param("analysis of the text: it is good", id="the-word-analysis"),
    ],
)
def test_a_text_about_the_marks_is_left_whole(text: str) -> None:
    assert split(text) == split(text, False) == (text.strip(), "")


@pytest.mark.parametrize("quote", ['"', "`", "'"])
def test_a_quoted_mark_ends_no_thoughts(quote: str) -> None:
    answer = f"The mark is {quote}</think>{quote} here."
    assert split(f"<think>hm</think>{answer}") == (answer, "hm")


def test_an_answer_may_speak_of_the_marks() -> None:
    answer = "Models end their thoughts with `</think>` or </think> as here."
    for text in (f"<think>hm</think>\n\n{answer}", f"<think>\nhm\n</think>\n{answer}"):
        assert split(text, True).answer == answer
    assert split(f"hm\n</think>\n\n{answer}", True).answer == answer


@pytest.mark.parametrize(
    "text",
    [
        "</think>" * 20_000,
        "```\n</think>\n" * 10_000,
        "<think>" * 20_000,
        " " * 200_000,
        "<think>" + " " * 100_000 + "</think>" + " " * 100_000 + "<|end|>" * 10_000,
        "".join("`" * n + "\n" for n in range(600, 3, -1)) + "</think>\n" * 5_000,
        "<|channel|>final" * 20_000,
    ],
    ids=range(7),
)
def test_a_hostile_text_is_read(text: str) -> None:
    """In time linear in its length: otherwise this takes minutes."""
    assert len(split(text, True).answer) <= len(text)


@given(
    st.lists(
        st.sampled_from(
            ["<think>", "</think>", "\n", "a", "```\n", "`", "[/THINK]", "<|channel|>final<|message|>", " "]
        ),
        max_size=12,
    ).map("".join)
)
def test_what_is_cut_and_what_is_left_are_parts_of_the_text(text: str) -> None:
    for thinks in (True, False, None):
        found = split(text, thinks)
        assert found.answer in text
        assert split(text, thinks).answer == found.answer
        assert 0 <= answer_start(text, thinks) <= len(text)
