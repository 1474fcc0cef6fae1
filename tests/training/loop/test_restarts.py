"""A loop that is started again with other `retry.times` or `stop`: what was decided stays, and so does where `policy` leads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from constitution.errors import Unavailable, UserError
from tests.training.scripted_loop import Script, run
from tests.training.small_loop import DPO

TWO = {**DPO, "rounds": 2}
GATED = {"gates": {"win": 0.5}}


def again(folder: Path, *phases: dict[str, Any], **changes: Any) -> Any:
    """What comes of another start, which must run no command."""
    script = Script()
    outcome = run(folder, script, *phases, **GATED, **changes)
    assert script.said == []
    return outcome


def weighed(folder: Path) -> list[str]:
    """What there is in checkpoints beside what is told of them, within the loop's folder."""
    loop = folder / "loop"
    found = [*loop.glob("*/attempt-*/checkpoint/*.safetensors"), *loop.glob("*/attempt-*/checkpoint/checkpoints")]
    return sorted(str(path.relative_to(loop)) for path in found)


def link(folder: Path) -> str:
    """Where `policy` leads, within the loop's folder."""
    return str((folder / "loop" / "policy").readlink())


def test_fewer_tries_take_back_none_that_were_made(tmp_path: Path) -> None:
    outcome = run(tmp_path, Script([0.4, 0.6, 0.6]), TWO, **GATED)
    assert [(d.round, d.attempt, d.accepted) for d in outcome.decisions] == [(1, 1, False), (1, 2, True), (2, 1, True)]
    assert again(tmp_path, TWO, retry={"times": 0}) == outcome
    assert link(tmp_path) == outcome.policy == "round-2/attempt-1/checkpoint"


def test_a_try_that_was_evaluated_is_decided_again(tmp_path: Path) -> None:
    outcome = run(tmp_path, Script([0.4, 0.6, 0.6]), TWO, **GATED)
    (tmp_path / "loop/round-1/attempt-2/decision.json").unlink()
    assert again(tmp_path, TWO, retry={"times": 0}) == outcome


def test_more_tries_are_for_rounds_that_no_other_came_after(tmp_path: Path) -> None:
    """Round 1 was given up, and the next phase continued from the base: a third try now would have come before it."""
    once = {"retry": {"times": 1}, "stop": False}
    outcome = run(tmp_path, Script([0.4, 0.4, 0.6]), DPO, DPO, **GATED, **once)
    assert [(d.round, d.accepted) for d in outcome.decisions] == [(1, False), (1, False), (2, True)]
    assert again(tmp_path, DPO, DPO, retry={"times": 2}, stop=False) == outcome
    assert again(tmp_path, DPO, DPO, retry={"times": 2}, stop=True) == outcome


def test_more_tries_are_made_of_the_round_that_was_given_up_last(tmp_path: Path) -> None:
    assert run(tmp_path, Script([0.4]), TWO, **GATED, retry={"times": 0}).stopped
    script = Script([0.6, 0.6])
    outcome = run(tmp_path, script, TWO, **GATED, retry={"times": 1})
    assert script.said[0] == "training dpo round-1/attempt-2/checkpoint"
    assert [(d.learning_rate, d.accepted) for d in outcome.decisions] == [(0.01, False), (0.005, True), (0.005, True)]


def test_a_decision_on_another_policy_is_told(tmp_path: Path) -> None:
    run(tmp_path, Script([0.6, 0.6]), TWO, **GATED)
    path = tmp_path / "loop/round-2/attempt-1/decision.json"
    path.write_text(path.read_text().replace("round-1/attempt-1/checkpoint", "round-1/attempt-2/checkpoint"))
    with pytest.raises(UserError) as error:
        again(tmp_path, TWO)
    assert str(error.value) == (
        f"{path}: started from round-1/attempt-2/checkpoint, but of the rounds before it round-1/attempt-1/checkpoint is what is kept; set "
        "retry.times and stop as they were, or choose another --out"
    )


def test_the_link_does_not_go_back(tmp_path: Path) -> None:
    """While old decisions are read, whatever comes of it; it is right before the first step that is not done."""
    run(tmp_path, Script([0.6, 0.6]), TWO, **GATED)
    damaged = tmp_path / "loop/round-2/attempt-1/decision.json"
    whole = damaged.read_text()
    damaged.write_text("{")
    with pytest.raises(UserError, match=r"decision\.json: cannot be read"):
        again(tmp_path, TWO)
    assert link(tmp_path) == "round-2/attempt-1/checkpoint"
    damaged.write_text(whole)
    (tmp_path / "loop/policy").unlink()
    with pytest.raises(Unavailable):
        run(tmp_path, lambda *_: 1, {**DPO, "rounds": 3}, **GATED)  # type: ignore[arg-type]
    assert link(tmp_path) == "round-2/attempt-1/checkpoint"


def test_weights_of_a_try_that_is_not_kept_are_removed(tmp_path: Path) -> None:
    """And with them what training would have gone on from; the try is done all the same."""
    outcome = run(tmp_path, Script([0.4, 0.6]), DPO, **GATED)
    assert weighed(tmp_path) == ["round-1/attempt-2/checkpoint/model.safetensors"]
    assert again(tmp_path, DPO) == outcome


def test_so_they_are_where_a_kill_came_between(tmp_path: Path) -> None:
    outcome = run(tmp_path, Script([0.4, 0.6]), DPO, **GATED, retry={"keep": True})
    kept = ["round-1/attempt-1/checkpoint/model.safetensors", "round-1/attempt-2/checkpoint/model.safetensors"]
    assert weighed(tmp_path) == kept
    for number in (1, 2):
        (tmp_path / f"loop/round-1/attempt-{number}/checkpoint/checkpoints").mkdir()
    assert again(tmp_path, DPO) == outcome
    assert weighed(tmp_path) == kept[1:]


def test_a_bad_sign_leaves_nothing_to_go_on_from(tmp_path: Path) -> None:
    run(tmp_path, Script(ends=["step 3: loss is nan"]), DPO, retry={"times": 0, "keep": True})
    assert weighed(tmp_path) == []
