"""The loop's decisions, over commands whose outcome is written down beforehand: no model, no process. test_loop_commands.py has both."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from constitution.errors import Fault, SolonError, Unavailable, UserError
from generation.output.manifest import RuleUse
from tests.training import scripted_loop
from tests.training.evaluations import evaluation, of
from tests.training.scripted_loop import PROMPTS, REWARDED, Killed, Script, paged, run, settings, written
from tests.training.small_loop import DPO, small_settings
from training.loop.config import LoopConfig
from training.loop.inputs import Inputs
from training.loop.loop import Loop
from training.loop.record import Outcome, read
from training.loop.steps import planned


def test_each_round_starts_from_the_last_that_was_kept(tmp_path: Path) -> None:
    script = Script()
    phases = [{"recipe": "sft"}, {**DPO, "rounds": 2, "older": 0.25}]
    outcome = run(tmp_path, script, *phases)
    assert script.said == [
        "generate_feedback round-1/run", "training sft round-1/attempt-1/checkpoint", "evaluation round-1/attempt-1/evaluation",
        "generate_feedback round-2/run", "training dpo round-2/attempt-1/checkpoint", "evaluation round-2/attempt-1/evaluation",
        "generate_feedback round-3/run", "training dpo round-3/attempt-1/checkpoint", "evaluation round-3/attempt-1/evaluation",
    ]  # fmt: skip
    loop = tmp_path / "loop"
    third = settings(tmp_path, "round-3/attempt-1/training.yaml")
    assert (
        third["model"]
        == settings(tmp_path, "round-3/feedback.yaml")["policy"]
        == str(loop / "round-2/attempt-1/checkpoint")
    )
    assert third["data"] == {f"{loop}/round-1/run": 0.25, f"{loop}/round-2/run": 0.25, f"{loop}/round-3/run": 1.0}
    assert [settings(tmp_path, f"round-{n}/attempt-1/training.yaml")["seed"] for n in (1, 2, 3)] == [0, 1, 2]
    first = settings(tmp_path, "round-1/feedback.yaml")
    base = str(tmp_path / "model")
    assert (first["policy"], first["judge"], first["plan"]["seed"]) == (base, base, 0)
    assert settings(tmp_path, "round-3/feedback.yaml")["judge"] == base
    assert settings(tmp_path, "round-3/feedback.yaml")["plan"]["seed"] == 2
    evaluated = script.commands[-1]
    assert {c[c.index("--out") + 1] for c in script.commands if "evaluation" in c} == {str(loop / "evaluation")}
    assert evaluated[evaluated.index("--b") + 1] == evaluated[evaluated.index("--base") + 1] == base
    assert outcome.policy == "round-3/attempt-1/checkpoint"
    assert (loop / "policy").resolve() == loop / outcome.policy
    assert (outcome.accepted, outcome.stopped) == (3, "")
    assert read(loop / "loop.json", Outcome) == outcome
    assert [d.parent for d in outcome.decisions] == [
        base,
        "round-1/attempt-1/checkpoint",
        "round-2/attempt-1/checkpoint",
    ]


def test_prompts_are_drawn_for_each_round(tmp_path: Path) -> None:
    run(tmp_path, Script(), {**DPO, "rounds": 2})
    drawn = [(tmp_path / "loop" / f"round-{n}" / "prompts.jsonl").read_text().splitlines() for n in (1, 2)]
    assert [len(lines) for lines in drawn] == [12, 12]
    assert not {*drawn[0]} & {*drawn[1]}


def test_a_round_that_fails_is_tried_again_with_a_smaller_step(tmp_path: Path) -> None:
    """Rates 0.01, then half of it, which the next round keeps: the pairs stay, and so does the policy it starts from."""
    script = Script(wins=[0.4, 0.6, 0.6])
    outcome = run(tmp_path, script, {**DPO, "rounds": 2}, gates={"win": 0.5})
    assert script.said == [
        "generate_feedback round-1/run", "training dpo round-1/attempt-1/checkpoint", "evaluation round-1/attempt-1/evaluation",
        "training dpo round-1/attempt-2/checkpoint", "evaluation round-1/attempt-2/evaluation",
        "generate_feedback round-2/run", "training dpo round-2/attempt-1/checkpoint", "evaluation round-2/attempt-1/evaluation",
    ]  # fmt: skip
    one, two, three = outcome.decisions
    assert one.reasons == ("win rate over the base: 40.0% (35.0% to 45.0%); allowed: at least 50.0%",)
    assert [(d.accepted, d.learning_rate) for d in (one, two, three)] == [(False, 0.01), (True, 0.005), (True, 0.005)]
    first, second = (settings(tmp_path, f"round-1/attempt-{n}/training.yaml") for n in (1, 2))
    assert second == {**first, "learning_rate": 0.005}
    assert three.parent == "round-1/attempt-2/checkpoint"


def test_a_second_attempt_is_judged_by_other_prompts(tmp_path: Path) -> None:
    """And the next round by those of its own first attempt, on which the base has answered already."""
    script = Script(wins=[0.4, 0.6, 0.6])
    shared = small_settings(tmp_path)["evaluation"]
    run(tmp_path, script, {**DPO, "rounds": 2}, gates={"win": 0.5}, evaluation={**shared, "prompts_per_attempt": 4})
    asked = [Path(c[c.index("--prompts") + 1]) for c in script.commands if "evaluation" in c]
    loop = tmp_path / "loop"
    first, second = (loop / f"held-out-{n}.jsonl" for n in (1, 2))
    assert asked == [first, second, first]
    ids = [[json.loads(line)["id"] for line in path.read_text().splitlines()] for path in (first, second)]
    assert ids == [["h0", "h1", "h2", "h3"], ["h4", "h5", "h6", "h7"]]


def test_rounds_that_were_judged_by_other_prompts_are_compared(tmp_path: Path) -> None:
    shared = {**small_settings(tmp_path)["evaluation"], "prompts_per_attempt": 4}
    outcome = run(tmp_path, Script(wins=[0.6, 0.4, 0.6]), {**DPO, "rounds": 2}, gates={"win": 0.5}, evaluation=shared)
    assert [(d.round, d.attempt, d.accepted) for d in outcome.decisions] == [(1, 1, True), (2, 1, False), (2, 2, True)]


def test_a_round_that_is_given_up_ends_the_loop(tmp_path: Path) -> None:
    script = Script(wins=[0.4] * 3)
    outcome = run(tmp_path, script, {**DPO, "rounds": 2}, gates={"win": 0.5}, retry={"times": 2})
    assert outcome.stopped.startswith("round 1 (dpo) was given up: win rate over the base: 40.0%")
    assert [d.learning_rate for d in outcome.decisions] == [0.01, 0.005, 0.0025]
    assert (outcome.policy, outcome.accepted) == (str(tmp_path / "model"), 0)
    assert not (tmp_path / "loop" / "policy").exists()
    assert not (tmp_path / "loop" / "round-2").exists()
    again = Script()
    assert run(tmp_path, again, {**DPO, "rounds": 2}, gates={"win": 0.5}, retry={"times": 2}) == outcome
    assert again.said == []


def test_a_rule_that_told_no_responses_apart_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = {
        "busy": RuleUse(applied=6, decided=2), "idle": RuleUse(applied=6, decided=0), "apart": RuleUse(applied=0, decided=0)
    }  # fmt: skip
    monkeypatch.setattr(scripted_loop, "MANIFEST", scripted_loop.MANIFEST.model_copy(update={"rules": rules}))
    (decision,) = run(tmp_path, Script(), DPO).decisions
    assert [note for note in decision.notes if "this rule" in note] == [
        "idle: this rule told no two of the round's responses apart"
    ]


def test_or_goes_on_with_the_next_phase(tmp_path: Path) -> None:
    """From the last good policy, at the rate that its settings name; the pairs of what failed are pairs all the same."""
    script = Script(wins=[0.6, 0.4, 0.6])
    phases = [DPO, {**DPO, "rounds": 3}, DPO]
    outcome = run(tmp_path, script, *phases, gates={"win": 0.5}, retry={"times": 0}, stop=False)
    assert [(d.round, d.accepted) for d in outcome.decisions] == [(1, True), (2, False), (5, True)]
    last = outcome.decisions[-1]
    assert (last.parent, last.learning_rate, outcome.stopped) == ("round-1/attempt-1/checkpoint", 0.01, "")
    runs = settings(tmp_path, "round-5/attempt-1/training.yaml")["data"]
    assert [Path(run).parts[-2] for run in runs] == ["round-1", "round-2", "round-5"]


def test_training_that_a_bad_sign_ends_is_a_round_that_fails(tmp_path: Path) -> None:
    outcome = run(tmp_path, Script(ends=["step 3: loss is nan", ""]))
    assert outcome.decisions[0].reasons == ("training ended: step 3: loss is nan",)
    assert not (tmp_path / "loop/round-1/attempt-1/evaluation").exists()
    assert outcome.policy == "round-1/attempt-2/checkpoint"


def test_what_the_monitor_halts_for_fails_the_round(tmp_path: Path) -> None:
    """Twice as many words as the base: told, or a reason where it is named as one."""
    responses = {"a": {"words": of(100), "unanswered": of(0.0)}, "b": {"words": of(50)}}
    limits = {"checks": 1, "words": 1.5}
    told = run(tmp_path, Script(responses=responses), monitor=limits)
    assert told.decisions[0].accepted
    assert told.decisions[0].level == "warn"
    assert any("words" in text for text in told.decisions[0].alerts)
    shutil.rmtree(tmp_path / "loop")
    halted = run(tmp_path, Script(responses=responses), monitor={**limits, "halts": ["verbosity"]}, retry={"times": 0})
    assert halted.decisions[0].level == "halt"
    assert halted.stopped.startswith("round 1 (dpo) was given up: monitor: ")
    assert halted.stopped.endswith(halted.decisions[0].alerts[0])


def test_the_reward_model_is_trained_on_the_newest_pairs(tmp_path: Path) -> None:
    script = Script()
    outcome = run(tmp_path, script, {**REWARDED, "rounds": 2, "older": 0}, gates={"agreement": 0.75})
    assert script.said[:4] == [
        "generate_feedback round-1/run", "training reward round-1/reward", "training ppo round-1/attempt-1/checkpoint",
        "evaluation round-1/attempt-1/evaluation",
    ]  # fmt: skip
    reward, ppo = settings(tmp_path, "round-2/reward.yaml"), settings(tmp_path, "round-2/attempt-1/training.yaml")
    loop = tmp_path / "loop"
    assert (reward["model"], reward["data"]) == (str(tmp_path / "model"), {f"{loop}/round-2/run": 1.0})
    assert ppo["reward"]["models"]["paths"] == [f"{loop}/round-2/reward"]
    assert ppo["data"] == {f"{loop}/round-2/prompts.jsonl": 1.0}
    assert [gate.reason for gate in outcome.decisions[0].gates if gate.name == "agreement"] == [
        "agreement of reward model and judge on fresh pairs: 75.0%; allowed: at least 75.0%"
    ]


def test_the_reward_model_is_tested_on_the_newest_pairs_alone(tmp_path: Path) -> None:
    """Trained on older ones too. A round that makes none takes the last that were made for the newest."""
    run(tmp_path, Script(), {**REWARDED, "rounds": 2}, {**REWARDED, "fresh": False}, data={"runs/given": 1.0})
    loop = tmp_path / "loop"
    for number in (2, 3):
        reward = settings(tmp_path, f"round-{number}/reward.yaml")
        assert reward["data"] == {"runs/given": 1.0, f"{loop}/round-1/run": 0.5, f"{loop}/round-2/run": 1.0}
        assert reward["eval_sources"] == [f"{loop}/round-2/run"]


def test_rewards_that_need_no_pairs_make_none(tmp_path: Path) -> None:
    script = Script()
    rules = {"reward": {"rules": {"constitution": "laws.yaml"}}}
    run(
        tmp_path,
        script,
        {"recipe": "ppo", "training": rules},
        {"recipe": "best_of", "training": rules},
        launch=["accelerate", "launch"],
    )
    assert script.said == [
        "training ppo round-1/attempt-1/checkpoint", "evaluation round-1/attempt-1/evaluation",
        "training best_of round-2/attempt-1/checkpoint", "evaluation round-2/attempt-1/evaluation",
    ]  # fmt: skip
    assert script.commands[0][:3] == ["accelerate", "launch", "-m"]
    assert script.commands[1][1] == "-m"


def test_the_pairs_of_a_round_are_made_on_ray_where_that_is_asked_for(tmp_path: Path) -> None:
    script = Script()
    run(tmp_path, script, {"recipe": "dpo"}, ray="10.0.0.1:6379", shards=16)
    first = script.commands[0]
    assert first[first.index("--ray") : first.index("--ray") + 4] == ["--ray", "10.0.0.1:6379", "--shards", "16"]


def test_a_best_of_that_is_tried_again_pays_for_no_response_twice(tmp_path: Path) -> None:
    rules = {"reward": {"rules": {"constitution": "laws.yaml"}}, "reuse": ["runs/old"]}
    run(tmp_path, Script([0.4, 0.4]), {"recipe": "best_of", "training": rules}, gates={"win": 0.5}, retry={"times": 2})
    tries = [settings(tmp_path, f"round-1/attempt-{n}/training.yaml") for n in (1, 2, 3)]
    loop = tmp_path / "loop"
    before = [str(loop / f"round-1/attempt-{n}/checkpoint") for n in (1, 2)]
    assert [one["reuse"] for one in tries] == [["runs/old"], ["runs/old", before[0]], ["runs/old", before[1]]]
    assert {(one["model"], one["seed"]) for one in tries} == {(str(tmp_path / "model"), 0)}


def test_the_starting_policy_is_an_opponent_where_a_gate_asks(tmp_path: Path) -> None:
    """In the first round that is the base itself, and no evaluation of its own."""
    script = Script(wins=[0.6, 0.6, 0.3])
    outcome = run(tmp_path, script, {**DPO, "rounds": 2}, gates={"previous": 0.5}, retry={"times": 0})
    assert [name for name in script.said if name.startswith("evaluation")] == [
        "evaluation round-1/attempt-1/evaluation", "evaluation round-2/attempt-1/evaluation", "evaluation round-2/attempt-1/evaluation-previous",
    ]  # fmt: skip
    last = script.commands[-1]
    assert last[last.index("--b") + 1] == str(tmp_path / "loop/round-1/attempt-1/checkpoint")
    assert "win rate over the round's starting policy: 30.0%" in outcome.stopped


def test_the_plan_has_every_step(tmp_path: Path) -> None:
    """Those that a loop takes whose rounds are all kept at the first try, in their order."""
    phases, gates = [{**DPO, "rounds": 2}, REWARDED], {"previous": 0.5}
    script = Script()
    run(tmp_path, script, *phases, gates=gates)
    config = LoopConfig.model_validate(small_settings(tmp_path, *phases, gates=gates))
    steps = [done.parent for _, name, done in planned(config, tmp_path / "loop") if name != "decision"]
    assert steps == [written(command) for command in script.commands]


def test_pairs_that_are_there_are_trained_on_again(tmp_path: Path) -> None:
    script = Script()
    run(tmp_path, script, DPO, {**DPO, "fresh": False, "older": 0.5}, data={"runs/given": 2.0})
    assert [name for name in script.said if name.startswith("generate")] == ["generate_feedback round-1/run"]
    data = settings(tmp_path, "round-2/attempt-1/training.yaml")["data"]
    assert data == {"runs/given": 2.0, f"{tmp_path}/loop/round-1/run": 1.0}


@pytest.mark.parametrize(
    ("code", "kind"), [(2, UserError), (1, Unavailable), (137, Unavailable), (3, Fault), (139, Fault)]
)
def test_a_step_that_fails_ends_the_loop(code: int, kind: type[SolonError], tmp_path: Path) -> None:
    def fails(_: Sequence[str], log: Path) -> int:
        log.parent.mkdir(parents=True)
        log.write_text("opening model\nmodel x: no such folder\n")
        return code

    config = LoopConfig.model_validate(small_settings(tmp_path))
    with pytest.raises(kind) as error:
        Loop(config, tmp_path / "loop", Inputs(PROMPTS, {}, {}), Console(quiet=True), fails).go()
    log = tmp_path / "loop/round-1/log/feedback.txt"
    assert str(error.value) == (
        f"feedback: ended with exit code {code}; the whole log is in {log}:\nopening model\nmodel x: no such folder"
    )


def test_killed_after_each_step_it_comes_to_the_same(tmp_path: Path) -> None:
    """And no command that is done is started again: each start dies after its first one."""
    wins, phases = [0.6, 0.4, 0.7, 0.6], [{**DPO, "rounds": 2}, REWARDED]
    (tmp_path / "laws").mkdir()
    whole = Script(wins)
    expected = run(tmp_path, whole, *phases, gates={"win": 0.5})
    for path in (tmp_path / "loop").iterdir():
        path.rename(tmp_path / "laws" / path.name)
    script = Script(wins, dies=True)
    for _ in whole.commands:
        with pytest.raises(Killed):
            run(tmp_path, script, *phases, gates={"win": 0.5})
        assert not (tmp_path / "loop" / "loop.json").exists()
    assert run(tmp_path, script, *phases, gates={"win": 0.5}) == expected
    assert script.commands == whole.commands
    assert (tmp_path / "loop/loop.json").read_bytes() == (tmp_path / "laws/loop.json").read_bytes()


def test_a_damaged_decision_is_told(tmp_path: Path) -> None:
    run(tmp_path, Script())
    (tmp_path / "loop/round-1/attempt-1/decision.json").write_text("{")
    with pytest.raises(Exception, match=r"decision\.json: cannot be read .* delete it, and the loop decides again"):
        run(tmp_path, Script())


def test_the_page_shows_texts_as_texts(tmp_path: Path) -> None:
    script = Script()
    hostile = {
        "why": "win", "prompt_id": "p<b>", "prompt": "<script>alert(1)</script>", "a": "<img src=x onerror=y>", "b": "\u202eold",
        "logit": 1.0, "votes": {},
    }  # fmt: skip

    def attack(command: Sequence[str], log: Path) -> int:
        code = script(command, log)
        if "evaluation" in command:
            (written(command) / "policy.json").write_text(evaluation(examples=[hostile]).model_dump_json())
        return code

    page = paged(tmp_path, attack)
    assert "<script>" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "[U+202E]old" in page


def test_the_page_shows_rounds_gates_and_what_each_came_to(tmp_path: Path) -> None:
    page = paged(tmp_path, Script([0.4, 0.6]), gates={"win": 0.5, "kl": 3})
    assert "1 round was kept. The policy to use: round-1/attempt-2/checkpoint." in page
    assert "<td>failed</td><td>win rate over the base: 40.0% (35.0% to 45.0%); allowed: at least 50.0%</td>" in page
    assert "<td>passed</td><td>KL from the base: 2.00 nats (1.50 to 2.50); allowed: at most 3 nats</td>" in page
    assert 'alt="Win rate over the base: round 1 (dpo, not kept) 0.4, round 1, attempt 2 (dpo) 0.6"' in page
    assert 'href="round-1/attempt-1/evaluation/page.html"' in page
