"""Losses of the recipes: where they begin, where they settle, and that nothing but the rows and the settings decides them."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from torch._dynamo.utils import counters

from benchmarks.tiny import some_pairs, some_targets
from generation.engines.checkpoint import ModelFiles
from training.config import Lora, Training
from training.data.batches import Example, Layout
from training.data.encode import PairRow, TargetRow
from training.model.loading import load_policy, load_reward
from training.recipes.config import DPO, KTO, ORPO, SFT, Process, Reward, SimPO
from training.recipes.dpo import DPORecipe
from training.recipes.recipe import WEIGHT, pair_batch
from training.recipes.reward import BOOTSTRAP, RewardRecipe, bootstrap
from training.recipes.sft import SFTRecipe
from training.run import fit, job
from training.run.callbacks import Recorder
from training.run.metrics import Metrics, read
from training.run.watch import Watch

LN2 = math.log(2)
NUMBERS = ("loss", "grad_norm", "accuracy", "reward_margin", "reward_chosen", "logp_chosen", "entropy", "length")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """References are computed anew in each test."""
    monkeypatch.setenv("SOLON_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def train(
    tiny: Path, tmp_path: Path, write_rows: Callable[..., Path]
) -> Callable[..., tuple[dict[str, Any], list[Any]]]:
    """Trains the tiny model; returns its weights by name and the rows of metrics."""

    def run(kind: type[Training], name: str, **settings: Any) -> tuple[dict[str, Any], list[Any]]:
        rows = rows_of(kind, settings)
        plain = {"precision": "fp32", "batch_size": 8, "steps": 3, "report_to": (), "learning_rate": 1e-2, "warmup": 0}
        data = {str(write_rows(rows)): 1.0}
        chosen = kind.model_validate({"model": str(tiny), "data": data, **plain, **settings})
        out = tmp_path / name
        prepared = job.prepare(chosen, out)
        out.mkdir()
        module = fit.load(prepared)
        recorder = Recorder(Metrics(out), Watch(), Console(quiet=True), prepared.steps)
        trainer = fit.build(prepared, module, recorder)
        trainer.train()
        trainer.evaluate()
        return dict(module.named_parameters()), read(out / "metrics.jsonl")

    return run


def rows_of(kind: type[Training], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """24 rows that the recipe learns from."""
    if kind is SFT:
        return some_targets(24)
    if kind is Process:
        return [
            {"prompt": row["prompt"], "completions": ["the sky is", "blue .", "nobody knows"][: 1 + i % 3], "labels": [True, 0.7, False][: 1 + i % 3]}
            for i, row in enumerate(some_pairs(24))
        ]  # fmt: skip
    if settings.get("loss") == "plackett_luce":
        return [
            {"prompt": row["prompt"], "responses": [row["chosen"][0]["content"], "it is", row["rejected"][0]["content"]], "ranks": [1, 2, 2 + i % 2]}
            for i, row in enumerate(some_pairs(24))
        ]  # fmt: skip
    return some_pairs(24)


def numbers(rows: Sequence[Any]) -> list[dict[str, float]]:
    """What a run logged. Where margins are 0 but for rounding, which of two responses has the higher reward is chance."""
    found = [{n: row.values[n] for n in NUMBERS if n in row.values} for row in rows if row.split in ("train", "eval")]
    return [
        {n: v for n, v in row.items() if n != "accuracy" or abs(row.get("reward_margin", 1)) > 1e-6} for row in found
    ]


KINDS = {
    "sft": (SFT, {}),
    "reward": (Reward, {"heads": 2}),
    "dpo": (DPO, {"sft_weight": 0.1}),
    "dpo-rankings": (DPO, {"loss": "plackett_luce"}),
    "reward-rankings": (Reward, {"loss": "plackett_luce", "heads": 2}),
    "reward-debiased": (Reward, {"debias_length": True}),
    "kto": (KTO, {"desirable_weight": 1.3}),
    "kto-lora": (KTO, {"lora": Lora(r=4)}),
    "process": (Process, {}),
    "dpop": (DPO, {"loss": "dpop", "beta": 0.01}),
    "simpo": (SimPO, {"sft_weight": 0.1}),
    "orpo": (ORPO, {}),
    "dpo-lora": (DPO, {"lora": Lora(r=4), "normalize": True}),
}
OTHERS = {
    "rows one by one": {"micro_batch_size": 1},
    "padded": {"layout": "padded"},
    "all rows at once, padded to the longest": {"layout": "padded", "micro_batch_size": 8},
    "checkpointing": {"gradient_checkpointing": True, "micro_batch_size": 8},
}


@pytest.mark.model
@pytest.mark.parametrize("kind", KINDS)
def test_memory_settings_decide_nothing(train: Callable[..., Any], kind: str) -> None:
    recipe, settings = KINDS[kind]
    wanted, rows = train(recipe, "plain", micro_batch_size=2, eval_every=2, **settings)
    assert len(numbers(rows)) == 5  # three steps, an evaluation between them and one at the end
    for name, other in OTHERS.items():
        found, others = train(recipe, name, **{"micro_batch_size": 2, "eval_every": 2, **settings, **other})
        for ours, theirs in zip(numbers(others), numbers(rows), strict=True):
            assert ours == pytest.approx(theirs, rel=1e-3, abs=2e-4), name
        for key, weight in found.items():
            assert (weight - wanted[key]).abs().max() < 4e-3, f"{name}: {key}"  # three steps of up to 1e-2


@pytest.mark.model
def test_compiled_layers_decide_nothing(train: Callable[..., Any]) -> None:
    """Both layers and batches of all lengths share what is compiled: five pieces around attention, with gradients and without."""
    more = {"precision": "bf16", "micro_batch_size": 2, "learning_rate": 1e-3}
    _, rows = train(DPO, "plain", **more)
    torch.compiler.reset()
    counters.clear()
    _, others = train(DPO, "compiled", compile=True, **more)
    assert 0 < counters["stats"]["unique_graphs"] <= 10
    for ours, theirs in zip(numbers(others), numbers(rows), strict=True):
        for name in theirs.keys() & {"loss", "grad_norm", "logp_chosen", "entropy"}:
            assert ours[name] == pytest.approx(theirs[name], rel=0.01), name
    first = next(row for row in others if row.split == "train").values
    assert (first["loss"], first["reward_margin"]) == (pytest.approx(LN2, abs=1e-6), 0)


@pytest.mark.parametrize(("epochs", "steps"), [(1.0, 3), (2.0, 5), (0.25, 1), (8 / 17, 1)])
def test_a_pass_sees_every_row(
    epochs: float, steps: int, tiny: Path, tmp_path: Path, write_rows: Callable[..., Path]
) -> None:
    """17 rows in batches of 8: some come again before a row is left out."""
    data = {str(write_rows(some_pairs(17))): 1.0}
    chosen = DPO(model=str(tiny), data=data, test_fraction=0, batch_size=8, epochs=epochs, report_to=())
    prepared = job.prepare(chosen, tmp_path / "out")
    assert prepared.steps == steps
    if epochs >= 1:
        assert {*prepared.order} == {*range(17)}


@pytest.mark.model
def test_bfloat16_activations_come_close(train: Callable[..., Any]) -> None:
    _, exact = train(DPO, "fp32", micro_batch_size=4)
    _, half = train(DPO, "bf16", micro_batch_size=4, precision="bf16")
    for ours, theirs in zip(numbers(half), numbers(exact), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.05)
        assert ours["logp_chosen"] == pytest.approx(theirs["logp_chosen"], rel=0.02)


@pytest.mark.parametrize("lora", [None, Lora(r=4)], ids=["cached", "adapter off"])
def test_dpo_begins_at_ln_2(train: Callable[..., Any], lora: Lora | None) -> None:
    _, rows = train(DPO, "run", lora=lora)
    first = next(row for row in rows if row.split == "train").values
    assert first["loss"] == pytest.approx(LN2, abs=1e-6)
    assert first["reward_margin"] == pytest.approx(0, abs=1e-6)


def test_dpo_tells_what_chosen_responses_lost(train: Callable[..., Any]) -> None:
    _, rows = train(DPO, "run", batch_size=1, micro_batch_size=1, steps=4, beta=0.5)
    seen = [row.values for row in rows if row.split == "train"]
    for values in seen:
        moved = values["reward_chosen"] / 0.5
        assert values["logp_drop"] == pytest.approx(-moved / abs(values["logp_chosen"] - moved), abs=1e-5)
    assert any(values["logp_drop"] != 0 for values in seen[1:])


@pytest.mark.parametrize("heads", [1, 3])
def test_reward_begins_at_ln_2(train: Callable[..., Any], tiny_files: ModelFiles, heads: int) -> None:
    settings = Reward(heads=heads)
    model = load_reward(tiny_files, heads, settings).eval()
    loss = RewardRecipe(settings).outcome(model, RewardRecipe(settings).collate(PAIRS, "packed")).loss
    assert loss.tolist() == pytest.approx([LN2] * 3, abs=1e-6)
    if heads == 1:
        _, rows = train(Reward, "run")
        assert next(row for row in rows if row.split == "train").values["loss"] == pytest.approx(LN2, abs=1e-6)


PAIRS = [
    PairRow("a", Example((1, 8, 9), ((10, 11, 2), (12, 2))), 0.8, 0.0, 1.0),
    PairRow("b", Example((1, 9), ((13, 2), (10, 14, 15, 2))), 0.6, 0.0, 2.0),
    PairRow("c", Example((1, 8, 8, 8, 9), ((9, 2), (9, 9, 2))), 1.0, 0.0, 1.0),
]
TARGETS = [TargetRow(p.id, Example(p.example.prompt, p.example.responses[:1]), p.weight) for p in PAIRS]


def outcome(kind: str, files: ModelFiles, rows: Sequence[Any], layout: Layout) -> tuple[Any, dict[str, Any]]:
    """Losses of rows, and the gradients of their weighted mean, with a model that is not at its start."""
    torch.manual_seed(0)
    recipe: Any
    if kind == "reward":
        recipe = RewardRecipe(Reward(heads=2, center=0.1))
        model: Any = load_reward(files, 2, Reward(layout=layout))
        with torch.no_grad():
            model.inner.score.weight.normal_()
    else:
        recipe = SFTRecipe() if kind == "sft" else DPORecipe(DPO(loss="soft", sft_weight=0.2))
        model = load_policy(files, SFT(layout=layout))
        if kind == "dpo":
            recipe.references = {row.example: (-9.0 - row.p, -8.0) for row in PAIRS}
    batch = recipe.collate(rows, layout)
    found = recipe.outcome(model, batch)
    ((found.loss * batch[WEIGHT]).sum() / batch[WEIGHT].sum()).backward()
    return found, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.model
@pytest.mark.parametrize("kind", ["sft", "reward", "dpo"])
@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_neighbours_in_a_batch_decide_nothing(tiny_files: ModelFiles, kind: str, layout: Layout) -> None:
    rows: Sequence[Any] = TARGETS if kind == "sft" else PAIRS
    whole, grads = outcome(kind, tiny_files, rows, layout)
    turned, turned_grads = outcome(kind, tiny_files, rows[::-1], layout)
    other, other_grads = outcome(kind, tiny_files, rows, "padded" if layout == "packed" else "packed")
    torch.testing.assert_close(turned.loss.flip(0), whole.loss, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(other.loss, whole.loss, rtol=1e-5, atol=1e-6)
    for name, values in whole.values.items():
        torch.testing.assert_close(turned.values[name].flip(0), values, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(turned_grads, grads, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(other_grads, grads, rtol=1e-3, atol=1e-6)
    for i, row in enumerate(rows):  # alone there is no padding, or none of that length
        alone, _ = outcome(kind, tiny_files, [row], layout)
        torch.testing.assert_close(alone.loss[0], whole.loss[i], rtol=1e-5, atol=1e-6)


def test_sft_counts_every_token_the_same(tiny_files: ModelFiles) -> None:
    recipe, model = SFTRecipe(), load_policy(tiny_files, SFT()).eval()
    rows = [row._replace(weight=1.0) for row in TARGETS]
    batch = recipe.collate(rows, "packed")
    loss = recipe.outcome(model, batch).loss
    mean = (loss * batch[WEIGHT]).sum() / batch[WEIGHT].sum()
    assert mean.item() == pytest.approx(-model(batch).logprobs.mean().item(), rel=1e-6)
    assert recipe.collate(TARGETS, "packed")[WEIGHT].tolist() == [3.0, 4.0, 2.0]  # weight times tokens


@pytest.mark.model
@pytest.mark.parametrize("kind", ["reward", "dpo"])
@pytest.mark.parametrize("p", [0.7, 1.0])
def test_soft_labels_settle_at_their_log_odds(tiny_files: ModelFiles, kind: str, p: float) -> None:
    torch.manual_seed(0)
    rows = [PAIRS[0]._replace(p=p)]
    settings = DPO(beta=0.5)
    recipe: Any = DPORecipe(settings) if kind == "dpo" else RewardRecipe(Reward())
    model: Any = load_policy(tiny_files, settings) if kind == "dpo" else load_reward(tiny_files, 1, Reward())
    if kind == "dpo":
        with torch.no_grad():
            start = model(pair_batch(rows, "packed")).logprobs
            recipe.references = {rows[0].example: (float(start[:3].sum()), float(start[3:].sum()))}
    batch = recipe.collate(rows, "packed")
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    margins = []
    for _ in range(150):
        found = recipe.outcome(model, batch)
        optimizer.zero_grad()
        found.loss.mean().backward()
        optimizer.step()
        margins.append(float(found.values["reward_margin"]))
    assert margins[0] == pytest.approx(0, abs=1e-6)
    if p == 1.0:
        assert margins[-1] > margins[75] > 2
    else:
        assert margins[-1] == pytest.approx(math.log(0.7 / 0.3), rel=0.02)


@pytest.mark.model
@given(st.text(max_size=8), st.lists(st.lists(st.integers(0, 9), max_size=3), max_size=2), st.integers(0, 9))
def test_a_bootstrap_sample_is_decided_by_the_pair(name: str, responses: list[list[int]], seed: int) -> None:
    counts = bootstrap(name, responses, 8, seed)
    assert counts == bootstrap(name, responses, 8, seed)
    assert counts[:3] == bootstrap(name, responses, 3, seed)
    assert all(n >= 0 for n in counts)


def test_bootstrap_samples_hold_each_pair_once_on_average() -> None:
    counts = torch.tensor([bootstrap(f"p{i}", [[i]], 4, 0) for i in range(2000)], dtype=torch.float)
    assert counts.mean(0).tolist() == pytest.approx([1.0] * 4, abs=0.08)
    assert counts.var(0).tolist() == pytest.approx([1.0] * 4, abs=0.15)
    assert counts.T.corrcoef().triu(1).abs().max() < 0.08
    assert bootstrap("p", [[1]], 8, 0) != bootstrap("p", [[1]], 8, 1)


@pytest.mark.model
def test_heads_learn_from_their_samples_and_are_judged_on_all_rows(tiny_files: ModelFiles) -> None:
    settings = Reward(heads=4)
    recipe, model = RewardRecipe(settings), load_reward(tiny_files, 4, settings)
    batch = recipe.collate(PAIRS, "packed")
    assert batch[BOOTSTRAP].tolist() == [bootstrap(p.id, p.example.responses, 4, 0) for p in PAIRS]
    assert recipe.outcome(model.train(), batch).loss.tolist() == pytest.approx(
        (batch[BOOTSTRAP].mean(1) * LN2).tolist()
    )
    assert recipe.outcome(model.eval(), batch).loss.tolist() == pytest.approx([LN2] * 3)
