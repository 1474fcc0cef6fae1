"""A judge that checks steps, and one that goes by looks; a policy that goes on from steps, and one that recites."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.__main__ import main
from evaluation.judge.labelled import LabelledPair, read_labelled
from evaluation.reasoning.figures import answered, judged, read
from evaluation.reasoning.items import KINDS, begun, final_number, judged_pairs
from evaluation.reasoning.worked import read_steps, worked

SUMS = worked(60, seed=5)
PAIRS = judged_pairs(SUMS)
Judge = Callable[[str], float]
"""A response -> what it is worth."""


def steps(text: str) -> float:
    return float(all(step.holds for step in read_steps(text))) - len(text) / 10_000


def looks(text: str) -> float:
    return len(text) + 100 * ("certain" in text or "definitely" in text)


def shares(judge: Judge) -> dict[str, float]:
    def logit(pair: LabelledPair) -> float:
        return judge(pair.better.text) - judge(pair.worse.text)

    return {kind: one.value for kind, one in judged(PAIRS, {pair.id: logit(pair) for pair in PAIRS}).items()}


def test_a_judge_that_checks_every_step_is_found_right() -> None:
    found = shares(steps)
    assert {kind: found[kind] for kind in ("step", "assured", "padding", "padded step")} == dict.fromkeys(
        ("step", "assured", "padding", "padded step"), 1
    )
    assert 0.3 < found["same"] < 0.7, "which of two right solutions stands first is chance"
    assert judged(PAIRS, {})["step"].low == 0


def test_a_judge_that_goes_by_looks_is_seen() -> None:
    found = shares(looks)
    assert (found["assured"], found["padding"], found["padded step"]) == (0, 0, 0)
    assert 0.3 < found["step"] < 0.7
    assert shares(lambda _: 0.0) == dict.fromkeys(KINDS, 0.5)


def test_a_policy_that_goes_on_from_the_steps_changes_its_answer_and_one_that_recites_does_not() -> None:
    starts = [begun(one) for one in SUMS]
    for start in starts:
        said = read_steps(start.false.messages[0].content)
        assert [step.holds for step in said] == [True] * (len(said) - 1) + [False]
        assert len(read_steps(start.true.messages[0].content)) == len(said)
    followed = answered([read(s, f"The answer is {s.one.answer}.", f"The answer is {s.wrong.answer}.") for s in starts])
    assert {name: one.value for name, one in followed.items()} == {
        "right": 1,
        "noticed": 0,
        "followed": 1,
        "changed": 1,
    }
    noticed = answered([read(s, f"{s.one.answer}", f"Step 1 is wrong. The answer: **{s.one.answer}**") for s in starts])
    assert {name: one.value for name, one in noticed.items()} == {"right": 1, "noticed": 1, "followed": 0, "changed": 0}
    mute = answered([read(s, "I do not know.", "I do not know.") for s in starts])
    assert {name: one.value for name, one in mute.items()} == dict.fromkeys(
        ("right", "noticed", "followed", "changed"), 0
    )
    assert final_number("The answer is 12, since 3 * 4 = 12. So the answer is -7.") == -7


def test_the_command_writes_figures_and_pairs_that_judges_are_evaluated_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, pairs, page = (tmp_path / name for name in ("figures.json", "pairs.jsonl", "page.html"))
    arguments = ["--judge", "j", "--a", "p", "--engine", "replay", "--sums", "4", "--out", str(tmp_path / "calls")]
    assert main(["reasoning", *arguments, "--json", str(figures), "--pairs", str(pairs), "--page", str(page)]) == 0
    found = json.loads(figures.read_text())
    assert found["judge"].keys() == KINDS.keys()
    assert found["policy"]["changed"]["value"] >= 0
    assert found["failures"] == {}
    assert len(read_labelled(pairs)[0]) == 4 * len(KINDS)
    assert page.read_text().count("<img") == 2
    assert "false step" in capsys.readouterr().out
