"""Whole runs that sample several policies: names and shares in the data, plans, restarts, calls of other runs, costs."""

import asyncio
from collections import Counter
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import yaml

import generate_feedback
from constitution.errors import UserError
from evaluation.audit.command import write_report
from generation.output.card import recorded
from generation.output.manifest import Cost
from generation.output.manifest import read as read_manifest
from generation.output.run import open_run
from generation.pipeline.job import Job, plan_ahead, prepare, produce
from generation.request import FeedbackSettings
from solon.__main__ import main
from tests.chat_server import agreeable, served

LAWS = "{name: laws, version: 1, objectives: {good: 1.0}, principles: [{id: kind, objective: good, text: Be kind.}]}"
TWO = "policies=[{name: small, model: s}, {name: big, model: b, share: 3}]"


def other(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """As agreeable, in other words."""
    return agreeable({**body, "seed": body.get("seed", 0) + 1})


def job(folder: Path, out: str, *overrides: str, reuse: tuple[str, ...] = (), rows: int = 30) -> Job:
    (folder / "c.yaml").write_text(LAWS)
    (folder / "p.jsonl").write_text("".join(f'{{"prompt": "question {i}"}}\n' for i in range(rows)))
    return prepare(
        FeedbackSettings(
            constitution=folder / "c.yaml",
            prompts=str(folder / "p.jsonl"),
            out=folder / out,
            engine="replay",
            overrides=("judge=j", "plan.samples=2", "plan.controls=0", *overrides),
            reuse=tuple(folder / name for name in reuse),
        )
    )


@pytest.mark.model
def test_each_policy_has_its_share_and_its_name_in_the_data(tmp_path: Path) -> None:
    asked = job(tmp_path, "a", TWO, rows=60)
    manifest = asyncio.run(produce(asked))
    run = open_run(tmp_path / "a")
    sampled = Counter(c.policy for c in run.responses() if c.origin == "sampled")
    assert sampled.total() == 120
    assert 75 <= sampled["big"] <= 105  # three quarters of them, one or two of each two
    policy_of = {c.id: c.policy for c in run.responses()}
    pairs = [*run.pairs()]
    for pair in pairs:
        assert (pair.chosen_policy, pair.rejected_policy) == (policy_of[pair.chosen_id], policy_of[pair.rejected_id])
    assert {policy for pair in pairs for policy in (pair.chosen_policy, pair.rejected_policy)} == {"small", "big"}
    write_report(tmp_path / "a", manifest)
    assert "Chosen over another policy" in (tmp_path / "a" / "report.html").read_text()
    assert {c.policy for c in run.responses() if c.origin == "revised"} == {"small", "big"}
    assert {target.policy for target in run.targets()} == {"small", "big"}
    for candidate in run.responses():
        assert f"/{candidate.policy}-s" in candidate.id

    assert manifest.digests.policy == ""
    assert manifest.digests.policies.keys() == {"small", "big"}
    card = (tmp_path / "a" / "README.md").read_text()
    assert f"| policy `big`, share 3.0 | `b` | `{manifest.digests.policies['big']}` |" in card
    settings = yaml.safe_load((tmp_path / "a" / "run.yaml").read_text())
    assert [(one["name"], one["model"], one["share"]) for one in settings["policies"]] == [
        ("small", "s", 1.0),
        ("big", "b", 3.0),
    ]
    assert "policy" not in settings
    assert "policy" not in settings["machine"]
    assert settings["models"]["policies"] == manifest.digests.policies


def test_a_run_of_several_policies_is_opened_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = job(tmp_path, "a", TWO.replace("share: 3", "share: 3, engine: replay, answer_prefix: Well"), rows=4)
    asyncio.run(produce(asked))
    assert recorded(tmp_path / "a").policies == asked.config.policies
    pair = next(open_run(tmp_path / "a").pairs())
    assert main(["calls", "show", str(tmp_path / "a"), pair.chosen_id]) == 0
    assert f"response {pair.chosen_id} ({pair.chosen_origin})" in capsys.readouterr().out
    assert main(["calls", "show", str(tmp_path / "a"), "--pair", f"{pair.chosen_id} {pair.rejected_id}"]) == 0
    said = capsys.readouterr().out
    assert any(f"vote on {a} vs {b}" in said for a, b in permutations((pair.chosen_id, pair.rejected_id)))


def test_a_plan_of_several_policies_holds_and_a_restart_pays_nothing_again(tmp_path: Path) -> None:
    asked = job(tmp_path, "a", TWO)
    ahead = asyncio.run(plan_ahead(asked))
    assert dict(ahead.calls.certain) == {"sample": 60}
    models = {model: size.calls for (_, model), size in ahead.calls.sizes.items()}
    digests = {name: spec.digest for name, spec in asked.registry.policies.items()}
    sampled = Counter(one.policy for _ in [asyncio.run(produce(asked))] for one in open_run(tmp_path / "a").responses()
                      if one.origin == "sampled")  # fmt: skip
    assert models == {digests[str(name)]: count for name, count in sampled.items()}
    assert (made := read_manifest(tmp_path / "a"))
    assert made.calls.made <= ahead.calls.most()
    assert job(tmp_path, "a", TWO).finished() == made
    (tmp_path / "a" / "manifest.json").unlink()
    again = asyncio.run(produce(job(tmp_path, "a", TWO)))
    assert (again.calls.made, again.files) == (made.calls.made, made.files)


@pytest.mark.model
def test_a_policys_calls_are_found_again_whoever_is_sampled_beside_it(tmp_path: Path) -> None:
    alone = asyncio.run(produce(job(tmp_path, "alone", "policy=s")))
    assert {c.policy for c in open_run(tmp_path / "alone").responses()} == {"s"}
    both = job(tmp_path, "both", TWO, reuse=("alone",))
    ahead = asyncio.run(plan_ahead(both)).calls
    of_small = sum(c.origin == "sampled" and c.policy == "small" for _ in [asyncio.run(produce(both))]
                   for c in open_run(tmp_path / "both").responses())  # fmt: skip
    assert ahead.reused["sample"] == of_small > 0
    assert ahead.certain["sample"] == 60 - of_small
    third = "policies=[{name: small, model: s}, {name: big, model: b, share: 3}, {name: new, model: n, share: 2}]"
    more = asyncio.run(plan_ahead(job(tmp_path, "three", third, reuse=("both", "alone")))).calls
    fresh = {model for stage, model in more.sizes if stage == "sample"}
    assert alone.digests.policy not in fresh


def test_other_shares_or_names_are_another_run(tmp_path: Path) -> None:
    asyncio.run(produce(job(tmp_path, "a", TWO)))
    for changed in ("share: 2", "share: 3, answer_prefix: x"):
        with pytest.raises(UserError, match="belongs to other settings"):
            asyncio.run(produce(job(tmp_path, "a", TWO.replace("share: 3", changed))))


def test_one_model_under_two_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        job(tmp_path, "a", "policies=[{name: x, model: s}, {name: y, model: s}]")
    assert "policies.y: is the same model as policies.x; leave it out, and raise the share of x" in str(error.value)
    told = job(tmp_path, "a", "policies=[{name: x, model: s}, {name: y, model: s, answer_prefix: Well}]")
    assert len(told.registry.policies) == 2


def test_one_of_several_policies_may_judge(tmp_path: Path) -> None:
    asked = job(tmp_path, "a", TWO.replace("model: b", "model: j"))
    assert asked.registry.judges["judge"] is asked.registry.policies["big"]


def test_each_policy_is_asked_at_its_own_server_and_costs_its_own_price(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(LAWS)
    (tmp_path / "p.jsonl").write_text("".join(f'{{"prompt": "question {i}"}}\n' for i in range(4)))
    with served(agreeable) as (near, near_seen), served(other) as (far, far_seen):
        policies = [
            {"name": "near", "model": "n", "endpoints": [{"url": near}]},
            {"name": "far", "model": "f", "endpoints": [{"url": far}]},
        ]
        prices = {"n": {"prompt": 100, "completion": 0}, "f": {"prompt": 0, "completion": 1000}}
        settings = {"policies": policies, "judge": "n", "judge_endpoints": [{"url": near}], "prices": prices}
        settings["plan"] = {"samples": 2, "rounds": 0, "controls": 0}
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
        files = ["--constitution", str(tmp_path / "c.yaml"), "--prompts", str(tmp_path / "p.jsonl")]
        assert (
            generate_feedback.main([*files, "--config", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "run")])
            == 0
        )
    assert {request["model"] for request in near_seen} == {"n"}
    assert {request["model"] for request in far_seen} == {"f"}
    assert len(far_seen) == 4
    found = read_manifest(tmp_path / "run")
    assert found is not None
    assert found.calls.made == 4 * 2 + 4 * 2
    # of agreeable: a response reads 10 and writes 7, a verdict reads 30 and writes 1; each model's probe asks for one of both
    n, f = 100 * (5 * 10 + 9 * 30) / 1e6, 1000 * (5 * 7 + 1) / 1e6
    assert found.cost == Cost(
        amount=round(n + f, 6), currency="USD", models={"n": round(n, 6), "f": round(f, 6)}, unpriced=[]
    )
