"""What experiments with judges of known accuracy share, whatever their gold: settings, samples, arms and what these came to.

An arm is a judge's accuracy and a seed. Arms that are done are kept, the same command again goes on, and several share them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from filelock import FileLock, Timeout
from scipy.stats import rankdata

from benchmarks.dose import ACCURACIES, Effect, certainty
from benchmarks.dose_policy import Batch, Policy, Reply, learn
from generation.output.files import write_atomically

BASE_SAMPLES = 4
"""Responses of the base to each held-out prompt."""
CHUNK = 48
"""Prompts whose samples are kept at a time."""
Results = Mapping[tuple[float, int], Any]
"""(accuracy, seed) -> what came of it, by set of prompts."""


class Experiment(Protocol):
    """What all arms share."""

    def arm(self, accuracy: float, seed: int) -> dict[str, Any]:
        """Train with a judge of that accuracy, and evaluate."""


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


def result_file(out: Path, accuracy: float, seed: int) -> Path:
    """Where an arm's figures are."""
    return out / f"arm-{100 * accuracy:.0f}-{seed}.json"


def run_arms(options: argparse.Namespace, out: Path, prepare: Callable[[], Experiment]) -> Results:
    """Every arm's results, of those before too. Exits where another process is still at some."""
    # the ends first: what is done when time runs out says most
    order = sorted(ACCURACIES, key=lambda accuracy: -abs(accuracy - 0.75))
    arms = [(accuracy, seed) for seed in range(options.seeds) for accuracy in order]
    if missing := [arm for arm in arms if not result_file(out, *arm).exists()]:
        with FileLock(out / "prepare.lock"):
            experiment = prepare()
        for arm in missing:
            path = result_file(out, *arm)
            with suppress(Timeout), FileLock(path.with_suffix(".lock"), timeout=0):  # another process may be at it
                if not path.exists():
                    write_atomically(path, json.dumps(experiment.arm(*arm)))
                    print(f"arm {arm[0]:.0%}, seed {arm[1]}: {path.read_text(encoding='utf-8')}", flush=True)
    if left := [arm for arm in arms if not result_file(out, *arm).exists()]:
        sys.exit(f"{len(left)} arms are another process's")
    return {arm: json.loads(result_file(out, *arm).read_text(encoding="utf-8")) for arm in arms}


def taught(policy: Policy, options: argparse.Namespace, given: Sequence[Batch], accuracy: float, seed: int) -> None:
    """Train the policy, from the base, on the labels of a judge of that accuracy."""
    o = options
    learn(policy, given, judged(given, accuracy, seed), certainty(accuracy), o.rate, o.beta, seed, o.epochs)


def sampled(
    policy: Policy, options: argparse.Namespace, out: Path, name: str, prompts: Sequence[str], each: int, seed: int
) -> list[list[Reply]]:
    """`each` responses to every prompt, made once and kept under the name."""
    found: list[Any] = []
    for start in range(0, len(prompts), CHUNK):
        part = partial(policy.sample, prompts[start : start + CHUNK], each, options.max_tokens, seed + start)
        found += kept(out / f"samples-{name}-{start}.json", part)
    return [[Reply(tuple(tokens), text) for tokens, text in one] for one in found]


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What a file has, or is made to have."""
    if not path.exists():
        write_atomically(path, json.dumps(make()))
    return json.loads(path.read_text(encoding="utf-8"))


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
