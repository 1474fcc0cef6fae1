"""The experiment on harmlessness: its parts share no prompt, its labels are what they say, its differences are right."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.harmless_data import Part, labelled, split, write_rows
from benchmarks.harmless_table import Outcomes, ahead, rates
from tests.benchmarks.rows import some_rows

PARTS = (
    Part("gold", 0.4, None, True),
    Part("weights", 0.2, 10, True),
    Part("train", 0.2, None, False),
    Part("held", 0.1, 8, False),
)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_no_opening_is_in_two_parts(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", some_rows(400))
    sizes = split(tmp_path / "rows.jsonl", PARTS, ["red-team"], tmp_path / "split")
    found = {part.name: read(tmp_path / "split" / f"{part.name}.jsonl") for part in PARTS}
    assert sizes == {name: len(rows) for name, rows in found.items()}
    assert (sizes["weights"], sizes["held"]) == (10, 8)
    assert 120 <= sizes["gold"] <= 200  # two fifths of 400
    openings = {name: {row["prompt"][0]["content"] for row in rows} for name, rows in found.items()}
    for name, part in openings.items():
        for other, rest in openings.items():
            assert name == other or not part & rest
    assert {"chosen", "rejected"} <= found["gold"][0].keys()
    assert found["train"][0].keys() == {"id", "prompt", "tags"}
    asked = [json.dumps(row["prompt"]) for row in found["train"]]
    assert len(set(asked)) == len(asked)


def pair(i: int, chosen: str, rejected: str) -> dict[str, Any]:
    return {
        "prompt_id": f"p{i}",
        "prompt": [{"role": "user", "content": "Why?"}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
        "p_chosen": 0.5 + i / 100,
        "chosen_truncated": i % 3 == 0,
        "rejected_truncated": i % 5 == 0,
    }


def responses(row: dict[str, Any]) -> list[tuple[str, bool]]:
    return sorted((row[side][0]["content"], row[f"{side}_truncated"]) for side in ("chosen", "rejected"))


def test_labels_of_each_arm() -> None:
    rows = [pair(i, *(("a", "a b") if i % 2 else ("c d e", "c"))) for i in range(40)]
    assert labelled(rows, "judged", 0) == rows
    longer = labelled(rows, "longer", 0)
    assert all(len(row["chosen"][0]["content"]) > len(row["rejected"][0]["content"]) for row in longer)
    lots = [labelled(rows, "shuffled", seed) for seed in (0, 0, 1)]
    assert lots[0] == lots[1] != lots[2]
    swapped = sum(one != other for one, other in zip(lots[0], rows, strict=True))
    assert 10 <= swapped <= 30
    for made in (longer, *lots):
        assert [row["p_chosen"] for row in made] == [row["p_chosen"] for row in rows]
        for one, other in zip(made, rows, strict=True):
            assert responses(one) == responses(other)


def test_a_difference_is_paired_over_prompts() -> None:
    """Won on 30 of 40 prompts against 20 of the same 40: 25 points. Every prompt that the second wins the first wins too, so what
    varies is the 10 where they differ: a standard error of sqrt(0.25 * 0.75 / 40) = 6.8 points, half as many as two samples apart.
    """
    names = tuple(f"p{i}" for i in range(40))
    lengths = np.zeros(40)
    one = Outcomes(np.array([1.0] * 30 + [0.0] * 10), lengths, names)
    other = Outcomes(np.array([1.0] * 20 + [0.0] * 20), lengths, names)
    found = ahead(one, other)
    assert found["raw"].value == pytest.approx(0.25)
    assert found["raw"].high - found["raw"].low == pytest.approx(2 * 1.96 * 0.068, rel=0.1)
    assert found["controlled"].value == pytest.approx(0.25, abs=1e-6)
    mirrored = ahead(other, one)["raw"]
    assert (mirrored.value, mirrored.low, mirrored.high) == pytest.approx(
        (-0.25, -found["raw"].high, -found["raw"].low)
    )
    assert ahead(one, one)["raw"].high == 0


@pytest.mark.model
def test_an_arm_that_is_only_longer_is_not_ahead_once_length_is_controlled() -> None:
    """Both arms win by being longer than the base; the first is longer more often. Three seeds of each prompt."""
    dice = np.random.default_rng(0)
    names = tuple(f"p{i % 200}" for i in range(600))

    def arm(shift: float) -> Outcomes:
        lengths = dice.normal(shift, 1.0, 600)
        return Outcomes((dice.random(600) < 1 / (1 + np.exp(-2.5 * np.tanh(lengths)))).astype(float), lengths, names)

    longer, same = arm(1.0), arm(0.0)
    found = ahead(longer, same)
    assert found["raw"].low > 0.1
    assert found["controlled"].low < 0 < found["controlled"].high
    assert rates(longer)["raw"].value > 0.65
    assert rates(longer)["controlled"].low < 0.5 < rates(longer)["controlled"].high
