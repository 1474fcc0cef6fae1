"""Weights from labelled pairs to labels: fitted, refused where they do not belong, and asked in turn within the plan."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

import solon
from constitution.errors import UserError
from critics.ranking.weights import Weights, read_weights
from evaluation.__main__ import main
from generation.pipeline.job import Job, plan_ahead, prepare, produce
from generation.request import FeedbackSettings
from tests.chat_server import agreeable, completion, served

PRINCIPLES = [{"id": f"p{i}", "objective": "good", "text": f"Principle {i}.", "veto": i == 3} for i in range(6)]
METHODS = "plan.methods=[compare,yesno]"
VETO = "judge/violation/p3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A constitution, labelled pairs, prompts, and weights fitted on the replay engine."""
    folder = tmp_path_factory.mktemp("weights")
    laws = {"name": "laws", "version": 1, "objectives": {"good": 1.0}, "principles": PRINCIPLES}
    (folder / "laws.yaml").write_text(yaml.safe_dump(laws))
    laws["version"] = 2
    (folder / "other.yaml").write_text(yaml.safe_dump(laws))
    pairs = [{"prompt": f"Q{i}?", "chosen": f"yes {i}", "rejected": f"no {i}"} for i in range(60)]
    (folder / "labelled.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"Question {i}?"}) + "\n" for i in range(8)))
    arguments = ["judge", "--data", str(folder / "labelled.jsonl"), "--constitution", str(folder / "laws.yaml")]
    arguments += ["--engine", "replay", "--set", METHODS, "--out", str(folder / "calls")]
    assert main([*arguments, "--fit", str(folder / "weights.json")]) == 0
    return folder


def job(folder: Path, out: str, *overrides: str, constitution: str = "laws.yaml", weights: bool = True) -> Job:
    settings = FeedbackSettings(
        constitution=folder / constitution,
        prompts=str(folder / "prompts.jsonl"),
        out=folder / out,
        engine="replay",
        overrides=(METHODS, "plan.rounds=0", "plan.controls=2", *overrides),
        weights=folder / "weights.json" if weights else None,
    )
    return prepare(settings)


def preferences(run: Path) -> list[dict[str, Any]]:
    parts = (run / "data" / "preferences" / f"{split}.parquet" for split in ("train", "test"))
    return [row for part in parts for row in pq.read_table(part).to_pylist()]


def named(row: dict[str, Any]) -> dict[str, float]:
    """Voter -> vote."""
    return {f"{v['judge']}/{v['method']}/{v['principle']}": (v["logit_ab"] - v["logit_ba"]) / 2 for v in row["votes"]}


def heard(row: dict[str, Any]) -> dict[str, float]:
    """Voter -> vote of those who have a weight; none where a veto decided."""
    return {name: value for name, value in named(row).items() if name != VETO}


@pytest.mark.model
def test_labels_are_what_the_weights_make_of_the_votes(folder: Path) -> None:
    manifest = asyncio.run(produce(job(folder, "all")))
    assert manifest is not None
    assert (folder / "all" / "weights.json").is_file(), "the folder holds what ran, whole"
    weights = Weights.model_validate_json((folder / "weights.json").read_bytes())
    rows = preferences(folder / "all")
    assert any(map(heard, rows))
    for row in rows:
        assert VETO in named(row)
        if votes := heard(row):
            assert votes.keys() == weights.voters.keys(), "no principle is left to chance when weights are given"
            assert row["log_odds"] == pytest.approx(weights.logit(votes))


@pytest.mark.model
def test_asking_in_turn_spares_calls_and_stays_within_the_plan(folder: Path) -> None:
    stop_early = job(folder, "turn", "plan.early_stop_error=0.2")
    ahead = asyncio.run(plan_ahead(stop_early)).calls
    manifest, whole = asyncio.run(produce(stop_early)), asyncio.run(produce(job(folder, "again")))
    assert manifest is not None
    assert whole is not None
    assert ahead.certain.total() <= manifest.calls.made <= ahead.most()
    assert manifest.counts.votes < whole.counts.votes
    assert manifest.calls.made < whole.calls.made
    settled = asyncio.run(plan_ahead(stop_early)).calls
    assert settled.most() == 0
    votes = pq.read_table(folder / "turn" / "votes.parquet").to_pylist()
    pairs = {(vote["prompt_id"], vote["a"], vote["b"]) for vote in votes}
    asked_veto = {(v["prompt_id"], v["a"], v["b"]) for v in votes if v["method"] == "violation"}
    assert asked_veto == pairs, "a principle with a veto is asked about every pair"
    weights = Weights.model_validate_json((folder / "weights.json").read_bytes())
    unvetoed = [row for row in preferences(folder / "turn") if heard(row)]
    assert unvetoed
    for row in unvetoed:
        assert row["log_odds"] == pytest.approx(weights.sequential_logit(heard(row), 0.2)), (
            "what all voters would have said"
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"constitution": "other.yaml"}, r"weights.json: fitted on another constitution \w+ \(this run has \w+\)"),
        ({"overrides": ("judge=someone",)}, r"weights.json: fitted on another judge 'judge' \w+ \(this run has \w+\)"),
    ],
)
def test_weights_of_something_else_are_refused(folder: Path, change: dict[str, object], message: str) -> None:
    overrides = change.pop("overrides", ())
    assert isinstance(overrides, tuple)
    with pytest.raises(UserError, match=message):
        job(folder, "refused", *overrides, **change)  # type: ignore[arg-type]


def test_weights_of_other_voters_are_refused_before_the_folder_is_taken(folder: Path) -> None:
    with pytest.raises(UserError, match=r"6 voters have a weight but are not asked \(judge/yesno/p0, "):
        job(folder, "refused", "plan.methods=[compare,score]")
    with pytest.raises(
        UserError, match=r"fitted on another counting of votes \(plan.position_inconsistent, clamp, reason"
    ):
        job(folder, "refused", "plan.position_inconsistent=drop")
    assert not (folder / "refused").exists()


def test_asking_in_turn_needs_weights(folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"plan.early_stop_error: got 0.1 without fitted weights; give fitted weights, or leave it 0"
    ):
        job(folder, "refused", "plan.early_stop_error=0.1", weights=False)


@pytest.mark.model
def test_weights_of_another_form_of_judging_are_refused_before_it_judges(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One server, which at first lists log-probabilities and later tells none, so its judge writes what it thinks."""
    lists = True

    def answer(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, said = agreeable(body)
        assert isinstance(said, dict)
        return status, said if lists else completion("Answer: A")

    laws, data, path = str(folder / "laws.yaml"), folder / "labelled.jsonl", tmp_path / "w.json"
    with served(answer) as (url, seen):
        server = f"endpoints=[{{url: '{url}', attempts: 1}}]"
        asked = [
            "judge",
            "--data",
            str(data),
            "--constitution",
            laws,
            "--judge",
            "m",
            "--engine",
            "endpoint",
            "--set",
            server,
        ]
        assert main([*asked, "--limit", "12", "--out", str(tmp_path / "calls"), "--fit", str(path)]) == 0
        weights = read_weights(path)
        assert weights.fitted_on.forms == {"judge/compare": "listed"}
        again = ["--limit", "2", "--weights", str(path)]
        assert main([*asked, *again, "--out", str(tmp_path / "same")]) == 0
        lists = False
        capsys.readouterr()
        seen.clear()
        message = (
            "fitted on another form of judging: judge/compare by a server's list of log-probabilities (here by what it writes); "
            "fit again with the servers of this run by `solon evaluate judge --data LABELLED --fit"
        )
        assert main([*asked, *again, "--out", str(tmp_path / "other")]) == 2
        assert f"w.json: {message}" in capsys.readouterr().err
        settings = {"judge": "m", "endpoints": [{"url": url, "attempts": 1}], "policy": "m"}
        run = FeedbackSettings(
            constitution=laws, prompts=str(folder / "prompts.jsonl"), out=tmp_path / "run", weights=path, overrides=(server,),
            policy="m", engine="endpoint",
        )  # fmt: skip
        with pytest.raises(UserError, match=re.escape(message)):
            asyncio.run(produce(prepare(run)))
        with pytest.raises(UserError, match=re.escape(message)):
            asyncio.run(plan_ahead(prepare(run), probe=True))
        with pytest.raises(UserError, match=re.escape(message)):
            solon.run_sync(solon.judge(laws, "Hi.", "a", "b", weights=weights, **settings))
    assert not seen, "nothing but probes was asked"


@pytest.mark.model
def test_principles_that_share_a_call_are_judged_in_text(folder: Path, tmp_path: Path) -> None:
    arguments = [
        "judge",
        "--data",
        str(folder / "labelled.jsonl"),
        "--constitution",
        str(folder / "laws.yaml"),
        "--engine",
        "replay",
    ]
    shared = ["--set", "plan.methods=[compare,score]", "--set", "plan.batch_principles=3"]
    assert (
        main([*arguments, *shared, "--out", str(tmp_path / "c"), "--limit", "12", "--fit", str(tmp_path / "w.json")])
        == 0
    )
    assert read_weights(tmp_path / "w.json").fitted_on.forms == {"judge/compare": "text", "judge/score": "exact"}
