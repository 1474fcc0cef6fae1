"""Control pairs, whose answer is known, judged along with a run."""

import asyncio
import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from constitution.principles import Constitution, Principle
from constitution.records import Failure
from generation.config import Plan
from generation.engines.base import Completion, Request
from generation.engines.replay import Replay
from generation.models.chat_model import ChatModel
from generation.pipeline.controls import controls, judge_controls
from generation.pipeline.job import plan_ahead, prepare, produce
from generation.pipeline.panel import Judge, Panel
from generation.request import FeedbackSettings

LAWS = Constitution(
    name="laws",
    version=1,
    objectives={"good": 1.0},
    principles=(Principle(id="kind", objective="good", text="Be kind."),),
)


def judging(answer: Completion, plan: Plan) -> list[tuple[bool, int, int]]:
    """(right, votes, failures) of each control, from a judge that always says the same of the good reply."""
    good = {pair.responses[0].text for pair in controls(plan)}

    def script(request: Request) -> Completion:
        text = request.messages[0].content
        first = text[text.index("<reply_a") : text.index("</reply_a")].partition(">\n")[2].strip()
        if not answer.logprobs or first in good:
            return answer
        return Completion("", logprobs={"A": answer.logprobs["B"], "B": answer.logprobs["A"]})

    panel = Panel((Judge(ChatModel("scripted", "d", Replay(script), None, 0)),))
    return [(o.right, len(o.votes), len(o.failures)) for o in asyncio.run(judge_controls(panel, LAWS, plan))]


@pytest.mark.parametrize(("z", "right"), [(1.0, True), (-1.0, False), (0.0, False)])
def test_a_control_is_right_when_its_label_is(z: float, right: bool) -> None:
    odds = {"A": math.log(1 / (1 + math.exp(-z))), "B": math.log(1 / (1 + math.exp(z)))}
    assert judging(Completion("", logprobs=odds), Plan(controls=5)) == [(right, 1, 0)] * 5


def test_a_judge_that_says_nothing_has_no_control_right() -> None:
    assert judging(Completion("?"), Plan(controls=3)) == [(False, 0, 1)] * 3


def test_a_veto_decides_a_control_as_any_pair() -> None:
    """The comparison is for the worse response; the better one alone violates nothing."""
    kind = Principle(id="kind", objective="good", text="Be kind.", veto=True)
    laws = LAWS.model_copy(update={"principles": (kind,)})
    good = {pair.responses[0].text for pair in controls(Plan(controls=3))}

    def script(request: Request) -> Completion:
        text = request.messages[0].content
        if "violate" in text:
            shown = text[text.index("<reply") : text.index("</reply")].partition(">\n")[2].strip()
            return Completion("", logprobs={"Yes": -3.0, "No": -0.1} if shown in good else {"Yes": -0.1, "No": -3.0})
        raise AssertionError("nobody else is asked")

    panel = Panel((Judge(ChatModel("scripted", "d", Replay(script), None, 0)),))
    outcomes = asyncio.run(judge_controls(panel, laws, Plan(controls=3)))
    assert [(outcome.right, [vote.method for vote in outcome.votes]) for outcome in outcomes] == [
        (True, ["violation"])
    ] * 3


def test_a_run_judges_controls_along_and_plans_for_them(tmp_path: Path) -> None:
    laws = {
        "name": "laws", "version": 1, "objectives": {"good": 1.0},
        "principles": [{"id": "kind", "objective": "good", "text": "Be kind."}],
    }  # fmt: skip
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(laws))
    replies = [{"role": "assistant", "content": text} for text in ("yes", "no")]
    rows = [{"prompt": f"Question {i}?", "responses": replies} for i in range(3)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = FeedbackSettings(
        constitution=tmp_path / "c.yaml",
        prompts=str(tmp_path / "p.jsonl"),
        out=tmp_path / "run",
        engine="replay",
        overrides=("plan.controls=4", "plan.rounds=0"),
    )
    job = prepare(settings)
    ahead = asyncio.run(plan_ahead(job)).calls
    assert (ahead.certain, ahead.following) == ({"compare": (4 + 3) * 2}, {})
    assert (ahead.control_pairs, ahead.control_calls) == (4, 4 * 2)
    manifest = asyncio.run(produce(job))
    assert manifest is not None
    assert manifest.calls.made == (4 + 3) * 2
    assert (manifest.controls.asked, manifest.counts.prompts, manifest.counts.votes) == (4, 3, 3)
    table = pq.read_table(tmp_path / "run" / "controls.parquet").to_pylist()
    assert len(table) == 4
    assert sum(row["right"] for row in table) == manifest.controls.right
    assert all(row["right"] == (row["vote"] > 0) for row in table)
    assert {row["prompt_id"] for row in table} == {f"control-{i}" for i in range(4)}
    votes = pq.read_table(tmp_path / "run" / "votes.parquet").to_pylist()
    assert not {row["prompt_id"] for row in votes} & {row["prompt_id"] for row in table}


def test_control_records_keep_their_stage_apart() -> None:
    panel = Panel((Judge(ChatModel("scripted", "d", Replay(lambda _: Completion("?")), None, 0)),))
    (outcome,) = asyncio.run(judge_controls(panel, LAWS, Plan(controls=1)))
    assert [(type(r), r.stage) for r in outcome.failures] == [(Failure, "control")]
