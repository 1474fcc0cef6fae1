"""`constitution learn`: what it writes, and that nobody's words become YAML."""

import json
from pathlib import Path

import numpy as np
import pytest

from constitution.__main__ import main
from constitution.loading import load, to_yaml
from constitution.principles import Constitution, Principle
from constitution.records import Vote
from critics.ranking.weights import Estimate
from evaluation.principles.learning import Learnt, constitution_of, header, voted
from evaluation.principles.proposals import merged
from evaluation.principles.selection import Chosen, Measured
from evaluation.principles.settings import LearnSettings

NASTY = 'x: "]}\n- id: evil\n#!!python/object:os.system { 7*7 } <script>'


def learnt(*texts: str) -> Learnt:
    candidates = tuple(
        Principle(id=f"c{i}", objective="good" if i % 2 else "kind", text=text) for i, text in enumerate(texts)
    )
    some = Estimate(value=0.8, low=0.7, high=0.9)
    chosen = Chosen(tuple(range(len(texts))), np.array([2.0, 1.0, 0.5][: len(texts)]))
    return Learnt(candidates, np.ones((20, len(texts))), chosen, Measured(some, some))


def test_the_constitution_counts_votes_as_they_were_weighed() -> None:
    made = constitution_of(LearnSettings(data="x"), None, learnt("One.", "Two.", "Three."))
    assert [(one.id, one.weight) for one in made.principles] == [("c0", 1.0), ("c1", 0.5), ("c2", 0.25)]
    total = sum(made.objectives.values())
    of = {name: sum(one.weight for one in made.principles if one.objective == name) for name in made.objectives}
    counts = [made.objectives[one.objective] / total * one.weight / of[one.objective] for one in made.principles]
    assert [count / counts[0] for count in counts] == pytest.approx([1.0, 0.5, 0.25])


def test_hostile_words_stay_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = learnt(NASTY, "Be kind.")
    made = constitution_of(LearnSettings(data="x", name="learnt"), None, found)
    path = tmp_path / "learnt.yaml"
    path.write_text(header(found, 20) + to_yaml(made), encoding="utf-8")
    again = load(path)
    assert [one.text for one in again.principles] == [NASTY, "Be kind."]
    assert again.digest == made.digest
    assert NASTY[:4] not in header(found, 20)


def test_nearly_equal_proposals_are_one_and_frequent_ones_come_first() -> None:
    texts = [
        "Say why you refuse.",
        "Be brief.",
        "Name your sources always.",
        "Always name your sources.",
        "Name your sources, always.",
    ]
    assert merged(texts, 2) == ["Name your sources always.", "Say why you refuse."]


def test_votes_of_several_methods_are_their_mean() -> None:
    class Pair:
        id = "p"

    votes = [Vote("p", "a", "b", "k", 2.0, -2.0), Vote("p", "a", "b", "k", 1.0, 1.0, method="score")]
    found = voted(
        votes, [Pair()], [Principle(id="k", objective="o", text="t"), Principle(id="m", objective="o", text="t")]
    )  # type: ignore[list-item]
    assert found[0, 0] == 1.0
    assert np.isnan(found[0, 1])


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Pairs whose better response is always the shorter."""
    rows = [
        {"prompt": f"Say {i}.", "chosen": f"It is {i}.", "rejected": f"It is {'very ' * (40 + i)}{i}."}
        for i in range(40)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_rule_of_the_pool_is_learnt_and_linted(data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool = tmp_path / "pool.yaml"
    principles = [
        {"id": "short", "objective": "good", "text": "At most 30 words.", "check": {"max_words": 30}},
        *({"id": f"p{i}", "objective": "good", "text": f"Word number {i} is nice to have."} for i in range(3)),
    ]
    whole = {"name": "pool", "version": 1, "objectives": {"good": 1.0}, "principles": principles}
    pool.write_text(json.dumps(whole))
    made = tmp_path / "made.yaml"
    command = [
        "learn",
        data,
        "--pool",
        str(pool),
        "--engine",
        "replay",
        "--out",
        str(tmp_path / "out"),
        "--write",
        str(made),
    ]
    assert main(command) == 0
    assert "of 4 candidates; on pairs they were not chosen on 100.0%" in capsys.readouterr().out
    learnt_one = load(made)
    assert isinstance(learnt_one, Constitution)
    assert learnt_one.principles[0].id == "short"
    assert made.read_text().startswith("# Learnt from 40 labelled pairs: ")
    assert main(["lint", "--strict", str(made)]) == 0


@pytest.mark.model
def test_a_random_judge_teaches_nothing(data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert main(["learn", data, "--contrast", "--engine", "replay", "--out", out, "--plan"]) == 0
    assert "24 candidates at most, 40 pairs: 1,984 calls at most" in capsys.readouterr().out
    assert main(["learn", data, "--contrast", "--contrast-pairs", "4", "--engine", "replay", "--out", out]) in (0, 1)
    assert main(["learn", data, "--engine", "replay", "--out", out]) == 2
    assert "--pool FILE, --contrast, or both" in capsys.readouterr().err
