"""What a run writes: columns, splits, counts, card."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from constitution.errors import UserError
from constitution.principles import Constitution, Principle
from constitution.records import (
    Critique,
    Dropped,
    Failure,
    Function,
    Message,
    PreferencePair,
    Prompt,
    Response,
    ToolCall,
    Vote,
)
from critics.ranking.pooling import Pooling
from generation.config import RunConfig
from generation.output import dataset
from generation.output.card import fenced, write_card
from generation.output.dataset import DATASETS, DatasetWriter, split_of
from generation.output.manifest import Calls, Digests, Manifest, Seconds, Tally, Tokens, read, whole
from generation.output.push import uploads
from generation.output.reading import read_training_pairs, read_votes, rows_in, schema_of, split_files
from generation.output.reading import rows as rows_of
from generation.output.records import Feedback
from tests.properties import examples

LAWS = Constitution(
    name="laws",
    version=1,
    objectives={"good": 1.0, "calm": 1.0},
    principles=(
        Principle(id="kind", objective="good", text="Be ```kind```."),
        Principle(id="calm", objective="calm", text="Be calm."),
    ),
)
HOSTILE = "<script>alert(1)</script> ``` {{ 7*7 }} --- \n---\nlicense: evil"
DIGESTS = Digests(constitution="c", templates="t", policy="p", judge="j", prompts="q", settings="s")


def prompt(i: int, text: str = "") -> Prompt:
    return Prompt(id=f"p{i}", messages=(Message(role="user", content=text or f"Question {i}?"),))


def reply(asked: Prompt, name: str, text: str, origin: Any = "sampled") -> Response:
    return Response(f"{asked.id}/{name}", asked.id, Message(role="assistant", content=text), origin, text)


def outcome(i: int, text: str = "", log_odds: float = 0.5) -> Feedback:
    """A prompt with one pair, one revision, one dropped revision."""
    asked = prompt(i, text)
    good, bad = reply(asked, "s0/r0", f"good {HOSTILE}", "revised"), reply(asked, "s0", "bad")
    votes = (Vote(asked.id, good.id, bad.id, "kind", log_odds + 0.1, -log_odds + 0.1),)
    pair = PreferencePair(asked.id, good, bad, log_odds, {"good": log_odds}, votes)
    critique = Critique(asked.id, bad.id, "kind", HOSTILE, True)
    left_out = (Dropped(asked.id, "revise", "unchanged", "", f"{asked.id}/s1/r0"),)
    return Feedback(asked, (bad, good), (critique,), 1, votes, (pair,), (good,), (), left_out)


def write(folder: Path, outcomes: list[Feedback], tools: bool = False) -> Manifest:
    writer = DatasetWriter(folder, LAWS, "judge", 0.3, tools)
    tally = Tally()
    for item in outcomes:
        writer.write(item)
        tally.add(item)
    spent = Calls(made=1, reused=0), Tokens(prompt=1, cached=0, completion=1), Seconds(wall=1, engine=1)
    manifest = tally.manifest(*spent, writer.close(), DIGESTS)
    write_card(folder, manifest, LAWS, RunConfig(license="apache-2.0"))
    manifest.write(folder)
    return manifest


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / name).to_pylist()
    return found


def preferences(folder: Path) -> list[dict[str, Any]]:
    return [row for _, path in split_files(folder, "preferences") for row in rows_of(path)]


def sft(folder: Path) -> list[dict[str, Any]]:
    return [row for _, path in split_files(folder, "sft") for row in pq.read_table(path).to_pylist()]


def test_the_columns_are_the_contracts(tmp_path: Path) -> None:
    write(tmp_path, [outcome(0)])
    (row,) = preferences(tmp_path)
    assert list(row) == [
        "prompt", "chosen", "rejected", "p_chosen", "log_odds", "label_source", "prompt_id", "chosen_id", "rejected_id",
        "chosen_origin", "rejected_origin", "chosen_policy", "rejected_policy", "chosen_truncated", "rejected_truncated", "objectives", "votes",
        "tags", "metadata", "constitution_digest", "judge",
    ]  # fmt: skip
    assert row["prompt"] == [{"role": "user", "content": "Question 0?"}]
    assert row["chosen"] == [{"role": "assistant", "content": f"good {HOSTILE}"}]
    assert row["objectives"] == {"good": 0.5, "calm": None}
    assert row["votes"] == [
        {
            "principle": "kind",
            "method": "compare",
            "judge": "judge",
            "logit_ab": 0.6,
            "logit_ba": -0.4,
            "censored": False,
        }
    ]
    assert row["p_chosen"] == pytest.approx(0.6224593)
    assert (row["chosen_origin"], row["rejected_origin"], row["judge"]) == ("revised", "sampled", "judge")
    assert (row["chosen_truncated"], row["rejected_truncated"]) == (False, False)
    assert (row["chosen_policy"], row["rejected_policy"], row["tags"], row["metadata"]) == (None, None, [], None)


def test_what_a_prompt_brings_is_in_every_row_of_it(tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"x": None}}}
    kept = {"tags": ("a", "b"), "metadata": '{"lang": "en", "n": null}', "tools": (tool,)}
    first = outcome(0)
    asked, (pair,) = first.prompt.model_copy(update=kept), first.pairs
    pair = replace(pair, chosen=replace(pair.chosen, policy="big"), rejected=replace(pair.rejected, policy="small"))
    write(tmp_path, [replace(first, prompt=asked, pairs=(pair,), targets=(pair.chosen,)), outcome(1)], tools=True)
    row, other = sorted(preferences(tmp_path), key=lambda row: str(row["prompt_id"]))
    target = next(row for row in sft(tmp_path) if row["prompt_id"] == "p0")
    for one in (row, target):
        assert (one["tags"], one["metadata"]) == (["a", "b"], '{"lang": "en", "n": null}')
        assert json.loads(one["tools"]) == [tool]
    assert (row["chosen_policy"], row["rejected_policy"], target["policy"]) == ("big", "small", "big")
    assert (other["tools"], other["tags"], other["metadata"], other["chosen_policy"]) == (None, [], None, None)


def test_tool_calls_are_kept_in_a_run_that_has_them(tmp_path: Path) -> None:
    asked = prompt(0)
    call = ToolCall(id="1", function=Function(name="f", arguments={"x": [1]}))
    good = Response("p0/s0", "p0", Message(role="assistant", tool_calls=(call,)), "sampled", "")
    pair = PreferencePair("p0", good, reply(asked, "s1", "bad"), 0.5, {}, ())
    write(tmp_path, [Feedback(asked, pairs=(pair,))], tools=True)
    (row,) = preferences(tmp_path)
    assert row["chosen"][0]["tool_calls"] == [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": [1]}'}}
    ]
    assert row["rejected"][0]["tool_calls"] is None


def test_equal_prompts_land_on_one_side(tmp_path: Path) -> None:
    write(tmp_path, [outcome(i, f"Question {i % 20}?") for i in range(60)])
    sides = [
        {row["prompt"][0]["content"] for row in rows(tmp_path, f"data/preferences/{s}.parquet")}
        for s in ("train", "test")
    ]
    assert sides[0].isdisjoint(sides[1])
    assert all(sides)
    assert split_of(prompt(1, "x"), 0.3) == split_of(prompt(2, " x "), 0.3)


@pytest.mark.model
def test_bytes_depend_on_the_rows_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And small rows share a row group, since each takes memory to the end of its file."""
    outcomes = [outcome(i) for i in range(1500)]
    for limit, groups in ((dataset.GROUP_BYTES, 1), (1, 2)):
        monkeypatch.setattr(dataset, "GROUP_BYTES", limit)
        one, two = write(tmp_path / f"a{groups}", outcomes), write(tmp_path / f"b{groups}", outcomes)
        assert one.files == two.files
        assert pq.ParquetFile(tmp_path / f"a{groups}" / "votes.parquet").num_row_groups == groups


def test_every_prompt_is_accounted_for(tmp_path: Path) -> None:
    failed = Feedback(prompt(1), failures=(Failure("p1", "sample", "empty"),))
    nothing = Feedback(prompt(2), dropped=(Dropped("p2", "pairs", "tie"),))
    manifest = write(tmp_path, [outcome(0), failed, nothing])
    assert manifest.outcomes.model_dump() == {"pairs": 1, "dropped": 1, "failed": 1}
    assert manifest.dropped == {"pairs: tie": 1, "revise: unchanged": 1}
    assert manifest.failed == {"sample: empty": 1}
    kinds = [(row["kind"], row["stage"], row["reason"]) for row in rows(tmp_path, "failures.parquet")]
    assert kinds == [("dropped", "revise", "unchanged"), ("failed", "sample", "empty"), ("dropped", "pairs", "tie")]
    found = read(tmp_path)
    assert found is not None
    assert found.model_copy(update={"sha256": ""}) == manifest
    assert read(tmp_path / "elsewhere") is None


@examples(30)
@given(st.lists(st.sampled_from(["pairs", "failed", "dropped"]), max_size=12))
def test_counts_add_up(kinds: list[str]) -> None:
    tally = Tally()
    for i, kind in enumerate(kinds):
        failures = (Failure(f"p{i}", "sample", "empty"),) if kind == "failed" else ()
        tally.add(outcome(i) if kind == "pairs" else Feedback(prompt(i), failures=failures))
    assert tally.counts["prompts"] == tally.outcomes.total() == len(kinds)
    assert tally.outcomes == {kind: kinds.count(kind) for kind in set(kinds)}
    assert tally.counts["pairs"] == kinds.count("pairs")


def test_a_vote_that_is_a_bound_is_marked_counted_and_explained(tmp_path: Path) -> None:
    whole = outcome(0)
    votes = (replace(whole.votes[0], censored=True), replace(whole.votes[0], principle="other"))
    pair = replace(whole.pairs[0], votes=votes)
    manifest = write(tmp_path, [replace(whole, votes=votes, pairs=(pair,)), outcome(1)])
    assert (manifest.counts.votes, manifest.counts.censored_votes) == (3, 1)
    assert [row["censored"] for row in rows(tmp_path, "votes.parquet")] == [True, False, False]
    assert sorted(len(row["votes"]) + 2 * row["votes"][0]["censored"] for row in preferences(tmp_path)) == [1, 4]
    assert [vote.censored for vote in read_votes(tmp_path / "votes.parquet")] == [True, False, False]
    assert "1 of the 3 votes are bounds" in (tmp_path / "README.md").read_text()
    assert "are bounds" not in _card(tmp_path / "other")


def _card(folder: Path) -> str:
    write(folder, [outcome(0)])
    return (folder / "README.md").read_text()


def test_an_unfinished_write_leaves_no_dataset(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path, LAWS, "judge", 0.3, False)
    writer.write(outcome(0))
    assert not (tmp_path / "data").exists()
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def test_the_card_says_where_it_came_from_and_no_text_breaks_out(tmp_path: Path) -> None:
    write(tmp_path, [outcome(0)])
    text = (tmp_path / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    card = yaml.safe_load(front)
    assert card["license"] == "apache-2.0"
    assert [c["config_name"] for c in card["configs"]] == ["preferences", "sft"]
    assert LAWS.digest not in body  # the manifest's digest is shown, which here is a letter
    assert "| constitution | `laws`, version 1 | `c` |" in body
    assert "````text\nBe ```kind```.\n````" in body


@given(st.text(alphabet="`a\n", max_size=40))
def test_a_fence_is_longer_than_any_in_the_text(text: str) -> None:
    fence = fenced(text).split("text\n", 1)[0]
    assert set(fence) == {"`"}
    assert fence not in text


TRAINED, TESTED = (next(i for i in range(99) if split_of(prompt(i), 0.3) == split) for split in ("train", "test"))
"""A prompt that falls to train, and one that falls to test."""


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        pytest.param([outcome(TRAINED)], {"preferences": {"train": 1}, "sft": {"train": 1}}, id="one"),
        pytest.param([outcome(TESTED)], {"preferences": {"train": 1}, "sft": {"train": 1}}, id="one-of-test"),
        pytest.param(
            [replace(outcome(TRAINED), targets=()), outcome(TESTED)],
            {"preferences": {"train": 1, "test": 1}, "sft": {"test": 1}},
            id="a-target-in-test-alone",
        ),
        pytest.param([replace(outcome(TRAINED), targets=())], {"preferences": {"train": 1}}, id="no-target"),
        pytest.param([replace(outcome(TRAINED), pairs=())], {"sft": {"train": 1}}, id="no-pair"),
        pytest.param([Feedback(prompt(0))], {}, id="nothing"),
    ],
)
def test_a_split_without_rows_is_neither_written_nor_listed(
    tmp_path: Path, outcomes: list[Feedback], expected: dict[str, dict[str, int]]
) -> None:
    (tmp_path / "data" / "sft").mkdir(parents=True)
    (tmp_path / "data" / "sft" / "test.parquet").write_text("of an earlier start")
    write(tmp_path, outcomes)
    written = {
        name: {split: pq.read_metadata(p).num_rows for split, p in split_files(tmp_path, name)} for name in DATASETS
    }
    assert {name: splits for name, splits in written.items() if splits} == expected
    _, front, body = (tmp_path / "README.md").read_text().split("---\n", 2)
    configs = yaml.safe_load(front).get("configs", [])
    assert {c["config_name"]: [f["split"] for f in c["data_files"]] for c in configs} == {
        name: [*splits] for name, splits in expected.items()
    }
    assert [c.get("default", False) for c in configs] == [True, False][: len(configs)]
    assert all((f'"{name}")' in body) == (name in expected) for name in DATASETS)


@pytest.mark.parametrize("limit", [dataset.FILE_BYTES, 0])
def test_mean_votes_become_probabilities_when_the_last_prompt_is_judged(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no mean of the panel's votes, as of a rule or a veto, stays as it is; in one file or several."""
    monkeypatch.setattr(dataset, "FILE_BYTES", limit)
    monkeypatch.setattr(dataset, "ROWS", 1)
    monkeypatch.setattr(dataset, "GROUP_BYTES", 1)
    means = {0: 0.5, 1: 4.0, 2: 0.0}
    outcomes = []
    for i, voters in means.items():
        found = outcome(i)
        (pair,) = found.pairs
        outcomes.append(replace(found, pairs=(replace(pair, voters=voters, source="panel" if voters else "rule"),)))
    writer = DatasetWriter(tmp_path, LAWS, "judge", 0.3, False)
    for one in outcomes:
        writer.write(one)
    writer.close(Pooling(rho=0.2, temperature=2.0, voters=4.0, voters_effective=2.5, pairs=3))
    found = {row["prompt_id"]: row for row in preferences(tmp_path)}
    # half as much by the temperature; 4 voters are worth 4 / (1 + 3 * 0.2) = 2.5, and less than one is no panel
    assert {name: row["log_odds"] for name, row in found.items()} == pytest.approx({"p0": 0.25, "p1": 0.625, "p2": 0.5})
    for row in found.values():
        assert row["p_chosen"] == pytest.approx(1 / (1 + math.exp(-row["log_odds"])))
    assert {name: row["label_source"] for name, row in found.items()} == {"p0": "panel", "p1": "panel", "p2": "rule"}


def test_rules_and_vetoes_are_counted() -> None:
    tally = Tally()
    ruled = Vote("p0", "p0/s0/r0", "p0/s0", "brief", 3.0, -3.0, "rule", "")
    tally.add(replace(outcome(0), rules=("brief", "short"), comparisons=3, vetoed=2, votes=(ruled,)))
    tally.add(replace(outcome(1), rules=("brief",)))
    assert (tally.counts["vetoed"], tally.counts["rule_pairs"]) == (2, 0)
    assert {name: (used.applied, used.decided) for name, used in tally.rules.items()} == {
        "brief": (4, 1),
        "short": (3, 0),
    }


def test_a_large_table_is_written_and_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one file is: whatever reads it, from any row on, and pooled alike. A start that needs fewer leaves no others."""
    monkeypatch.setattr(dataset, "ROWS", 10)
    monkeypatch.setattr(dataset, "GROUP_BYTES", 1)
    outcomes = [outcome(i, log_odds=1.0 if i % 4 else 0.25) for i in range(95)]
    one, several = tmp_path / "one", tmp_path / "several"
    for folder, limit in ((one, dataset.FILE_BYTES), (several, 2000), (several, 10_000)):
        monkeypatch.setattr(dataset, "FILE_BYTES", limit)
        before, manifest = {*folder.glob("votes*")}, write(folder, outcomes)
    assert (
        {path.name for path in several.glob("votes*")}
        == {*manifest.parts("votes.parquet")}
        != {path.name for path in before}
    )
    assert len(manifest.parts("votes.parquet")) > 1
    assert whole(several).files == manifest.files
    for name in ("preferences", "sft"):
        assert len([path for _, path in split_files(several, name)]) == 2
    for path in ("votes.parquet", "responses.parquet", "data/preferences/train.parquet"):
        assert [*rows_of(several / path)] == [*rows_of(one / path)]
        assert [*rows_of(several / path, first=61)] == [*rows_of(one / path, first=61)]
        assert rows_in(several / path) == rows_in(one / path)
        assert schema_of(several / path) == schema_of(one / path)
    trained = [[*read_training_pairs(folder / "data/preferences/train.parquet", "train")] for folder in (one, several)]
    assert trained[0] == trained[1]
    with pytest.raises(UserError, match=r"votes-00000-of-000\d\d.parquet: has no column"):
        [*rows_of(several / "votes.parquet", ["none"])]
    front = yaml.safe_load((several / "README.md").read_text().split("---")[1])
    (train, test), files = front["configs"][0]["data_files"], manifest.parts("data/preferences/train.parquet")
    assert (train["path"], test["split"]) == (files, "test")
    sent = {upload.name: upload.content for upload in uploads(several, manifest)}
    assert "failures.parquet" in sent
    assert not [name for name in sent if name.startswith("failures-")]
