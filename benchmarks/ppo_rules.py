"""PPO on a reward that rules give: at most 40 words, and a question at the end. Prints what it costs and what it comes to.

python -m benchmarks.ppo_rules                  # critic and group baseline, each from the embedded model
python -m benchmarks.ppo_rules --kl 0           # the same without a pull to the reference: how far it drifts
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from pathlib import Path

import yaml
from rich.console import Console

from benchmarks.common import settings as as_flags
from benchmarks.common import show
from generation.settings import load
from training.ppo import trainer as ppo
from training.ppo.config import PPO
from training.ppo.job import prepare
from training.run.metrics import read

THINGS = (
    "sleep", "coffee", "the moon", "running", "bread", "chess", "rain", "cats", "dogs", "trains", "music", "gardens", "tea",
    "the sea", "bicycles", "books", "paint", "apples", "winter", "summer", "maps", "bees", "clouds", "rivers", "letters",
    "mountains", "cheese", "dancing", "shoes", "windows",
)  # fmt: skip
QUESTIONS = ("Tell me about {}.", "What is good about {}?", "Give me one tip about {}.", "Why do people like {}?")
RULES = [
    {"id": "short", "objective": "form", "text": "At most 40 words.", "check": {"max_words": 40}},
    {"id": "asks", "objective": "form", "text": "End with a question.", "check": {"must_match": r"\?\s*\Z"}},
]
TUNED: dict[str, object] = {
    "lora": {"r": 16},
    "learning_rate": 5e-4,
    "value_clip": None,
    "warmup": 0.0,
    "prompts": 16,
    "samples": 4,
    "batch_size": 64,
    "micro_batch_size": 32,
    "evaluated": 32,
    "test_fraction": 0.25,
    "missing_end_penalty": 0.25,
    "sampler": {"engine": "generate", "max_tokens": 64, "responses_in_flight": 64},
    "watch": {"max_kl": None, "max_truncated": None},
    "report_to": [],
    "save_every": None,
}
OWN: dict[str, dict[str, object]] = {"group": {}, "critic": {"critic_learning_rate": 5e-4, "lam": 1.0}}
"""Baseline -> settings that it alone reads."""
STEPS = {"group": 14, "critic": 18}
"""Iterations; a critic has to learn too."""


def inputs(folder: Path) -> dict[str, object]:
    """Prompts and the constitution, written into the folder, as settings."""
    prompts = folder / "prompts.jsonl"
    lines = (json.dumps({"prompt": q.format(thing)}) for q, thing in itertools.product(QUESTIONS, THINGS))
    prompts.write_text("\n".join(lines) + "\n", encoding="utf-8")
    constitution = folder / "constitution.yaml"
    constitution.write_text(
        yaml.safe_dump({"name": "ask-back", "version": 1, "objectives": {"form": 1.0}, "principles": RULES}),
        encoding="utf-8",
    )
    return {"data": {str(prompts): 1.0}, "reward": {"rules": {"constitution": str(constitution)}}}


def measure(baseline: str, kl: float, more: list[str], out: Path, console: Console) -> None:
    """One run, from its start to its figures."""
    steps = STEPS[baseline]
    flags = {
        **TUNED,
        **OWN[baseline],
        "steps": steps,
        "eval_every": steps,
        **inputs(out.parent),
        "baseline": baseline,
        "kl": {"coefficient": kl},
    }
    record = ppo.run(prepare(load(PPO, None, [*_pairs(as_flags(flags)), *more]), out), console)
    before, after = (row.values for row in read(out / "metrics.jsonl") if row.split == "eval")
    show(f"{baseline}: success before", 100 * before["success"], "% held out", "under 20")
    show(f"{baseline}: success after", 100 * after["success"], "% held out", "over 80")
    show(f"{baseline}: KL to the reference", after["kl"], "nats per response", "under 15")
    show(f"{baseline}: time", record["seconds"], "s", "under 900")


def _pairs(flags: object) -> list[str]:
    return [flag for flag in flags if flag != "--set"]  # type: ignore[attr-defined]


def main() -> None:
    """Both baselines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kl", type=float, default=0.02, help="reward that a nat of KL takes off")
    parser.add_argument("--baseline", choices=("critic", "group"), help="only this one")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the runs")
    options = parser.parse_args()
    console = Console(highlight=False, width=200)
    for baseline in (options.baseline,) if options.baseline else ("group", "critic"):
        with tempfile.TemporaryDirectory() as folder:
            measure(baseline, options.kl, options.set, Path(folder) / "run", console)


if __name__ == "__main__":
    main()
