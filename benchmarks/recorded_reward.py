"""Strong judges, recorded, as the panel that labels for a reward model: is it as right as one that learnt true labels?

    python -m benchmarks.recorded_reward --data llmbar.jsonl --votes llmbar_votes.jsonl.gz --out FOLDER [--judges GPT-4] [--seeds 3]

The prompts are cut into halves. On one half a reward model learns labels of the panel (the smoothed share of its recorded verdicts;
no true label is known to it), true labels, and labels drawn by chance; all three are as sure as the panel is. Each is then
measured on the true labels of the other half. The shares of all seeds are pooled; intervals are Wilson's, of
as many pairs as one half has.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.common import show
from benchmarks.harmless_data import write_rows
from benchmarks.stages import settings_of
from benchmarks.training_quality import rewards
from critics.answers import smoothed
from evaluation.judge.matrix import VoteMatrix
from evaluation.judge.recorded import read_recorded
from evaluation.statistics import share
from generation import settings as reading
from generation.models.files import resolve
from training.recipes.config import Reward
from training.run import fit, job

ARMS = ("panel", "true labels", "random labels")
LEARN = {"test_fraction": 0, "report_to": [], "epochs": 3}
Row = Mapping[str, Any]


def main() -> None:
    """Train what is not there; print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="rows of id, prompt, chosen, rejected, with true labels"
    )
    parser.add_argument("--votes", type=Path, required=True, help="recorded verdicts on the same pairs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--judges", default="GPT-4", help="regular expression of the panel's judges (default: %(default)s)"
    )
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--reward", action="append", default=[], metavar="KEY=VALUE", help="a setting of the training")
    options = parser.parse_args()
    os.environ["SOLON_CACHE"] = str(options.out / "cache")
    rows = [json.loads(line) for line in options.data.read_text(encoding="utf-8").splitlines()]
    matrix, _ = read_recorded(options.votes)
    known = set(matrix.pairs)
    rows = [row for row in rows if row["id"] in known]
    show("pairs with verdicts", len(rows), "", "report")
    right: dict[str, list[bool]] = {arm: [] for arm in ARMS}
    agreed: list[bool] = []
    for seed in range(options.seeds):
        train, held = halves(rows, seed)
        logits = by_panel(matrix, train, options.judges)
        agreed += [logits[row["id"]] > 0 for row in train]
        for arm in ARMS:
            folder = options.out / f"{arm.replace(' ', '-')}-{seed}"
            write_rows(folder.with_suffix(".jsonl"), labelled(train, logits, arm, seed))
            write_rows(options.out / f"held-{seed}.jsonl", held)
            right[arm] += learnt(options, folder, options.out / f"held-{seed}.jsonl", seed)
    told("labels of the panel that are true", agreed, len(rows) - len(rows) // 2)
    for arm in ARMS:
        told(f"reward model by {arm}: right on the other half", right[arm], len(rows) // 2)


def halves(rows: Sequence[Row], seed: int) -> tuple[list[Row], list[Row]]:
    """The rows in two halves; those of one prompt are in one."""
    prompts = sorted({json.dumps(row["prompt"]) for row in rows})
    chosen = set(random.Random(f"halves {seed}").sample(prompts, len(prompts) - len(prompts) // 2))
    parts: tuple[list[Row], list[Row]] = ([], [])
    for row in rows:
        parts[json.dumps(row["prompt"]) not in chosen].append(row)
    return parts


def by_panel(matrix: VoteMatrix, rows: Sequence[Row], judges: str) -> dict[str, float]:
    """Log-odds of the better response: of the smoothed share of the verdicts for it, where each voter has one."""
    place = {name: number for number, name in enumerate(matrix.pairs)}
    voters = [k for k, name in enumerate(matrix.voters) if re.search(judges, name)]
    found = {}
    for row in rows:
        votes = matrix.votes[place[row["id"]], voters]
        found[row["id"]] = smoothed([0.5 if z == 0 else float(z > 0) for z in votes[~np.isnan(votes)]])
    return found


def labelled(rows: Sequence[Row], logits: Mapping[str, float], arm: str, seed: int) -> list[dict[str, Any]]:
    """The rows with an arm's labels, as sure as the panel is of each."""
    dice = random.Random(f"labels {seed}")
    found = []
    for row in rows:
        z = logits[row["id"]]
        better = {"panel": z > 0, "true labels": True, "random labels": dice.random() < 0.5}[arm]
        sides = (row["chosen"], row["rejected"]) if better else (row["rejected"], row["chosen"])
        p = 1 / (1 + np.exp(-abs(z)))
        found.append({"prompt": row["prompt"], "chosen": sides[0], "rejected": sides[1], "p_chosen": float(p)})
    return found


def learnt(options: argparse.Namespace, folder: Path, held: Path, seed: int) -> list[bool]:
    """Whether the reward model that learns an arm's labels is right, for each pair of the other half."""
    common = {"model": options.model, "seed": seed, **LEARN}
    given = [f"{key}={json.dumps(value)}" for key, value in settings_of(options.reward).items()]
    train = job.prepare(
        reading.load(Reward, None, given, {**common, "data": {str(folder.with_suffix(".jsonl")): 1.0}}), folder
    )
    fit.run(train, Console(soft_wrap=True, highlight=False, quiet=True))
    pairs = {**common, "data": {str(held): 1.0}}
    other = job.prepare(reading.load(Reward, None, given, pairs), folder.with_name(f"{folder.name}-held"))
    scores = asyncio.run(rewards(resolve(str(folder)), [row.example for row in other.train.rows]))
    return [better > worse for better, worse in scores]


def told(name: str, right: Sequence[bool], pairs: int) -> None:
    """A share over all seeds, with the interval that so many pairs have: the seeds are cuts of the same ones."""
    value = float(np.mean(right))
    found = share(value * pairs, pairs)
    show(name, 100 * value, "%", "report", "measured", (100 * found.low, 100 * found.high))


if __name__ == "__main__":
    main()
