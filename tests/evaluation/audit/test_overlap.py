"""Near-duplicate prompts and overlap with evaluation sets, against counting by hand and by brute force."""

import gzip
import json
import random
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constitution.errors import UserError
from evaluation.audit import minhash
from evaluation.audit.overlap import (
    SHINGLE,
    NearDuplicate,
    Overlap,
    Repeats,
    evaluation_items,
    grams,
    jaccard,
    near_duplicates,
    overlaps,
)
from tests.properties import examples

QUESTION = "how many apples does the farmer sell on a market day in the town"


def test_grams_are_of_words_and_a_short_text_is_one() -> None:
    assert len(grams("One two, three four!", 3)) == 2
    assert grams("one TWO three four", 3) == grams("One, two: three (four)", 3)
    assert len(grams("only this", 8)) == 1
    assert len(grams("今天天气好", 3)) == 3
    assert not grams(" ?! ", 3)


def test_a_prompt_that_repeats_an_earlier_one_is_found() -> None:
    prompts = [
        ("a", QUESTION),
        ("b", "Something else altogether is asked here."),
        ("c", QUESTION.upper() + "?"),
        ("d", QUESTION + " hall"),
    ]
    # c has the same twelve 3-grams; d has one more
    found = [NearDuplicate("c", "a", 1.0), NearDuplicate("d", "a", 12 / 13)]
    assert near_duplicates(prompts, 0.8) == Repeats(2, found, estimated=False)
    assert near_duplicates(prompts, 0.95) == Repeats(1, found[:1], estimated=False)


words = st.lists(st.sampled_from("abcde"), min_size=0, max_size=9).map(" ".join)


@examples(200)
@given(st.lists(words, max_size=12), st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_looking_up_the_rare_ones_finds_what_comparing_all_finds(texts: list[str], near: float) -> None:
    prompts = [(str(i), text) for i, text in enumerate(texts)]
    kept: list[int] = []
    expected = []
    for i, text in enumerate(texts):
        mine = grams(text, SHINGLE)
        scores = [(jaccard(mine, grams(texts[j], SHINGLE)), -j) for j in kept] if mine else []
        score, j = max(scores, default=(0.0, 0))
        if score >= near:
            expected.append(NearDuplicate(str(i), str(-j), score))
        else:
            kept.append(i)
    assert near_duplicates(prompts, near) == Repeats(len(expected), expected, estimated=False)


def templated(rows: int, slots: int) -> list[tuple[str, str]]:
    """Prompts that share most of their words with hundreds of others, and are near-duplicates of few: every tenth of the one before."""
    slot = lambda name, n: " ".join(f"{name}{n}-{i}" for i in range(6))  # noqa: E731
    texts = [f"{slot('a', i % slots)} {slot('b', i // slots)} {slot('c', 0)} {slot('d', 0)}" for i in range(rows)]
    return [(str(i), texts[i - 1] + " please" if i % 10 == 9 else text) for i, text in enumerate(texts)]


def test_too_many_prompts_or_too_many_alike_are_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = templated(600, 20)
    exact = near_duplicates(prompts, 0.8)
    assert not exact.estimated
    assert exact.number == 60
    by_size = near_duplicates(prompts, 0.8, most=1000)
    monkeypatch.setattr("evaluation.audit.overlap.COMPARED", 0)
    for found in (by_size, near_duplicates(prompts, 0.8)):
        assert found.estimated
        assert found.number == len(found.found)
        assert abs(found.number - exact.number) <= 10
        assert len({one.prompt_id for one in found.found} & {one.prompt_id for one in exact.found}) >= 50
    assert len(near_duplicates(prompts, 0.8, most=1000, listed=3).found) == 3


def test_nothing_is_like_a_prompt_without_words() -> None:
    assert near_duplicates(
        [("a", "?!"), ("b", "!"), ("c", "one two three"), ("d", "One two three!")], 0.8, most=0
    ) == Repeats(1, [NearDuplicate("d", "c", 1.0)], estimated=True)


def test_estimates_are_near_the_jaccard_index() -> None:
    dice = random.Random(0)
    a = [dice.getrandbits(64) for _ in range(400)]
    for share in (0.5, 0.8, 0.95):
        same = round(400 * 2 * share / (1 + share))
        pairs = [
            array("Q", sorted(one))
            for _ in range(50)
            for one in (a, a[:same] + [dice.getrandbits(64) for _ in range(400 - same)])
        ]
        found = minhash.signatures(pairs)
        assert abs(float((found[::2] == found[1::2]).mean()) - share) < 0.04


def test_overlap_counts_the_shorter_text(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text(json.dumps({"prompt": QUESTION}) + "\n\n" + json.dumps({"prompt": "Hi there!"}) + "\n")
    prompts = [
        ("inside", f"Please answer this. {QUESTION}? Think first."),  # all 7 of the item's 8-grams
        ("half", "how many apples does the farmer sell on a sunny morning in may or june"),  # 2 of 7
        ("short", "hi there"),
        ("other", "What is the capital of Australia, and how many people live in it these days?"),
    ]
    assert overlaps(prompts, [path], 8, 0.5) == [
        Overlap("inside", f"{path}:1", 1.0),
        Overlap("short", f"{path}:3", 1.0),
    ]
    assert overlaps(prompts, [path], 8, 0.25)[1] == Overlap("half", f"{path}:1", 2 / 7)


def test_evaluation_sets_with_columns_of_other_names(tmp_path: Path) -> None:
    mapped, own = tmp_path / "mapped.jsonl", tmp_path / "own.jsonl"
    mapped.write_text(json.dumps({"question": QUESTION, "prompt": "Else entirely."}) + "\n")
    own.write_text(json.dumps({"prompt": "Hi there!"}) + "\n")
    prompts = [("inside", QUESTION), ("short", "hi there"), ("other", "else entirely")]

    found = overlaps(prompts, [mapped, own], 8, 0.5, ["prompt=question"])

    assert found == [Overlap("inside", f"{mapped}:1", 1.0), Overlap("short", f"{own}:1", 1.0)]
    with pytest.raises(
        UserError, match=r"--map prompt=quesiton: --against has no column quesiton \(did you mean question\?\)"
    ):
        overlaps(prompts, [mapped, own], 8, 0.5, ["prompt=quesiton"])


def test_evaluation_sets_in_every_form(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl.gz"
    turns = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Why?"},
        {"role": "tool", "content": None},
    ]
    with gzip.open(path, "wt") as file:
        file.write(json.dumps({"messages": turns, "other": 1}) + "\n" + json.dumps({"prompt": "How?"}) + "\n")
    assert list(evaluation_items(path)) == [(f"{path}:1", "Why?\n"), (f"{path}:2", "How?")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": is empty; allowed: rows with `prompt`"),
        ("{", ":1: is not JSON"),
        (
            '{"question": "x"}',
            ":1: got question; allowed: a row with `prompt`, which is text or a list of messages",
        ),
        ("[1]", ":1: got 1; allowed: an object"),
        ('{"prompt": [1]}', ":1: prompt.0: got 1; allowed"),
    ],
)
def test_what_is_no_evaluation_set(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        list(evaluation_items(path))
    assert f"{path}{message}" in str(error.value)
    with pytest.raises(UserError, match=r"none: no such file or folder; allowed: .jsonl"):
        list(evaluation_items(tmp_path / "none"))


def test_a_broken_archive_is_said(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl.gz"
    packed = bytearray(gzip.compress(json.dumps({"prompt": QUESTION}).encode()))
    packed[12] ^= 0xFF
    path.write_bytes(packed)
    with pytest.raises(UserError, match=r"test.jsonl.gz: cannot be read"):
        list(evaluation_items(path))
