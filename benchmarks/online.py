"""DPO on pairs that come online against DPO on as many judged pairs of the first policy, on rules: no model judges, so that the
figures are of the training alone.

python -m benchmarks.online                                  # both toys, each online and offline, from the embedded model
python -m benchmarks.online --toy concise --steps 10         # one of them, shorter
python -m benchmarks.online --set model=FOLDER               # another policy

`concise` asks for short answers without filler, by rules like those of principles/concise.yaml. `tools` tells of a tool and asks
for nothing but its call. Offline, the first policy writes all responses, at the same seeds and prompts, and DPO takes as many steps
on the pairs that come of them. Success is the share of held-out responses that keep every rule; KL is to the first policy.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from rich.console import Console

from benchmarks.common import settings as as_flags
from benchmarks.common import show
from benchmarks.ppo_rules import QUESTIONS, THINGS
from constitution.loading import load as load_constitution
from constitution.records import Message, Prompt
from critics.rules.check import violates
from generation.settings import load
from training.data.encode import PromptRow
from training.online.config import OnlineDPO
from training.online.pairs import FILE
from training.online.trainer import OnlineLoop, run
from training.ppo.checkpoint import restore, weights
from training.rollout.rollouts import Rollout
from training.run.metrics import read

CONCISE = (
    {"id": "at-most-40-words", "objective": "form", "weight": 2.0, "text": "At most 40 words.", "check": {"max_words": 40}},
    {"id": "no-filler", "objective": "form", "text": "No filler to begin with.",
     "check": {"must_not_match": r"(?i)\A\W*(great question|certainly|of course|sure|absolutely|as an ai)\b"}},
    {"id": "ends", "objective": "form", "text": "End with a full stop.", "check": {"must_match": r"[.!?]\s*\Z"}},
)  # fmt: skip
CALLS = (
    {"id": "calls", "objective": "form", "weight": 2.0, "text": "Call the tool.",
     "check": {"must_match": r'(?s)\A\s*\{\s*"name":\s*"look_up".*\}\s*\Z'}},
    {"id": "names", "objective": "form", "text": "Name the tool.", "check": {"must_match": "look_up"}},
    {"id": "opens", "objective": "form", "text": "Begin with the call.", "check": {"must_match": r"\A\s*\{"}},
    {"id": "brief", "objective": "form", "text": "Say nothing else.", "check": {"max_words": 15}},
)  # fmt: skip
SYSTEM = """You have one tool. To call it, write nothing but: {"name": "look_up", "arguments": {"word": "..."}}"""
"""Of the toy `tools`."""
TUNED: dict[str, Any] = {
    "lora": {"r": 16},
    "learning_rate": 3e-4,
    "warmup": 0.0,
    "schedule": "constant",
    "beta": 0.05,
    "batch_size": 16,
    "micro_batch_size": 8,
    "test_fraction": 0.25,
    "watch": {"max_kl": None, "max_truncated": None, "leak_rows": None},
    "report_to": [],
    "save_every": None,
}
ONLINE: dict[str, Any] = {
    "prompts": 16,
    "samples": 4,
    "evaluated": 24,
    "sampler": {"engine": "generate", "max_tokens": 48, "responses_in_flight": 64},
}


def inputs(toy: str, folder: Path) -> tuple[dict[str, Any], Path]:
    """Prompts of a toy as settings, and its constitution."""
    look_up = ("Look up {}.", "What does {} mean?", "Find {}.", "Explain {}.")
    rules, asked = (CONCISE, QUESTIONS) if toy == "concise" else (CALLS, look_up)
    told = [] if toy == "concise" else [{"role": "system", "content": SYSTEM}]
    rows = [
        {"prompt": [*told, {"role": "user", "content": question.format(thing)}]}
        for question, thing in itertools.product(asked, THINGS)
    ]
    prompts, constitution = folder / "prompts.jsonl", folder / "constitution.yaml"
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    whole = {"name": toy, "version": 1, "objectives": {"form": 1.0}, "principles": list(rules)}
    constitution.write_text(yaml.safe_dump(whole), encoding="utf-8")
    return {"data": {str(prompts): 1.0}}, constitution


def success(out: Path, constitution: Path) -> float:
    """Share of the responses of the last evaluation that keep every rule."""
    rules = [principle for principle in load_constitution(constitution).principles if principle.check]
    kept = []
    for line in (out / "responses.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        prompt = Prompt(id="p", messages=(Message(role="user", content=row["prompt"]),))
        said = Message(role="assistant", content=row["response"])
        kept.append(all(violates(rule.check, prompt, said) is None for rule in rules if rule.check))
    return fmean(kept)


class FirstPolicy(OnlineLoop):
    """The same loop, whose responses are those of the policy before training: DPO offline, with as many judged pairs and steps."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._first = {name: value.clone() for name, value in weights(self.policy).items()}

    def _responses(self, prompts: Sequence[PromptRow], iteration: int) -> list[list[Rollout]]:
        now = {name: value.clone() for name, value in weights(self.policy).items()}
        restore(self.policy, self._first)
        self._writer.refresh(self.policy, iteration)
        written = super()._responses(prompts, iteration)
        restore(self.policy, now)
        return written


def measure(toy: str, loop: type[OnlineLoop], steps: int, more: Sequence[str], folder: Path, console: Console) -> None:
    """One run, from its start to its figures."""
    data, constitution = inputs(toy, folder)
    way = "offline" if loop is FirstPolicy else "online"
    judge = {"constitution": str(constitution), "engine": "transformers"}
    cap = {"importance_cap": None if way == "offline" else 2.0}
    given = {**TUNED, **data, "steps": steps, "eval_every": steps, "online": {**ONLINE, **cap, "judge": judge}}
    before, after = folder / "before", folder / "after"
    run(_settings({**given, "steps": 1, "eval_every": 1}, [*more, "learning_rate=1e-12"]), before, console)
    record = run(_settings(given, more), after, console, loop=loop)
    judged = len((after / FILE).read_text(encoding="utf-8").splitlines())
    *_, held_out = (row.values for row in read(after / "metrics.jsonl") if row.split == "eval")
    name = f"{toy}, {way}"
    show(f"{name}: success before", 100 * success(before, constitution), "% held out", "")
    show(f"{name}: success after", 100 * success(after, constitution), "% held out", "")
    show(f"{name}: log-odds against the first policy", held_out["score"], "", "over 0")
    show(f"{name}: KL to the first policy", held_out["kl"], "nats per response", "")
    show(f"{name}: judged pairs", judged, "", "")
    show(f"{name}: time", record["seconds"], "s", "under 150")


def _settings(given: dict[str, Any], more: Sequence[str]) -> OnlineDPO:
    flags = [flag for flag in as_flags(given) if flag != "--set"]
    return load(OnlineDPO, None, [*flags, *more])


def main() -> None:
    """Both toys, online and offline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", choices=("concise", "tools"), help="only this one")
    parser.add_argument("--steps", type=int, default=12, help="iterations of each run")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the runs")
    options = parser.parse_args()
    console = Console(highlight=False, width=200)
    for toy in (options.toy,) if options.toy else ("concise", "tools"):
        for loop in (OnlineLoop, FirstPolicy):
            with tempfile.TemporaryDirectory() as folder:
                measure(toy, loop, options.steps, options.set, Path(folder), console)


if __name__ == "__main__":
    main()
