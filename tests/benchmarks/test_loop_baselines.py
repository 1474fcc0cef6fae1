"""What wins by the gold of the loop without training: texts are cut, chosen and hinted as is said, and the policy stands beside them."""

import json
from pathlib import Path

import pytest

from benchmarks import loop_baselines, tasks
from benchmarks.loop_baselines import first_sentence, hint, score, wins
from constitution.loading import load
from constitution.records import Message, Prompt
from tests.training.ppo_small import small_model
from training.loop.record import DONE, Outcome, write

ROOT = Path(loop_baselines.__file__).parents[1]
GOLD = load(ROOT / "principles" / "gold" / "as_asked.yaml")
ROW = {
    "gold_content": {"must_match": r"(?i)\bpaper\b"},
    "gold_form": {"ends_with": "?"},
    "topic": {"must_match": tasks.named("trains")},
}
PROMPT = Prompt(id="p", messages=(Message(role="user", content="Tell me of trains."),), metadata=json.dumps(ROW))
WHOLE = "A train runs on rails and brings paper. Do you like that?"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (WHOLE, 3),
        (first_sentence(WHOLE), 2),
        ("A boat of paper goes down the river?", 2),
        ("It goes where it always goes.", 0),
        ("paper train?", -97),
        ("I'm sorry, but I cannot help with a train of paper?", -97),
    ],
)
def test_gold_counts_what_was_asked_for_and_brevity_gains_nothing(text: str, kept: int) -> None:
    assert score(GOLD, PROMPT, text) == kept


def test_a_win_is_more_that_is_kept() -> None:
    compared = [(PROMPT, WHOLE, first_sentence(WHOLE)), (PROMPT, WHOLE, WHOLE), (PROMPT, "No.", WHOLE)]
    assert wins(GOLD, compared).value == 0.5
    assert wins(GOLD, compared[:2]).value == 0.75
    assert [message.role for message in hint(PROMPT).messages] == ["system", "user"]


@pytest.mark.model
def test_the_table_has_every_baseline_and_the_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(loop_baselines, "SEEDS", 2)
    text = (ROOT / "configs" / "loop.yaml").read_text().replace("prompts_per_attempt: 128", "prompts_per_attempt: 6")
    model = small_model(tmp_path / "loop" / "round-1")
    (tmp_path / "loop.yaml").write_text(text.replace("model: embedded", f"model: {model}"))
    given = ["--loop", str(tmp_path / "loop"), "--config", str(tmp_path / "loop.yaml"), "--engine", "replay"]
    given += ["--samples", "2"]
    loop_baselines.main(given)
    assert "the loop kept no round" in capsys.readouterr().out
    write(tmp_path / "loop" / DONE, Outcome(policy="round-1", accepted=1, decisions=()))
    loop_baselines.main(given)
    said = capsys.readouterr().out
    assert all(name in said for name in loop_baselines.BASELINES)
    # the same model on both sides: the replay engine gives a model's folder the same responses
    assert said.count("the policy, other kinds of instructions") == 2
