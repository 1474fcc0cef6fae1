"""`solon calls show`: calls found by key, response, pair and prompt, and shown without obeying them."""

import re
from pathlib import Path

import pytest

import generate_feedback
from generation.calls.reading import StoredCalls
from generation.output.run import open_run
from solon.__main__ import main

LAWS = """
name: laws
version: 1
objectives: {good: 1.0}
principles:
  - {id: kind, objective: good, text: Be kind.}
  - {id: brief, objective: good, text: Be brief.}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calls")
    (folder / "c.yaml").write_text(LAWS)
    (folder / "p.jsonl").write_text(
        '{"id": "my prompt", "prompt": "Hi \\u001b[31mred"}\n{"id": "other", "prompt": "Bye"}\n'
    )
    files = [
        "--constitution",
        str(folder / "c.yaml"),
        "--prompts",
        str(folder / "p.jsonl"),
        "--out",
        str(folder / "run"),
    ]
    assert generate_feedback.main([*files, "--engine", "replay", "--set", "plan.controls=2"]) == 0
    return folder / "run"


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(["calls", "show", *arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_a_response_with_what_was_asked_and_said_of_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, str(run), "my prompt/s0")
    response = next(one for one in open_run(run).responses() if one.id == "my prompt/s0")
    sampled, criticised = out.split("\n\ncall ")
    assert re.match(r"call [0-9a-f]{32}: sample of my prompt/s0\nmodel [0-9a-f]{32}; ", sampled)
    assert (
        "\nuser:\n| Hi �[31mred\nanswered (stop):\n| " + response.raw + "\nresponse my prompt/s0 (sampled)" in sampled
    )
    assert re.search(r"critique of my prompt/s0 by (kind|brief)\n", criticised)
    assert "| Here are a conversation and a reply to its last message.\n" in criticised
    assert "\ncritique of my prompt/s0: " in criticised
    assert "\x1b" not in out


def test_a_pair_with_every_vote_in_both_orders(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    votes = [vote for vote in open_run(run).votes() if (vote.a, vote.b) == ("my prompt/s0", "my prompt/s1")]
    out = shown(capsys, str(run), "--pair", "my prompt/s1 my prompt/s0")
    assert out.count("call ") == 2 * len(votes) == 4
    for vote in votes:
        line = f"vote on my prompt/s0 vs my prompt/s1: {vote.value:+.3f} for the first (logit_ab {vote.logit_ab:+.3f}"
        assert out.count(line) == 2
    one = shown(capsys, str(run), "--pair", f"my prompt/s0 vs my prompt/s1 by {votes[0].voter}")
    assert one.count(": compare of my prompt/s") == 2
    assert f"compare of my prompt/s1, my prompt/s0 by {votes[0].voter}\n" in one
    assert "asked: max_tokens 1, temperature 0.0, top_p 1.0, labels ['A', 'B']\n" in one


def test_a_prompt_is_a_line_for_each_call_and_a_key_shows_one(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, str(run), "--prompt", "other").splitlines()
    calls = StoredCalls([run / "calls.sqlite"])
    keys = [key.hex() for key, _ in calls.about("other")]
    calls.close()
    assert [line.split()[0] for line in lines] == [key[:12] for key in keys]
    assert {line.split()[1] for line in lines} >= {"sample", "critique", "compare"}
    for key in (keys[0], keys[0][:12].upper()):
        assert shown(capsys, str(run), key).startswith(f"call {keys[0]}: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["0000ffff"], "calls.sqlite: has no such call; solon calls show"),
        (["nonsense!"], "ID: got 'nonsense!'; allowed: a call's key, of which at least 4 digits, or a response's id"),
        (["--pair", "a b"], "--pair: got 'a b'; allowed: two response ids, as in 'PROMPT/s0 PROMPT/s1'"),
        (["--prompt", "nobody"], "has no such call"),
        (["my prompt/s7"], "has no such call"),
    ],
)
def test_what_is_not_there_is_told(
    arguments: list[str], message: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in shown(capsys, str(run), *arguments, code=2)


def test_a_folder_without_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "calls.sqlite: no such file" in shown(capsys, str(tmp_path), "--prompt", "x", code=2)


def test_an_unfinished_run_says_so(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "calls.sqlite").write_bytes((run / "calls.sqlite").read_bytes())
    assert "the run is not finished: nothing was made of it yet" in shown(capsys, str(tmp_path), "other/s0")
