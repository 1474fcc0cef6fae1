"""A response that violates a principle with a veto loses; the question is asked first, of each response by itself."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from constitution.checks.check import Check
from constitution.principles import Constitution, Principle
from constitution.records import Failure, Message, Prompt, Response, Vote
from generation.config import Plan
from generation.engines.base import Completion, Request
from generation.engines.capabilities import Capabilities
from generation.engines.replay import Replay
from generation.models.chat_model import ChatModel
from generation.pipeline.panel import Judge, Panel, Voter
from generation.pipeline.voting import cast_vote, votes_on

KIND = Principle(id="kind", objective="good", text="Be kind.")
TRUE = Principle(id="true", objective="good", text="Be true.")
BRIEF = Principle(id="brief", objective="good", text="Be brief.", check=Check(max_words=2))
NEVER = Principle(id="never", objective="good", text="Never harm.", veto=True)
LAWS = Constitution(name="laws", version=1, objectives={"good": 1.0}, principles=(KIND, TRUE, BRIEF, NEVER))
PROMPT = Prompt(id="p", messages=(Message(role="user", content="hi"),))
WRITES = Capabilities(top_logprobs=0)
Script = Callable[[Request], Completion]


def reply(name: str, text: str) -> Response:
    return Response(name, "p", Message(role="assistant", content=text), "sampled", text)


A, B = reply("a", "good one"), reply("b", "a bad one")


def judge(script: Script) -> tuple[Judge, list[Request]]:
    """A judge that answers by the script, and what it was asked."""
    requests: list[Request] = []

    def answer(request: Request) -> Completion:
        requests.append(request)
        return script(request)

    return Judge(ChatModel("judge", "digest", Replay(answer), None, 0)), requests


def about(request: Request) -> str:
    """The response a request is about, where it is about one."""
    return "good" if "good one" in request.messages[-1].content else "bad"


def verdict(request: Request) -> Completion:
    """Prefers the good one, whatever the principle."""
    text = request.messages[0].content
    z = 1.0 if text.index("good one") < text.index("bad one") else -1.0
    return Completion("", logprobs={"A": -2 + z, "B": -2 - z})


def violating(*bad: str, answer: str = "") -> Script:
    """A judge that finds these replies in violation, and prefers the good one."""

    def script(request: Request) -> Completion:
        if "violate" not in request.messages[-1].content:
            return verdict(request)
        sure = 0.9 if about(request) in bad else 0.1
        return Completion(answer, logprobs={} if answer else {"Yes": math.log(sure), "No": math.log(1 - sure)})

    return script


def with_vetoes(script: Script, plan: Plan | None = None) -> tuple[list[Vote | Failure], list[Request]]:
    asked, requests = judge(script)
    panel = Panel((asked,))
    principles = LAWS.principles
    voters, vetoes = panel.voters(principles), panel.vetoes(principles)
    return asyncio.run(votes_on(panel, voters, PROMPT, A, B, plan or Plan(), vetoes)), requests


@pytest.mark.parametrize(
    ("bad", "calls", "logit"),
    [
        pytest.param(("good",), 2, math.log(0.1 / 0.9), id="the-better-one-violates-and-loses"),
        pytest.param(("bad",), 2, math.log(0.9 / 0.1), id="the-worse-one-violates"),
        pytest.param(("good", "bad"), 8, None, id="both-violate-so-the-rest-are-asked"),
        pytest.param((), 8, None, id="neither-does"),
    ],
)
def test_vetoes_are_asked_first_and_save_the_other_calls(bad: tuple[str, ...], calls: int, logit: float | None) -> None:
    records, requests = with_vetoes(violating(*bad))
    assert len(requests) == calls
    found = Panel(()).score(records, LAWS, Plan())
    assert found
    assert found.veto == ("never" if logit else "")
    assert found.logit == pytest.approx(logit) if logit else found.logit > 0
    first = records[0]
    assert isinstance(first, Vote)
    assert (first.voter, first.bias, first.position_inconsistent) == ("judge/violation/never", 0.0, False)
    assert (first.logit_ab < 0, first.logit_ba < 0) == ("good" in bad, "bad" in bad)


def test_a_violation_that_nobody_answers_for_is_no_label() -> None:
    records, requests = with_vetoes(violating("good", answer="Perhaps."))
    assert len(requests) == 2, "nobody else is asked"
    assert [type(record) for record in records] == [Failure]
    assert Panel(()).score(records, LAWS, Plan()) is None


def test_a_rule_with_a_veto_needs_no_call() -> None:
    short = BRIEF.model_copy(update={"veto": True})
    laws = Constitution(name="laws", version=1, objectives={"good": 1.0}, principles=(KIND, short))
    asked, requests = judge(verdict)
    panel = Panel((asked,))
    records = asyncio.run(
        votes_on(panel, panel.voters(laws.principles), PROMPT, B, A, Plan(), panel.vetoes(laws.principles))
    )
    found = panel.score(records, laws, Plan())
    assert found
    assert (found.veto, found.source, found.logit < 0, requests) == ("brief", "rule", True, [])


def test_a_judge_that_writes_is_asked_about_violations_in_words() -> None:
    asked, requests = judge(lambda request: Completion("Yes." if about(request) == "bad" else "No."))
    voter = Voter(replace(asked, model=replace(asked.model, known=WRITES)), "violation", NEVER)
    record = asyncio.run(cast_vote(voter, PROMPT, A, B, Plan(verdict_samples=4)))
    assert isinstance(record, Vote)
    assert len(requests) == 8
    assert record.logit_ab == -record.logit_ba > 0, "the share of answers, smoothed"
