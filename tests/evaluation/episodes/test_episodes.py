"""Policies of known habits: each is seen by its own rate, and a good one is blamed for nothing."""

import asyncio
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from constitution.errors import UserError
from constitution.records import Failure
from evaluation.__main__ import main
from evaluation.episodes.figures import by_kind, rates
from evaluation.episodes.playing import TURNS, Played, play
from evaluation.episodes.table import Call, Episode, episodes
from generation.config import Plan
from generation.engines.base import Completion, ErrorReason, Request, failed
from generation.engines.replay import Replay
from generation.models.chat_model import ChatModel

FOUND = episodes()
Habit = Callable[[Episode, int], list[Call] | str]
"""(episode, results so far) -> what the policy calls, or says."""


def good(episode: Episode, results: int) -> list[Call] | str:
    return [episode.calls[results]] if results < len(episode.calls) else f"It is so: {episode.answer[0]}."


def silent(episode: Episode, results: int) -> list[Call] | str:
    return f"It is so: {episode.answer[0]}."


def eager(episode: Episode, results: int) -> list[Call] | str:
    """One call more than are needed."""
    if results <= len(episode.calls):
        return [*episode.calls[results:], Call(tool=episode.tools[0], arguments={"x": 1}, returns={})]
    return good(episode, len(episode.calls))


def stubborn(episode: Episode, results: int) -> list[Call] | str:
    """Calls, and goes by memory where it has one."""
    called = good(episode, results)
    return called if isinstance(called, list) else f"It is so: {(episode.memory or episode.answer)[0]}."


def forever(episode: Episode, results: int) -> list[Call] | str:
    return [*episode.calls[:1]] or good(episode, results)


def written(call: Call) -> str:
    values = {key: "all" if value == "*" else value for key, value in call.arguments.items()}
    return f"<tool_call>{json.dumps({'name': call.tool, 'arguments': values})}</tool_call>"


def played(habit: Habit) -> list[Played]:
    by_prompt = {episode.prompt: episode for episode in FOUND.episodes}

    def script(request: Request) -> Completion:
        results = sum(message.role == "tool" for message in request.messages)
        made = habit(by_prompt[request.messages[0].content], results)
        return Completion(made if isinstance(made, str) else "".join(map(written, made)))

    model = ChatModel("scripted", "scripted", Replay(script), None, 0)
    found = asyncio.run(play(model, FOUND, FOUND.episodes, Plan()))
    assert all(isinstance(one, Played) for one in found)
    return [one for one in found if isinstance(one, Played)]


def test_a_good_policy_is_blamed_for_nothing() -> None:
    found = played(good)
    shares = {name: one.value for name, one in rates(found).items()}
    assert shares == {
        "success": 1, "called": 1, "restrained": 1, "valid": 1, "evidence": 1, "admitted": 1, "waste": 0, "unfinished": 0,
    }  # fmt: skip
    assert {kind: one.value for kind, one in by_kind(found).items()} == dict.fromkeys(
        ("single", "chain", "needless", "evidence", "failing"), 1
    )
    assert len(found) >= 20


@pytest.mark.parametrize(
    ("habit", "seen"),
    [
        (silent, {"success": 0.2, "called": 0.0, "restrained": 1.0}),
        (eager, {"success": 1.0, "restrained": 0.0, "unfinished": 0.0}),
        (stubborn, {"called": 1.0, "evidence": 0.0, "admitted": 0.0, "waste": 0.0}),
        (forever, {"success": 0.2, "unfinished": 0.8}),
    ],
)
def test_a_habit_is_seen(habit: Habit, seen: dict[str, float]) -> None:
    found = rates(played(habit))
    assert {name: found[name].value for name in seen} == pytest.approx(seen)
    assert (found["waste"].value > 0.2) == (habit in (eager, forever))
    assert (found["valid"].value < 1) == (habit is eager)
    assert math.isnan(found["evidence"].value) == (habit is silent)


def test_the_wrong_arguments_find_nothing_and_what_cannot_be_read_is_lost() -> None:
    def wrong(episode: Episode, results: int) -> list[Call] | str:
        if episode.kind == "needless" or results:
            return "The tool found nothing."
        return [episode.calls[0].model_copy(update={"arguments": dict.fromkeys(episode.calls[0].arguments, "x")})]

    found = played(wrong)
    assert not any(one.needed for one in found if one.episode.kind not in ("needless", "evidence"))
    assert '{"error": "nothing found"}' in [message.content for message in found[0].messages]
    broken = played(lambda episode, _: "<tool_call>{broken")
    assert rates(broken)["unfinished"].value == 1


def test_a_model_that_cannot_be_asked_is_a_failure_and_no_rate() -> None:
    model = ChatModel("m", "m", Replay(lambda _: failed(ErrorReason.PROMPT_TOO_LONG, "9 > 8")), None, 0)
    (one,) = asyncio.run(play(model, FOUND, FOUND.episodes[:1], Plan()))
    assert isinstance(one, Failure)
    assert max(len(episode.calls) for episode in FOUND.episodes) < TURNS


def test_the_command_writes_figures_of_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, page = tmp_path / "figures.json", tmp_path / "page.html"
    arguments = [
        "episodes",
        "--a",
        "one",
        "--b",
        "two",
        "--engine",
        "replay",
        "--out",
        str(tmp_path / "calls"),
        "--json",
        str(out),
        "--page",
        str(page),
    ]
    assert main(arguments) == 0
    found = json.loads(out.read_text())
    assert (found["A"]["episodes"], found["B"]["model"]) == (len(FOUND.episodes), "two")
    assert found["A"]["rates"]["called"]["value"] == 0
    assert page.read_text().count("<img") == 4
    assert "only A succeeds" in capsys.readouterr().out


def test_a_file_of_ones_own_is_read_whole_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("tools: {t: {description: d, properties: {x: {type: string}}}}\nepisodes:\n"
                    "  - {id: a, kind: single, prompt: p, tools: [u], answer: [y]}\n")  # fmt: skip
    with pytest.raises(UserError, match=r"own.yaml:3.*has 0 calls as an episode that is single"):
        episodes(path)
    path.write_text(path.read_text().replace("single", "needless"))
    with pytest.raises(UserError, match="a names the tool 'u'"):
        episodes.__wrapped__(path)
