"""A recorded panel labels one half of the pairs, without a look at true labels."""

import math

import numpy as np

from benchmarks.recorded_reward import ARMS, by_panel, halves, labelled
from evaluation.judge.matrix import VoteMatrix

ROWS = [
    {"id": f"p{i}", "prompt": f"q{i // 2}", "chosen": "good", "rejected": "bad"} for i in range(20)
]  # two pairs a prompt


def test_halves_share_no_prompt_and_the_panel_labels_by_its_verdicts() -> None:
    train, held = halves(ROWS, 0)
    assert sorted(row["id"] for row in (*train, *held)) == sorted(row["id"] for row in ROWS)
    assert not {row["prompt"] for row in train} & {row["prompt"] for row in held}
    assert len(train) == len(held)
    votes = np.array([[1.0, 1.0, -9.0] if i % 5 else [-1.0, np.nan, 9.0] for i in range(20)])
    names, none = tuple(f"p{i}" for i in range(20)), np.zeros(20)
    voters = ("strong/a", "strong/b", "weak")
    matrix = VoteMatrix(names, voters, votes, -votes, names, ("",) * 20, none, none)
    logits = by_panel(matrix, train, "^strong")
    for row in train:
        wrong = int(row["id"][1:]) % 5 == 0
        assert logits[row["id"]] == (math.log(0.5 / 1.5) if wrong else math.log(2.5 / 0.5))
    of = {arm: labelled(train, logits, arm, 0) for arm in ARMS}
    assert [row["chosen"] == "good" for row in of["panel"]] == [logits[row["id"]] > 0 for row in train]
    assert all(row["chosen"] == "good" for row in of["true labels"])
    assert len({row["chosen"] for row in of["random labels"]}) == 2
    assert [row["p_chosen"] for row in of["panel"]] == [row["p_chosen"] for row in of["random labels"]]
