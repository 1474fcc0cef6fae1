"""A run of the replay engine, whole: what is printed before and after it, its card, its manifest and every row of its tables."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import generate_feedback
from tests.shown import assert_shown, figures

GOLDEN = Path(__file__).parent / "golden" / "shown"
LAWS = """
name: laws
version: 1
objectives: {good: 1.0, calm: 0.5}
principles:
  - {id: kind, objective: good, text: Be kind., weight: 2.0}
  - {id: quiet, objective: calm, text: Be quiet., compare: Which reply is quieter?}
  - {id: short, objective: calm, text: Be short., check: {max_words: 14}}
"""
ROWS = [
    {"id": "plain", "prompt": "Why is the sky blue?", "tags": ["science"]},
    {"id": "given", "prompt": "And the sea?", "responses": ["It mirrors the sky.", "Water takes the red away, so the rest is blue."]},
    {"id": "turns", "messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "What is a tide?"},
    ]},
    {"id": "bad", "prompt": 7},
]  # fmt: skip
PLAN = (
    "plan={samples: 3, rounds: 1, principles: 3, controls: 4, pairs: all_pairs, methods: [compare, score, yesno],"
    " keep_truncated: true, sample: {max_tokens: 24}}"
)
TIMES = ("seconds", "started", "versions", "machine")


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one width and kind, wherever the test runs."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def start(folder: Path, *more: str) -> int:
    (folder / "laws.yaml").write_text(LAWS)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    files = ["--constitution", folder / "laws.yaml", "--prompts", folder / "rows.jsonl", "--out", folder / "run"]
    given = ["--engine", "replay", "--policy", "student", "--judge", "teacher", "--set", PLAN]
    return generate_feedback.main([*map(str, files), *given, *more])


def test_a_run_and_its_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = start(tmp_path)
    printed = [line for line in capsys.readouterr().out.splitlines() if "seconds" not in line]
    manifest = {key: value for key, value in _read(tmp_path / "run" / "manifest.json").items() if key not in TIMES}
    card = (tmp_path / "run" / "README.md").read_text()
    lines = [
        f"exit code {code}",
        *printed,
        "",
        "CARD",
        *card.splitlines(),
        "",
        "MANIFEST",
        *figures(json.dumps(manifest)),
    ]
    for path in sorted((tmp_path / "run").rglob("*.parquet")):
        lines += ["", path.relative_to(tmp_path / "run").as_posix()]
        for row in pq.read_table(path).to_pylist():
            lines.append(" ".join(line.strip() for line in figures(json.dumps(row, default=str))))
    assert_shown(GOLDEN / "run.txt", lines, tmp_path)


def test_a_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = start(tmp_path, "--plan")
    assert_shown(GOLDEN / "plan.txt", [f"exit code {code}", *capsys.readouterr().out.splitlines()], tmp_path)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found
