"""Dose and response where gold is a reward model that learnt human labels: `benchmarks.dose_response` without rules.

    python -m benchmarks.dose_reward --data harmless.jsonl.gz --out runs/dose-reward [--seeds 5]

The data are pairs that people labelled, such as harmless-base of Anthropic/hh-rlhf: JSONL rows of `prompt`, `chosen` and `rejected`
messages. A reward model learns them, but for those of the held-out prompts, and is gold from then on; how often it agrees with
people there is told. The policy answers the first message of each conversation; of its responses to one the best and the worst by
gold are a pair. Judges of known accuracy, training and evaluation are those of `benchmarks.dose_response`; a win is a higher reward
than a response of the base has. Arms that are done are kept, and the same command again goes on; several at once share them.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks import common
from benchmarks.dose import ACCURACIES, Effect, picture, tell
from benchmarks.dose_arms import BASE_SAMPLES, arguments, effect, kept, run_arms, same_settings, sampled, taught
from benchmarks.dose_policy import Batch, Policy, Reply, batches, divergence
from benchmarks.harmless_data import write_rows
from evaluation.statistics import share
from generation import settings as reading
from training.recipes.config import Reward
from training.run import fit, job

HELD = "held_out"
LONGEST = 400
"""Characters of a prompt."""
REWARD = {
    "lora": {"r": 16}, "epochs": 1, "batch_size": 16, "micro_batch_size": 4, "learning_rate": 5e-4, "max_length": 512,
    "test_fraction": 0, "report_to": [],
}  # fmt: skip
"""Settings of the reward model's training."""
Row = Mapping[str, Any]


def main(given: Sequence[str] | None = None) -> None:
    """Run what is not done yet; print the figures."""
    parser = arguments(str(__doc__))
    parser.add_argument("--data", required=True, help="pairs that people labelled")
    parser.add_argument(
        "--human", type=int, default=600, help="of them that gold learns, the shortest (default: %(default)s)"
    )
    options = parser.parse_args(given)
    out: Path = options.out.resolve()
    same_settings(out / "settings.json", options)
    results = run_arms(options, out, lambda: prepare(options, out))
    known = json.loads((out / "agreement.json").read_text(encoding="utf-8"))
    right = share(*known)
    common.show("gold: agrees with people on held-out pairs", 100 * right.value, "%", "-", "mean")
    effects: dict[float, Effect] = {a: effect(results, a, options.seeds, HELD, "wins") for a in ACCURACIES}
    if options.plot:
        options.plot.write_text(picture({"held-out prompts": effects}), encoding="utf-8")
    tell("held-out prompts (wins by reward)", effects, "% wins", wins=True)


class Human(NamedTuple):
    """What people labelled, divided."""

    train: list[Row]
    held: list[Row]
    prompts: list[str]
    """To train the policy on."""
    held_prompts: list[str]


def divided(path: Path, prompts: int, held_out: int) -> Human:
    """Rows by the first message of their conversation: the last `held_out` distinct ones are held out. Others' order stays."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    first = [row["prompt"][0]["content"] for row in rows]
    distinct = [text for text in dict.fromkeys(first) if len(text) <= LONGEST]
    held = {*distinct[-held_out:]}
    train = [row for row, text in zip(rows, first, strict=True) if text not in held]
    told = [row for row, text in zip(rows, first, strict=True) if text in held]
    return Human(train, told, [text for text in distinct if text not in held][:prompts], [*distinct[-held_out:]])


class Gold:
    """A reward model in this process."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def __call__(self, conversations: Sequence[Sequence[Mapping[str, str]]]) -> list[float]:
        """The reward of each conversation's last message. One at a time: padding costs as much as it saves on a CPU."""
        ids = (self._tokenizer.apply_chat_template([*one], return_dict=True)["input_ids"] for one in conversations)
        return [float(self._model(torch.tensor([one])).logits[0, 0]) for one in ids]

    def of(self, prompts: Sequence[str], replies: Sequence[Sequence[Reply]]) -> list[list[float]]:
        """Of each reply to each prompt."""
        asked = [
            [{"role": "user", "content": text}, {"role": "assistant", "content": one.text}]
            for text, found in zip(prompts, replies, strict=True)
            for one in found
        ]
        rewards = iter(self(asked))
        return [[next(rewards) for _ in found] for found in replies]


def learnt(options: argparse.Namespace, out: Path, human: Human) -> Gold:
    """The reward model, trained where it is not there yet; how often it agrees with people is written down."""
    folder = out / "gold"
    shortest = sorted(human.train, key=lambda row: len(json.dumps(row)))[: options.human]
    write_rows(
        out / "human.jsonl",
        [{k: row[k] for k in ("prompt", "chosen", "rejected")} for row in shortest],
    )
    settings = {"model": options.model, "data": {str(out / "human.jsonl"): 1.0}, **REWARD}
    if not (folder / "training.json").exists():
        fit.run(job.prepare(reading.load(Reward, None, [], settings), folder), Console(quiet=True))
    gold = Gold(folder)

    def agreement() -> list[int]:
        better, worse = ([[*row["prompt"], *row[side]] for row in human.held] for side in ("chosen", "rejected"))
        found = [x > y for x, y in zip(gold(better), gold(worse), strict=True)]
        return [sum(found), len(found)]

    kept(out / "agreement.json", agreement)
    return gold


class Experiment(NamedTuple):
    """What all arms share."""

    options: argparse.Namespace
    policy: Policy
    gold: Gold
    given: Sequence[Batch]
    held: Sequence[str]
    base: Sequence[Sequence[float]]
    """Rewards of the base's responses to each held-out prompt."""

    def arm(self, accuracy: float, seed: int) -> dict[str, Any]:
        """Train with a judge of that accuracy, and evaluate."""
        taught(self.policy, self.options, self.given, accuracy, seed)
        replies = self.policy.sample(self.held, 1, self.options.max_tokens, seed)
        rewards = np.array(self.gold.of(self.held, replies))  # [prompts, 1]
        base = np.array(self.base)
        wins = (rewards > base) + 0.5 * (rewards == base)
        return {
            HELD: {
                "wins": float(wins.mean()),
                "gain": float((rewards - base).mean()),
                "kl": divergence(self.policy, self.held, replies),
                "words": float(np.mean([len(one[0].text.split()) for one in replies])),
            }
        }


def prepare(options: argparse.Namespace, out: Path) -> Experiment:
    """Gold, samples, pairs and the base's figures, each made once and kept."""
    human = divided(Path(options.data), options.prompts, options.held_out)
    gold = learnt(options, out, human)
    policy = Policy(options.model, options.layers, 16)
    policy.switch(False)

    replies = sampled(policy, options, out, "train", human.prompts, options.samples, 0)
    rewards = kept(out / "rewards-train.json", lambda: gold.of(human.prompts, replies))
    pairs = [
        (text, (found[int(np.argmax(own))], found[int(np.argmin(own))]))
        for text, found, own in zip(human.prompts, replies, rewards, strict=True)
    ][: options.pairs]
    common.show("pairs", len(pairs), "", ">= 400")
    drawn = sampled(policy, options, out, HELD, human.held_prompts, BASE_SAMPLES, 1)
    base = kept(out / "rewards-held.json", lambda: gold.of(human.held_prompts, drawn))
    given = batches(policy, [text for text, _ in pairs], [pair for _, pair in pairs], options.batch)
    return Experiment(options, policy, gold, given, human.held_prompts, base)


if __name__ == "__main__":
    main()
