"""Debate: a critic argues for each response, with recourse its author answers, and the judge reads all of it in both orders."""

import asyncio
from collections import Counter

import pytest

from constitution.principles import Principle
from constitution.records import Failure, Message, Prompt, Response, Vote
from generation.config import Decoding, Plan, RunConfig
from generation.engines.base import Completion, ErrorReason, Request, failed
from generation.engines.capabilities import Capabilities
from generation.engines.replay import Replay
from generation.models.chat_model import ChatModel
from generation.models.policies import Policy
from generation.pipeline.panel import Voter, panel_of
from generation.pipeline.voting import cast_vote

KIND = Principle(id="kind", objective="good", text="Be kind.")
PROMPT = Prompt(id="p", messages=(Message(role="user", content="Is 3 + 4 seven?"),), reference="the reference")
RIGHT, WRONG = (
    Response(name, "p", Message(role="assistant", content=text), "sampled", text, policy=policy)
    for name, text, policy in (("a", "It is seven.", "author"), ("b", "It is eight.", "other"))
)


def argued(request: Request) -> Completion:
    """A critic that names the response it argues for."""
    content = request.messages[-1].content
    own = content.rindex("It is seven.") > content.rindex("It is eight.")
    return Completion(f"For {'seven' if own else 'eight'}.", finish="length")


def answered(request: Request) -> Completion:
    """An author that admits it where the other response is right."""
    return Completion("I was wrong." if "For seven." in request.messages[-1].content else "I am right.")


def judged(request: Request) -> Completion:
    """A judge that believes the argument for seven, or where authors answer, who says that they are right."""
    content = request.messages[-1].content
    heard, second = ("I am right.", "<answer_by_b") if "<answer_by_a" in content else ("For seven.", "<argument_for_b")
    first = content.index(heard) < content.index(second)
    return Completion("", logprobs={"A": -0.1, "B": -3.0} if first else {"A": -3.0, "B": -0.1})


def model(name: str, script: object, asked: Counter[str], **known: object) -> ChatModel:
    def answer(request: Request) -> Completion:
        asked[name] += 1
        return script(request)  # type: ignore[operator, no-any-return]

    return ChatModel(name, name, Replay(answer), None, 0, known=Capabilities(**known))  # type: ignore[arg-type]


def vote_of(plan: Plan, critic: object = argued, **known: object) -> tuple[Vote | Failure, Counter[str]]:
    """What a weak judge says after a debate of the strong one, and how often each model was asked."""
    asked: Counter[str] = Counter()
    members = [{"name": "weak", "model": "weak", "methods": ["debate"]}]
    config = RunConfig.model_validate({"policy": "p", "engine": "replay", "judge": "j", "panel": members, "plan": plan})
    weak = (lambda request: Completion("A")) if known else judged
    models = {"judge": model("critic", critic, asked), "weak": model("weak", weak, asked, **known)}
    panel = panel_of(config, models, None, policies=[Policy(model("author", answered, asked))])
    voter = Voter(panel.judges[1], "debate", KIND)
    if not known:
        assert voter.pair_calls(plan) == (6 if plan.recourse else 4)
        expected = {"critic": 2.0, "weak": 2.0} | ({"author": 2.0} if plan.recourse else {})
        assert {name: calls for name, calls in voter.models(plan, {"author": 1.0}).items() if calls} == expected
    return asyncio.run(cast_vote(voter, PROMPT, RIGHT, WRONG, plan)), asked


def test_each_side_is_argued_once_and_read_in_both_orders() -> None:
    vote, asked = vote_of(Plan(methods=("debate",)))
    assert isinstance(vote, Vote)
    assert (vote.value, vote.bias, vote.voter) == (pytest.approx(2.9), pytest.approx(0), "weak/debate/kind")
    assert asked == {"critic": 2, "weak": 2}


def test_with_recourse_the_policy_answers_for_its_own_response_and_the_critic_for_others() -> None:
    plan = Plan(methods=("debate",), recourse=True)
    vote, asked = vote_of(plan, lambda request: (argued if len(request.messages) == 1 else answered)(request))
    assert isinstance(vote, Vote)
    assert vote.value == pytest.approx(2.9)
    assert asked == {"critic": 3, "author": 1, "weak": 2}
    assert Plan(methods=("debate",), recourse=True).judging() != Plan(methods=("debate",)).judging()


def test_a_judge_that_writes_reads_the_arguments_too() -> None:
    vote, asked = vote_of(Plan(methods=("debate",), verdict_samples=3), top_logprobs=0)
    assert isinstance(vote, Vote)
    assert (vote.value, asked) == (0, {"critic": 2, "weak": 6})


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        (Completion(" "), "empty"),
        (Completion("<think>Hm.</think>"), "thoughts_only"),
        (failed(ErrorReason.PROMPT_TOO_LONG, "9 > 8"), "prompt_too_long"),
    ],
)
def test_an_argument_that_is_missing_is_no_vote(completion: Completion, reason: str) -> None:
    for recourse in (False, True):
        vote, asked = vote_of(Plan(methods=("debate",), recourse=recourse), lambda _: completion)
        assert isinstance(vote, Failure)
        assert (vote.reason, asked["weak"]) == (reason, 0)
    replies = iter([Completion("x"), Completion("y"), completion])
    vote, _ = vote_of(Plan(methods=("debate",), recourse=True), lambda _: next(replies))
    assert isinstance(vote, Failure)


def test_critics_see_a_reference_answer_where_the_judge_does_and_authors_never() -> None:
    seen: list[tuple[int, bool]] = []

    def critic(request: Request) -> Completion:
        seen.append((len(request.messages), PROMPT.reference in request.messages[-1].content))
        return argued(request) if len(request.messages) == 1 else answered(request)

    vote_of(Plan(methods=("debate",), recourse=True, show_reference="judge"), critic)
    assert seen == [(1, True), (1, True), (3, False)]


def test_settings_of_a_debate_without_one_are_refused() -> None:
    for given in ({"recourse": True}, {"reason": {"max_tokens": 9}}):
        with pytest.raises(ValueError, match="debate"):
            RunConfig.model_validate({"policy": "p", "judge": "j", "plan": given})
    plan = Plan(methods=("debate",), reason=Decoding(max_tokens=9), recourse=True)
    assert RunConfig(policy="p", judge="j", plan=plan).plan.recourse
