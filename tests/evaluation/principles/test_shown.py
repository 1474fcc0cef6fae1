"""All that `constitution test` shows of the replay engine's answers: printed, and as figures."""

import json
from pathlib import Path

import pytest

from constitution.__main__ import main
from tests.shown import assert_shown, figures

GOLDEN = Path(__file__).parent / "golden"
LAWS = """name: laws
version: 1
objectives: {good: 1.0, form: 0.5}
principles:
  - {id: kind, objective: good, text: Be kind to people., antithesis: Be cruel.}
  - {id: brief, objective: form, text: Say it in few words.}
  - {id: honest, objective: good, text: Say what is true and say how sure you are of it.}
  - {id: short, objective: form, text: At most 50 words., check: {max_words: 50}}
"""


def test_what_a_test_of_principles_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    (tmp_path / "laws.yaml").write_text(LAWS)
    rows = [
        {"prompt": f"Say {i}.", "chosen": f"It is {i}.", "rejected": f"I think it is {i * i} or so."} for i in range(24)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = [
        "test", tmp_path / "laws.yaml", "--data", tmp_path / "pairs.jsonl", "--engine", "replay", "--out", tmp_path / "out",
        "--json", tmp_path / "found.json", "--sharpen",
    ]  # fmt: skip
    code = main([*map(str, given)])
    lines = [f"exit code {code}", *capsys.readouterr().out.splitlines(), "", "FIGURES"]
    assert_shown(GOLDEN / "test.txt", [*lines, *figures((tmp_path / "found.json").read_text())], tmp_path)
