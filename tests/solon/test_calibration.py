"""`solon feedback` under a stated error: calibration, acceptance, a cascade, the review queue, and what is refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import solon
from constitution.errors import UserError
from critics.ranking.accept import Acceptance, read_acceptance
from evaluation.__main__ import main as evaluation
from generation.output.manifest import Manifest, whole

PLAN: Mapping[str, Any] = {
    "samples": 2, "rounds": 0, "principles": 99, "controls": 0, "pairs": "all_pairs", "max_error": 0.2, "schedule": "all",
}  # fmt: skip
PROMPTS = [
    {"id": f"p{i}", "prompt": f"Say something about {i}.", "tags": ["even"] if i % 2 == 0 else []} for i in range(30)
]
LAWS = """
name: laws
version: 1
objectives: {good: 1.0}
principles:
  - {id: kind, objective: good, text: Be kind.}
  - {id: short, objective: good, text: Be brief and clear.}
"""
SECOND = [{"name": "second", "model": "other-model", "engine": "replay"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Principles, and labelled pairs on which the made-up judge is right in 38 of 40."""
    path = tmp_path_factory.mktemp("stated")
    (path / "laws.yaml").write_text(LAWS)
    rows = []
    for i in range(40):
        prompt, a, b = f"Question {i}?", f"Answer {i}.", f"Another answer, {i}."
        judging = solon.judge(str(path / "laws.yaml"), prompt, a, b, engine="replay", policy="model")
        better = (solon.run_sync(judging).log_odds or 0) > 0
        chosen, rejected = (a, b) if better != (i < 2) else (b, a)
        rows.append({"id": f"l{i}", "prompt": prompt, "chosen": chosen, "rejected": rejected})
    (path / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def made(folder: Path, name: str, plan: Mapping[str, Any] = PLAN, **more: Any) -> tuple[Path, Manifest]:
    """A run on the replay engine."""
    out = folder / name
    making = solon.generate_feedback(
        str(folder / "laws.yaml"), PROMPTS, out, engine="replay", policy="model", report=False, plan=dict(plan), **more
    )
    solon.run_sync(making)
    return out, whole(out)


@pytest.mark.model
def test_labels_are_accepted_or_wait_for_a_person(folder: Path, tmp_path: Path) -> None:
    out, manifest = made(folder, "run", calibration=folder / "labelled.jsonl")
    acceptance = read_acceptance(out / "acceptance.json")
    least = acceptance.steps[0].threshold
    assert least is not None
    assert acceptance.labels == 40
    assert acceptance.steps[0].wrong <= 2
    found = manifest.accepted
    assert found is not None
    assert found.promise == acceptance.promise()
    assert found.accepted == manifest.counts.pairs > 0
    queue = pq.read_table(out / "review_queue.parquet").to_pylist()
    assert found.judged == found.accepted + len(queue)
    assert {row["reason"] for row in queue} == {"not_sure_enough"}
    assert manifest.dropped["accept: not_sure_enough"] == len(queue) > 0
    assert queue[0]["chosen"][0]["content"]
    assert found.kinds["tag even"].all == pytest.approx(0.5, abs=0.35)
    assert "review_queue.parquet" in manifest.files
    card = (out / "README.md").read_text()
    assert acceptance.promise() in card
    assert "Acceptance selects" in card
    report = tmp_path / "report.html"
    assert evaluation(["audit", str(out), "--out", str(report)]) in (0, 1)
    assert "Labels with a stated error" in report.read_text()
    again, _ = made(folder, "run", calibration=folder / "labelled.jsonl")
    assert whole(again) == manifest, "the same command finds it finished"
    dropped, other = made(folder, "dropped", {**PLAN, "unaccepted": "drop"}, acceptance=out / "acceptance.json")
    assert not (dropped / "review_queue.parquet").exists()
    assert other.counts.pairs == manifest.counts.pairs


@pytest.mark.model
def test_what_was_found_for_another_run_is_refused(folder: Path) -> None:
    out, _ = made(folder, "first", calibration=folder / "labelled.jsonl")
    file = out / "acceptance.json"
    for plan, words in (
        ({**PLAN, "principles": 1}, "another choice of voters"),
        ({**PLAN, "max_error": 0.1}, "another promise"),
        ({**PLAN, "error_confidence": 0.9}, "another promise"),
        ({**PLAN, "position_inconsistent": "half"}, "another counting of votes"),
    ):
        with pytest.raises(UserError, match=words):
            made(folder, "other", plan, acceptance=file)
    with pytest.raises(UserError, match="another judge 'second'"):
        made(folder, "other", acceptance=file, panel=SECOND)


def test_a_cascade_asks_the_next_judge_only_where_the_first_is_unsure(folder: Path) -> None:
    out, manifest = made(
        folder, "cascade", calibration=folder / "labelled.jsonl", panel=SECOND, cascade=["judge", "second"]
    )
    acceptance = read_acceptance(out / "acceptance.json")
    assert [step.judges for step in acceptance.steps] == [("judge",), ("second",)]
    assert acceptance.steps[1].labels == acceptance.steps[0].labels - acceptance.steps[0].accepted
    found = manifest.accepted
    assert found is not None
    assert len(found.ended) == 2
    assert sum(found.ended) == manifest.counts.comparisons
    assert found.ended[0] > 0
    votes = pq.read_table(out / "votes.parquet").to_pylist()
    asked = {name: sum(vote["judge"] == name for vote in votes) for name in ("judge", "second")}
    assert asked["judge"] == 2 * manifest.counts.comparisons
    assert asked["second"] == 2 * found.ended[1] < asked["judge"]


@pytest.mark.parametrize(
    ("plan", "more", "words"),
    [
        (PLAN, {}, "neither --calibration nor --acceptance"),
        ({**PLAN, "max_error": None}, {"acceptance": "a.json"}, "is read only where plan.max_error is given"),
        (PLAN, {"acceptance": "missing.json"}, "cannot be read"),
        ({**PLAN, "early_stop_error": 0.1}, {}, "beside max_error"),
        ({**PLAN, "max_error": None, "error_confidence": 0.9}, {}, "is read only where plan.max_error is given"),
        ({**PLAN, "max_error": None}, {"cascade": ["judge"]}, "no plan.max_error says"),
        (PLAN, {"cascade": ["judge", "third"], "panel": SECOND}, "each judge once: judge, second"),
    ],
)
def test_it_is_refused_before_any_model_loads(
    folder: Path, plan: Mapping[str, Any], more: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError) as raised:
        made(folder, "refused", plan, **more)
    assert words in str(raised.value)
    assert not (folder / "refused" / "calls.sqlite").exists()


def test_without_proof_nothing_is_accepted(folder: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text("".join((folder / "labelled.jsonl").read_text().splitlines(keepends=True)[:3]))
    out, manifest = made(folder, "few", calibration=few)
    assert manifest.counts.pairs == 0
    assert manifest.accepted is not None
    assert "No label is accepted" in manifest.accepted.promise
    kept = Acceptance.model_validate_json((out / "acceptance.json").read_bytes())
    assert kept.steps[0].threshold is None
