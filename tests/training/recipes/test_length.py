"""A planted bias for length: the debiased reward model ranks by quality, the plain one by length."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from training.data.batches import Example
from training.data.encode import PairRow
from training.data.ranked import RankedRow
from training.model.modules import COVARIATE_WEIGHT
from training.recipes.config import Reward
from training.recipes.ranking import RankingRewardRecipe
from training.recipes.reward import RewardRecipe, log_lengths
from training.run import fit, job

BIAS = 3.0
"""Log-odds that a response gains as it grows by a factor of e."""
QUALITY = 1.0
"""Log-odds between a good and a bad response of one length."""


def text(good: bool, words: int) -> str:
    return " ".join(["the"] * (words - 1) + ["good" if good else "bad"])


def planted(n: int) -> list[dict[str, Any]]:
    """Pairs whose labels are owed to quality and to length, which have nothing to do with each other."""
    random = np.random.default_rng(0)
    rows = []
    for i in range(n):
        goods, words = random.permutation([True, False]), random.choice([3, 5, 8, 12], 2, replace=False)
        ends = words + 1  # the end of the turn is a token too
        log_odds = QUALITY * (int(goods[0]) - int(goods[1])) + BIAS * float(np.log(ends[0] / ends[1]))
        sides = [text(bool(good), int(k)) for good, k in zip(goods, words, strict=True)]
        if log_odds < 0:
            sides, log_odds = sides[::-1], -log_odds
        p = 1 / (1 + np.exp(-log_odds))
        rows.append(
            {"prompt": f"what is a good day ? {i}", "chosen": sides[0], "rejected": sides[1], "p_chosen": float(p)}
        )
    return rows


def test_the_weight_begins_where_the_labels_alone_put_it() -> None:
    """A response twice as long is better with probability 4/5, log-odds of log 4; 4 times in 5 as a ranking."""
    row = PairRow("a", Example((1,), ((2, 2, 2, 2), (2, 2))), 0.8, 0.0, 1.0)
    recipe = RewardRecipe(Reward(debias_length=True))
    assert recipe.weight_of_covariate([row]) == pytest.approx(np.log(4) / np.log(2), abs=1e-5)
    assert recipe.weight_of_covariate([row._replace(p=1.0)]) == 10.0  # no end
    ranked = RankedRow("a", row.example, (1, 2), 1.0)
    both = [ranked] * 4 + [ranked._replace(example=Example((1,), ((2, 2), (2, 2, 2, 2))))]
    ranking = RankingRewardRecipe(Reward(debias_length=True, loss="plackett_luce"))
    assert ranking.weight_of_covariate(both) == pytest.approx(np.log(4) / np.log(2), abs=1e-5)


def test_log_lengths_are_compared_within_a_prompt() -> None:
    """4 and 1 tokens: log 2 over and under the mean; one of a single response is 0."""
    found = log_lengths([Example((1,), ((2, 2, 2, 2), (2,))), Example((1,), ((2, 2, 2),))])
    assert found.tolist() == pytest.approx([np.log(2), -np.log(2), 0])


@pytest.mark.model
def test_what_labels_owe_to_length_is_left_out_of_the_reward(
    tiny: Path, tmp_path: Path, write_rows: Callable[..., Path]
) -> None:
    data = {str(write_rows(planted(256))): 1.0}

    def ranked_by_quality(debias: bool) -> tuple[float, dict[str, float]]:
        """The share of pairs of a short good and a long bad response in which the good one is rewarded more; and the results."""
        settings = Reward(
            model=str(tiny), data=data, debias_length=debias, steps=60, batch_size=32, micro_batch_size=32, learning_rate=3e-3,
            precision="fp32", report_to=(), save_every=1000, watch={"leak_rows": None},
        )  # fmt: skip
        made = job.prepare(settings, tmp_path / str(debias))
        record = fit.run(made, Console(quiet=True))
        assert COVARIATE_WEIGHT not in load_file(tmp_path / str(debias) / "model.safetensors")
        pairs = [
            {
                "prompt": "what is a good day ? x",
                "chosen": text(True, short),
                "rejected": text(False, long),
                "p_chosen": 1.0,
            }
            for short in (3, 4, 5)
            for long in (9, 11, 12)
        ]
        data_of = {str(write_rows(pairs, f"{debias}.jsonl")): 1.0}
        scored = job.prepare(
            Reward(
                model=str(tmp_path / str(debias)),
                data=data_of,
                test_fraction=0,
                batch_size=1,
                micro_batch_size=1,
                precision="fp32",
            ),
            tmp_path / f"{debias}-scored",
        )
        module = fit.load(scored).eval()
        with torch.no_grad():
            found = scored.recipe.outcome(module, scored.recipe.collate(scored.train.rows, module.layout))
        return float(found.values["accuracy"].mean()), record["results"]

    plain, _ = ranked_by_quality(False)
    debiased, results = ranked_by_quality(True)
    assert plain < 0.2
    assert debiased > 0.9
    assert results["covariate_weight"] == pytest.approx(BIAS, rel=0.25)
