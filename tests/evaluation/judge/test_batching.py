"""Several principles in one call against one call a principle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from constitution.records import Failure, Vote
from evaluation.__main__ import main
from evaluation.judge.assessment import Assessment
from evaluation.judge.batching import batch_agreement
from tests.generation.servers.judge import ChatJudge, preference
from tests.generation.servers.loopback import Server


def vote(pair: str, principle: str, value: float, judge: str = "judge") -> Vote:
    return Vote(pair, "better", "worse", principle, value, -value, judge=judge)


def test_agreement_is_of_votes_that_both_ways_have() -> None:
    batched = [vote("1", "kind", 1.0), vote("1", "true", -1.0), vote("2", "kind", 0.0), vote("3", "kind", 1.0, "")]
    single = [vote("1", "kind", 2.0), vote("1", "true", 2.0), vote("2", "kind", 1.0), Failure("2", "compare", "x")]
    found = batch_agreement(4, batched, single, 3, 12)
    assert (found.votes, found.calls, found.calls_single, found.principles) == (3, 3, 12, 4)
    assert found.same_side.value == pytest.approx((1 + 0 + 0.5) / 3)
    assert found.correlation == pytest.approx(0.0, abs=1e-9)
    assert batch_agreement(4, batched[:1], single[:1], 1, 1).correlation is None


class Rubric(ChatJudge):
    """Answers a list of questions too."""

    def _answer(self, body: dict[str, object]) -> dict[str, object]:
        answer = super()._answer(body)
        if "Answer each question by itself" in str(body["messages"]):
            side = "A" if preference(body) > 0 else "B"
            answer["choices"][0]["message"]["content"] = json.dumps({"1": side, "2": side})
        return answer


@pytest.mark.model
def test_the_command_reports_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    principles = "[{id: kind, objective: good, text: Be kind.}, {id: truth, objective: good, text: Be true.}]"
    (tmp_path / "c.yaml").write_text(f"{{name: laws, version: 1, objectives: {{good: 1.0}}, principles: {principles}}}")
    rows = [{"prompt": f"Q{i}?", "chosen": f"GOOD {i}", "rejected": f"bad {i}"} for i in range(12)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judge = Rubric()
    server = Server(judge)
    try:
        files = ["--data", tmp_path / "pairs.jsonl", "--constitution", tmp_path / "c.yaml", "--out", tmp_path / "calls"]
        endpoint = f"endpoints=[{{url: '{server.url}', attempts: 1}}]"
        more = [
            "--engine",
            "endpoint",
            "--json",
            tmp_path / "found.json",
            "--set",
            endpoint,
            "--set",
            "plan.batch_principles=2",
        ]
        assert main(["judge", *map(str, files), *map(str, more)]) == 0
    finally:
        server.stop()
    found = Assessment.model_validate_json((tmp_path / "found.json").read_text()).batch
    assert found is not None
    assert (found.votes, found.same_side.value, found.calls, found.calls_single) == (24, 1.0, 12 * 8, 12 * 4)
    assert (
        "2 principles a call: 96 calls for 48; the same side as with one principle a call in 100.0%"
        in capsys.readouterr().out
    )
