"""A run in the forms of other tools says what the run says."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

import generate_feedback
from critics.transcript import message_text
from generation.output.exports.annotated_pairs import annotator_id
from generation.output.exports.formats import FORMS
from generation.output.reading import Pair
from generation.output.run import Run, open_run
from solon.__main__ import main

LAWS = """name: laws
version: 1
objectives: {good: 1.0, calm: 1.0}
principles:
  - {id: kind, objective: good, text: Be kind.}
  - {id: brief, objective: calm, text: Be brief.}
  - {id: short, objective: good, text: Be short., check: {max_words: 9}}
"""
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
HOSTILE = '</script> \u2028 {{ 7*7 }} "quoted" \\u0041'
SETTINGS = (
    "policies=[{name: a, model: m}, {name: b, model: n}]", "judge=j", "plan.samples=3", "plan.pairs=all_pairs",
    "plan.controls=1",
)  # fmt: skip


def make(folder: Path, rows: list[dict[str, Any]], *settings: str) -> int:
    (folder / "c.yaml").write_text(LAWS)
    (folder / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = ["--constitution", str(folder / "c.yaml"), "--prompts", str(folder / "p.jsonl")]
    words = [word for one in settings for word in ("--set", one)]
    return generate_feedback.main([*files, "--out", str(folder / "run"), "--engine", "replay", *words])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All pairs of three samples of two policies, with tools, tags and further columns."""
    folder = tmp_path_factory.mktemp("exports")
    rows: list[dict[str, Any]] = [{"id": f"q{i}", "prompt": f"Question {i}?", "lang": "en", "n": i} for i in range(12)]
    rows[1] |= {"prompt": f"Hello {HOSTILE}", "tags": ["odd"]}
    rows[2]["prompt"] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    rows[3]["tools"] = [TOOL]
    rows[4]["responses"] = ["one", f"two {HOSTILE}", "three"]
    assert make(folder, rows, *SETTINGS) == 0
    return open_run(folder / "run")


def export(run: Run, form: str, folder: Path) -> str:
    assert main(["export", str(run.folder), "--format", form, "--out", str(folder / form)]) == 0
    return (folder / form).read_text(encoding="utf-8")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.split("\n") if line]


def pairs_of(run: Run) -> dict[str, Pair]:
    return {" ".join(sorted((pair.chosen_id, pair.rejected_id))): pair for pair in run.pairs()}


@pytest.mark.model
def test_annotated_pairs_hold_every_label_and_vote(run: Run, tmp_path: Path) -> None:
    found = json.loads(export(run, "annotated_pairs", tmp_path))
    pairs = pairs_of(run)
    assert found["metadata"]["version"] == "2.0"
    # the text by which the format knows the annotator that others are held against
    label = annotator_id("Default annotator from original dataset (from column `preferred_text`)")
    assert (found["metadata"]["default_annotator"], label) == (label, "ba751e7b")
    principles = {one["name"]: one["description"] for one in found["annotators"].values() if one["type"] == "principle"}
    assert principles == {"kind": "Be kind.", "brief": "Be brief.", "short": "Be short."}
    assert len(found["comparisons"]) == len(pairs)
    better = Counter[str]()
    for one in found["comparisons"]:
        pair = pairs[one["id"]]
        sides = {"a": one["response_a"], "b": one["response_b"]}
        chosen = one["annotations"][label]["pref"]
        other = "b" if chosen == "a" else "a"
        better[chosen] += 1
        assert sides[chosen]["text"] == message_text(pair.chosen)
        assert sides[chosen]["model"] == (pair.chosen_policy or "given")
        assert sides[other]["text"] == message_text(pair.rejected)
        for principle, text in principles.items():
            value = sum(vote.value for vote in pair.votes if vote.principle == principle)
            if all(vote.principle != principle for vote in pair.votes):  # a rule that sees no difference
                assert annotator_id(text) not in one["annotations"]
                continue
            said = one["annotations"][annotator_id(text)]
            assert said["pref"] == (chosen if value > 0 else other if value else None)
        assert one["annotations"].keys() <= found["annotators"].keys()
        assert set(one["metadata"]) <= set(found["metadata"]["available_metadata_keys_per_comparison"])
        assert one["metadata"]["lang"] == "en"
    assert min(better["a"], better["b"]) > len(pairs) / 4
    prompts = {one["metadata"]["prompt_id"]: one["prompt"] for one in found["comparisons"]}
    assert prompts["q1"] == f"Hello {HOSTILE}"
    assert prompts["q2"] == "System: Be brief.\n\nUser: Why?"


@pytest.mark.model
def test_people_are_shown_sides_by_chance_and_the_label_as_a_suggestion(run: Run, tmp_path: Path) -> None:
    records = json.loads(export(run, "argilla", tmp_path))
    tasks = json.loads(export(run, "label_studio", tmp_path))
    pairs = pairs_of(run)
    assert len(records) == len(tasks) == len(pairs)
    for record, task in zip(records, tasks, strict=True):
        pair = pairs[record["id"]]
        suggestion = record["suggestions"]["preference"]
        assert record["fields"][f"response_{suggestion['value']}"] == message_text(pair.chosen)
        assert (suggestion["score"], suggestion["agent"]) == (pair.p_chosen, pair.judge)
        assert record["metadata"]["prompt_id"] == pair.prompt_id
        (prediction,) = task["predictions"]
        (result,) = prediction["result"]
        side = {"left": "response_a", "right": "response_b"}[result["value"]["selected"]]
        assert task["data"][side] == message_text(pair.chosen)
        assert (result["type"], result["from_name"], result["to_name"]) == ("pairwise", "preference", "response_a")
        assert record["fields"] == {name: task["data"][name] for name in ("prompt", "response_a", "response_b")}


def test_kto_rows_are_of_responses_that_are_always_better_or_always_worse(run: Run, tmp_path: Path) -> None:
    rows = lines(export(run, "kto", tmp_path))
    good, bad = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for pair in run.pairs():
        good[pair.prompt_id].add(pair.chosen_id)
        bad[pair.prompt_id].add(pair.rejected_id)
    expected = {(name, one, True) for name in good for one in good[name] - bad[name]}
    expected |= {(name, one, False) for name in bad for one in bad[name] - good[name]}
    assert {(row["prompt_id"], row["response_id"], row["label"]) for row in rows} == expected
    assert len(rows) == len(expected)
    assert any(good[name] & bad[name] for name in good)
    texts = {response.id: response.text for response in run.responses()}
    for row in rows:
        assert [message["role"] for message in row["completion"]] == ["assistant"]
        assert row["completion"][0]["content"] == texts[row["response_id"]]
        assert row["tools"] == (json.dumps([TOOL]) if row["prompt_id"] == "q3" else None)


def test_rankings_hold_every_response_in_the_order_of_the_votes(run: Run, tmp_path: Path) -> None:
    rows = lines(export(run, "rankings", tmp_path))
    responses = {response.id: response for response in run.responses()}
    assert [one["response_id"] for row in rows for one in row["responses"]] != list(responses)
    assert {one["response_id"] for row in rows for one in row["responses"]} == responses.keys()
    prompts = {
        pair.prompt_id: [message.model_dump(mode="json", exclude_defaults=True) for message in pair.prompt]
        for pair in run.pairs()
    }
    better, worse = 0, 0
    for row in rows:
        assert row["prompt"] == prompts[row["prompt_id"]]
        strengths = [one["strength"] for one in row["responses"] if one["strength"] is not None]
        assert strengths == sorted(strengths, reverse=True)
        assert row["responses"][0]["rank"] == 1
        assert all(one["text"] == responses[one["response_id"]].text for one in row["responses"])
        place = {one["response_id"]: number for number, one in enumerate(row["responses"])}
        for pair in (pair for pair in run.pairs() if pair.prompt_id == row["prompt_id"]):
            if place[pair.chosen_id] < place[pair.rejected_id]:
                better += 1
            else:
                worse += 1
    assert better > 2 * worse  # made-up votes need not agree with each other


def test_ratings_are_the_strengths_of_the_rankings_with_each_objective(run: Run, tmp_path: Path) -> None:
    ranked = {
        one["response_id"]: one["strength"]
        for row in lines(export(run, "rankings", tmp_path))
        for one in row["responses"]
    }
    rows = lines(export(run, "ratings", tmp_path))
    assert {row["response_id"]: row["strength"] for row in rows} == {k: v for k, v in ranked.items() if v is not None}
    assert all(row["objectives"].keys() == {"good", "calm"} for row in rows)
    assert {row["prompt_id"]: row["tags"] for row in rows}["q1"] == ["odd"]
    assert {row["policy"] for row in rows} == {"a", "b", None}


def test_a_run_without_pairs_makes_whole_files(tmp_path: Path) -> None:
    assert make(tmp_path, [{"id": "q", "prompt": "hi", "responses": ["one", "one"]}], "plan.controls=0") == 1
    run = open_run(tmp_path / "run")
    found = {form: export(run, form, tmp_path) for form in FORMS}
    assert json.loads(found["annotated_pairs"])["comparisons"] == []
    assert json.loads(found["argilla"]) == json.loads(found["label_studio"]) == []
    assert (found["kto"], found["ratings"]) == ("", "")
    (row,) = lines(found["rankings"])
    assert (row["prompt"], {one["rank"] for one in row["responses"]}) == (None, {None})


def test_what_cannot_be_exported_says_so(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    for name in ("there", "link"):
        assert main(["export", str(run.folder), "--format", "kto", "--out", str(tmp_path / name)]) == 2
        assert f"--out {tmp_path / name}: is there already; choose another file" in capsys.readouterr().err
    assert (tmp_path / "there").read_text() == "mine"
    assert main(["export", str(tmp_path), "--format", "kto", "--out", str(tmp_path / "x")]) == 2
    assert "is no finished run" in capsys.readouterr().err
    assert main(["export", str(run.folder), "--format", "kto", "--out", str(tmp_path / "no" / "x")]) == 2
    assert "cannot be written (No such file or directory)" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"there", "link"}
