"""People's labels in a run's `review.jsonl`: the same command takes them, without a call, and other commands learn from them."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import solon
from constitution.errors import UserError
from evaluation.judge.labelled import read_labelled
from generation.output.manifest import Manifest, whole
from generation.output.reading import read_candidates, read_failures

LAWS = "name: laws\nversion: 1\nobjectives: {good: 1.0}\nprinciples:\n  - {id: kind, objective: good, text: Be kind.}\n"
PROMPTS = [{"id": f"p{i}", "prompt": f"Say something about {i}."} for i in range(8)]


def made(out: Path) -> Manifest:
    (out.parent / "laws.yaml").write_text(LAWS)
    plan = {"samples": 3, "rounds": 0, "controls": 0, "pairs": "best_worst"}
    making = solon.generate_feedback(
        str(out.parent / "laws.yaml"), PROMPTS, out, engine="replay", policy="model", report=False, plan=plan
    )
    solon.run_sync(making)
    return whole(out)


def pairs_of(out: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((out / "data" / "preferences").glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            found.setdefault(row["prompt_id"], []).append(row)
    return found


def test_the_same_command_takes_peoples_labels_without_a_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    first = made(out)
    before = pairs_of(out)
    (one, *_), (two, *_), (three, *_) = before["p0"], before["p1"], before["p2"]
    other = f"p3/s{({0, 1, 2} - {int(before['p3'][0][side][-1]) for side in ('chosen_id', 'rejected_id')}).pop()}"
    lines = [
        {"prompt_id": "p0", "a": one["rejected_id"], "b": one["chosen_id"], "label": "a", "by": "eve", "time": "today"},
        {"prompt_id": "p1", "a": two["chosen_id"], "b": two["rejected_id"], "label": "a"},
        {"prompt_id": "p2", "a": three["chosen_id"], "b": three["rejected_id"], "label": "both_bad"},
        {"prompt_id": "p3", "a": other, "b": before["p3"][0]["chosen_id"], "label": "a"},
        {"prompt_id": "gone", "a": "x", "b": "y", "label": "a"},
    ]
    (out / "review.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "{torn")

    second = made(out)
    assert second.calls.made == first.calls.made, "every call is stored"
    assert second.counts.human_pairs == 3
    told = capsys.readouterr().err
    assert "review.jsonl:6" in told
    assert "1 labels are of no pair of this run, as gone" in told
    after = pairs_of(out)
    (turned,) = after["p0"]
    assert (turned["chosen_id"], turned["rejected_id"]) == (one["rejected_id"], one["chosen_id"])
    assert turned["label_source"] == "human"
    assert turned["p_chosen"] > 0.999
    assert turned["votes"][0]["logit_ab"] == one["votes"][0]["logit_ba"]
    assert after["p1"][0]["chosen_id"] == two["chosen_id"]
    assert "p2" not in after
    assert [(row.stage, row.reason) for row in read_failures(out / "failures.parquet") if row.prompt_id == "p2"] == [
        ("review", "both_bad")
    ]
    assert [row["label_source"] for row in after["p3"]] == ["panel", "human"]
    assert {key: after[key] for key in ("p4", "p5", "p6", "p7")} == {
        key: before[key] for key in ("p4", "p5", "p6", "p7")
    }
    assert "People decided 3 of the" in (out / "README.md").read_text()

    (out / "review.jsonl").unlink()
    third = made(out)
    assert pairs_of(out) == before
    assert {name: third.files[name] for name in third.files if name.startswith("data/")} == {
        name: first.files[name] for name in first.files if name.startswith("data/")
    }


def test_a_response_that_a_person_wrote_is_better_than_the_one_it_rewrites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    first = made(out)
    row = pairs_of(out)["p0"][0]
    line = {"prompt_id": "p0", "a": row["chosen_id"], "b": row["rejected_id"], "label": "both_bad", "edited": "a"}
    lines = [line | {"text": "Nought is a number."}, line | {"by": "eve", "text": row["rejected"][0]["content"]}]
    (out / "review.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    second = made(out)
    (own,) = pairs_of(out)["p0"]
    assert (own["chosen"][0]["content"], own["rejected_id"]) == ("Nought is a number.", row["chosen_id"])
    assert (own["label_source"], own["chosen_origin"], own["votes"]) == ("human", "given", [])
    assert second.counts.responses == first.counts.responses + 1
    assert second.calls.made == first.calls.made
    (written,) = (one for one in read_candidates(out / "responses.parquet") if one.id == own["chosen_id"])
    assert (written.parent, written.policy) == (row["chosen_id"], None)
    assert "1 labels are of no pair of this run" in capsys.readouterr().err


def test_only_peoples_labels_of_a_run_say_anything_about_judges(tmp_path: Path) -> None:
    out = tmp_path / "run"
    made(out)
    with pytest.raises(UserError, match="a judge's label"):
        read_labelled(out)
    row = pairs_of(out)["p0"][0]
    line = {"prompt_id": "p0", "a": row["chosen_id"], "b": row["rejected_id"], "label": "b"}
    (out / "review.jsonl").write_text(json.dumps(line) + "\n")
    made(out)
    (pair,), problems = read_labelled(out)
    assert pair.better.text == row["rejected"][0]["content"]
    assert len(problems) == 7
