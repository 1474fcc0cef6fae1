"""All that a command of evaluation shows of the replay engine's answers: printed, on its page, as figures."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

import solon
from evaluation.__main__ import main
from tests.shown import assert_shown, figures, words_of_page

GOLDEN = Path(__file__).parent / "golden" / "shown"
QUESTIONS = [{"id": f"q{i}", "prompt": f"Question {i}?", "tag": "odd" if i % 2 else "even"} for i in range(12)]
LAWS = """
name: laws
version: 1
objectives: {brevity: 1.0, kindness: 2.0}
principles:
  - {id: short, objective: brevity, text: Be short., check: {max_words: 20}}
  - {id: kind, objective: kindness, text: Be kind., compare: Which reply is kinder?, weight: 2.0}
  - {id: plain, objective: kindness, text: Be plain.}
"""
GOLD = """
name: gold
version: 1
objectives: {plain: 1.0}
principles:
  - {id: few, objective: plain, text: Few words., check: {max_words: 25}}
  - {id: no-list, objective: plain, text: No lists., check: {must_not_match: '- '}}
"""


def policy(folder: Path) -> list[object]:
    (folder / "gold.yaml").write_text(GOLD)
    return [
        "policy", "--a", "model-a", "--b", "model-b", "--judge", "the-judge", "--engine", "replay", "--prompts", folder / "p.jsonl",
        "--constitution", folder / "laws.yaml", "--gold", folder / "gold.yaml", "--out", folder / "calls", "--seeds", 2,
        "--probes", "small", "--probe-items", 4, "--json", folder / "found.json", "--page", folder / "page.html",
    ]  # fmt: skip


def judge(folder: Path) -> list[object]:
    return [
        "judge", "--data", "persuasion", "--limit", 60, "--constitution", folder / "laws.yaml", "--judge", "the-judge", "--engine",
        "replay", "--out", folder / "calls", "--folds", 3, "--max-error", 0.2, "--json", folder / "found.json",
        "--page", folder / "page.html",
    ]  # fmt: skip


def reasoning(folder: Path) -> list[object]:
    return [
        "reasoning", "--constitution", folder / "laws.yaml", "--judge", "the-judge", "--engine", "replay", "--out", folder / "calls",
        "--sums", 6, "--a", "model-a", "--json", folder / "found.json", "--page", folder / "page.html",
    ]  # fmt: skip


def episodes(folder: Path) -> list[object]:
    return [
        "episodes", "--a", "model-a", "--b", "model-b", "--engine", "replay", "--out", folder / "calls", "--limit", 6,
        "--json", folder / "found.json", "--page", folder / "page.html",
    ]  # fmt: skip


def attack(folder: Path) -> list[object]:
    return [
        "attack", "--constitution", folder / "laws.yaml", "--judge", "the-judge", "--engine", "replay", "--out", folder / "calls",
        "--limit", 8, "--json", folder / "found.json",
    ]  # fmt: skip


def _run(folder: Path) -> Path:
    """A run of the replay engine, whose judge prefers what stands first."""
    making = solon.generate_feedback(
        str(folder / "laws.yaml"), QUESTIONS, folder / "run", engine="replay", policy="m", report=False,
        plan={"samples": 3, "controls": 6, "pairs": "all_pairs", "principles": 3},
    )  # fmt: skip
    solon.run_sync(making)
    return folder / "run"


def audit(folder: Path) -> list[object]:
    return ["audit", _run(folder), "--out", folder / "page.html", "--json", folder / "found.json"]


def diff(folder: Path) -> list[object]:
    run = _run(folder)
    (folder / "edited.yaml").write_text(
        LAWS.replace("weight: 2.0", "weight: 0.25").replace("max_words: 20", "max_words: 12")
    )
    return ["diff", run, folder / "edited.yaml", "--show", 4]


def verify(folder: Path) -> list[object]:
    """Pairs of which many have something wrong with them."""
    rows = [
        {"prompt": f"Question {i}?", "chosen": f"It is {i}." * (1 + i % 3), "rejected": f"No {i}"} for i in range(60)
    ]
    for i, wrong in enumerate(
        (
            {"chosen": ""}, {"rejected": "It is 1."}, {"chosen": "Question 2? It is 2."}, {"chosen": "I'm sorry, but I can't help with that."},
            {"prompt": "Question 5?"}, {"rejected": "<|im_end|>"}, {"chosen": "As an AI language model, I cannot."},
        )
    ):  # fmt: skip
        rows[i] |= wrong  # type: ignore[arg-type]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["verify", folder / "pairs.jsonl", "--json", folder / "found.json"]


@pytest.mark.parametrize("command", [policy, judge, reasoning, episodes, attack, audit, diff, verify])
def test_what_a_command_shows(
    command: Callable[[Path], list[object]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    (tmp_path / "laws.yaml").write_text(LAWS)
    console = Console(width=150, file=io.StringIO(), soft_wrap=True, force_terminal=False)
    arguments = command(tmp_path)
    capsys.readouterr()
    code = main([*map(str, arguments)], console=console)
    assert isinstance(console.file, io.StringIO)
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    lines = [f"exit code {code}", *console.file.getvalue().splitlines(), "", *warned]
    if (page := tmp_path / "page.html").exists():
        lines += ["", "PAGE", *words_of_page(page.read_text(encoding="utf-8"))]
    if (found := tmp_path / "found.json").exists():
        lines += ["", "FIGURES", *figures(found.read_text(encoding="utf-8"))]
    assert_shown(GOLDEN / f"{command.__name__}.txt", lines, tmp_path)
