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
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import rankdata

from benchmarks import common, tasks
from benchmarks.dose import ACCURACIES, Effect, certainty, picture, tell
from benchmarks.dose_policy import Batch, Policy, Reply, batches, divergence, learn
from constitution.checks.check import Check
from constitution.records import Message, Prompt
from critics.rules.check import violates
from generation.output.files import write_atomically

HELD = {"held_out": "held-out prompts", "other_kinds": "other kinds of instructions"}
BASE_SAMPLES = 4
"""Responses of the base to each held-out prompt."""
CHUNK = 48
"""Prompts whose samples are kept at a time."""
Rows = Sequence[Mapping[str, Any]]


def main(given: Sequence[str] | None = None) -> None:
    """Run what is not done yet; print the figures."""
    options = arguments(str(__doc__)).parse_args(given)
    out: Path = options.out.resolve()
    same_settings(out / "settings.json", options)
    tasks.write(out / "tasks", options.prompts, options.held_out)
    files = {name: read_rows(out / "tasks" / f"{name}.jsonl") for name in ("train", *HELD)}
    # the ends first: what is done when time runs out says most
    order = sorted(ACCURACIES, key=lambda accuracy: -abs(accuracy - 0.75))
    arms = [(accuracy, seed) for seed in range(options.seeds) for accuracy in order]
    missing = [arm for arm in arms if not result_file(out, *arm).exists()]
    if missing:
        experiment = prepare(options, out, files)
        common.show("pairs", sum(len(batch.reference) for batch in experiment.given), "", ">= 400")
        for accuracy, seed in missing:
            found = experiment.arm(accuracy, seed)
            write_atomically(result_file(out, accuracy, seed), json.dumps(found))
            print(f"arm {accuracy:.0%}, seed {seed}: {found}", flush=True)
    results = {arm: json.loads(result_file(out, *arm).read_text(encoding="utf-8")) for arm in arms}
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
        common.show(f"{title} (passes), base", 100 * results[arms[0]][name]["base"], "% pass", "-", "mean")


def arguments(description: str) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FOLDER")
    add("--model", default="embedded", help="policy and base (default: %(default)s)")
    add("--prompts", type=int, default=640, help="to train on (default: %(default)s)")
    add("--held-out", type=int, default=96, help="prompts of each evaluation (default: %(default)s)")
    add("--samples", type=int, default=4, help="responses to each prompt (default: %(default)s)")
    add("--max-tokens", type=int, default=24, help="of a response (default: %(default)s)")
    add("--pairs", type=int, default=440, help="at most (default: %(default)s)")
    add("--layers", type=int, default=10, help="with adapters, from the top (default: %(default)s)")
    add("--rate", type=float, default=5e-4, help="learning rate (default: %(default)s)")
    add("--epochs", type=int, default=2, help="over the pairs (default: %(default)s)")
    add("--batch", type=int, default=8, help="pairs a step (default: %(default)s)")
    add("--beta", type=float, default=0.1, help="of DPO (default: %(default)s)")
    add("--seeds", type=int, default=5)
    add("--plot", type=Path, metavar="FILE", help="draw the win rates there, as SVG")
    return parser


def same_settings(path: Path, options: argparse.Namespace) -> None:
    """Refuse a folder of other settings; more seeds are no others."""
    now = {name: value for name, value in vars(options).items() if name not in ("out", "seeds", "plot")}
    if path.exists() and (was := json.loads(path.read_text(encoding="utf-8"))) != now:
        sys.exit(f"{path}: was made with {was}; choose another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(now))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def result_file(out: Path, accuracy: float, seed: int) -> Path:
    """Where an arm's figures are."""
    return out / f"arm-{100 * accuracy:.0f}-{seed}.json"


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
        o, p = self.options, certainty(accuracy)
        learn(self.policy, self.given, judged(self.given, accuracy, seed), p, o.rate, o.beta, seed, o.epochs)
        found: dict[str, Any] = {}
        for name, rows in self.held.items():
            prompts = [row["prompt"] for row in rows]
            replies = self.policy.sample(prompts, 1, o.max_tokens, seed)
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

    def sampled(name: str, each: int, seed: int) -> list[list[Reply]]:
        prompts, found = [row["prompt"] for row in files[name]], list[Any]()
        for start in range(0, len(prompts), CHUNK):
            part = partial(policy.sample, prompts[start : start + CHUNK], each, options.max_tokens, seed + start)
            found += kept(out / f"samples-{name}-{start}.json", part)
        return [[Reply(tuple(tokens), text) for tokens, text in one] for one in found]

    train = files["train"]
    pairs = [
        (row["prompt"], pair)
        for row, replies in zip(train, sampled("train", options.samples, 0), strict=True)
        for pair in paired([one for one in replies if passes(row, one.text)], [one for one in replies if not passes(row, one.text)])
    ]  # fmt: skip
    random.Random(0).shuffle(pairs)
    pairs = pairs[: options.pairs]
    base = {
        name: [float(np.mean([passes(row, one.text) for one in found])) for row, found in zip(files[name], drawn, strict=True)]
        for name in HELD
        for drawn in [sampled(name, BASE_SAMPLES, 1)]
    }  # fmt: skip
    given = batches(policy, [prompt for prompt, _ in pairs], [pair for _, pair in pairs], options.batch)
    return Experiment(options, policy, given, {name: files[name] for name in HELD}, base)


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What a file has, or is made to have."""
    if not path.exists():
        write_atomically(path, json.dumps(make()))
    return json.loads(path.read_text(encoding="utf-8"))


def paired(passed: Sequence[Reply], failed: Sequence[Reply]) -> list[tuple[Reply, Reply]]:
    """Pairs of a response that passes and one that fails, each response once."""
    return [*zip(passed, failed, strict=False)]


def judged(given: Sequence[Batch], accuracy: float, seed: int) -> torch.Tensor:
    """[pairs] 1 where a judge agrees with gold, -1 elsewhere; exactly that share of them, drawn by the seed.

    What a judge of a higher accuracy gets wrong, one of a lower accuracy gets wrong too.
    """
    count = sum(len(batch.reference) for batch in given)
    ranks = rankdata(np.random.default_rng(seed).random(count), method="ordinal")
    return torch.from_numpy(np.where(ranks <= round(accuracy * count), 1.0, -1.0)).float()


def effect(results: Mapping[tuple[float, int], Any], accuracy: float, seeds: int, name: str, key: str) -> Effect:
    """What the policies of an accuracy came to."""
    found = [results[accuracy, seed][name] for seed in range(seeds)]
    return Effect(np.array([one[key] for one in found]), np.array([one["kl"] for one in found]))


if __name__ == "__main__":
    main()
