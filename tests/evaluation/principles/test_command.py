"""`constitution test`: files and runs in, a table and exit codes out."""

import json
from pathlib import Path

import pytest

from constitution.__main__ import main
from generate_feedback import main as feedback

LAWS = """name: laws
version: 1
objectives: {good: 1.0}
principles:
  - {id: kind, objective: good, text: Be kind to people., antithesis: Be cruel.}
  - {id: brief, objective: good, text: Say it in few words.}
  - {id: short, objective: good, text: At most 50 words., check: {max_words: 50}}
"""


@pytest.fixture
def laws(tmp_path: Path) -> str:
    path = tmp_path / "laws.yaml"
    path.write_text(LAWS)
    return str(path)


@pytest.fixture
def data(tmp_path: Path) -> str:
    rows = [
        {"prompt": f"Say {i}.", "chosen": f"It is {i}.", "rejected": f"I think it is {i * i} or so."} for i in range(24)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_plan_asks_nobody(laws: str, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["test", laws, "--data", data, "--engine", "replay", "--out", str(out), "--plan"]) == 0
    # 2 principles: own and another form of each, one antithesis; 2 wordings of each and one antithesis are written
    assert (
        "2 principles in 10 wordings, of which the judge writes 5; 24 pairs: 485 calls"
        in capsys.readouterr().out.replace("\n", " ")
    )
    assert not out.exists()


def test_a_random_judge_is_seen_and_the_second_time_costs_nothing(
    laws: str, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "test",
        laws,
        "--data",
        data,
        "--engine",
        "replay",
        "--out",
        str(tmp_path / "out"),
        "--json",
        str(tmp_path / "said.json"),
    ]
    assert main([*command, "--sharpen"]) == 1
    said = json.loads((tmp_path / "said.json").read_text())
    assert said["pairs"] == 24
    assert [*said["principles"]] == ["kind", "brief"]
    assert {one["check"] for one in said["doubts"]} <= {"varies_with_wording", "ignores_its_text", "two_in_one"}
    assert {one["principle"] for one in said["doubts"]} == {"kind", "brief"}
    capsys.readouterr()
    assert main(command) == 1
    assert "2 of 2 principles are in doubt, by 24 pairs. Calls: 0 made" in capsys.readouterr().out


@pytest.mark.model
def test_the_votes_of_a_run_are_taken_and_nobody_is_asked(
    laws: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"Say {i}."}) + "\n" for i in range(16)))
    run = tmp_path / "run"
    assert feedback(["--constitution", laws, "--prompts", str(prompts), "--engine", "replay", "--out", str(run)]) == 0
    capsys.readouterr()
    assert main(["test", laws, "--data", str(run), "--json", str(tmp_path / "said.json")]) in (0, 1)
    said = capsys.readouterr().out
    for name, one in json.loads((tmp_path / "said.json").read_text())["principles"].items():
        (line,) = (line for line in said.splitlines() if line.strip().startswith(name))
        assert f" {one['decides']:.0%} " in line
    assert "Calls: 0 made" in said
    other = tmp_path / "other.yaml"
    other.write_text(LAWS.replace("Be kind to people.", "Be fair."))
    assert main(["test", str(other), "--data", str(run)]) == 2
    assert "was made under another constitution" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "Say.", "responses": ["one"]}, "holds no labelled pair"),
        ({"prompt": "Say."}, "holds no labelled pair"),
    ],
)
def test_rows_without_two_responses_are_refused(
    laws: str, tmp_path: Path, row: dict[str, object], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    assert main(["test", laws, "--data", str(path), "--engine", "replay", "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err


def test_responses_without_a_label_are_pairs_too(laws: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(json.dumps({"prompt": f"Say {i}.", "responses": [f"It is {i}.", f"No {i}."]}) + "\n" for i in range(5))
    )
    assert main(["test", laws, "--data", str(path), "--engine", "replay", "--out", str(tmp_path / "out")]) == 0
    assert "0 of 2 principles are in doubt, by 5 pairs" in capsys.readouterr().out
