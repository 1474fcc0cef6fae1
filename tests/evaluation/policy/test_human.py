"""`evaluate policy --labels`: the sheet that people fill in, the corrected win rate, and what is refused."""

import json
from pathlib import Path

import pytest

from constitution.errors import UserError
from constitution.records import Failure, Message, Prompt
from evaluation.policy.human import by_group, verdict_of
from evaluation.policy.job import prepare
from evaluation.policy.labels import read_labels
from evaluation.policy.responses import Pair
from evaluation.policy.result import read_evaluation
from evaluation.policy.votes import Verdict
from evaluation.risk.inference import Corrected
from generation.engines.base import Completion, Request
from tests.evaluation.policies import QUESTIONS, options, run, said, store, verdict


def script(who: str, request: Request) -> Completion | None:
    """Both say something of their own; the judge always finds the first-listed response as good as the other."""
    if request.stage == "sample":
        return said(f"{who} says {request.messages[-1].content}" + (" at length, and more" if who == "b" else ""))
    return verdict(0.5) if request.labels else None


def test_a_sheet_is_filled_in_and_corrects_the_win_rate(tmp_path: Path) -> None:
    sheet, page, found = tmp_path / "sheet.jsonl", tmp_path / "page.html", tmp_path / "found.json"
    asked = options(tmp_path, "--to-label", sheet)
    store(prepare(asked), script)
    assert run(asked)[0] == 0
    rows = [json.loads(line) for line in sheet.read_text().splitlines()]
    assert {row["prompt_id"] for row in rows} == {row["id"] for row in QUESTIONS}
    assert [row["prompt_id"] for row in rows] != [row["id"] for row in QUESTIONS], "in a random order"
    assert rows[0].keys() == {"prompt_id", "label", "prompt", "a", "b"}
    assert rows[0]["a"].startswith("a says Question")
    for row, label in zip(rows, ["A ", "b", "tie", "b", "", ""], strict=False):
        row["label"] = label
    sheet.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, printed = run(options(tmp_path, "--labels", sheet, "--json", found, "--page", page))
    assert code == 0
    human = read_evaluation(found).human
    assert human is not None
    assert (human.labels, human.judged) == (4, len(QUESTIONS))
    assert human.human.value == pytest.approx(1.5 / 4)
    for text in (printed, page.read_text()):
        assert "As people see it" in text or "as people see it" in text
        assert "not enough labels for a claim: 4, and at least 20 are needed" in text


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"prompt_id": "q1", "label": "c"}], "label"),
        ([{"prompt_id": "q1", "label": ""}], "holds no label"),
        ([{"label": "a"}], "prompt_id"),
        ([{"prompt_id": "q1", "label": "a"}, {"prompt_id": "q1", "label": "b"}], "has another above"),
    ],
)
def test_what_labels_nothing_is_refused(tmp_path: Path, rows: list[dict[str, str]], words: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError) as raised:
        prepare(options(tmp_path, "--labels", path))
    assert words in str(raised.value)


def test_labels_of_other_prompts_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"prompt_id": "other", "label": "a"}\n')
    asked = options(tmp_path, "--labels", path)
    store(prepare(asked), script)
    assert run(asked)[0] == 2
    assert "labels none of the 12 pairs" in capsys.readouterr().err


def test_labels_name_pairs_by_their_prompts(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"prompt_id": 1, "label": "TIE"}\n{"prompt_id": 2}\n')
    assert read_labels(path) == ({"1": 0.5}, {})
    with pytest.raises(UserError, match=r"plan\.samples"):
        prepare(options(tmp_path, "--labels", path, "--set", "plan.samples=2"))


def test_groups_that_disagree_are_told_from_groups_that_do_not(tmp_path: Path) -> None:
    """North and south label the same ten pairs: of the first nine they prefer the other's loser, west agrees with north."""
    path = tmp_path / "labels.jsonl"
    rows = [
        {"prompt_id": str(number), "label": label, "group": group}
        for number in range(10)
        for group, label in (("north", "a"), ("south", "b" if number < 9 else "a"), ("west", "a"))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    outcomes, groups = read_labels(path)
    assert (outcomes["0"], outcomes["9"]) == (pytest.approx(2 / 3), 1.0)
    found = [verdict_on(number, logit=1.0) for number in range(10)]
    seen = by_group(found, groups, seed=0)
    assert {name: e.value for name, e in seen.shares.items()} == {"north": 1.0, "south": 0.1, "west": 1.0}
    agreed = {name: e.value for name, e in seen.agreement.items()}
    assert (agreed["north vs south"], agreed["north vs west"], agreed["panel vs west"]) == (0.1, 1.0, 1.0)
    assert seen.agreement["north vs south"].high < 0.5 < seen.agreement["north vs west"].low
    assert by_group(found, {}, seed=0) == ({}, {})


def verdict_on(number: int, logit: float) -> Verdict:
    asked = Prompt(id=str(number), messages=(Message(role="user", content="?"),))
    lost = Failure(str(number), "sample", "empty")
    return Verdict(Pair(asked, lost, lost, None, [], []), logit, {}, {}, {}, None, {})


def test_a_claim_is_made_where_labels_show_it() -> None:
    base = Corrected.model_validate(
        {
            "labels": 60, "judged": 200, "judge": 0.7, "human": {"value": 0.7, "low": 0.55, "high": 0.8},
            "value": {"value": 0.68, "low": 0.57, "high": 0.77}, "weight": 0.4, "rogan_gladen": None,
            "agreement": {"value": 0.8, "low": 0.7, "high": 0.9}, "worth": 21.0, "needed": 40, "typical": True,
        }
    )  # fmt: skip
    assert verdict_of(base) == "claim: people prefer A's responses, by 60 labels and a judge worth 21 more"
    close = base.model_copy(update={"value": base.value.model_copy(update={"low": 0.49}), "needed": 1234})
    assert "not enough labels for a claim: 60" in verdict_of(close)
    assert "about 1,234 would be needed" in verdict_of(close)
    assert "too close" in verdict_of(close.model_copy(update={"needed": None}))
    assert "not drawn at random" in verdict_of(base.model_copy(update={"typical": False}))
