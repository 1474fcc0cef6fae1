"""The loop of Constitutional AI on one page: sample, label, train, evaluate, keep what is better, go on from there.

    python examples/loop.py --out runs/loop-by-hand                                   # the embedded model
    python examples/loop.py --out /tmp/loop --engine replay --model FOLDER --prompts 8   # any small checkpoint, made-up labels

`solon train loop` does the same with restarts, retries, monitors, more gates, and PPO or best-of-n in place of DPO. Here are only
the steps (Bai et al. 2022, arXiv:2212.08073; on-policy rounds of DPO: Guo et al. 2024, arXiv:2402.04792):

    policy <- base
    for each round:
        pairs  <- responses of the policy, compared under the constitution by the base as judge
        next   <- DPO on the pairs from the policy, with the judge's probability as the label
        win    <- how often `next` beats the policy, by a constitution that nothing was trained on
        policy <- next, if win is over one half; else stop
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import solon

PRINCIPLES = Path(__file__).resolve().parents[1] / "principles"
CONSTITUTION, HELD_OUT_CONSTITUTION = PRINCIPLES / "concise.yaml", PRINCIPLES / "gold" / "concise.yaml"
PROMPTS, HELD_OUT_PROMPTS = PRINCIPLES / "prompts" / "loop.jsonl", PRINCIPLES / "prompts" / "held_out.jsonl"
PLAN = {
    "samples": 4,
    "rounds": 0,  # no revisions: the samples differ enough
    "pairs": "all_pairs",
    "keep_truncated": True,
    "sample": {"max_tokens": 96, "temperature": 0.8, "top_p": 0.95},
}


def command(*words: object) -> None:
    """Run a command of Solon in a process of its own, whose memory goes with it. Raises CalledProcessError."""
    subprocess.run([sys.executable, "-m", "solon", *map(str, words)], check=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the loop and print each round's win rate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of all rounds")
    parser.add_argument(
        "--model", default="embedded", help="the policy to begin with, and the judge (default: %(default)s)"
    )
    parser.add_argument("--engine", help="`replay` makes texts and verdicts up (default: what suits the machine)")
    parser.add_argument("--rounds", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--prompts", type=int, default=48, help="in each round (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the training")
    options = parser.parse_args(arguments)
    engine = {"engine": options.engine} if options.engine else {}
    training = [word for setting in options.set for word in ("--set", setting)]

    policy, base = options.model, options.model
    for number in range(1, options.rounds + 1):
        folder = options.out / f"round-{number}"
        checkpoint, figures = folder / "checkpoint", folder / "policy.json"

        # Label. The seed moves with the round, so that a policy that hardly moved is not asked the same again.
        plan = {**PLAN, "seed": number}
        making = solon.generate_feedback(
            CONSTITUTION, PROMPTS, folder / "run", policy=policy, judge=base, plan=plan, limit=options.prompts, **engine
        )
        run = solon.run_sync(making)

        # Train. A pair's p_chosen is its label, not a rounded 1.
        command("train", "dpo", "--data", run.folder, "--model", policy, "--out", checkpoint, *training)

        # Evaluate, on other prompts and by other rules.
        sides = [
            "--a",
            checkpoint,
            "--b",
            policy,
            "--judge",
            base,
            "--prompts",
            HELD_OUT_PROMPTS,
            "--limit",
            options.prompts,
        ]
        rules = ["--constitution", CONSTITUTION, "--gold", HELD_OUT_CONSTITUTION, "--probes", "none"]
        extra = ["--engine", options.engine] if options.engine else []
        command("evaluate", "policy", *sides, *rules, *extra, "--out", options.out / "evaluation", "--json", figures)

        # Keep, or stop.
        win = json.loads(figures.read_text(encoding="utf-8"))["gold"]["win"]["raw"]["value"]
        print(f"round {number}: {run.manifest.counts.pairs} pairs, win rate {win:.2f} by the held-out constitution")
        if win <= 0.5:
            break
        policy = str(checkpoint)
    print(f"policy: {policy}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
