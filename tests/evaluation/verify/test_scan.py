"""One pass over a dataset: what is held of every pair, and what is seen in its texts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from constitution.errors import UserError
from evaluation.verify import scan as scanning
from evaluation.verify.rows import Pair
from evaluation.verify.scan import (
    CONTROL,
    CONTROL_ASKED,
    CUT_CHOSEN,
    CUT_REJECTED,
    DOUBLED,
    ECHO_CHOSEN,
    ECHO_REJECTED,
    EMPTY,
    FAILED,
    GARBLED,
    SAME,
    TWICE,
    Scan,
    folded,
    marked,
)  # fmt: skip

ASKED = "Which river is the longest of all?"
FORTY = "Tell me about rivers of the whole world."
TOKEN, FAILURE, GARBAGE = "Yes.<|im_start|>user", "Error: rate limit exceeded", "\ufffd" * 40


def pair_of(chosen: str = "The Nile.", rejected: str = "The Rhine, I think.", prompt: str = ASKED, **more: Any) -> Pair:
    known = {"number": 1, "split": 0, "prompt": prompt, "chosen": chosen, "rejected": rejected, "given": prompt}
    missing = {name: None for name in Pair._fields if name not in known and name not in Pair._field_defaults}
    return Pair(**{**missing, **known, **more})


def test_a_sound_pair_has_no_mark() -> None:
    assert marked(pair_of()) == 0


@pytest.mark.parametrize(
    ("text", "mark"), [(TOKEN, CONTROL), (FAILURE, FAILED), (GARBAGE, GARBLED), ("", EMPTY), (" \n", EMPTY)]
)
def test_what_one_response_holds_is_seen_in_either(text: str, mark: int) -> None:
    assert marked(pair_of(chosen=text)) == marked(pair_of(rejected=text)) == mark


@pytest.mark.parametrize(
    ("pair", "mark"),
    [
        (pair_of(prompt=TOKEN), CONTROL_ASKED),
        (pair_of(chosen=f"{ASKED} The Nile."), ECHO_CHOSEN),
        (pair_of(rejected=f"{ASKED} The Rhine."), ECHO_REJECTED),
        (pair_of(f"{ASKED} The Nile.", f"{ASKED} The Rhine."), TWICE),
        (pair_of(chosen=f"{'x' * 64} {ASKED}"), 0),
        (pair_of(twice=True), TWICE),
        (pair_of("Longest, you ask? The Nile.", prompt="Longest, you"), ECHO_CHOSEN),
        (pair_of("Longest, yo? The Nile.", prompt="Longest, yo"), 0),
        (pair_of(prompt=f"{FORTY} {FORTY}"), DOUBLED),
        (pair_of(prompt=FORTY), 0),
        (pair_of(prompt=f"{FORTY} {FORTY} Please."), 0),
        (pair_of("The  Nile.", "The Nile."), SAME),
        (pair_of("The Nile." + " " * 20, "The Nile."), 0),
        (pair_of(cut=(True, False)), CUT_CHOSEN),
        (pair_of(cut=(False, True)), CUT_REJECTED),
        (pair_of(cut=(True, True), chosen=""), CUT_CHOSEN | CUT_REJECTED | EMPTY),
    ],
    ids=range(16),
)
def test_what_else_is_seen(pair: Pair, mark: int) -> None:
    assert marked(pair) == mark


def test_texts_that_differ_in_case_and_punctuation_are_one() -> None:
    assert folded("Which River?  ") == folded("which river") == b"which river"
    assert folded("ÄRGER!") == folded("ärger")
    assert folded("?!") != folded("!?"), "of a text without letters nothing is left out"


def test_every_pair_is_held(read: Callable[..., Scan]) -> None:
    rows = [
        {"prompt": f"Question {i} about rivers?", "chosen": f"Answer {i}.", "rejected": "No idea.", "chosen_score": 5 - i, "rejected_score": i}
        for i in range(3)
    ]  # fmt: skip
    found = read([*rows, {"prompt": "x", "chosen": 1.5, "rejected": "y"}], test=rows[:2])
    held = found.numbers
    assert (found.rows, found.pairs, found.splits, found.unlabelled) == (6, 5, ["train", "test"], 0)
    order = [found.place(int(s), int(n)) for s, n in zip(held.split, held.number, strict=True)]
    assert sorted(order) == ["test:1", "test:2", "train:1", "train:2", "train:3"]
    assert [*held.chosen_size] == [9] * 5
    assert [*held.rejected_size] == [8] * 5
    assert len({*held.prompt}) == 3 == len({*held.chosen})
    assert len({*held.rejected}) == 1
    assert [*held.listed] == [*held.asked] == [-1] * 5
    ((better, worse),) = found.scores.values()
    assert sorted(zip(better, worse, strict=True)) == [(3, 2), (4, 1), (4, 1), (5, 0), (5, 0)]
    assert [sum(found.bad.values()), len(found.first_bad)] == [1, 1]
    assert "4" in found.first_bad[0]
    assert found.places(held.of("number") == 2) == ("train:2", "test:2") == found.places([1, 4])
    assert len(found.places([0, 1, 2, 3])) == 3 == len(found.places(np.ones(5, dtype=bool)))


def test_of_rows_that_are_no_pairs_all_are_counted_and_the_first_named(read: Callable[..., Scan]) -> None:
    sound = {"prompt": "Which river?", "chosen": "The Nile.", "rejected": "The Rhine."}
    found = read([sound, *({"prompt": f"Which {i}?", "chosen": 1.5, "rejected": "y"} for i in range(8))])
    assert (found.rows, found.pairs, sum(found.bad.values()), len(found.first_bad)) == (9, 1, 8, scanning.BAD)
    rows = [{"prompt": "Which?", "chosen": 1.5, "rejected": "y"}] * 3
    with pytest.raises(UserError) as error:
        read([*rows, {**sound, "chosen": 1.5}])
    assert "chosen" in str(error.value)


def test_a_split_column_names_the_splits(read: Callable[..., Scan]) -> None:
    rows = [
        {"prompt": f"Which {i}?", "chosen": "a b", "rejected": "c d", "split": f"s{i}"}
        for i in range(scanning.MOST_SPLITS + 5)
    ]
    found = read(rows)
    assert found.splits == [f"s{i}" for i in range(scanning.MOST_SPLITS)]
    assert [*found.numbers.split][-6:] == [scanning.MOST_SPLITS - 1] * 6
    assert found.place(3, 4) == "s3:4"


def test_the_sample_is_drawn_evenly_and_follows_from_the_seed(read: Callable[..., Scan]) -> None:
    rows = [{"prompt": f"Which {i}?", "chosen": f"a {i}", "rejected": f"b {i}"} for i in range(400)]
    samples = [[pair.number for pair in read(rows, sample=100, seed=seed).sample] for seed in (0, 0, *range(1, 9))]
    assert samples[0] == samples[1] != samples[2]
    assert all(len(one) == len({*one}) == 100 for one in samples)
    assert sum(number > 200 for one in samples[1:] for number in one) / 900 == pytest.approx(0.5, abs=0.06)
