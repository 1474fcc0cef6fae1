"""What servers refuse, and what becomes of it when they are mended."""

from pathlib import Path
from typing import Any

import pytest

import generate_feedback
from generation.output.manifest import read as read_manifest
from tests.chat_server import agreeable, completion, served

LAWS = "{name: laws, version: 1, objectives: {good: 1.0}, principles: [{id: kind, objective: good, text: Be kind.}]}"


def run(folder: Path, url: str, out: str, *more: str) -> int:
    (folder / "c.yaml").write_text(LAWS)
    (folder / "p.jsonl").write_text("".join(f'{{"prompt": "question {i}"}}\n' for i in range(3)))
    files = ["--constitution", str(folder / "c.yaml"), "--prompts", str(folder / "p.jsonl"), "--out", str(folder / out)]
    server = f"endpoints=[{{url: '{url}', attempts: 1}}]"
    quick = ["--set", "plan.rounds=0", "--set", "plan.controls=0", "--set", server]
    return generate_feedback.main([*files, "--engine", "endpoint", "--policy", "m", *quick, *more])


def refuses(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Refuses the content of one prompt, for good."""
    if "question 1" in body["messages"][0]["content"]:
        return 400, {"error": {"message": "blocked by the content policy", "code": "content_policy_violation"}}
    return agreeable(body)


def refuses_for_now(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Refuses one prompt for no reason of the prompt's."""
    if "question 1" in body["messages"][0]["content"]:
        return 422, {"error": {"message": "cannot do this"}}
    return agreeable(body)


def silent(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Knows nothing of log-probabilities, and says nothing in their place."""
    return (200, completion(" ")) if body.get("logprobs") else agreeable(body)


def prompts_with_pairs(folder: Path) -> int:
    found = read_manifest(folder)
    assert found is not None
    return found.outcomes.pairs


def test_a_stored_refusal_is_asked_again_when_it_is_forgotten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(refuses) as (url, _):
        assert run(tmp_path, url, "run") == 1
    assert "1 of 3 prompts failed" in capsys.readouterr().err
    assert prompts_with_pairs(tmp_path / "run") == 2
    with served(agreeable) as (url, seen):
        assert run(tmp_path, url, "run") == 1  # finished, and no call is made
        assert seen == []
        assert run(tmp_path, url, "run", "--forget", "failed") == 0
        assert len(seen) == 2 + 2  # two samples of the prompt and the two orders of their comparison
    assert prompts_with_pairs(tmp_path / "run") == 3


def test_what_a_server_had_no_answer_for_is_stored_nowhere_and_not_reused(tmp_path: Path) -> None:
    with served(refuses_for_now) as (url, _):
        assert run(tmp_path, url, "run") == 1
    assert prompts_with_pairs(tmp_path / "run") == 2
    with served(agreeable) as (url, seen):
        assert run(tmp_path, url, "again", "--reuse", str(tmp_path / "run")) == 0
        assert len(seen) == 2 + 2
    assert prompts_with_pairs(tmp_path / "again") == 3


def test_verdicts_without_log_probabilities_are_asked_again_when_they_are_forgotten(tmp_path: Path) -> None:
    with served(silent) as (url, _):
        assert run(tmp_path, url, "run") == 1
    assert prompts_with_pairs(tmp_path / "run") == 0
    with served(agreeable) as (url, seen):
        assert run(tmp_path, url, "again", "--reuse", str(tmp_path / "run"), "--forget", "failed") == 0
        assert len(seen) == 6
    assert prompts_with_pairs(tmp_path / "again") == 3
