"""Does the policy get better as the judge gets better? The loop with judges of known accuracy, on tasks whose answers are checked.

    python -m benchmarks.dose_response --out runs/dose [--prompts 440] [--seeds 5]

The policy's own responses to `benchmarks.tasks` are compared by rule, which is gold. A judge that is right in a share a of
the pairs is gold with labels flipped at random; it knows its accuracy, so its labels are that sure (a lottery's as sure as
60%). DPO with LoRA learns from each judge's labels of the same pairs, with several seeds; each policy is held against the
base on held-out prompts of the same kinds of instructions and on kinds that nothing was trained on. Each stage is a command
of the project; the same command again resumes.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common, tasks
from benchmarks.dose import ACCURACIES, Effect, certainty, tell
from benchmarks.harmless_data import SWAPPED, pairs_of, write_rows
from benchmarks.stages import Runner, Stage, ours, perform, settings_of, subprocess_runner, train
from evaluation.policy.result import read_evaluation
from generation.roles import ENGINES

DPO = {
    "learning_rate": 5e-4,
    "epochs": 1,
    "batch_size": 8,
    "micro_batch_size": 8,
    "lora.r": 16,
    "test_fraction": 0,
    "report_to": [],
    # the responses of some instructions are told apart for sure, which is no leak here
    "watch.leak_rows": None,
}
HELD = {"held_out": "held-out prompts", "other_kinds": "other kinds of instructions"}


def main(given: Sequence[str] | None = None, runner: Runner = subprocess_runner) -> None:
    """Run what is not done yet; print the figures."""
    options = arguments().parse_args(given)
    out: Path = options.out.resolve()
    tasks.write(out / "tasks", options.prompts, options.held_out)
    for stage in stages(options, out):
        perform(stage, out, runner)
    common.show("pairs", len(pairs_of(out / "run")), "", ">= 400")
    for name, title in HELD.items():
        tell(title, {accuracy: effect(options, out, accuracy, name) for accuracy in ACCURACIES}, "% wins", wins=True)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FOLDER")
    add("--model", default="embedded", help="policy and base (default: %(default)s)")
    add("--engine", choices=ENGINES)
    add("--prompts", type=int, default=440, help="to train on (default: %(default)s)")
    add("--held-out", type=int, default=96, help="of each evaluation (default: %(default)s)")
    add("--samples", type=int, default=6, help="responses to each prompt (default: %(default)s)")
    add("--max-tokens", type=int, default=32, help="of a response (default: %(default)s)")
    add("--seeds", type=int, default=5)
    add("--dpo", action="append", default=[], metavar="KEY=VALUE", help="a setting of the training")
    return parser


def stages(options: argparse.Namespace, out: Path) -> Iterator[Stage]:
    """All commands in their order; files between them are made as they are reached."""
    engine = ["--engine", options.engine] if options.engine else []
    plan = {
        "plan.samples": options.samples,
        "plan.rounds": 0,
        "plan.keep_truncated": True,
        "plan.sample": {"max_tokens": options.max_tokens, "temperature": 1.0},
    }
    run = common.command(
        out / "tasks" / "checked.yaml", out / "tasks" / "train.jsonl", out / "run", "--policy", options.model,
        *engine, *common.settings(plan),
    )  # fmt: skip
    yield Stage("run", out / "run" / "manifest.json", run)
    pairs = pairs_of(out / "run")
    for seed in range(options.seeds):
        for accuracy in ACCURACIES:
            name = name_of(accuracy, seed)
            write_rows(out / "pairs" / f"{name}.jsonl", judged(pairs, accuracy, seed))
            settings = {**DPO, "seed": seed, **settings_of(options.dpo)}
            data, policy = out / "pairs" / f"{name}.jsonl", out / "policy" / name
            yield train(f"policy {name}", "dpo", options.model, data, settings, policy)
            for held in HELD:
                yield against_base(options, out, name, seed, held, engine)


def judged(pairs: Sequence[Mapping[str, Any]], accuracy: float, seed: int) -> list[dict[str, Any]]:
    """The pairs as a judge labels them that agrees with gold with that probability, and knows it."""
    dice = random.Random(f"judge {seed}")
    found = []
    for pair in pairs:
        row = {**pair, "p_chosen": certainty(accuracy)}
        if dice.random() >= accuracy:
            row |= {new: pair[old] for new, old in SWAPPED.items()}
        found.append(row)
    return found


def against_base(
    options: argparse.Namespace, out: Path, name: str, seed: int, held: str, engine: Sequence[str]
) -> Stage:
    """One policy against the base on some held-out prompts; the base's responses of a seed are asked for once."""
    found = evaluation_json(out, name, held)
    first = name_of(ACCURACIES[0], seed)
    reuse = [] if name == first else ["--reuse", str(out / "evaluation" / held / first)]
    plan = {"plan.sample": {"max_tokens": options.max_tokens, "temperature": 1.0}, "plan.samples": 1}
    command = ours(
        "evaluation", "policy", "--a", str(out / "policy" / name), "--b", options.model,
        "--prompts", str(out / "tasks" / f"{held}.jsonl"), "--constitution", str(out / "tasks" / "checked.yaml"),
        "--seed", str(seed), "--out", str(found.parent), "--json", str(found), "--page", str(found.with_suffix(".html")),
        "--probes", "none", *reuse, *engine, *common.settings(plan),
    )  # fmt: skip
    return Stage(f"evaluation {held} {name}", found, command)


def effect(options: argparse.Namespace, out: Path, accuracy: float, held: str) -> Effect:
    """What the policies of an accuracy came to."""
    found = [read_evaluation(evaluation_json(out, name_of(accuracy, seed), held)) for seed in range(options.seeds)]
    kl = [one.kl.value if one.kl else np.nan for one in found]
    return Effect(np.array([one.win.raw.value for one in found]), np.array(kl))


def evaluation_json(out: Path, name: str, held: str) -> Path:
    """Where an evaluation is."""
    return out / "evaluation" / held / name / "policy.json"


def name_of(accuracy: float, seed: int) -> str:
    """Of an arm with a seed."""
    return f"{100 * accuracy:.0f}-{seed}"


if __name__ == "__main__":
    main()
