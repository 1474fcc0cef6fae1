"""The command: what it prints and writes, and how it ends."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluation.__main__ import main

Rows = list[dict[str, Any]]
Make = Callable[[int], Rows]


def written(path: Path, rows: Rows) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_sound_set(tmp_path: Path, pairs: Make, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", written(tmp_path / "a.jsonl", pairs(100))]) == 0
    said = capsys.readouterr().out
    assert "100 labelled pairs of 100 rows" in said
    assert "0 errors, 0 warnings, 0 notes" in said
    assert "whether labels follow the judge's verdicts" in said


def test_an_error_is_told_and_ends_with_1(tmp_path: Path, pairs: Make, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row | {"rejected": ""} if i % 10 == 0 else row for i, row in enumerate(pairs(200))]
    file = tmp_path / "found.json"
    assert main(["verify", written(tmp_path / "a.jsonl", rows), "--json", str(file)]) == 1
    assert "empty_responses" in capsys.readouterr().out
    said = json.loads(file.read_text())
    assert (said["rows"], said["pairs"], said["splits"]) == (200, 200, [""])
    (one,) = said["findings"]
    assert (one["check"], one["severity"], one["hits"], one["of"]) == ("empty_responses", "error", 20, 200)
    assert one["places"] == ["row 1", "row 11", "row 21"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"question": "Why?", "reply": "So."}], "got columns question, reply"),
        (
            [{"prompt": "Why?", "response_a": "So.", "response_b": "No.", "winner": "tie"}],
            "calls neither response better in any of 1 rows",
        ),
        (
            [{"prompt": "Why?", "chosen": [{"role": "nobody", "content": "x"}], "rejected": "b"}],
            "holds no labelled pair",
        ),
    ],
)
def test_what_holds_no_pairs_is_refused(
    tmp_path: Path, rows: Rows, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", written(tmp_path / "a.jsonl", rows)]) == 2
    assert words in capsys.readouterr().err


def test_columns_of_other_names(tmp_path: Path, pairs: Make, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"q": row["prompt"], "good": row["chosen"], "bad": row["rejected"]} for row in pairs(50)]
    file = written(tmp_path / "a.jsonl", rows)
    assert main(["verify", file]) == 2
    assert "--map chosen=COLUMN,rejected=COLUMN" in capsys.readouterr().err
    assert main(["verify", file, "--map", "prompt=q,chosen=good,rejected=bad"]) == 0
    assert main(["verify", file, "--map", "prompt=q,chosen=god,rejected=bad"]) == 2
    assert "did you mean good?" in capsys.readouterr().err


def test_texts_of_a_dataset_do_not_reach_the_terminal_as_markup(
    tmp_path: Path, pairs: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row | {"split": "[bold red]\x1b[31mx"} for row in pairs(60)]
    rows += [dict(rows[0]) for _ in range(20)]
    main(["verify", written(tmp_path / "a.jsonl", rows)])
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "[bold red]" in said.replace("\n", "")


def test_a_sample_and_a_seed_decide_what_is_looked_at_closely(tmp_path: Path, pairs: Make) -> None:
    file = written(tmp_path / "a.jsonl", pairs(400))
    found = [tmp_path / f"{name}.json" for name in "abc"]
    for path, more in zip(found, (["--seed", "1"], ["--seed", "1"], ["--limit", "150"]), strict=True):
        main(["verify", file, "--sample", "100", "--json", str(path), *more])
    assert found[0].read_bytes() == found[1].read_bytes()
    assert [json.loads(path.read_text())["sample"] for path in found] == [100, 100, 100]
    assert json.loads(found[2].read_text())["rows"] == 150
