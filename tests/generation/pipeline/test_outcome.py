"""Exit codes and words of runs that are incomplete, empty or mostly failed."""

from pathlib import Path

import pytest

import generate_feedback
from constitution.loading import load
from constitution.records import Dropped, Failure, Prompt
from generation.output.dataset import DatasetWriter
from generation.output.manifest import read as read_manifest
from generation.output.records import Feedback
from generation.pipeline.outcome import CLIP, commonest, incomplete

LAWS = "{name: laws, version: 1, objectives: {good: 1.0}, principles: [{id: kind, objective: good, text: Be kind.}]}"


def run(folder: Path, prompts: list[str], *more: str) -> int:
    (folder / "c.yaml").write_text(LAWS)
    (folder / "p.jsonl").write_text("".join(f"{line}\n" for line in prompts))
    files = [
        "--constitution",
        str(folder / "c.yaml"),
        "--prompts",
        str(folder / "p.jsonl"),
        "--out",
        str(folder / "run"),
    ]
    return generate_feedback.main([*files, "--engine", "replay", "--set", "plan.controls=0", *more])


def test_nothing_came_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "run: no pair and no target came out of 2 prompts, most often (2) in pairs because fewer than two different responses were left"
    for _ in range(2):  # the second time the run is finished, and no better for it
        assert (
            run(tmp_path, ['{"prompt": "a"}', '{"prompt": "b"}'], "--set", "plan.samples=1", "--set", "plan.rounds=0")
            == 1
        )
        assert words in capsys.readouterr().err
    assert read_manifest(tmp_path / "run") is not None


@pytest.mark.parametrize(("bad", "allowed", "code"), [(1, "0.2", 0), (2, "0.2", 1), (2, "0.4", 0), (1, "0", 1)])
def test_more_prompts_failed_than_max_failed(
    bad: int, allowed: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f'{{"prompt": "question {i}"}}' for i in range(5 - bad)] + ['{"prompt": ""}'] * bad
    assert run(tmp_path, rows, "--set", f"max_failed={allowed}") == code
    err = capsys.readouterr().err
    words = f"{bad} of 5 prompts failed ({bad * 20}%; allowed by max_failed: {float(allowed):.0%}), most often ("
    assert (words in err) == bool(code)
    assert ("--forget failed to ask again; every failure is in" in err) == bool(code)


def test_an_incomplete_run_says_what_the_server_said_most_often() -> None:
    lost = [
        Failure(f"p{i}", "engine", "unavailable", "status 503: " + "busy" * 100 if i else "refused") for i in range(3)
    ]
    words = str(incomplete(Path("r"), lost, 7))
    said = ("status 503: " + "busy" * 100)[: CLIP - 3] + "..."
    assert words.startswith(
        f"r: incomplete, a model was unavailable for 3 of 7 prompts, most often (2) because: {said}; "
    )


def test_why_prompts_failed_is_not_why_something_was_left_out(tmp_path: Path) -> None:
    """A record of what failed counts before more records of what was dropped, and a text of several lines stands on one."""
    dropped = [Dropped("p", "revise", "truncated", f"text {i}") for i in range(9)]
    failed = [
        Failure("p", "sample", "truncated", "cut at\n8 tokens"),
        Failure("q", "sample", "truncated", "cut at\n8 tokens"),
    ]
    empty = Feedback(Prompt(id="p", messages=()), failures=tuple(failed), dropped=tuple(dropped))
    (tmp_path / "c.yaml").write_text(LAWS)
    writer = DatasetWriter(tmp_path, load(tmp_path / "c.yaml"), "judge", 0.1, False)
    writer.write(empty)
    writer.close()
    assert commonest(tmp_path) == (
        ", most often (2) in sample because max_tokens cut it before its end: cut at 8 tokens (raise max_tokens of that stage)"
    )
