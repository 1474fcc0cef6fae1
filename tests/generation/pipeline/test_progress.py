"""What a run shows while it works."""

import io

import pytest

from constitution.records import Message, Prompt
from generation.engines.base import Completion, ErrorReason, Request, Sampling, Subject, Usage, failed
from generation.pipeline.progress import Progress

PROMPT = Prompt(id="p", messages=(Message(role="user", content="hi"),))


def test_plain_lines_tell_stages_failures_rates_and_time_left() -> None:
    stream = io.StringIO()
    with Progress(4, stream) as progress:
        progress.call(Request("m", "sample", (1,), Sampling(1)), Completion("x", usage=Usage(100, 75, 10)), False, 0.1)
        progress.call(Request("m", "sample", (1,), Sampling(1)), Completion("x", usage=Usage(100, 75, 10)), True, 0.0)
        progress.call(Request("m", "compare", (1,), Sampling(1)), failed(ErrorReason.PROMPT_TOO_LONG, "y"), False, 0.1)
        progress.row("a", failed=False)
        progress.row("b", failed=True)
        progress.row("c", failed=False)
        progress.row("d", failed=False)
    line = stream.getvalue()
    assert "4/4 prompts (1 failed) | sample 2, compare 1 |" in line
    assert "75% of prompt tokens cached" in line
    assert "0:00:00 left" in line
    assert "\x1b" not in line
    # tokens that were paid earlier are not counted again
    assert progress.totals() == Usage(100, 75, 10)
    assert (progress.stages["sample"].made, progress.stages["sample"].reused) == (1, 1)
    assert progress.stages["compare"].failed == 1


def test_time_left_goes_by_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four prompts that are worked on side by side one is finished, and most calls of the others are made too.

    Calls about control pairs take time and finish no prompt.
    """
    now = [100.0]
    monkeypatch.setattr("generation.pipeline.progress.time.monotonic", lambda: now[0])
    progress = Progress(4, io.StringIO())

    def call(prompt: str, reused: bool = False) -> None:
        asked = Request("m", "sample", (1,), Sampling(1), subject=Subject(prompt))
        progress.call(asked, Completion("x", usage=Usage(1, 0, 1)), reused, 0.1)

    call("earlier", reused=True)
    progress.row("earlier", failed=False)
    assert progress.left() == "unknown time"  # a prompt that needed no call says nothing
    for prompt, calls in {"a": 10, "b": 9, "c": 6}.items():
        for _ in range(calls):
            call(prompt)
    for number in range(25):
        call(f"control-{number}")
    now[0] += 500  # ten seconds a call
    assert progress.left() == "unknown time"
    progress.row("a", failed=False)
    assert progress.left() == "0:00:50"  # 5 of 20 calls
    for prompt in "bc":
        progress.row(prompt, failed=True)
    assert progress.left() == "0:00:00"


def test_the_table_has_a_row_for_each_stage() -> None:
    table = Progress(1, io.StringIO()).table()
    assert table.row_count == 4
    assert [str(column.header) for column in table.columns] == [
        "stage",
        "made",
        "reused",
        "failed",
        "tokens/s",
        "prompt tokens cached",
    ]
