"""Ask voters about a pair. Every judging method comes down to log-odds, or to a Failure that says why there are none."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Awaitable, Callable, Mapping, Sequence

from constitution.errors import UserError
from constitution.principles import Principle
from constitution.records import Failure, Message, Method, Prompt, Response, Vote
from critics import compare, contrast, score
from critics.labels import clamped
from critics.ranking.aggregate import effective_vote, rule_vote
from critics.ranking.weights import Stopping
from critics.transcript import message_text
from generation.config import Plan
from generation.engines.base import Completion, Sampling
from generation.engines.reward import REWARD
from generation.models.chat_model import ONE_TOKEN, ChatModel
from generation.pipeline.panel import Panel, Voter

Odds = float | str
"""Log-odds, or `reason: detail` why there are none."""


async def votes_on(
    panel: Panel, voters: Sequence[Voter], prompt: Prompt, a: Response, b: Response, plan: Plan
) -> list[Vote | Failure]:
    """The votes on one pair: of all voters at once, or one after the other until the rest cannot change the label."""
    stopping = panel.weights.stopping if panel.weights and plan.early_stop_error else None
    if stopping is None:
        return list(await gather(*(cast_vote(voter, prompt, a, b, plan) for voter in voters)))
    return await _in_turn(stopping, voters, prompt, a, b, plan)


async def _in_turn(
    stopping: Stopping, voters: Sequence[Voter], prompt: Prompt, a: Response, b: Response, plan: Plan
) -> list[Vote | Failure]:
    """Sequential judging. Principles with a veto are asked in any case: they may overrule what is settled."""
    waiting = {voter.name: voter for voter in voters}
    records: list[Vote | Failure] = []
    values: list[float] = []
    for name in stopping.order:
        voter = waiting.pop(name, None)
        record = await cast_vote(voter, prompt, a, b, plan) if voter else None
        records += [record] if record else []
        values.append((effective_vote(record, plan.position_inconsistent) or 0.0) if isinstance(record, Vote) else 0.0)
        if stopping.settled(values, plan.early_stop_error, plan.margin):
            break
    vetoes = [voter for voter in waiting.values() if voter.principle.veto]
    return records + list(await gather(*(cast_vote(voter, prompt, a, b, plan) for voter in vetoes)))


async def cast_vote(voter: Voter, prompt: Prompt, a: Response, b: Response, plan: Plan) -> Vote | Failure:
    """One voter's judgement of one pair: in both orders, or of each reply by itself."""
    subject = f"{a.id} vs {b.id} by {voter.name}"
    if voter.judge is None:
        try:
            return rule_vote(prompt, a, b, voter.principle)
        except UserError as error:
            return Failure(prompt.id, "compare", "rule_error", str(error), subject)
    model = voter.judge.model
    if voter.method in _OF_PAIRS:
        ask = _OF_PAIRS[voter.method]
        answers = await gather(*(ask(model, prompt, x, y, voter.principle, plan) for x, y in ((a, b), (b, a))))
    else:
        value = _OF_REPLIES[voter.method]
        answers = await gather(*(value(model, prompt, reply, voter.principle, plan) for reply in (a, b)))
    numbers: list[float] = []
    for answer in answers:
        if isinstance(answer, str):
            reason, _, detail = answer.partition(": ")
            return Failure(prompt.id, "compare", reason, detail, subject)
        numbers.append(answer)
    ab, ba = numbers if voter.method in _OF_PAIRS else (numbers[0] - numbers[1], numbers[1] - numbers[0])
    return Vote(prompt.id, a.id, b.id, voter.principle.id, ab, ba, voter.method, voter.judge.name)


async def graded(voter: Voter, prompt: Prompt, reply: Response, plan: Plan, ended: bool = True) -> float | Failure:
    """One voter's log-odds that a reply by itself is good: a model's, asked in a way that looks at one reply.

    ended: False for a reply that was cut at the limit, which a reward model is told.
    """
    assert voter.judge is not None
    model = voter.judge.model
    if voter.method == "reward":
        answer = await _reward(model, prompt, reply, voter.principle, plan, ended)
    else:
        answer = await _OF_REPLIES[voter.method](model, prompt, reply, voter.principle, plan)
    if isinstance(answer, str):
        reason, _, detail = answer.partition(": ")
        return Failure(prompt.id, "compare", reason, detail, f"{reply.id} by {voter.name}")
    return answer


async def _compare(
    model: ChatModel, prompt: Prompt, first: Response, second: Response, principle: Principle, plan: Plan
) -> Odds:
    messages = compare.render(prompt, first, second, principle, plan.defences.nonce)
    return await _labelled(model, messages, compare.LABELS, compare.log_odds)


async def _reasoned(
    model: ChatModel, prompt: Prompt, first: Response, second: Response, principle: Principle, plan: Plan
) -> Odds:
    messages = compare.render_reasoning(prompt, first, second, principle, plan.defences.nonce)
    reason = plan.reason
    sampling = Sampling(reason.max_tokens, reason.temperature, reason.top_p, plan.seed if reason.temperature else None)
    thoughts = await model.ask(messages, stage="compare", sampling=sampling)
    if thoughts.error:
        return str(thoughts.error)
    if not thoughts.text.strip():
        return "empty: no reasoning"
    conclusion = compare.render_conclusion(messages, thoughts.text.strip())
    z = await _labelled(model, conclusion, compare.LABELS, compare.log_odds)
    return z if isinstance(z, str) else clamped(z, *plan.clamp)


async def _contrast(model: ChatModel, prompt: Prompt, reply: Response, principle: Principle, _: Plan) -> Odds:
    completions = await gather(
        *(
            model.likelihood(messages, message_text(reply.message), prompt.tools)
            for messages in contrast.conditions(prompt, principle)
        )
    )
    values: list[float] = []
    for completion in completions:
        value = str(completion.error) if completion.error else contrast.log_likelihood(completion.scores)
        if isinstance(value, str):
            return value
        values.append(value)
    return values[0] - values[1]


async def _score(model: ChatModel, prompt: Prompt, reply: Response, principle: Principle, plan: Plan) -> Odds:
    messages = score.render_grade(prompt, reply, principle, plan.defences.nonce)
    return await _labelled(model, messages, score.GRADES, score.grade_log_odds)


async def _yesno(model: ChatModel, prompt: Prompt, reply: Response, principle: Principle, plan: Plan) -> Odds:
    messages = score.render_yes_no(prompt, reply, principle, plan.defences.nonce)
    return await _labelled(model, messages, score.YES_NO, lambda logprobs: score.good(logprobs, principle))


async def _reward(
    model: ChatModel, prompt: Prompt, reply: Response, _: Principle, __: Plan, ended: bool = True
) -> Odds:
    completion = await model.reward(prompt.messages, message_text(reply.message), prompt.tools, ended)
    if completion.error:
        return str(completion.error)
    value = completion.logprobs.get(REWARD, float("nan"))
    return value if abs(value) < float("inf") else f"reward_nan: {completion.logprobs!r}"


async def _labelled(
    model: ChatModel,
    messages: tuple[Message, ...],
    labels: tuple[str, ...],
    read: Callable[[Mapping[str, float]], float | str],
) -> Odds:
    completion: Completion = await model.ask(messages, stage="compare", sampling=ONE_TOKEN, labels=labels)
    if completion.error:
        return str(completion.error)
    value = read(completion.logprobs)
    return f"{value}: {completion.logprobs!r}" if isinstance(value, str) else value


_OF_PAIRS: Mapping[Method, Callable[[ChatModel, Prompt, Response, Response, Principle, Plan], Awaitable[Odds]]] = {
    "compare": _compare,
    "reasoned": _reasoned,
}
_OF_REPLIES: Mapping[Method, Callable[[ChatModel, Prompt, Response, Principle, Plan], Awaitable[Odds]]] = {
    "contrast": _contrast,
    "score": _score,
    "yesno": _yesno,
    "reward": _reward,
}
