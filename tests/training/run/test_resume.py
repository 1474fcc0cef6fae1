"""A run that was killed ends as one that was not: the same rows of metrics, the same weights, bit for bit."""

import json
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from benchmarks.tiny import some_pairs, some_targets
from constitution.errors import UserError
from generation.engines.checkpoint import ModelFiles
from generation.models.files import resolve
from tests.forks import start, wait_until
from training.__main__ import main
from training.config import Lora, Training
from training.model.loading import load_policy
from training.recipes.config import DPO, KTO, ORPO, SFT, Process, Reward, SimPO
from training.run import fit, job
from training.run.folder import last_checkpoint
from training.run.metrics import read
from training.run.sealed import SEAL
from training.run.trainer import arguments

SPEED = {"tokens_per_second", "pairs_per_second", "peak_memory_gb"}


class Killed(BaseException):
    """What ends a process, as far as a process can tell it of itself."""


class Dying(Console):
    """A terminal that kills who writes a line of training about a step."""

    def __init__(self, step: int) -> None:
        super().__init__(quiet=True)
        self._step = step

    def print(self, *texts: Any, **_: Any) -> None:
        if str(texts[0]).split()[:1] == ["train"] and f" {self._step}/" in str(texts[0]):
            raise Killed


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOLON_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def settings(tiny: Path, write_rows: Callable[..., Path]) -> Callable[..., Training]:
    def make(kind: type[Training], **more: Any) -> Training:
        rows = some_targets(20) if kind is SFT else some_pairs(20)
        if kind is Process:
            steps = {"completions": ["it scatters light", "nobody knows"], "labels": [True, False]}
            rows = [{"prompt": row["prompt"], **steps} for row in rows]
        plain = {
            "precision": "fp32",
            "batch_size": 4,
            "micro_batch_size": 2,
            "epochs": 2.5,
            "learning_rate": 1e-2,
            "report_to": (),
        }
        if "steps" in more:
            del plain["epochs"]
        data = {str(write_rows(rows)): 1.0}
        return kind.model_validate(
            {"model": str(tiny), "data": data, "save_every": 2, "eval_every": 3, **plain, **more}
        )

    return make


def train(chosen: Training, out: Path, console: Console | None = None) -> dict[str, Any]:
    return fit.run(job.prepare(chosen, out), console or Console(quiet=True))


def rows(out: Path) -> list[tuple[int, str, dict[str, float], str]]:
    """All rows of metrics, less what a clock or a meter says."""
    found = read(out / "metrics.jsonl")
    return [(r.step, r.split, {n: v for n, v in r.values.items() if n not in SPEED}, r.text) for r in found]


def weights(out: Path) -> dict[str, Any]:
    return load_file(next(out.glob("*.safetensors")))


def assert_same(out: Path, wanted: Path) -> None:
    """Rows of metrics, weights and results are the same."""
    assert rows(out) == rows(wanted)
    found, others = weights(out), weights(wanted)
    assert found.keys() == others.keys()
    for name, weight in found.items():
        assert torch.equal(weight, others[name]), name
    assert (
        json.loads((out / "training.json").read_text())["results"]
        == json.loads((wanted / "training.json").read_text())["results"]
    )


RECIPES: dict[str, tuple[type[Training], dict[str, Any]]] = {
    "sft": (SFT, {"log_every": 3}),
    "reward ensemble": (Reward, {"heads": 3}),
    "dpo": (DPO, {"schedule": "cosine"}),
    "dpo with an adapter": (DPO, {"lora": Lora(r=4, dropout=0.2)}),
    "reward less length": (Reward, {"debias_length": True}),
    "kto": (KTO, {}),
    "orpo": (ORPO, {}),
    "simpo": (SimPO, {}),
    "process": (Process, {}),
    "dpo on 4 bits": (DPO, {"lora": Lora(r=4), "quantize": "4bit"}),
    "reward on 8 bits": (Reward, {"lora": Lora(r=4), "quantize": "8bit"}),
}


@pytest.mark.model
@pytest.mark.parametrize("name", RECIPES)
def test_a_stopped_run_goes_on_bit_for_bit(settings: Callable[..., Training], tmp_path: Path, name: str) -> None:
    kind, more = RECIPES[name]
    chosen = settings(kind, **more)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    train(chosen, whole)
    steps = json.loads((whole / "training.json").read_text())["steps"]
    assert steps > 2 * 4  # epochs of 4 or 5 steps: the runs below cross two of their ends
    # before the first checkpoint, after one, as one is due; what is a recipe's own is kept or lost at any
    for at in (1, 9) if kind is SFT else (4, 7) if name == "dpo" else (7,):
        with pytest.raises(Killed):
            train(chosen, torn, Dying(at))
        assert not (torn / "training.json").exists()
    train(chosen, torn)
    assert_same(torn, whole)
    assert [r.step for r in read(whole / "metrics.jsonl") if r.split == "eval"] == [*range(3, steps, 3), steps]
    assert not (torn / "checkpoints").exists()


@pytest.mark.model
def test_a_killed_process_goes_on_bit_for_bit(settings: Callable[..., Training], tmp_path: Path) -> None:
    """SIGKILL while steps are taken: at times in the middle of a checkpoint or a line."""
    chosen = settings(DPO, epochs=25.0, save_every=1, eval_every=7, keep_checkpoints=2)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    train(chosen, whole)
    config = tmp_path / "dpo.yaml"
    config.write_text(json.dumps(chosen.model_dump(mode="json", exclude_unset=True)))
    process = start(main, ["dpo", "--config", str(config), "--out", str(torn)], log=tmp_path / "log")
    wait_until(lambda: lines(torn), process)
    time.sleep(random.Random(2026).uniform(0, 0.5))
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, (tmp_path / "log").read_text()
    assert 0 < lines(torn) < lines(whole)
    train(chosen, torn)
    assert_same(torn, whole)


def lines(out: Path) -> int:
    """Rows of training so far."""
    path = out / "metrics.jsonl"
    return sum('"train"' in line for line in path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.model
@pytest.mark.parametrize("damage", ["missing", "cut", "empty"])
def test_a_checkpoint_that_was_cut_short_is_left_out(
    settings: Callable[..., Training], tmp_path: Path, damage: str
) -> None:
    chosen, out = settings(SFT, keep_checkpoints=3, eval_every=None), tmp_path / "out"
    with pytest.raises(Killed):
        train(chosen, out, Dying(7))
    assert last_checkpoint(out) == (out / "checkpoints" / "checkpoint-6", 6)
    state = out / "checkpoints" / "checkpoint-6" / SEAL
    text = state.read_text()
    state.unlink() if damage == "missing" else state.write_text(text[: len(text) // 2] if damage == "cut" else "")
    assert last_checkpoint(out) == (out / "checkpoints" / "checkpoint-4", 4)
    assert not state.parent.exists()
    shutil.rmtree(out / "checkpoints")
    assert last_checkpoint(out) is None


@pytest.mark.model
def test_a_killed_run_is_not_lost_without_a_word_about_checkpoints(
    settings: Callable[..., Training], tmp_path: Path
) -> None:
    chosen, out = settings(SFT, save_every=None, eval_every=None, steps=20), tmp_path / "out"
    with pytest.raises(Killed):
        train(chosen, out, Dying(7))
    assert last_checkpoint(out) == (out / "checkpoints" / "checkpoint-6", 6)


@pytest.mark.model
@pytest.mark.parametrize(
    ("steps", "more", "every"),
    [
        pytest.param(200, {}, 20, id="a tenth"),
        pytest.param(3, {}, 1, id="at least one"),
        pytest.param(200, {"save_every": 50}, 50, id="as asked for"),
        pytest.param(200, {"eval_every": 7, "load_best": True}, 21, id="where the best may be"),
        pytest.param(20, {"eval_every": 7, "load_best": True}, 7, id="no rarer than it must be"),
    ],
)
def test_checkpoints_come_every(steps: int, more: dict[str, Any], every: int, tmp_path: Path) -> None:
    found = arguments(SFT(report_to=(), precision="fp32", **more), tmp_path, steps, 1, True)
    assert (found.save_strategy, found.save_steps) == ("steps", every)


def test_a_finished_run_is_not_trained_again(settings: Callable[..., Training], tmp_path: Path) -> None:
    chosen, out = settings(SFT, steps=2, save_every=None, eval_every=None), tmp_path / "out"
    said = train(chosen, out)
    assert (out / "training.html").is_file()
    written = (out / "model.safetensors").stat().st_mtime_ns
    assert train(chosen, out) == said
    assert (out / "model.safetensors").stat().st_mtime_ns == written


@pytest.mark.model
def test_memory_settings_may_change_in_between(settings: Callable[..., Training], tmp_path: Path) -> None:
    chosen = settings(DPO)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    train(chosen, whole)
    with pytest.raises(Killed):
        train(chosen, torn, Dying(5))
    train(chosen.model_copy(update={"micro_batch_size": 4, "layout": "padded"}), torn)
    for name, weight in weights(torn).items():
        assert (weight - weights(whole)[name]).abs().max() < 2e-3, name
    assert [row[:2] for row in rows(torn)] == [row[:2] for row in rows(whole)]


OVERFIT = {"learning_rate": 0.1, "schedule": "constant", "eval_every": 1, "save_every": 4}
"""Steps so long that the held-out loss soon rises."""


def held_out(files: ModelFiles, chosen: Training, out: Path) -> float:
    """The held-out loss of a saved model."""
    prepared = job.prepare(chosen, out)
    module = load_policy(files, chosen)
    return float(fit.build(prepared, module).evaluate()["eval_loss"])


@pytest.mark.model
def test_best_saves_the_best_evaluations_model(settings: Callable[..., Training], tmp_path: Path) -> None:
    chosen = settings(SFT, load_best=True, **OVERFIT, steps=6)
    said = train(chosen, tmp_path / "out")
    losses = [r.values["loss"] for r in read(tmp_path / "out" / "metrics.jsonl") if r.split == "eval"]
    best = losses.index(min(losses)) + 1
    assert losses[-1] > min(losses) + 0.1
    assert (said["steps"], said["best_step"]) == (6, best)
    assert best % 4  # a step at which no checkpoint was due
    assert held_out(resolve(str(tmp_path / "out")), chosen, tmp_path / "again") == pytest.approx(min(losses), abs=1e-5)


@pytest.mark.model
def test_patience_ends_the_run_also_when_it_was_killed(settings: Callable[..., Training], tmp_path: Path) -> None:
    chosen = settings(SFT, patience=3, **OVERFIT, epochs=6.0)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    train(chosen, whole)
    losses = [r.values["loss"] for r in read(whole / "metrics.jsonl") if r.split == "eval"]
    assert len(losses) == losses.index(min(losses)) + 1 + 3 < job.prepare(chosen, whole).steps
    assert json.loads((whole / "training.json").read_text())["steps"] == len(losses)
    for at in (len(losses) - 1, len(losses)):
        with pytest.raises(Killed):
            train(chosen, torn, Dying(at))
    train(chosen, torn)
    assert_same(torn, whole)


@pytest.mark.model
def test_a_bad_sign_stops_the_run_and_stops_it_again(settings: Callable[..., Training], tmp_path: Path) -> None:
    chosen, out = settings(DPO, eval_every=None, learning_rate=1e30), tmp_path / "out"
    for _ in range(2):
        with pytest.raises(fit.Stopped, match="step 3: grad_norm is nan"):
            train(chosen, out)
        assert {r.step for r in read(out / "metrics.jsonl") if r.split == "warning"} == {3}
        assert max(r.step for r in read(out / "metrics.jsonl")) == 3


@pytest.mark.model
def test_adapters_begin_from_the_seed(settings: Callable[..., Training], tmp_path: Path) -> None:
    first, same, other = (
        dict(fit.load(job.prepare(settings(DPO, lora=Lora(r=4), seed=seed), tmp_path / "new")).named_parameters())
        for seed in (0, 0, 1)
    )
    names = [name for name in first if "lora_A" in name]
    assert names
    assert all(torch.equal(first[name], same[name]) for name in names)
    assert not any(torch.equal(first[name], other[name]) for name in names)


def test_other_settings_do_not_go_on_in_the_same_folder(settings: Callable[..., Training], tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(settings(SFT), tmp_path / "out", Dying(3))
    with pytest.raises(UserError, match="belongs to other settings"):
        train(settings(SFT, seed=1), tmp_path / "out")


@pytest.mark.model
def test_a_supervised_run_that_is_sure_of_each_word_goes_on(settings: Callable[..., Training], tmp_path: Path) -> None:
    watch = {"min_entropy": 3.2, "patience": 3}
    train(settings(SFT, eval_every=None, steps=5, watch=watch), tmp_path / "out")
    found = read(tmp_path / "out" / "metrics.jsonl")
    assert [r.step for r in found if r.split == "warning"] == [3]
    assert max(r.step for r in found if r.split == "train") == 5
