"""Pairs a second and peak memory of TRL's trainers and ours: the same pairs, order, model, batch, precision, in one process.

    python -m benchmarks.training_speed --data PAIRS [--model embedded] [--steps 50] [--batch 4] [--set precision=bf16] [--exact]
    python -m benchmarks.training_speed --lengths 64/64x32 --lengths 1024/256x8
    python -m benchmarks.training_speed --data PAIRS --recipe dpo --steps 12 --best     (about 12 minutes on 2 cores)

With `--best` TRL is measured a second time, set up at its best: weights in bfloat16, the reference's log-probabilities computed
once before training (`precompute_ref_log_probs`; their time counts, as ours does), metrics every ten steps. Its `padding_free`
is switched off in TRL 1.16, and Liger's kernels want a GPU. On a CPU with AMX, `ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16` before the
command measures one without.

Ours includes the pass that computes the reference's log-probabilities, with nothing in the cache. Every step's loss is compared:
both see the same rows in the same order, at the same learning rate. Peak memory is the process's resident set (the GPU's
allocated memory where there is one), reset between the two; TRL runs first, so what it leaves behind counts against us.
With `--exact` ours trains once more, in float32, and what is printed is how far the losses of both are from those.
With `--lengths` the pairs are made, of so many tokens of prompt and of each response, and each trainer's share of what a large
product of matrices does is printed too. On a GPU both have a few steps first, in which kernels are loaded and chosen.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from ctypes import CDLL
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

from benchmarks import shapes
from benchmarks.common import show
from generation import settings as reading
from generation.engines.checkpoint import load_tokenizer
from generation.models.files import resolve
from training.config import Training
from training.data import rows
from training.data.encode import encode_pairs
from training.model import launch
from training.model.logprobs import amx
from training.recipes.config import DPO, Reward
from training.run import fit, job
from training.run.trainer import peak_memory


class SpeedResult(NamedTuple):
    """One trainer's run."""

    pairs_per_second: float
    before: float
    """GB held when it began."""
    peak: float
    """GB."""
    losses: list[float]


def main() -> None:
    """Run both recipes in both libraries, or the one that is named."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    pairs = p.add_mutually_exclusive_group(required=True)
    pairs.add_argument("--data", help="pairs: a run folder, JSONL, ...")
    pairs.add_argument(
        "--lengths", action="append", type=shapes.parse, metavar="PROMPT/RESPONSE[xBATCH]", help="tokens"
    )
    p.add_argument("--model", default="embedded")
    p.add_argument("--steps", type=int, default=50)
    p.add_argument("--batch", type=int, default=4, help="pairs of a step")
    p.add_argument("--recipe", choices=("dpo", "reward"), action="append")
    p.add_argument("--exact", action="store_true", help="compare both with losses in float32, too")
    p.add_argument("--best", action="store_true", help="measure TRL at its best, too")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = p.parse_args()
    most = shapes.ceiling() if options.lengths else math.nan
    if options.lengths:
        show("a large product of matrices", most / 1e12, "TFLOP/s", "report")
    for recipe in options.recipe or ("dpo", "reward"):
        for shape, batch in options.lengths or [(None, None)]:
            with tempfile.TemporaryDirectory() as folder:
                os.environ["SOLON_CACHE"] = folder  # where no reference is known
                _case(options, recipe, batch or options.batch, shape, most, Path(folder))


def _case(
    options: argparse.Namespace, recipe: str, batch: int, shape: shapes.Shape | None, most: float, folder: Path
) -> None:
    """One recipe on one source of pairs; prints the figures."""
    kind: type[Training] = DPO if recipe == "dpo" else Reward
    given: dict[str, Any] = {
        "model": options.model, "steps": options.steps, "batch_size": batch, "micro_batch_size": batch,
        "bucket": False, "truncated": "drop",
        "test_fraction": 0.0, "report_to": [],
    }  # fmt: skip
    files = resolve(options.model)
    if shape is None:
        name, given["data"] = recipe, {options.data: 1.0}
    else:
        name = f"{recipe} {shape}, {batch} a step"
        made = shapes.write_pairs(folder / "pairs.jsonl", load_tokenizer(files), shape, options.steps * batch)
        given |= {"data": {str(made): 1.0}, "max_length": sum(shape)}
    settings = reading.load(kind, None, options.set, given)
    if torch.cuda.is_available():
        compare(recipe, settings.model_copy(update={"steps": 3}), folder / "warm")
    theirs, ours, *best = compare(recipe, settings, folder, options.best)
    name += "" if torch.cuda.is_available() else f" ({'with' if amx() else 'without'} AMX)"
    _tell(name, theirs, ours, ("4" if recipe == "dpo" and shape is None else "1.5", "0.4"))
    for run in best:
        show(f"{name}: TRL at its best", run.pairs_per_second, "pairs/s", "baseline")
        show(f"{name}: ours over TRL at its best", ours.pairs_per_second / run.pairs_per_second, "times", ">= 2")
        show(f"{name}: peak memory of TRL at its best", run.peak, "GB", "baseline")
        show(f"{name}: ours over TRL's at its best", ours.peak / run.peak, "times", "report")
    if shape is not None:
        for whose, run in (("TRL", theirs), ("ours", ours)):
            share = shapes.flops(files, shape, recipe) * run.pairs_per_second / most
            show(f"{name}: {whose}, of that product's speed", 100 * share, "%", "report")
    if options.exact:
        exact = job.prepare(settings.model_copy(update={"precision": "fp32"}), folder / "exact")
        losses = _ours(exact)[1]
        _apart(f"{name}: ours from float32", ours.losses, losses, "report")
        _apart(f"{name}: TRL from float32", theirs.losses, losses, "report")


def compare(recipe: str, settings: Training, folder: Path, best: bool = False) -> list[SpeedResult]:
    """TRL's run, ours, and TRL's at its best where it is asked for, which comes second."""
    plan = job.prepare(settings, folder / "ours")
    theirs = [measured(partial(_trl, recipe, plan, folder, at), plan) for at in (False, True)[: 1 + best]]
    ours = measured(lambda: _ours(plan), plan)
    return [theirs[0], ours, *theirs[1:]]


def _tell(name: str, theirs: SpeedResult, ours: SpeedResult, targets: tuple[str, str]) -> None:
    show(f"{name}: TRL", theirs.pairs_per_second, "pairs/s", "baseline")
    show(f"{name}: ours", ours.pairs_per_second, "pairs/s", "baseline")
    show(f"{name}: ours over TRL", ours.pairs_per_second / theirs.pairs_per_second, "times", f">= {targets[0]}")
    show(f"{name}: TRL's peak memory", theirs.peak, "GB", "baseline")
    show(f"{name}: of it, held before TRL began", theirs.before, "GB", "report")
    show(f"{name}: ours", ours.peak, "GB", "baseline")
    show(f"{name}: of it, held before ours began", ours.before, "GB", "report")
    show(f"{name}: ours over TRL", ours.peak / theirs.peak, "times", f"<= {targets[1]}")
    _apart(f"{name}: losses apart", ours.losses, theirs.losses, "<= 2")


def _apart(name: str, losses: Sequence[float], others: Sequence[float], target: str) -> None:
    apart = [abs(a - b) / b for a, b in zip(losses, others, strict=True)]
    show(f"{name}, mean of {len(apart)} steps", 100 * sum(apart) / len(apart), "%", target)
    show(f"{name}, the most", 100 * max(apart), "%", target)


def measured(train: Callable[[], tuple[float, list[float]]], plan: job.Job) -> SpeedResult:
    """One run from clean memory. train: returns its seconds and losses."""
    gc.collect()
    CDLL("libc.so.6").malloc_trim(0)
    torch.cuda.empty_cache()  # nothing where there is no GPU
    _reset_peak()
    before = peak_memory() / 1e9
    seconds, losses = train()
    return SpeedResult(len(plan.order) / seconds, before, peak_memory() / 1e9, losses)


def _ours(plan: job.Job) -> tuple[float, list[float]]:
    module = fit.load(plan).to(launch.state().device)  # as TRL's is before its time begins
    began = time.monotonic()
    trainer = fit.build(plan, module)
    trainer.args.save_strategy = "no"  # as theirs
    trainer.train()
    seconds = time.monotonic() - began
    return seconds, _losses(trainer)


class _TimedTrainer(DPOTrainer):  # type: ignore[misc]
    """Says how long the reference took, which is computed before `train`."""

    reference_seconds = 0.0

    def _precompute_ref_logps(self, *args: Any, **kwargs: Any) -> Dataset:
        began = time.monotonic()
        found = super()._precompute_ref_logps(*args, **kwargs)
        self.reference_seconds += time.monotonic() - began
        return found


def _trl(recipe: str, plan: job.Job, folder: Path, best: bool) -> tuple[float, list[float]]:
    settings = plan.settings
    assert isinstance(settings, (DPO, Reward))
    # those that are not dropped, which the order counts
    pairs = [p for p in rows.pairs(settings).train if encode_pairs([p], plan.encoder, settings, settings.labels).rows]
    texts = [
        {
            "prompt": [m.model_dump(exclude_defaults=True) | {"content": m.content} for m in pair.prompt.messages],
            "chosen": [{"role": message.role, "content": message.content} for message in pair.chosen],
            "rejected": [{"role": message.role, "content": message.content} for message in pair.rejected],
        }
        for pair in pairs
    ]
    data = Dataset.from_list([texts[turn] for turn in plan.order])
    common: dict[str, Any] = {
        "output_dir": str(folder / "trl"), "per_device_train_batch_size": settings.batch_size, "num_train_epochs": 1,
        "learning_rate": settings.learning_rate, "lr_scheduler_type": settings.schedule,
        "warmup_steps": round(plan.steps * settings.warmup), "bf16": settings.precision == "bf16",
        "use_cpu": not torch.cuda.is_available(), "gradient_checkpointing": settings.gradient_checkpointing,
        "max_length": settings.max_length, "train_sampling_strategy": "sequential", "report_to": "none",
        "save_strategy": "no", "disable_tqdm": True, "logging_steps": 10 if best else 1, "seed": settings.seed,
    }  # fmt: skip
    tokenizer = _ended_by_turn(plan)
    dtype = torch.bfloat16 if best and settings.precision == "bf16" else torch.float32
    if isinstance(settings, DPO):
        model = AutoModelForCausalLM.from_pretrained(plan.files.path, dtype=dtype)
        arguments = DPOConfig(beta=settings.beta, precompute_ref_log_probs=best, **common)
        trainer: Any = _TimedTrainer(model, args=arguments, train_dataset=data, processing_class=tokenizer)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(plan.files.path, dtype=dtype, num_labels=1)
        torch.nn.init.zeros_(model.score.weight)
        model.config.pad_token_id = tokenizer.pad_token_id
        trainer = RewardTrainer(model, args=RewardConfig(**common), train_dataset=data, processing_class=tokenizer)
    _check_same(trainer.train_dataset, plan)
    began = time.monotonic()
    trainer.train()
    before = trainer.reference_seconds if isinstance(trainer, _TimedTrainer) else 0.0
    return before + time.monotonic() - began, _losses(trainer)


def _check_same(theirs: Dataset, plan: job.Job) -> None:
    """Raises ValueError unless TRL sees the very tokens that we see, in the same order."""
    for step, (row, turn) in enumerate(zip(theirs, plan.order, strict=True)):
        prompt = row.get("prompt_ids", [])
        example = plan.train.rows[turn].example
        for name, response in zip(("chosen_ids", "rejected_ids"), example.responses, strict=True):
            if prompt + row[name] != [*example.prompt, *response]:
                raise ValueError(f"pair {step}: TRL's {name} are not ours")


def _ended_by_turn(plan: job.Job) -> Any:
    """The tokenizer with a template that ends with the end of the last turn, as our rows do, and padding that is no text."""
    tokenizer = load_tokenizer(plan.files)
    end = tokenizer.convert_ids_to_tokens(plan.encoder.end_of_turn)
    turn = f"'{end}' + '\n'"
    ended = f"'{end}' + ('' if loop.last and message['role'] == 'assistant' else '\n')"
    tokenizer.chat_template = ended.join(str(tokenizer.chat_template).rsplit(turn, 1))
    free = [i for i, t in sorted(tokenizer.added_tokens_decoder.items()) if t.special and i != plan.encoder.end_of_turn]
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(free[0])
    return tokenizer


def _losses(trainer: Any) -> list[float]:
    return [float(row["loss"]) for row in trainer.state.log_history if "loss" in row]


def _reset_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main()
