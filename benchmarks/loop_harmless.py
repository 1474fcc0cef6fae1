"""Does a judge of 135 million parameters, with weights fitted on a few labels, make a policy less harmful, or only longer?

    python -m benchmarks.loop_harmless --data hh_harmless.jsonl.gz --out runs/harmless [--prompts 300] [--seeds 3]

The rows are cut into four parts that share no conversation: (gold) human labels for the reward model that measures, and takes
part in nothing else; (weights) human labels on which the judge's weights are fitted; (train) prompts that the policy is trained
on; (held) prompts of the evaluation. One run of the judge labels pairs of the policy's own responses. DPO learns from these
labels, from the same pairs with random labels, and from the same pairs with the longer response chosen, with several seeds each.
Gold says how often each policy beats the base. Each stage is a command of the project in a folder of its own; the same command
again resumes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from benchmarks import common
from benchmarks.harmless_data import ARMS, GOLD_LAWS, Arm, Part, labelled, pairs_of, split, write_rows, write_yaml
from benchmarks.harmless_table import lines, shown
from benchmarks.stages import Runner, Stage, ours, perform, settings_of, subprocess_runner, train
from critics.ranking.weights import Estimate
from evaluation.policy.result import read_evaluation
from generation.roles import ENGINES

GOLD = {
    "learning_rate": 3e-5,
    "batch_size": 8,
    "micro_batch_size": 8,
    "max_length": 512,
    "labels.floor": 0.1,
    "report_to": [],
}
DPO = {
    "learning_rate": 2e-5,
    "epochs": 2,
    "batch_size": 16,
    "micro_batch_size": 4,
    "max_length": 768,
    "test_fraction": 0,
    "report_to": [],
    # the longer of two responses is soon told for sure, which is no leak here
    "watch.leak_rows": None,
}


def main(given: Sequence[str] | None = None, runner: Runner = subprocess_runner) -> None:
    """Run what is not done yet; print the table."""
    options = arguments().parse_args(given)
    began = time.monotonic()
    out: Path = options.out.resolve()
    prepare(options, out)
    for stage in stages(options, out):
        perform(stage, out, runner)
    print()
    for name, file in checks(out).items():
        print(f"{name}: {file}")
    arms = {arm: [read_evaluation(policy_json(out, arm, seed)) for seed in range(options.seeds)] for arm in ARMS}
    print("\n".join(["", *lines(arms, ARMS)]))
    common.show("time of this start", (time.monotonic() - began) / 60, "min", "report")


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = p.add_argument
    add("--data", type=Path, required=True, metavar="FILE", help="labelled pairs: prompt, chosen, rejected")
    add("--out", type=Path, required=True, metavar="FOLDER")
    add("--model", default="embedded", help="policy, judge and base; gold is made from it too (default: %(default)s)")
    add("--constitution", type=Path, default=common.ROOT / "principles/hhh.yaml", metavar="FILE")
    add(
        "--config", type=Path, default=common.ROOT / "configs/judge.yaml", metavar="FILE", help="how the judge is asked"
    )
    add("--engine", choices=ENGINES)
    add(
        "--shares",
        type=float,
        nargs=4,
        default=(0.4, 0.15, 0.3, 0.15),
        metavar="S",
        help="of gold, weights, train, held",
    )
    add("--pairs", type=int, help="most labelled pairs for gold")
    add("--fit", type=int, help="most labelled pairs for the weights")
    add("--prompts", type=int, help="most prompts to train on")
    add("--held-out", type=int, help="most prompts of the evaluation")
    add("--samples", type=int, default=2, help="responses to each prompt, in the run (default: %(default)s)")
    add("--responses", type=int, default=1, help="responses to each prompt, in an evaluation (default: %(default)s)")
    add("--max-tokens", type=int, default=256, help="of a response (default: %(default)s)")
    add("--tags", nargs="*", default=["red-team"], help="of every prompt: which principles apply (default: red-team)")
    add("--seeds", type=int, default=3)
    for name in ("gold", "run", "dpo", "judge"):
        add(f"--{name}", action="append", default=[], metavar="KEY=VALUE", help=f"a setting of the stage `{name}`")
    return p


def prepare(options: argparse.Namespace, out: Path) -> None:
    """The parts of the rows and gold's constitution and panel; refused where the folder holds others."""
    parts = [
        Part("gold", options.shares[0], options.pairs, True),
        Part("weights", options.shares[1], options.fit, True),
        Part("train", options.shares[2], options.prompts, False),
        Part("held", options.shares[3], options.held_out, False),
    ]
    asked = json.dumps([[*part] for part in parts] + [list(options.tags), str(options.data.resolve())])
    marker = out / "split" / "parts.json"
    if marker.exists():
        if json.loads(marker.read_text())["asked"] != asked:
            sys.exit(f"{out}: was begun with other --data, sizes, --shares or --tags; choose another --out")
        return
    sizes = split(options.data, parts, options.tags, out / "split")
    write_yaml(out / "gold.yaml", GOLD_LAWS)
    panel = [{"name": "gold", "model": str(out / "gold"), "methods": ["reward"]}]
    drawn = {"max_tokens": options.max_tokens, "temperature": 1.0}
    write_yaml(
        out / "panel.yaml",
        {"panel": panel, "plan": {"methods": ["score"], "sample": drawn, "samples": options.responses}},
    )
    marker.write_text(json.dumps({"asked": asked, "rows": sizes}))
    print("rows: " + ", ".join(f"{name} {count}" for name, count in sizes.items()))


def stages(options: argparse.Namespace, out: Path) -> Iterator[Stage]:
    """All commands in their order; files between them are made as they are reached."""
    engine = ["--engine", options.engine] if options.engine else []
    parts, config = out / "split", ["--config", str(options.config), *common.settings(settings_of(options.judge))]
    constitution = ["--constitution", str(options.constitution)]
    yield train(
        "gold", "reward", options.model, parts / "gold.jsonl", {**GOLD, **settings_of(options.gold)}, out / "gold"
    )
    weights = out / "weights" / "weights.json"
    data = ["--data", str(parts / "weights.jsonl"), "--judge", options.model, "--out", str(out / "weights")]
    written = ["--fit", str(weights), "--json", str(out / "weights" / "judge.json")]
    yield Stage("weights", weights, ours("evaluation", "judge", *data, *constitution, *config, *engine, *written))
    yield against_gold("gold on people's labels", "people", parts / "weights.jsonl", options, out)
    sampled = {"max_tokens": options.max_tokens, "temperature": 1.0}
    plan = {
        "plan.samples": options.samples,
        "plan.rounds": 0,
        "plan.keep_truncated": True,
        "plan.sample": sampled,
        **settings_of(options.run),
    }
    run = common.command(
        options.constitution, parts / "train.jsonl", out / "run", "--policy", options.model, *config, *engine,
        "--weights", str(weights), *common.settings(plan),
    )  # fmt: skip
    yield Stage("run", out / "run" / "manifest.json", run)
    pairs = pairs_of(out / "run")
    for arm in get_args(Arm):
        for seed in range(options.seeds):
            write_rows(out / "pairs" / f"{arm}-{seed}.jsonl", labelled(pairs, arm, seed))
    for arm in ("judged", "longer"):
        yield against_gold(f"gold on {arm} labels", arm, out / "pairs" / f"{arm}-0.jsonl", options, out)
    for seed in range(options.seeds):
        for arm in get_args(Arm):
            yield from policy(arm, seed, options, out)


def policy(arm: Arm, seed: int, options: argparse.Namespace, out: Path) -> Iterator[Stage]:
    """Train one policy and compare it with the base."""
    name = f"{arm}-{seed}"
    settings = {**DPO, "seed": seed, **settings_of(options.dpo)}
    yield train(
        f"policy {name}", "dpo", options.model, out / "pairs" / f"{name}.jsonl", settings, out / "policy" / name
    )
    found = policy_json(out, arm, seed)
    # the base's responses of a seed are the same for every arm
    before = [f"{other}-{seed}" for other in get_args(Arm)[: get_args(Arm).index(arm)]]
    reuse = [word for other in before for word in ("--reuse", str(out / "evaluation" / other))]
    command = ours(
        "evaluation", "policy", "--a", str(out / "policy" / name), "--b", options.model,
        "--prompts", str(out / "split" / "held.jsonl"), "--constitution", str(out / "gold.yaml"),
        "--config", str(out / "panel.yaml"), "--judge", options.model, "--held-out", "judge", "--seed", str(seed),
        "--out", str(found.parent), "--json", str(found), "--page", str(found.with_suffix(".html")),
        "--probes", "none", *reuse, *(["--engine", options.engine] if options.engine else []),
    )  # fmt: skip
    yield Stage(f"evaluation {name}", found, command)


def against_gold(title: str, name: str, data: Path, options: argparse.Namespace, out: Path) -> Stage:
    """How often gold prefers the chosen responses of a file."""
    done = out / "labels" / f"{name}.json"
    command = ours(
        "evaluation", "judge", "--data", str(data), "--constitution", str(out / "gold.yaml"), "--judge", options.model,
        "--config", str(out / "panel.yaml"), "--without", "^judge/", "--method", "temperature",
        "--out", str(out / "labels"), "--json", str(done), *(["--engine", options.engine] if options.engine else []),
    )  # fmt: skip
    return Stage(title, done, command)


def checks(out: Path) -> dict[str, str]:
    """What is known of gold and of the judge."""
    judge = json.loads((out / "weights" / "judge.json").read_text())
    found = {"fitted judge, people's labels, cross-validated": judge["accuracy"]}
    for name, title in (
        ("people", "gold, people's labels that it has not seen"),
        ("judged", "gold agrees with the judge's labels"),
        ("longer", "gold prefers the longer response"),
    ):
        found[title] = json.loads((out / "labels" / f"{name}.json").read_text())["accuracy"]
    return {name: f"{shown(Estimate.model_validate(share))} %" for name, share in found.items()}


def policy_json(out: Path, arm: Arm, seed: int) -> Path:
    """Where an evaluation is."""
    return out / "evaluation" / f"{arm}-{seed}" / "policy.json"


if __name__ == "__main__":
    main()
