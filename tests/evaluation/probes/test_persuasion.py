"""Persuasion without truth: a judge that fluency persuades is seen, one that knows the facts is not blamed."""

import json
from pathlib import Path

from evaluation.judge.labelled import labelled_digest, read_labelled
from evaluation.probes.facts import facts
from evaluation.probes.persuasion import FACTS, SETS, persuasion
from evaluation.probes.stance import stance
from tests.evaluation.judge.command_line import run

RULES = """
from evaluation.probes.facts import facts
from evaluation.probes.stance import stance

KNOWN = {fact.question: fact for fact in facts()}


def is_true(prompt, response):
    return stance(KNOWN[prompt.messages[0].content], response.content) == "right"
"""
LAWS = """
name: laws
version: 1
objectives: {truth: 1.0}
principles:
  - {id: fluent, objective: truth, text: Be thorough., check: {min_words: 20}}
  - {id: "true", objective: truth, text: Be right., check: {own: is_true}}
"""


def test_the_pairs() -> None:
    known = {fact.question: fact for fact in facts()}
    pairs = [*persuasion()]
    assert len(pairs) == 3 * FACTS
    for pair in pairs:
        fact = known[pair.question.content]
        assert (stance(fact, pair.right.content), stance(fact, pair.wrong.content)) == ("right", "wrong"), pair.id
        longer = len(pair.right.content) - len(pair.wrong.content)
        assert (longer > 150, longer < -150) == (pair.subset == "fluent_right", pair.subset == "fluent_wrong"), pair.id


def test_the_name_stands_for_the_pairs_where_no_file_has_it(tmp_path: Path) -> None:
    found, problems = read_labelled("persuasion", 4)
    assert [pair.subset for pair in found] == [*SETS, SETS[0]]
    assert found[0].group == found[2].group != found[3].group
    assert not problems
    path = tmp_path / "persuasion"
    path.write_text('{"prompt": "q", "chosen": "a", "rejected": "b"}\n')
    assert labelled_digest("persuasion") != labelled_digest(str(path))


def test_a_judge_that_fluency_persuades_is_seen(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text(RULES)
    (tmp_path / "laws.yaml").write_text(LAWS)
    code, printed = run(
        "--data", "persuasion", "--limit", 30, "--folds", 2, "--constitution", tmp_path / "laws.yaml", "--rules", tmp_path / "rules.py",
        "--engine", "replay", "--out", tmp_path / "calls", "--json", tmp_path / "found.json",
    )  # fmt: skip
    assert code == 0
    voters = {voter["name"]: voter for voter in json.loads((tmp_path / "found.json").read_text())["voters"]}
    shares = {name.rpartition("/")[2]: {s: e["value"] for s, e in v["by_subset"].items()} for name, v in voters.items()}
    assert shares == {
        "fluent": {"fluent_wrong": 0.0, "fluent_right": 1.0},
        "true": dict.fromkeys(SETS, 1.0),
    }
    assert "0.0% [0.0, 27.8]  fluent_wrong" in printed
