"""What a training run reports against what its saved folder gives when another program loads it.

Trains each recipe and computes the loss, accuracy and margin of the held-out rows again from the saved folder: plain
transformers, float32, eager attention, one sequence at a time. Tiny random models in bfloat16 by default; `--model` and `--data`
take real ones.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from benchmarks.common import show
from benchmarks.tiny import make_tiny, some_pairs, some_targets
from training.config import Training
from training.recipes.config import DPO, SFT, Reward
from training.run import fit
from training.run.job import Job, prepare

RUNS: tuple[tuple[str, type[Training], dict[str, Any]], ...] = (
    ("dpo", DPO, {}),
    ("dpo, learning rate 1e-4", DPO, {"learning_rate": 1e-4}),
    ("dpo, adapter merged", DPO, {"lora": {"r": 4}}),
    ("dpo, saved in float32", DPO, {"save_dtype": "float32"}),
    ("dpo, saved in float16", DPO, {"save_dtype": "float16"}),
    ("reward", Reward, {}),
    ("reward, 4 heads", Reward, {"heads": 4}),
    ("sft", SFT, {}),
    ("sft, 4 bits, adapter merged", SFT, {"lora": {"r": 4}, "quantize": "4bit"}),
    ("sft, 8 bits, adapter merged", SFT, {"lora": {"r": 4}, "quantize": "8bit"}),
)


def model(kind: Any, folder: Path) -> Any:
    """The folder as transformers loads it, in float32."""
    return kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def sequences(job: Job) -> Iterator[tuple[Any, list[tuple[int, Tensor]]]]:
    """Each held-out row, and of each of its responses the prompt's length and all tokens."""
    for row in job.test.rows:
        prompt, responses = row.example.prompt, row.example.responses
        yield row, [(len(prompt), torch.tensor([[*prompt, *response]])) for response in responses]


@torch.no_grad()  # type: ignore[untyped-decorator]
def logprob(policy: Any, start: int, tokens: Tensor) -> float:
    """Log-probability of a response, in nats."""
    logits = policy(tokens).logits[0, start - 1 : -1].double()
    return float(logits.log_softmax(-1).gather(-1, tokens[0, start:, None]).sum())


@torch.no_grad()  # type: ignore[untyped-decorator]
def rewards(classifier: Any, tokens: Tensor) -> Tensor:
    """A conversation's reward by each head, at its last token."""
    return classifier.score(classifier.model(tokens).last_hidden_state[0, -1])


def again(job: Job) -> dict[str, float]:
    """The figures of a finished run, from its folder."""
    settings = job.settings
    if isinstance(settings, SFT):
        policy = model(AutoModelForCausalLM, job.out)
        pairs = [(-logprob(policy, *one), one[1].shape[1] - one[0]) for _, (one,) in sequences(job)]
        return {"eval_loss": sum(nats for nats, _ in pairs) / sum(tokens for _, tokens in pairs)}
    rows, margins = [row for row, _ in sequences(job)], []
    if isinstance(settings, DPO):
        policy, base = model(AutoModelForCausalLM, job.out), model(AutoModelForCausalLM, job.files.path)
        for _, both in sequences(job):
            a, b = (logprob(policy, *one) - logprob(base, *one) for one in both)
            margins.append(torch.tensor([settings.beta * (a - b)]))
    else:
        classifier = model(AutoModelForSequenceClassification, job.out)
        for _, both in sequences(job):
            a, b = (rewards(classifier, tokens) for _, tokens in both)
            margins.append(a - b)
    margin, p = torch.stack(margins), torch.tensor([row.p for row in rows])[:, None]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(margin, p.expand_as(margin))
    mean = margin.mean(-1)
    accuracy = (0.5 + 0.5 * mean.sign() * (p[:, 0] - 0.5).sign()).mean()
    return {"eval_loss": float(loss), "eval_accuracy": float(accuracy), "eval_reward_margin": float(mean.mean())}


def tiny(folder: Path) -> tuple[Path, Path, Path]:
    """(a random model in bfloat16, pairs, targets)."""
    base = make_tiny(folder / "base")
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(base)
    paths = [folder / f"{name}.jsonl" for name in ("pairs", "targets")]
    for path, rows in zip(paths, (some_pairs(60), some_targets(60)), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return base, paths[0], paths[1]


def main() -> None:
    """Train each recipe and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a checkpoint; a tiny random one where left out")
    parser.add_argument("--data", type=Path, help="preference pairs, for dpo and reward alone")
    parser.add_argument("--steps", type=int, default=5)
    asked = parser.parse_args()
    worst = 0.0
    with TemporaryDirectory() as scratch:
        base, pairs, targets = tiny(Path(scratch))
        common = {"batch_size": 8, "micro_batch_size": 4, "test_fraction": 0.4, "steps": asked.steps, "report_to": ()}
        for name, kind, settings in RUNS:
            if asked.data and kind is SFT:
                continue
            data = asked.data or (targets if kind is SFT else pairs)
            chosen = {"model": str(asked.model or base), "data": {str(data): 1.0}, **common, **settings}
            job = prepare(kind.model_validate(chosen), Path(scratch) / name)
            told = fit.run(job, Console(quiet=True))["results"]
            found = again(job)
            apart = max(abs(told[key] - found[key]) / max(abs(found[key]), 1e-9) for key in found)
            worst = max(worst, apart)
            show(f"reported against saved: {name}", 100 * apart, "%", "<= 1")
            show(f"weights moved: {name}", 100 * told["weights_moved"], "%", "report")
    show("reported against saved, worst", 100 * worst, "%", "<= 1")


if __name__ == "__main__":
    main()
