"""What rows bring: references, responses and further columns, from the file to the data; and what of them is told."""

import json
import sqlite3
from pathlib import Path

import pytest

import generate_feedback
from generation.output.run import open_run

LAWS = "{name: laws, version: 1, objectives: {good: 1.0}, principles: [{id: kind, objective: good, text: Be kind.}]}"


def run(folder: Path, row: dict[str, object], *settings: str, out: str = "run", plan: bool = False) -> int:
    (folder / "c.yaml").write_text(LAWS)
    (folder / "p.jsonl").write_text("".join(json.dumps({"prompt": f"Question {i}?", **row}) + "\n" for i in range(3)))
    files = ["--constitution", str(folder / "c.yaml"), "--prompts", str(folder / "p.jsonl"), "--out", str(folder / out)]
    words = [word for one in ("plan.controls=0", *settings) for word in ("--set", one)]
    return generate_feedback.main([*files, "--engine", "replay", *words, *(["--plan"] if plan else [])])


def test_further_columns_and_tags_reach_the_pairs_and_the_targets(tmp_path: Path) -> None:
    assert run(tmp_path, {"tags": ["a", "b"], "lang": "en", "n": 3, "nested": {"x": [1, None]}}) == 0
    made = open_run(tmp_path / "run")
    rows = [*made.pairs(), *made.targets()]
    assert rows
    for row in rows:
        assert row.tags == ("a", "b")
        assert json.loads(row.metadata or "") == {"lang": "en", "n": 3, "nested": {"x": [1, None]}}


@pytest.mark.parametrize(
    ("row", "settings", "told"),
    [
        pytest.param({}, ["plan.show_reference=judge"], "plan.show_reference is judge, and no row has a reference answer", id="none"),
        pytest.param({"reference": "Yes."}, [], "3 rows have a reference answer, which nobody is shown", id="not-shown"),
        pytest.param({}, ["plan.revise_given=true"], "plan.revise_given is true, and no row has responses of its own", id="given"),
    ],
)  # fmt: skip
def test_what_no_row_or_no_setting_meets_is_told(
    row: dict[str, object], settings: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, row, *settings, plan=True) == 0
    assert told in capsys.readouterr().err
    met: dict[str, object] = {"reference": "Yes.", "responses": ["one", "two"]}
    assert run(tmp_path, met, "plan.show_reference=judge", "plan.revise_given=true", plan=True) == 0
    assert "plan." not in capsys.readouterr().err


def test_a_reference_that_is_shown_changes_the_judges_calls_alone(tmp_path: Path) -> None:
    known = {"reference": "A known answer."}
    assert run(tmp_path, known) == 0
    first = open_run(tmp_path / "run").manifest.calls
    hidden = ["--reuse", str(tmp_path / "run")]
    files = ["--constitution", str(tmp_path / "c.yaml"), "--prompts", str(tmp_path / "p.jsonl")]
    words = ["--engine", "replay", "--set", "plan.controls=0", *hidden]
    shown = ["--set", "plan.show_reference=judge"]
    assert generate_feedback.main([*files, "--out", str(tmp_path / "shown"), *words, *shown]) == 0
    made = open_run(tmp_path / "shown")
    with sqlite3.connect(tmp_path / "shown" / "calls.sqlite") as calls:
        counts = dict(calls.execute("SELECT stage, sum(1 - reused) FROM calls GROUP BY stage"))
    assert counts["compare"] == made.manifest.calls.made > 0
    assert counts["sample"] == counts["critique"] == counts["revise"] == 0
    assert made.manifest.calls.reused + counts["compare"] == first.made
