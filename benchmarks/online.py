"""DPO on pairs that come online against DPO on as many judged pairs of the first policy, on rules: no model judges, so that the
figures are of the training alone.

python -m benchmarks.online                                  # both toys, three seeds, online and offline
python -m benchmarks.online --toy concise --seeds 1          # one of them, once
python -m benchmarks.online --base FOLDER                    # a policy that was made before; it is made there where it is missing

The policy is small and made here (`online_policy.py`). `concise` asks for short answers without filler, by rules like those of
principles/concise.yaml; `tools` offers a tool and asks for a valid call and nothing else, read as a run reads calls. Offline, the
first policy writes all responses, at the same seeds and prompts, and DPO takes as many steps on the pairs that come of them.
Success is the share of held-out prompts whose sampled response keeps every rule; KL is to the first policy. With the embedded
model in its place sampling alone takes half a second of a core for each token of 64 responses, 22 s an iteration.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch
import yaml
from rich.console import Console

from benchmarks.common import settings as as_flags
from benchmarks.common import show
from benchmarks.online_policy import TOOL, make, prompts
from constitution.loading import load as load_constitution
from constitution.records import Message, Prompt
from critics.rules.check import violates
from critics.transcript import message_text
from generation.models.tool_calls import parse_tool_calls
from generation.settings import load
from training.data.encode import PromptRow
from training.online.config import OnlineDPO
from training.online.pairs import FILE
from training.online.trainer import OnlineLoop, run
from training.ppo.baseline import FILE as FIRST
from training.ppo.checkpoint import restore, weights
from training.rollout.rollouts import Rollout
from training.run.metrics import read

RULES: dict[str, tuple[dict[str, Any], ...]] = {
    "concise": (
        {"id": "at-most-8-words", "objective": "form", "weight": 2.0, "text": "At most 8 words.", "check": {"max_words": 8}},
        {"id": "no-filler", "objective": "form", "text": "No filler to begin with.",
         "check": {"must_not_match": r"(?i)\A\W*(great question|certainly|of course|sure)\b"}},
        {"id": "ends", "objective": "form", "text": "End with a full stop.", "check": {"must_match": r"[a-z][.]\s*\Z"}},
    ),
    "tools": (
        {"id": "calls", "objective": "form", "text": "Call the tool as it is described.", "check": {"tool_calls": "required"}},
        {"id": "brief", "objective": "form", "text": "Say nothing else.", "check": {"must_not_match": "[A-Za-z]"}},
    ),
}  # fmt: skip
TUNED: dict[str, Any] = {
    "precision": "fp32", "learning_rate": 3e-4, "warmup": 0.0, "schedule": "constant", "beta": 0.1, "batch_size": 16,
    "micro_batch_size": 16, "test_fraction": 0.3, "max_length": 256, "report_to": [], "save_every": None,
    "watch": {"max_kl": None, "min_kl": None, "max_truncated": None, "leak_rows": None},
}  # fmt: skip
"""First guesses, which were not tuned."""
ONLINE: dict[str, Any] = {
    "prompts": 16, "samples": 4, "evaluated": 64,
    "sampler": {"engine": "generate", "max_tokens": 48, "responses_in_flight": 64},
}  # fmt: skip


def inputs(toy: str, folder: Path) -> tuple[dict[str, Any], Path]:
    """Prompts of a toy as settings, and its constitution."""
    rows, constitution = folder / "prompts.jsonl", folder / "constitution.yaml"
    rows.write_text("".join(json.dumps(row) + "\n" for row in prompts(toy)), encoding="utf-8")
    whole = {"name": toy, "version": 1, "objectives": {"form": 1.0}, "principles": list(RULES[toy])}
    constitution.write_text(yaml.safe_dump(whole), encoding="utf-8")
    return {"data": {str(rows): 1.0}}, constitution


def kept(toy: str, responses: Sequence[tuple[str, str]], constitution: Path) -> dict[str, bool]:
    """Prompt -> whether its response keeps every rule."""
    rules = [principle.check for principle in load_constitution(constitution).principles if principle.check]
    found = {}
    for asked, text in responses:
        tools = (TOOL,) if toy == "tools" else ()
        prompt = Prompt(id="p", messages=(Message(role="user", content=asked),), tools=tools)
        # as runs show calls: what is said, then a line of JSON for each
        content, _, calls = text.partition("Calls tool: ")
        called = parse_tool_calls(calls.replace("Calls tool: ", ""), tools).tool_calls if tools and calls else ()
        said = Message(role="assistant", content=content.strip() if called else text, tool_calls=called)
        found[asked] = all(violates(rule, prompt, said) is None for rule in rules)
    return found


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


class Outcome(NamedTuple):
    """What one run came to."""

    before: dict[str, bool]
    after: dict[str, bool]
    kl: float
    pairs: int
    seconds: float


def measure(toy: str, loop: type[OnlineLoop], base: Path, seed: int, steps: int, more: Sequence[str]) -> Outcome:
    """One run, from its start to its figures."""
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name), Path(name) / "run"
        data, constitution = inputs(toy, folder)
        # the first policy's responses are no other policy's: their importance is nothing to correct for
        cap = {"importance_cap": None if loop is FirstPolicy else 2.0}
        judge = {"constitution": str(constitution), "engine": "transformers"}
        given = {**TUNED, **data, "model": str(base), "seed": seed, "steps": steps, "eval_every": steps}
        flags = as_flags({**given, "online": {**ONLINE, **cap, "judge": judge}})
        settings = load(OnlineDPO, None, [*(flag for flag in flags if flag != "--set"), *more])
        record = run(settings, out, Console(highlight=False, width=200, quiet=True), loop=loop)
        *_, held_out = (row.values for row in read(out / "metrics.jsonl") if row.split == "eval")
        judged = len((out / FILE).read_text(encoding="utf-8").splitlines())
        before, after = (
            [json.loads(line) for line in (out / file).read_text("utf-8").splitlines()]
            for file in (FIRST, "responses.jsonl")
        )
        return Outcome(
            kept(toy, [(row["prompt_id"], message_text(Message.model_validate(row["message"]))) for row in before], constitution),
            kept(toy, [(row["prompt"], row["response"]) for row in after], constitution),
            held_out["kl"], judged, float(record["seconds"]),
        )  # fmt: skip


def tell(toy: str, way: str, found: Sequence[Outcome]) -> None:
    """The figures of one way, over all seeds."""
    name = f"{toy}, {way}"
    interval = mean_interval([_by_prompt(found, "after")])
    show(f"{name}: success", 100 * interval[0], "% held out", "", interval=(100 * interval[1], 100 * interval[2]))
    show(f"{name}: KL to the first policy", fmean(one.kl for one in found), "nats per response", "")
    show(f"{name}: judged pairs", fmean(one.pairs for one in found), "a run", "")
    show(f"{name}: time", fmean(one.seconds for one in found), "s a run", "")


def _by_prompt(found: Sequence[Outcome], which: str) -> dict[str, float]:
    """Prompt -> its mean over seeds."""
    return {prompt: fmean(getattr(one, which)[prompt] for one in found) for prompt in getattr(found[0], which)}


def mean_interval(parts: Sequence[dict[str, float]]) -> tuple[float, float, float]:
    """(mean over prompts of the first part, less the second where there is one; 95% interval)."""
    values = [parts[0][prompt] - (parts[1][prompt] if parts[1:] else 0.0) for prompt in parts[0]]
    mean = fmean(values)
    half = 1.96 * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def main() -> None:
    """Both toys, online and offline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", choices=[*RULES], help="only this one")
    parser.add_argument("--steps", type=int, default=12, help="iterations of each run")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--base", type=Path, help="folder of the first policy, which is made where it is missing")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the runs")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a model this small gains nothing from a second one
    with tempfile.TemporaryDirectory() as folder:
        base = options.base or Path(folder)
        if not (base / "config.json").is_file():
            make(base)
        for toy in (options.toy,) if options.toy else RULES:
            seeds = range(options.first_seed, options.first_seed + options.seeds)
            loops = {"online": OnlineLoop, "offline": FirstPolicy}
            found = {
                way: [measure(toy, loop, base, seed, options.steps, options.set) for seed in seeds]
                for way, loop in loops.items()
            }
            first = mean_interval([_by_prompt(found["online"], "before")])
            show(
                f"{toy}, first policy: success",
                100 * first[0],
                "% held out",
                "",
                interval=(100 * first[1], 100 * first[2]),
            )
            for way in loops:
                tell(toy, way, found[way])
            more = mean_interval([_by_prompt(found[way], "after") for way in loops])
            low, high = 100 * more[1], 100 * more[2]
            show(f"{toy}: success, online less offline", 100 * more[0], "points", "above 0", interval=(low, high))


if __name__ == "__main__":
    main()
