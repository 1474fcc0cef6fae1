"""Sentences and fenced blocks."""

import pytest

from critics.text.sentences import Block, fenced_blocks, sentence_count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("...", 0),
        ("One.", 1),
        ("One", 1),
        ("One. Two? Three!", 3),
        ("Is it?! Yes.", 2),
        ("He paid 3.50. She paid 4.", 2),
        ("Dr. Who met Prof. X at 5 p.m. on St. Mary's.", 1),
        ("Fruit, e.g. apples, etc. is good.", 1),
        ('"Go." She went.', 2),
        ("# Head\n\n- one\n- two.\n1. three", 4),
        ("今天很好。明天呢？", 2),
        ("Look:\n```python\nx = 1. + 2.\n```\nDone.", 2),
        ("a." * 3, 1),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert sentence_count(text) == count


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("none", []),
        ("```py\na\n```", [Block("py", "a\n")]),
        ("```\na", [Block("", "a")]),
        ("~~~ JSON\n{}\n~~~\n```x\n~~~\n```", [Block("json", "{}\n"), Block("x", "~~~\n")]),
        ("````\n```\n````", [Block("", "```\n")]),
        ("text ``` text", []),
    ],
)
def test_blocks(text: str, blocks: list[Block]) -> None:
    assert fenced_blocks(text) == blocks


@pytest.mark.timeout(60)  # it takes a second where time grows with the length
@pytest.mark.parametrize("unit", ["a. ", "```\n", "a.", ".", "e.g. ", "\n", "1) "])
def test_a_long_text_is_read_to_its_end(unit: str) -> None:
    assert sentence_count(unit * (300_000 // len(unit))) >= 0
