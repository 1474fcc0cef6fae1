"""What a finished run reports is what its folder gives: computed again here from the files alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.tiny import some_pairs
from generation.engines.checkpoint import load_tokenizer
from generation.models.files import resolve
from training.model.rounding import Movement
from training.recipes.config import DPO
from training.run import fit, job
from training.run.metrics import read


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOLON_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def half(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in bfloat16, as most checkpoints are."""
    folder = tmp_path_factory.mktemp("half")
    AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16).save_pretrained(folder)
    load_tokenizer(resolve(str(tiny))).save_pretrained(folder)
    return folder


def train(half: Path, data: Path, out: Path, **settings: Any) -> tuple[job.Job, dict[str, Any]]:
    common = {"batch_size": 8, "steps": 4, "test_fraction": 0.4, "report_to": (), "license": "mit"}
    prepared = job.prepare(
        DPO.model_validate({"model": str(half), "data": {str(data): 1.0}, **common, **settings}), out
    )
    return prepared, fit.run(prepared, Console(quiet=True))


@torch.no_grad()  # type: ignore[untyped-decorator]
def margin(prepared: job.Job) -> float:
    """The mean margin of the held-out pairs, from the saved weights, one sequence at a time."""
    policy, base = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        for folder in (prepared.out, prepared.files.path)
    )
    found = []
    for row in prepared.test.rows:
        prompt, sides = list(row.example.prompt), []
        for response in row.example.responses:
            tokens = torch.tensor([[*prompt, *response]])
            logp = [m(tokens).logits[0, len(prompt) - 1 : -1].log_softmax(-1) for m in (policy, base)]
            ratio = (logp[0] - logp[1]).gather(-1, torch.tensor(response)[:, None])
            sides.append(float(ratio.sum()))
        found.append(0.1 * (sides[0] - sides[1]))
    return sum(found) / len(found)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        pytest.param({}, "bfloat16", id="as-the-base"),
        pytest.param({"lora": {"r": 4}}, "bfloat16", id="adapter-merged", marks=pytest.mark.model),
        pytest.param({"save_dtype": "float32"}, "float32", id="float32", marks=pytest.mark.model),
        pytest.param({"save_dtype": "float16", "layout": "padded"}, "float16", id="float16", marks=pytest.mark.model),
    ],
)
def test_the_margin_is_that_of_the_saved_folder(
    half: Path, tmp_path: Path, write_rows: Callable[..., Path], settings: dict[str, Any], kind: str
) -> None:
    prepared, told = train(half, write_rows(some_pairs(40)), tmp_path / "out", eval_every=2, **settings)
    assert told["results"]["eval_reward_margin"] == pytest.approx(margin(prepared), rel=0.01, abs=2e-6)
    assert str(AutoConfig.from_pretrained(prepared.out).dtype) == f"torch.{kind}"
    rows = [row.values for row in read(prepared.out / "metrics.jsonl") if row.split == "eval"]
    assert rows[-1]["reward_margin"] == pytest.approx(told["results"]["eval_reward_margin"], abs=1e-6)
    card = (prepared.out / "README.md").read_text()
    line = next(line for line in card.splitlines() if line.startswith("| `eval_reward_margin`"))
    assert f"| {rows[-1]['reward_margin']:.4g} |" in line
    assert "| `weights_moved` |" in card


def saved(out: Path) -> dict[str, torch.Tensor]:
    return dict(AutoModelForCausalLM.from_pretrained(out, dtype=torch.bfloat16).state_dict())


@pytest.mark.model
def test_the_share_of_moved_weights_is_counted_on_the_files(
    half: Path, tmp_path: Path, write_rows: Callable[..., Path]
) -> None:
    prepared, told = train(half, write_rows(some_pairs(40)), tmp_path / "out")
    before, after = saved(half), saved(prepared.out)
    names = [name for name in before if name != "lm_head.weight"]  # which is the embedding
    moved = sum(int((before[name] != after[name]).sum()) for name in names)
    share = moved / sum(before[name].numel() for name in names)
    assert told["results"]["weights_moved"] == pytest.approx(share, abs=1e-6)
    assert 0.05 < share < 0.95


@pytest.mark.model
def test_updates_that_vanish_are_told_with_the_fix(half: Path, tmp_path: Path, write_rows: Callable[..., Path]) -> None:
    data = write_rows(some_pairs(40))
    _, told = train(half, data, tmp_path / "small", learning_rate=1e-7)
    warnings = [row.text for row in read(tmp_path / "small" / "metrics.jsonl") if row.split == "warning"]
    assert len(warnings) == 1
    assert (
        "of the trained weights are under half the spacing of bfloat16, in which they are saved, and were rounded at random"
        in warnings[0]
    )
    assert "set save_dtype: float32; for larger updates raise learning_rate" in warnings[0]
    assert warnings[0][1:60] in (tmp_path / "small" / "training.html").read_text()
    assert told["results"]["weights_moved"] < 0.05
    train(half, data, tmp_path / "large", learning_rate=3e-3)
    assert not [row for row in read(tmp_path / "large" / "metrics.jsonl") if row.split == "warning"]


def test_updates_that_are_lost_for_want_of_a_base_in_that_type_are_said_to_be(
    half: Path, tmp_path: Path, write_rows: Callable[..., Path]
) -> None:
    prepared, _ = train(half, write_rows(some_pairs(40)), tmp_path / "out", save_dtype="float32")
    module = fit.load(prepared)
    module.saved_dtype = torch.float16
    assert "of the weights differ" in (text := fit.vanishing(Movement(0.02, 0.9), module))
    assert text.startswith(
        "the updates of 90% of the trained weights are under half the spacing of float16, in which they are saved, and are lost: 2%"
    )


@pytest.mark.model
def test_the_type_may_change_where_a_run_resumes(half: Path, tmp_path: Path, write_rows: Callable[..., Path]) -> None:
    """It decides what is written and not what is learnt: the way out where weights do not fit."""
    prepared, _ = train(half, write_rows(some_pairs(40)), tmp_path / "out")
    assert yaml.safe_load((prepared.out / "training.yaml").read_text())["machine"]["save_dtype"] == "auto"
    changed = prepared.settings.model_copy(update={"save_dtype": "float32"})
    again = job.prepare(changed, prepared.out)
    (prepared.out / "training.json").unlink()
    assert json.dumps(again.run_record["digests"]) == json.dumps(prepared.run_record["digests"])
    assert fit.run(again, Console(quiet=True))["results"]["weights_moved"] > 0.9
