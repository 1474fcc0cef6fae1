"""The loop over our real commands: a tiny model is trained, the replay engine plays policy and judge."""

import json
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from safetensors.torch import load_file

import generate_feedback
from evaluation import __main__ as evaluation_main
from evaluation.policy.result import read_evaluation
from generation.models.files import resolve
from generation.output.folder import OwnedFolder
from tests.training.ppo_small import small_model
from tests.training.small_loop import DPO, small_settings, write_settings
from training import __main__ as training_main
from training.loop.config import LoopConfig
from training.loop.folder import SETTINGS, claim
from training.loop.inputs import read
from training.loop.loop import Loop
from training.loop.page import write_page
from training.loop.record import Outcome

pytestmark = pytest.mark.model

MAINS = {
    "generate_feedback": generate_feedback.main,
    "evaluation": evaluation_main.main,
    "training": training_main.main,
}
QUICK: dict[str, Any] = {"precision": "fp32", "report_to": [], "micro_batch_size": 4}
RULES = {"rules": {"constitution": "laws.yaml"}}
REWARD = {**QUICK, "batch_size": 4, "steps": 2, "learning_rate": 0.01}
SAMPLER = {"engine": "generate", "max_tokens": 8, "responses_in_flight": 64}


def here(command: Sequence[str], log: Path) -> int:
    """Runs a command in this process, where everything is imported already."""
    module, *arguments = command[command.index("-m") + 1 :]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as out, redirect_stdout(out), redirect_stderr(out):
        return MAINS[module](arguments)


def run(out: Path, settings: dict[str, Any]) -> Outcome:
    config = LoopConfig.model_validate(settings)
    inputs = read(config, out)
    with OwnedFolder(out, SETTINGS).locked():
        claim(out, config, inputs.digests)
        return Loop(config, out, inputs, Console(quiet=True), here, partial(write_page, monitor=config.monitor)).go()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny model; commands run in it."""
    small_model(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_two_rounds_move_the_policy_twice(folder: Path) -> None:
    settings = small_settings(folder, {**DPO, "rounds": 2})
    outcome = run(folder / "loop", settings)
    assert outcome.accepted == 2
    digests = [resolve(str(path)).digest for path in (folder / "model", *checkpoints(folder / "loop", outcome))]
    assert len({*digests}) == 3
    assert resolve(str(folder / "loop" / "policy")).digest == digests[-1]
    second = json.loads((folder / "loop/round-2/attempt-1/checkpoint/training.json").read_text())
    assert second["digests"]["model"] == digests[1]
    found = read_evaluation(folder / "loop/round-2/attempt-1/evaluation/policy.json")
    assert found.kl is not None
    assert found.a.digest != found.b.digest == found.base.digest
    before = read_evaluation(folder / "loop/round-1/attempt-1/evaluation/policy.json")
    assert (before.calls.reused, found.calls.reused > 0) == (0, True), "the base is asked once"


def checkpoints(out: Path, outcome: Outcome) -> list[Path]:
    return [out / decision.policy for decision in outcome.decisions]


@pytest.mark.parametrize(
    "phase",
    [
        pytest.param({"recipe": "sft", "training": {**QUICK, "batch_size": 4}}, id="sft"),
        pytest.param({"recipe": "ppo", "reward": REWARD, "training": {**QUICK, "sampler": SAMPLER, "prompts": 4, "samples": 2, "batch_size": 8, "steps": 1}}, id="ppo"),
        pytest.param({"recipe": "best_of", "training": {**QUICK, "batch_size": 4, "samples": 4, "reward": RULES, "sampler": {"engine": "replay", "max_tokens": 8}}}, id="best_of"),
    ],
)  # fmt: skip
def test_each_recipe_makes_a_round(phase: dict[str, Any], folder: Path) -> None:
    outcome = run(folder / "loop", small_settings(folder, phase))
    (decision,) = outcome.decisions
    assert (decision.recipe, decision.accepted) == (phase["recipe"], True)
    weights = load_file(folder / "loop" / "policy" / "model.safetensors")
    base = load_file(folder / "model" / "model.safetensors")
    assert any(not weights[name].equal(base[name]) for name in base)


def test_training_that_a_bad_sign_ends_says_so(folder: Path) -> None:
    """At a rate of 1e30 weights overflow."""
    ends = {**DPO, "training": {**DPO["training"], "learning_rate": 1e30, "epochs": 3}}
    outcome = run(folder / "loop", small_settings(folder, ends, retry={"times": 0}))
    assert outcome.stopped.startswith("round 1 (dpo) was given up: training ended: ")
    assert " is nan" in outcome.stopped


def test_the_command_in_processes_of_its_own(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One round, from the command line; then again, with nothing left to do."""
    settings = small_settings(folder)
    command = ["loop", "--config", str(write_settings(folder, settings)), "--out", "loop"]
    assert training_main.main([*command, "--plan"]) == 0
    assert not (folder / "loop").exists()
    assert capfd.readouterr().out.count("│ 1     │ dpo") == 4
    assert training_main.main(command) == 0
    told = capfd.readouterr().out
    assert "round 1 (dpo): feedback:" in told
    assert "1 round kept   policy: loop/policy   page: loop/loop.html" in told
    assert training_main.main(command) == 0
    assert "feedback" not in capfd.readouterr().out
    assert training_main.main([*command, "--plan"]) == 0
    assert capfd.readouterr().out.count("yes") == 4
    with OwnedFolder(folder / "loop", SETTINGS).locked():
        assert training_main.main(command) == 2
    assert "loop: is in use by process" in capfd.readouterr().err


def test_wrong_input_of_the_command(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = small_settings(folder, {**DPO, "training": {**DPO["training"], "batch_size": 64}})
    command = ["loop", "--config", str(write_settings(folder, settings)), "--out", "loop"]
    assert training_main.main([*command, "--set", "gates.wn=1"]) == 2
    assert "gates.wn: unknown key (did you mean win?)" in capfd.readouterr().err
    assert training_main.main([*command, "--set", "model=gone/"]) == 2
    assert not (folder / "loop").exists()
