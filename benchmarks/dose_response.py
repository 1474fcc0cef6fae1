"""Does the policy get better as the judge gets better? DPO with judges of known accuracy, on tasks whose answers are checked.

    python -m benchmarks.dose_response --out runs/dose [--prompts 640] [--seeds 5]

The policy's own responses to `benchmarks.tasks` are checked by rule, which is gold: a response that passes beside one that fails is
a pair. A judge that is right in a share a of the pairs is gold with labels flipped at random; it knows its accuracy, so its labels
are that sure (a lottery's as sure as 60%). Our DPO loss with LoRA learns from each judge's labels of the same pairs, with several
seeds; each policy is held against the base on held-out prompts of the same kinds of instructions and on kinds that nothing was
trained on. All in one process (`benchmarks.dose_policy`); arms that are done are kept, and the same command again goes on.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import common, tasks
from benchmarks.dose import ACCURACIES, picture, tell
from benchmarks.dose_arms import BASE_SAMPLES, arguments, effect, run_arms, same_settings, sampled, taught
from benchmarks.dose_policy import Batch, Policy, Reply, batches, divergence
from constitution.checks.check import Check
from constitution.records import Message, Prompt
from critics.rules.check import violates

HELD = {"held_out": "held-out prompts", "other_kinds": "other kinds of instructions"}
Rows = Sequence[Mapping[str, Any]]


def main(given: Sequence[str] | None = None) -> None:
    """Run what is not done yet; print the figures."""
    options = arguments(str(__doc__)).parse_args(given)
    out: Path = options.out.resolve()
    same_settings(out / "settings.json", options)
    tasks.write(out / "tasks", options.prompts, options.held_out)
    files = {name: read_rows(out / "tasks" / f"{name}.jsonl") for name in ("train", *HELD)}
    results = run_arms(options, out, lambda: prepare(options, out, files))
    if options.plot:
        wins = {
            title: {a: effect(results, a, options.seeds, name, "wins") for a in ACCURACIES}
            for name, title in HELD.items()
        }
        options.plot.write_text(picture(wins), encoding="utf-8")
    for name, title in HELD.items():
        for key, unit in (("wins", "% wins"), ("passes", "% pass")):
            effects = {a: effect(results, a, options.seeds, name, key) for a in ACCURACIES}
            tell(f"{title} ({key})", effects, unit, wins=key == "wins")
        common.show(f"{title} (passes), base", 100 * results[1.0, 0][name]["base"], "% pass", "-", "mean")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def passes(row: Mapping[str, Any], text: str) -> bool:
    """Whether a response does what its row asks for."""
    check = Check.model_validate({"answer": "answer"} if "answer" in row else row["rules"])
    prompt = Prompt(id="row", messages=(Message(role="user", content=row["prompt"]),), metadata=json.dumps(dict(row)))
    return violates(check, prompt, Message(role="assistant", content=text)) is None


class Experiment(NamedTuple):
    """What all arms share."""

    options: argparse.Namespace
    policy: Policy
    given: Sequence[Batch]
    held: Mapping[str, Rows]
    base: Mapping[str, Sequence[float]]
    """Share of the base's responses that pass, for each held-out prompt."""

    def arm(self, accuracy: float, seed: int) -> dict[str, Any]:
        """Train with a judge of that accuracy, and evaluate."""
        taught(self.policy, self.options, self.given, accuracy, seed)
        found: dict[str, Any] = {}
        for name, rows in self.held.items():
            prompts = [row["prompt"] for row in rows]
            replies = self.policy.sample(prompts, 1, self.options.max_tokens, seed)
            passed = np.array([passes(row, one[0].text) for row, one in zip(rows, replies, strict=True)], dtype=float)
            base = np.array(self.base[name])
            found[name] = {
                "passes": float(passed.mean()),
                "base": float(base.mean()),
                # a pass beats a fail, two of a kind tie
                "wins": float((0.5 + 0.5 * (passed - base)).mean()),
                "kl": divergence(self.policy, prompts, replies),
                "words": float(np.mean([len(one[0].text.split()) for one in replies])),
                "kinds": {
                    kind: float(np.mean([ok for ok, row in zip(passed, rows, strict=True) if row["kind"] == kind]))
                    for kind in sorted({row["kind"] for row in rows})
                },
            }
        return found


def prepare(options: argparse.Namespace, out: Path, files: Mapping[str, Rows]) -> Experiment:
    """Samples, pairs and the base's figures, each made once and kept."""
    policy = Policy(options.model, options.layers, 16)
    policy.switch(False)

    def drawn(name: str, each: int, seed: int) -> list[list[Reply]]:
        return sampled(policy, options, out, name, [row["prompt"] for row in files[name]], each, seed)

    train = files["train"]
    pairs = [
        (row["prompt"], pair)
        for row, replies in zip(train, drawn("train", options.samples, 0), strict=True)
        for pair in paired([one for one in replies if passes(row, one.text)], [one for one in replies if not passes(row, one.text)])
    ]  # fmt: skip
    random.Random(0).shuffle(pairs)
    pairs = pairs[: options.pairs]
    base: dict[str, list[float]] = {name: [] for name in HELD}
    for name in HELD:
        for row, found in zip(files[name], drawn(name, BASE_SAMPLES, 1), strict=True):
            base[name].append(float(np.mean([passes(row, one.text) for one in found])))
    given = batches(policy, [prompt for prompt, _ in pairs], [pair for _, pair in pairs], options.batch)
    common.show("pairs", len(pairs), "", ">= 400")
    return Experiment(options, policy, given, {name: files[name] for name in HELD}, base)


def paired(passed: Sequence[Reply], failed: Sequence[Reply]) -> list[tuple[Reply, Reply]]:
    """Pairs of a response that passes and one that fails, each response once."""
    return [*zip(passed, failed, strict=False)]


if __name__ == "__main__":
    main()
