"""Ask voters about a pair. Every judging method comes down to log-odds, or to a Failure that says why there are none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby

from constitution.principles import Constitution, Principle
from constitution.records import VIOLATION, Failure, Message, Prompt, Response, Vote, characters
from critics import compare, contrast
from critics.answers import Form
from critics.compare import Argument
from critics.labels import Reading, clamped, nearest, within
from critics.methods import METHODS, JudgingMethod
from critics.ranking.aggregate import effective_vote
from critics.ranking.pooling import Counted
from critics.ranking.vetoes import veto
from critics.ranking.weights import Stopping
from critics.templating import use as use_templates
from critics.text.thoughts import split
from generation.config import Plan
from generation.engines.base import Sampling, Subject
from generation.engines.reward import REWARD
from generation.models.chat_model import ONE_TOKEN, ChatModel
from generation.output.records import Feedback
from generation.pipeline.panel import Judge, Panel, Voter
from generation.pipeline.rubric import Batch, cast_votes, units
from generation.pipeline.rules import vote_by_rule
from generation.pipeline.written import NoOdds, answers_of, odds, sampled
from generation.tasks import aside, together

Odds = Reading | NoOdds


async def votes_on(
    panel: Panel,
    voters: Sequence[Voter],
    prompt: Prompt,
    a: Response,
    b: Response,
    plan: Plan,
    vetoes: Sequence[Voter] = (),
) -> list[Vote | Failure]:
    """The votes on one pair: of all voters at once, or one after the other until the rest cannot change the label.

    vetoes: those who are asked first (`Panel.vetoes`). Where they decide, nobody else is asked; where one of them has no answer,
    nobody knows whether they would, and what is missing is all that is said of the pair.
    """
    first = await vetoes_on(vetoes, prompt, a, b, plan)
    settled = settled_by(first, vetoes)
    if settled is not None:
        return settled
    rest = besides(vetoes, voters)
    stopping = panel.weights.stopping if panel.weights and plan.early_stop_error else None
    if stopping is None:
        asked = await together(*(cast(unit, prompt, a, b, plan) for unit in units(rest, plan)))
        return first + [record for records in asked for record in records]
    return first + await _in_turn(stopping, rest, prompt, a, b, plan)


async def vetoes_on(
    vetoes: Sequence[Voter], prompt: Prompt, a: Response, b: Response, plan: Plan
) -> list[Vote | Failure]:
    """What those who may veto say of both responses."""
    asked = await together(*(cast(voter, prompt, a, b, plan) for voter in vetoes))
    return [record for records in asked for record in records]


def settled_by(first: Sequence[Vote | Failure], vetoes: Sequence[Voter]) -> list[Vote | Failure] | None:
    """All that is said of a pair, where those who may veto leave nothing to ask; None where the others are asked."""
    missing: list[Vote | Failure] = [record for record in first if isinstance(record, Failure)]
    votes = [record for record in first if isinstance(record, Vote)]
    if missing:
        return missing
    return [*first] if veto(votes, {voter.principle.id for voter in vetoes}) else None


def besides(vetoes: Sequence[Voter], voters: Sequence[Voter]) -> list[Voter]:
    """The voters that were not asked yet: a rule with a veto is among both."""
    names = {voter.name for voter in vetoes}
    return [voter for voter in voters if voter.name not in names]


async def _in_turn(
    stopping: Stopping, voters: Sequence[Voter], prompt: Prompt, a: Response, b: Response, plan: Plan
) -> list[Vote | Failure]:
    """Sequential judging."""
    waiting = {voter.name: voter for voter in voters}
    records: list[Vote | Failure] = []
    values: list[float] = []
    for name in stopping.order:
        voter = waiting.pop(name, None)
        record = await cast_vote(voter, prompt, a, b, plan) if voter else None
        records += [record] if record else []
        values.append((effective_vote(record, plan.position_inconsistent) or 0.0) if isinstance(record, Vote) else 0.0)
        if stopping.settled(values, plan.early_stop_error, plan.min_log_odds):
            break
    return records


def mean_votes(
    outcome: Feedback, panel: Panel, constitution: Constitution, plan: Plan
) -> Iterator[tuple[Counted, ...]]:
    """The votes of each pair that was judged and whose log-odds are their mean; of pairs that came to no row as well."""
    for _, votes in groupby(outcome.votes, key=lambda vote: (vote.a, vote.b)):
        combined = panel.score([*votes], constitution, plan)
        if combined and combined.counted:
            yield combined.counted


async def cast(unit: Voter | Batch, prompt: Prompt, a: Response, b: Response, plan: Plan) -> list[Vote | Failure]:
    """The judgements of one pair that are asked for together."""
    if isinstance(unit, Batch):
        return await cast_votes(unit, prompt, a, b, plan)
    record = await cast_vote(unit, prompt, a, b, plan)
    return [record] if record else []


async def cast_vote(voter: Voter, prompt: Prompt, a: Response, b: Response, plan: Plan) -> Vote | Failure | None:
    """One voter's judgement of one pair: in both orders, or of each response by itself. None of a rule that sees no difference."""
    subject = f"{a.id} vs {b.id} by {voter.name}"
    if voter.judge is None:
        return await vote_by_rule(voter.principle, prompt, a, b, subject)
    method = METHODS[voter.method]
    pairwise = method.pairwise
    shown = ((a, b), (b, a)) if pairwise else ((a,), (b,))
    said = await _debate(voter.judge, voter, prompt, (a, b), plan) if method.debates else ()
    if isinstance(said, NoOdds):
        return Failure(prompt.id, "compare", said.reason, said.detail, subject)
    orders = zip(shown, (said, said[::-1]), strict=True)
    first, second = await together(
        *(_odds(voter, prompt, responses, plan, arguments=arguments) for responses, arguments in orders)
    )
    for found in (first, second):
        if isinstance(found, NoOdds):
            return Failure(prompt.id, "compare", found.reason, found.detail, subject)
    assert isinstance(first, Reading)
    assert isinstance(second, Reading)
    if voter.method == VIOLATION:
        ab, ba = first.value, second.value
    else:
        ab, ba = nearest(first, second)
        if not pairwise:
            ab, ba = ab - ba, ba - ab
    censored = first.censored or second.censored
    return Vote(prompt.id, a.id, b.id, voter.principle.id, ab, ba, voter.method, voter.judge.name, censored)


async def pointwise_vote(
    voter: Voter, prompt: Prompt, response: Response, plan: Plan, ended: bool = True
) -> float | Failure:
    """One voter's log-odds that a response by itself is good. The voter is a model's, by a pointwise method.

    ended: False for a response that was cut at the limit, which a reward model is told.
    """
    found = await _odds(voter, prompt, (response,), plan, ended)
    if isinstance(found, NoOdds):
        return Failure(prompt.id, "compare", found.reason, found.detail, f"{response.id} by {voter.name}")
    return found.value


async def _debate(
    judge: Judge, voter: Voter, prompt: Prompt, pair: tuple[Response, Response], plan: Plan
) -> tuple[Argument, ...] | NoOdds:
    """What critics argue for each of the two, and with recourse what its author answers; or why one of it is missing."""
    use_templates(plan.templates)
    nonce, principle, seen = plan.defences.nonce, voter.principle, plan.as_shown(prompt, "judge")
    sides = (pair, pair[::-1])
    size = characters((prompt, *pair))
    asked = [await aside(partial(compare.render_argument, seen, *side, principle, nonce), size) for side in sides]
    argued = await together(*(_spoken(judge.arguing, one, prompt, voter, plan, pair) for one in asked))
    arguments = [one for one in argued if isinstance(one, str)]
    if len(arguments) < len(argued):
        return next(one for one in argued if isinstance(one, NoOdds))
    if not plan.recourse:
        return tuple(map(Argument, arguments))
    authors = [judge.authors.get(own.policy, judge.arguing) for own, _ in sides]
    asked = [
        await aside(partial(compare.render_answer, prompt, own, against, principle, nonce), size)
        for (own, _), against in zip(sides, arguments[::-1], strict=True)
    ]
    answered_by = zip(authors, asked, strict=True)
    said = await together(*(_spoken(author, one, prompt, voter, plan, pair) for author, one in answered_by))
    answers = [one for one in said if isinstance(one, str)]
    if len(answers) < len(said):
        return next(one for one in said if isinstance(one, NoOdds))
    return tuple(map(Argument, arguments, answers))


async def _spoken(
    model: ChatModel,
    messages: tuple[Message, ...],
    prompt: Prompt,
    voter: Voter,
    plan: Plan,
    pair: tuple[Response, Response],
) -> str | NoOdds:
    """What a model writes before a verdict, without its thoughts. One that the limit cut is read as far as it goes."""
    subject = Subject(prompt.id, tuple(response.id for response in pair), voter.name)
    completion = await model.ask(messages, stage="compare", sampling=_writing(plan), subject=subject)
    if completion.error:
        return NoOdds(*completion.error)
    answer, thought = await aside(partial(split, completion.text, model.capabilities.thinks), len(completion.text))
    return answer or NoOdds("thoughts_only" if thought else "empty", completion.text[-200:])


def _writing(plan: Plan) -> Sampling:
    """How reasoning and arguments are written."""
    reason = plan.reason
    return Sampling(reason.max_tokens, reason.temperature, reason.top_p, plan.seed if reason.temperature else None)


async def _odds(
    voter: Voter,
    prompt: Prompt,
    shown: tuple[Response, ...],
    plan: Plan,
    ended: bool = True,
    arguments: tuple[Argument, ...] = (),
) -> Odds:
    """Ask about the responses in the order shown, or about the one. arguments: of each, in that order, where there was a debate."""
    assert voter.judge is not None
    use_templates(plan.templates)
    model, method, prompt = voter.judge.model, METHODS[voter.method], plan.as_shown(prompt, "judge")
    subject = Subject(prompt.id, tuple(response.id for response in shown), voter.name)
    if method.conditions:
        conditions = await aside(partial(method.conditions, prompt, voter.principle), characters(prompt))
        return await _likelihood_ratio(model, prompt, shown[0], conditions, subject)
    if not method.render:
        return await _reward(model, prompt, shown[0], ended, subject)
    if not model.reads_labels(method):
        return await _written(model, method, voter.principle, prompt, shown, plan, subject, arguments)
    messages = await _asking(method, prompt, shown, voter.principle, plan, "labels", arguments)
    if not method.reasons:
        return await _labelled(model, messages, method, voter.principle, subject)
    thoughts = await model.ask(messages, stage="compare", sampling=_writing(plan), subject=subject)
    if thoughts.error:
        return NoOdds(*thoughts.error)
    answer, thought = await aside(partial(split, thoughts.text, model.capabilities.thinks), len(thoughts.text))
    if not (answer or thought):
        return NoOdds("empty", "no reasoning")
    conclusion = await aside(partial(compare.render_conclusion, messages, answer or thought), len(thoughts.text))
    z = await _labelled(model, conclusion, method, voter.principle, subject)
    return z if isinstance(z, NoOdds) else within(z, *plan.clamp)


async def _asking(
    method: JudgingMethod,
    prompt: Prompt,
    shown: tuple[Response, ...],
    principle: Principle,
    plan: Plan,
    form: Form,
    arguments: tuple[Argument, ...],
) -> tuple[Message, ...]:
    """What a judge is asked."""
    assert method.render is not None
    render = partial(method.render, prompt, shown, principle, plan.defences.nonce, form, arguments)
    return await aside(render, characters((prompt, *shown)))


async def _labelled(
    model: ChatModel, messages: tuple[Message, ...], method: JudgingMethod, principle: Principle, subject: Subject
) -> Odds:
    if model.encoder and not model.label_ids.keys() >= {*method.labels}:
        return NoOdds("verdict_missing", f"{', '.join(method.labels)} are not one token each of its tokenizer")
    completion = await model.ask(messages, stage="compare", sampling=ONE_TOKEN, labels=method.labels, subject=subject)
    if completion.error:
        return NoOdds(*completion.error)
    assert method.read is not None
    found = method.read(completion.logprobs, principle, completion.floor)
    return NoOdds(found, repr(completion.logprobs)) if isinstance(found, str) else found


async def _written(
    model: ChatModel,
    method: JudgingMethod,
    principle: Principle,
    prompt: Prompt,
    shown: tuple[Response, ...],
    plan: Plan,
    subject: Subject,
    arguments: tuple[Argument, ...],
) -> Odds:
    """Ask several times for an answer in words, or by the schema where the server has that; the smoothed share in log-odds."""
    form: Form = "json" if model.capabilities.structured else "text"
    messages = await _asking(method, prompt, shown, principle, plan, form, arguments)
    completions = await sampled(model, messages, method.schema, plan, subject)
    assert method.read_text is not None
    read = method.read_text
    z = odds(await answers_of(completions, model, lambda answer: read(answer, principle)))
    if isinstance(z, NoOdds):
        return z
    return Reading(clamped(z, *plan.clamp) if method.reasons else z)


async def _likelihood_ratio(
    model: ChatModel,
    prompt: Prompt,
    response: Response,
    conditions: Sequence[tuple[Message, ...]],
    subject: Subject,
) -> Odds:
    """Mean log-probability of the response's tokens in one conversation, less that in the other where there are two."""
    message = response.message
    completions = await together(
        *(
            model.likelihood(messages, message, prompt.tools, template_kwargs=prompt.template_kwargs, subject=subject)
            for messages in conditions
        )
    )
    values: list[float] = []
    for completion in completions:
        if completion.error:
            return NoOdds(*completion.error)
        value = contrast.log_likelihood(completion.scores)
        if isinstance(value, str):
            return NoOdds(value, "")
        values.append(value)
    return Reading(values[0] - sum(values[1:]))


async def _reward(model: ChatModel, prompt: Prompt, response: Response, ended: bool, subject: Subject) -> Odds:
    completion = await model.reward(
        prompt.messages, response.message, prompt.tools, ended, prompt.template_kwargs, subject
    )
    if completion.error:
        return NoOdds(*completion.error)
    value = completion.logprobs.get(REWARD, float("nan"))
    return Reading(value) if math.isfinite(value) else NoOdds("reward_nan", repr(completion.logprobs))
