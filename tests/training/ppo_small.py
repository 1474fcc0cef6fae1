"""A tiny random policy, a constitution of rules and a file of prompts: all that a run of PPO needs."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml
from rich.console import Console

from benchmarks.styles import STYLES
from generation.settings import load
from training.model.logprobs import amx
from training.ppo import trainer as ppo
from training.ppo.config import PPO
from training.ppo.job import prepare
from training.run.metrics import Row, read

ROUNDING = 0.0 if amx() else 2e-3
"""How far log-probabilities by weights kept in bfloat16 are from those by weights that are cast: AMX multiplies both alike, other CPUs
choose by where a factor lies, and sum in another order."""
END = 1
"""Ends every turn, and is the padding token as well."""
SHORT = {"id": "short", "objective": "form", "text": "Be short.", "check": {"max_words": 6}}
LETTER = {"id": "letter", "objective": "form", "text": "Use the letter a.", "check": {"must_match": "a"}}


def small_model(path: Path, kind: str = "LlamaForCausalLM", seed: int = 0, **settings: Any) -> Path:
    """A random model of two layers on disk, with a tokenizer whose padding token ends turns."""
    torch.manual_seed(seed)
    tokenizer = STYLES["chatml"]()
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), eos_token_id=END, pad_token_id=END, bos_token_id=None,
        **{"max_position_embeddings": 256, **shape, **settings},
    )  # fmt: skip
    getattr(transformers, kind)(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def small_inputs(folder: Path, *principles: dict[str, Any]) -> dict[str, Any]:
    """Settings that name a model, prompts and a constitution, made in the folder."""
    prompts = folder / "prompts.jsonl"
    lines = [json.dumps({"prompt": f"Say something about {thing}."}) for thing in "abcdefghijklmnopqrst"]
    prompts.write_text("\n".join(lines) + "\n", encoding="utf-8")
    laws = folder / "laws.yaml"
    rules = list(principles or (SHORT, LETTER))
    laws.write_text(
        yaml.safe_dump({"name": "small", "version": 1, "objectives": {"form": 1.0}, "principles": rules}),
        encoding="utf-8",
    )
    return {
        "model": str(small_model(folder / "model")),
        "data": {str(prompts): 1.0},
        "reward": {"rules": {"constitution": str(laws)}},
        "precision": "fp32",
        "report_to": [],
        "prompts": 4,
        "samples": 4,
        "batch_size": 16,
        "micro_batch_size": 16,
        "steps": 3,
        "sampler": {"engine": "generate", "max_tokens": 8, "responses_in_flight": 64},
        "watch": {"min_length": None, "min_distinct": None, "max_kl": None, "endless": False},
    }


def constitution(path: Path, **checks: dict[str, Any]) -> dict[str, Any]:
    """Settings of a reward by rules, one for each check."""
    rules = [{"id": name, "objective": "form", "text": name, "check": check} for name, check in checks.items()]
    laws = {"name": path.stem, "version": 1, "objectives": {"form": 1.0}, "principles": rules}
    path.write_text(yaml.safe_dump(laws), encoding="utf-8")
    return {"rules": {"constitution": str(path)}}


def gamed_in(folder: Path) -> dict[str, Any]:
    """The reward wants three letters e; gold wants one, and not two. A policy that learns to write e writes more and more of them."""
    settings = small_inputs(folder)
    lines = (json.dumps({"prompt": f"Say something about {i}."}) + "\n" for i in range(64))
    (folder / "prompts.jsonl").write_text("".join(lines), encoding="utf-8")
    reward = constitution(
        folder / "reward.yaml", one={"must_match": "e"}, two={"must_match": "e.*e"}, three={"must_match": "e.*e.*e"}
    )
    gold = constitution(folder / "gold.yaml", some={"must_match": "e"}, once={"must_not_match": "e.*e"})
    return settings | {
        "reward": reward, "monitor": {"gold": gold, "peak_ahead": None, "false_alarm": 0.4}, "eval_every": 2, "test_fraction": 0.5, "steps": 30,
        "prompts": 4, "samples": 16, "batch_size": 64, "micro_batch_size": 64, "baseline": "group", "learning_rate": 1e-2, "warmup": 0.0,
        "kl": {"coefficient": 0.0}, "sampler": {"engine": "generate", "max_tokens": 6},
    }  # fmt: skip


def run_small(out: Path, settings: dict[str, Any], **changes: Any) -> list[Row]:
    """Run PPO; the rows it logged."""
    ppo.run(prepare(load(PPO, None, [], {**settings, **changes}), out), Console(quiet=True))
    return read(out / "metrics.jsonl")


def numbers(rows: list[Row], split: str = "train") -> list[dict[str, float]]:
    """What was logged, without what depends on the machine."""
    timed = ("tokens_per_second", "seconds", "seconds_writing", "peak_memory_gb")
    return [{k: v for k, v in row.values.items() if k not in timed} for row in rows if row.split == split]
