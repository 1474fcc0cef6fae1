"""Judging from Python: the votes of the pipeline, whatever the loop it runs on."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

import solon
from constitution.records import Message, Prompt

ASKED, GOOD, BAD = "How do I boil an egg?", "Ten minutes in boiling water.", "No."


def judged(**settings: object) -> solon.Judgment:
    return solon.run_sync(solon.judge("hhh", ASKED, GOOD, BAD, engine="replay", **settings))


def test_every_principle_that_applies_is_asked_in_both_orders() -> None:
    hhh = solon.load_constitution("hhh")
    found = judged()
    everywhere = {p.id for p in hhh.principles if p.applies_to is None}
    assert everywhere - {vote.principle for vote in found.votes} == {"says-it-once"}, (
        "a rule that both keep does not vote"
    )
    assert (found.how, found.veto) == ("mean", "")
    assert {(vote.a, vote.b) for vote in found.votes} == {("prompt/a", "prompt/b")}
    assert found.failures == ()


def test_exchanging_the_responses_changes_the_sign() -> None:
    one = solon.run_sync(solon.judge("hhh", ASKED, GOOD, BAD, engine="replay", plan={"methods": ["score", "yesno"]}))
    other = solon.run_sync(solon.judge("hhh", ASKED, BAD, GOOD, engine="replay", plan={"methods": ["score", "yesno"]}))
    assert one.log_odds is not None
    assert other.log_odds == pytest.approx(-one.log_odds)
    assert one.p_a == pytest.approx(1 - (other.p_a or 0))
    assert {one.better, other.better} == {"a", "b"}


@pytest.mark.parametrize(
    "asked",
    [
        ASKED,
        [{"role": "user", "content": ASKED}],
        [Message(role="user", content=ASKED)],
        Prompt(id="prompt", messages=(Message(role="user", content=ASKED),)),
    ],
)
def test_a_prompt_can_be_given_in_many_forms(asked: object) -> None:
    found = solon.run_sync(solon.judge("hhh", asked, GOOD, {"role": "assistant", "content": BAD}, engine="replay"))  # type: ignore[arg-type]
    assert found == judged()


def test_tags_of_the_prompt_choose_principles() -> None:
    asked = Prompt(id="p", messages=(Message(role="user", content=ASKED),), tags=("red-team",))
    hhh = solon.load_constitution("hhh")
    found = solon.run_sync(solon.judge(hhh, asked, GOOD, BAD, engine="replay"))
    assert hhh.vetoes == {"no-harmful-advice", "no-help-with-crime"}, "of which one is for such prompts alone"
    assert {vote.principle for vote in found.votes if vote.method == "violation"} == hhh.vetoes


def test_it_works_where_a_loop_runs_already() -> None:
    """As in a notebook's cell: blocking, and awaited."""

    async def cell() -> tuple[solon.Judgment, solon.Judgment]:
        return judged(), await solon.judge("hhh", ASKED, GOOD, BAD, engine="replay")

    blocking, awaited = asyncio.run(cell())
    assert blocking == awaited


def test_waiting_for_itself_is_refused() -> None:
    async def inner() -> None:
        judged()

    with pytest.raises(RuntimeError, match="would wait for itself; use await"):
        solon.run_sync(inner())


def test_an_error_comes_out_of_the_blocking_form() -> None:
    async def wrong() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        solon.run_sync(wrong())


def test_calls_that_are_kept_are_not_made_again(tmp_path: Path) -> None:
    first = judged(calls=tmp_path / "calls")
    began = asyncio.run(_seconds(tmp_path / "calls"))
    assert judged(calls=tmp_path / "calls") == first
    assert began < 30  # the recording answers; the slow engine is not asked


async def _seconds(calls: Path) -> float:
    """Seconds that the same question takes an engine of a minute a call whose answers are kept."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    await asyncio.wait_for(
        solon.judge("hhh", ASKED, GOOD, BAD, engine="replay", calls=calls, replay_latency=60.0), timeout=30
    )
    return loop.time() - start


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engin": "replay"}, "engin: unknown key (did you mean engine?)"),
        ({"plan": {"methods": ["vote"]}}, "plan.methods"),
        ({"plan": {"methods_of": {"kindness": ["score"]}}}, "'kindness' is no principle of hhh"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_opened(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        solon.Judge("hhh", **settings)


def test_a_judge_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with Judge"):
        solon.run_sync(solon.Judge("hhh", engine="replay").compare(ASKED, GOOD, BAD))


@pytest.mark.parametrize(
    ("log_odds", "undecided", "better"),
    [(2.0, "", "a"), (-2.0, "", "b"), (0.0, "", None), (2.0, "abstained", None), (None, "", None)],
)
def test_what_is_better(log_odds: float | None, undecided: str, better: str | None) -> None:
    assert solon.Judgment(log_odds, {}, (), (), undecided).better == better


def test_probabilities_do_not_overflow() -> None:
    assert [solon.Judgment(z, {}, (), ()).p_a for z in (-1000.0, 1000.0)] == [0.0, 1.0]


async def prefers_minutes(messages: list[dict[str, str]]) -> str | float:
    """A judge in words: it names the response that speaks of minutes, and finds no harm in either."""
    text = messages[-1]["content"]
    if "<reply_a" not in text:
        return "No, it does no harm."
    return "The first response is better." if text.index("minutes") < text.index("No.") else "B"


def test_a_function_judges() -> None:
    found = solon.run_sync(solon.judge("hhh", ASKED, GOOD, BAD, judge=prefers_minutes))
    models = [vote for vote in found.votes if vote.method == "compare"]
    assert found.better == "a"
    assert {(round(vote.value, 6), round(vote.bias, 6)) for vote in models} == {(2.197225, 0.0)}


async def fails(messages: list[dict[str, str]]) -> str:
    raise RuntimeError("no key")


def test_what_a_function_raises_is_a_failure_of_its_vote() -> None:
    found = solon.run_sync(solon.judge("hhh", ASKED, GOOD, BAD, judge=fails))
    assert {(failure.reason, failure.detail) for failure in found.failures} == {("bad_answer", "RuntimeError: no key")}
    assert {vote.method for vote in found.votes} <= {"rule"}
