"""A whole run: its labels are probabilities, and it says of which kind."""

import asyncio
import json
from itertools import groupby
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from constitution.principles import Constitution
from critics.ranking.aggregate import score
from critics.ranking.pooling import factor
from generation.output.run import open_run
from generation.pipeline.job import plan_ahead, prepare, produce
from generation.request import FeedbackSettings

KIND = {"id": "kind", "objective": "good", "text": "Be kind."}
TRUE = {"id": "true", "objective": "good", "text": "Be true."}
SHORT = {"id": "short", "objective": "good", "text": "Be short.", "check": {"max_words": 3}}
NEVER = {"id": "never", "objective": "good", "text": "Never harm.", "veto": True}


def settings(tmp_path: Path, principles: list[dict[str, object]], *overrides: str, rows: int = 30) -> FeedbackSettings:
    laws = {"name": "laws", "version": 1, "objectives": {"good": 1.0}, "principles": principles}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(laws))
    texts = ("Yes.", "No, never at all.", "Perhaps one day.")
    given = [[{"role": "assistant", "content": f"{text} {i}"} for text in texts] for i in range(rows)]
    lines = [{"prompt": f"Question {i}?", "responses": responses} for i, responses in enumerate(given)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return FeedbackSettings(
        constitution=tmp_path / "c.yaml",
        prompts=str(tmp_path / "p.jsonl"),
        out=tmp_path / "run",
        engine="replay",
        overrides=("plan.rounds=0", "plan.controls=0", "plan.pairs=all_pairs", *overrides),
    )


def test_the_log_odds_are_the_mean_vote_times_the_effective_number_of_voters(tmp_path: Path) -> None:
    manifest = asyncio.run(produce(prepare(settings(tmp_path, [KIND, TRUE, SHORT]))))
    said = manifest.probability
    assert (said.how, said.pairs) == ("pooled", manifest.counts.comparisons)
    run = open_run(tmp_path / "run")
    assert said.rho is not None
    assert said.temperature is not None
    counts = []
    for pair in run.pairs():
        combined = score(pair.votes, run.constitution)
        assert pair.log_odds == pytest.approx(
            combined.logit * factor(combined.voters, said.rho) / said.temperature, abs=1e-4
        )
        counts.append(combined.voters)
        assert pair.label_source == "panel"
    assert {round(count, 6) for count in counts} == {2.0, 3.0}, "the rule votes where it tells two responses apart"
    assert said.voters == pytest.approx(
        sum(
            score([*votes], run.constitution).voters
            for _, votes in groupby(run.votes(), key=lambda vote: (vote.prompt_id, vote.a, vote.b))
        )
        / said.pairs
    )
    used = manifest.rules["short"]
    assert used.applied == manifest.counts.comparisons
    assert used.decided == sum(vote.method == "rule" for vote in run.votes()) > 0
    assert "pooled" in (tmp_path / "run" / "README.md").read_text()


def test_rules_alone_make_labels_that_say_so(tmp_path: Path) -> None:
    manifest = asyncio.run(produce(prepare(settings(tmp_path, [KIND, SHORT], "plan.principles=0"))))
    assert manifest.calls.made == 0
    assert manifest.probability.how == "mean"
    assert manifest.counts.rule_pairs == manifest.counts.pairs > 0
    assert {pair.label_source for pair in open_run(tmp_path / "run").pairs()} == {"rule"}
    assert manifest.dropped["pairs: tie"] == manifest.counts.comparisons - manifest.counts.pairs


def test_each_response_is_asked_about_a_violation_once_and_the_plan_knows(tmp_path: Path) -> None:
    job = prepare(settings(tmp_path, [KIND, NEVER]))
    before = asyncio.run(plan_ahead(job)).calls
    assert before.certain == {"compare": 30 * 3}, "of three responses, whatever the pairs"
    assert before.following == {"compare": 30 * 3 * 4}, (
        "two principles in both orders, of each pair that no veto decides"
    )
    manifest = asyncio.run(produce(job))
    vetoed, comparisons = manifest.counts.vetoed, manifest.counts.comparisons
    assert 0 < vetoed < comparisons == 90
    assert manifest.calls.made == 30 * 3 + 4 * (comparisons - vetoed)
    after = asyncio.run(plan_ahead(prepare(settings(tmp_path, [KIND, NEVER])))).calls
    assert (after.certain, after.following) == ({}, {})
    votes = pq.read_table(tmp_path / "run" / "votes.parquet").to_pylist()
    answers = [vote for vote in votes if vote["method"] == "violation"]
    assert len(answers) == comparisons
    for vote in answers:
        decided = (vote["logit_ab"] < 0) != (vote["logit_ba"] < 0)
        others = [one for one in votes if (one["a"], one["b"]) == (vote["a"], vote["b"]) and one is not vote]
        assert decided == (not others)


def test_a_constitution_keeps_its_vetoes() -> None:
    laws = Constitution.model_validate(
        {"name": "laws", "version": 1, "objectives": {"good": 1.0}, "principles": [KIND, NEVER]}
    )
    assert laws.vetoes == {"never"}
