"""What happens to one prompt, top to bottom. Batching, storage, limits and progress are the engine's wrappers' business.

Constitutional AI's two phases (Bai et al. 2022, arXiv:2212.08073): critique and revision, then comparison under principles.
"""

from __future__ import annotations

from asyncio import gather
from collections.abc import AsyncIterator, Sequence
from itertools import chain

from constitution.principles import Constitution, Principle, assign
from constitution.records import Critique, Dropped, Failure, Message, Prompt, Response, Stage, Vote
from critics import compare, critique, ranking, revise
from critics.aggregate import Score, rule_vote, score
from critics.rules import RuleError
from generation.chat_model import ChatModel, derive_seed
from generation.config import Decoding, Plan
from generation.engine import Completion, Sampling
from generation.feedback import Feedback
from generation.tool_calls import parse_tool_calls

Step = Critique | Response | Failure | Dropped
VERDICT = Sampling(max_tokens=1)


async def feedback(
    prompt: Prompt, constitution: Constitution, policy: ChatModel, judge: ChatModel, plan: Plan
) -> Feedback:
    """Sample, improve, compare, label: everything one prompt goes through."""
    drafts = await originals(policy, prompt, plan)
    responses = [draft for draft in drafts if isinstance(draft, Response)]
    chains = await gather(*(collect(improve(judge, prompt, r, constitution, plan)) for r in responses))
    steps: list[Step] = [*drafts, *chain.from_iterable(chains)]
    candidates = [step for step in steps if isinstance(step, Response)]
    outcomes = await compare_all(judge, prompt, ranking.schedule(candidates, plan.pairs), constitution, plan)
    return label(prompt, steps, outcomes, constitution, plan)


async def originals(policy: ChatModel, prompt: Prompt, plan: Plan) -> list[Response | Failure]:
    """The prompt's given replies, or fresh samples of the policy."""
    if prompt.responses:
        return [*given(prompt)]
    return list(await gather(*(sample(policy, prompt, i, plan) for i in range(plan.samples))))


def given(prompt: Prompt) -> list[Response]:
    """The replies that came with the prompt."""
    return [
        Response(f"{prompt.id}/g{i}", prompt.id, message, "given", message.content)
        for i, message in enumerate(prompt.responses)
    ]


async def sample(policy: ChatModel, prompt: Prompt, index: int, plan: Plan) -> Response | Failure:
    """One reply of the policy."""
    name = f"{prompt.id}/s{index}"
    decoding = _sampling(plan.sample, plan, prompt, "sample", index)
    completion = await policy.ask(prompt.messages, stage="sample", sampling=decoding, index=index, tools=prompt.tools)
    if completion.finish == "error":
        return _failure(prompt, "sample", completion, name)
    if not completion.text.strip():
        return Failure(prompt.id, "sample", "empty", subject=name)
    if completion.finish == "length" and not plan.keep_truncated:
        return Failure(prompt.id, "sample", "truncated", f"cut at {plan.sample.max_tokens} tokens", name)
    try:
        message = (
            parse_tool_calls(completion.text)
            if prompt.tools
            else Message(role="assistant", content=completion.text.strip())
        )
    except ValueError as error:
        return Failure(prompt.id, "sample", "malformed_tool_call", str(error), name)
    return Response(name, prompt.id, message, "sampled", completion.text)


async def improve(
    judge: ChatModel, prompt: Prompt, response: Response, constitution: Constitution, plan: Plan
) -> AsyncIterator[Step]:
    """Rounds of critique and revision, each record as it is made. The last Response is the last accepted revision."""
    current = response
    for turn in range(plan.rounds):
        drawn = assign(
            judged_by_model(prompt, constitution), f"{plan.seed}/{response.id}/critique/{turn}", plan.critics
        )
        critiques = await gather(*(criticise(judge, prompt, current, principle, turn, plan) for principle in drawn))
        for record in critiques:
            yield record
        found = [record for record in critiques if isinstance(record, Critique) and record.found]
        if not found:
            return
        revision = await rewrite(judge, prompt, current, found, constitution, turn, plan)
        yield revision
        if not isinstance(revision, Response):
            return
        current = revision


async def criticise(
    judge: ChatModel, prompt: Prompt, response: Response, principle: Principle, turn: int, plan: Plan
) -> Critique | Failure:
    """One critique of one response under one principle."""
    sampling = _sampling(plan.critique, plan, prompt, "critique", f"{response.id}/{principle.id}/{turn}")
    completion = await judge.ask(critique.render(prompt, response, principle), stage="critique", sampling=sampling)
    if completion.finish == "error":
        return _failure(prompt, "critique", completion, response.id)
    return critique.parse(completion.text, completion.finish == "length", response, principle)


async def rewrite(
    judge: ChatModel,
    prompt: Prompt,
    response: Response,
    found: Sequence[Critique],
    constitution: Constitution,
    turn: int,
    plan: Plan,
) -> Response | Failure | Dropped:
    """One revision of a response in the light of its critiques."""
    name = f"{response.id}/r{turn}"
    principles = [constitution.by_id(record.principle) for record in found]
    sampling = _sampling(plan.revise, plan, prompt, "revise", name)
    messages = revise.render(prompt, response, found, principles)
    completion = await judge.ask(messages, stage="revise", sampling=sampling)
    if completion.finish == "error":
        return _failure(prompt, "revise", completion, name)
    revision = revise.parse(completion.text, completion.finish == "length", response)
    if isinstance(revision, str):
        return Dropped(prompt.id, "revise", revision, completion.text[:200], name)
    message = Message(role="assistant", content=revision.text)
    asked = tuple(principle.id for principle in principles)
    return Response(name, prompt.id, message, "revised", revision.raw, response.id, asked)


async def compare_all(
    judge: ChatModel, prompt: Prompt, pairs: Sequence[tuple[Response, Response]], constitution: Constitution, plan: Plan
) -> list[tuple[ranking.Pair, list[Vote | Failure]]]:
    """Every pair under every principle drawn for the prompt, in both orders; rules vote without a model."""
    drawn = comparison_principles(prompt, constitution, plan)
    rules = [principle for principle in constitution.applicable(prompt.tags) if not principle.judged]
    asked = await gather(*(gather(*(vote(judge, prompt, a, b, principle) for principle in drawn)) for a, b in pairs))
    return [
        ((a.id, b.id), [*votes, *(_rule(prompt, a, b, rule) for rule in rules)])
        for (a, b), votes in zip(pairs, asked, strict=True)
    ]


async def vote(judge: ChatModel, prompt: Prompt, a: Response, b: Response, principle: Principle) -> Vote | Failure:
    """One principle's judgement of one pair, in both orders."""
    orders = ((a, b), (b, a))
    completions = await gather(
        *(
            judge.ask(compare.render(prompt, first, second, principle), stage="compare", sampling=VERDICT)
            for first, second in orders
        )
    )
    subject = f"{a.id} vs {b.id} by {principle.id}"
    odds: list[float] = []
    for completion in completions:
        if completion.finish == "error":
            return _failure(prompt, "compare", completion, subject)
        z = compare.log_odds(completion.logprobs)
        if isinstance(z, str):
            return Failure(prompt.id, "compare", z, repr(completion.logprobs), subject)
        odds.append(z)
    return Vote(prompt.id, a.id, b.id, principle.id, *odds)


def label(
    prompt: Prompt,
    steps: Sequence[Step],
    outcomes: Sequence[tuple[ranking.Pair, list[Vote | Failure]]],
    constitution: Constitution,
    plan: Plan,
) -> Feedback:
    """Votes -> pairs, and the tally of all that happened on the way."""
    candidates = tuple(step for step in steps if isinstance(step, Response))
    failures = [step for step in steps if isinstance(step, Failure)]
    dropped = [step for step in steps if isinstance(step, Dropped)]
    scores: dict[ranking.Pair, Score] = {}
    for pair, records in outcomes:
        failures += [record for record in records if isinstance(record, Failure)]
        combined = score([record for record in records if isinstance(record, Vote)], constitution)
        if combined:
            scores[pair] = combined
    pairs, left_out = ranking.select(candidates, scores, plan.pairs, plan.margin)
    if not pairs and not left_out and not failures:
        left_out = [Dropped(prompt.id, "pairs", "nothing_to_compare", f"{len(candidates)} candidates, none differ")]
    strengths = ranking.strengths(candidates, scores)
    revisions = [candidate for candidate in candidates if candidate.origin == "revised"]
    return Feedback(
        prompt=prompt,
        candidates=candidates,
        critiques=tuple(step for step in steps if isinstance(step, Critique)),
        comparisons=len(outcomes),
        votes=tuple(record for _, records in outcomes for record in records if isinstance(record, Vote)),
        pairs=tuple(pairs),
        target=max(revisions, key=lambda r: strengths.get(r.id, 0.0), default=None),
        failures=tuple(failures),
        dropped=(*dropped, *left_out),
    )


def judged_by_model(prompt: Prompt, constitution: Constitution) -> list[Principle]:
    """The principles that apply to the prompt and need a model to judge them."""
    return [principle for principle in constitution.applicable(prompt.tags) if principle.judged]


def comparison_principles(prompt: Prompt, constitution: Constitution, plan: Plan) -> tuple[Principle, ...]:
    """The judged principles that every comparison of this prompt is asked under."""
    return assign(judged_by_model(prompt, constitution), f"{plan.seed}/{prompt.id}/compare", plan.principles)


async def collect(steps: AsyncIterator[Step]) -> list[Step]:
    """All of them, in order."""
    return [step async for step in steps]


def _rule(prompt: Prompt, a: Response, b: Response, rule: Principle) -> Vote | Failure:
    try:
        return rule_vote(prompt, a, b, rule)
    except RuleError as error:
        return Failure(prompt.id, "compare", "rule_error", str(error), f"{a.id} vs {b.id} by {rule.id}")


def _sampling(decoding: Decoding, plan: Plan, prompt: Prompt, stage: Stage, index: object) -> Sampling:
    seed = derive_seed(plan.seed, prompt.id, stage, index) if decoding.temperature else None
    return Sampling(decoding.max_tokens, decoding.temperature, decoding.top_p, seed)


def _failure(prompt: Prompt, stage: Stage, completion: Completion, subject: str) -> Failure:
    reason, _, detail = completion.error.partition(": ")
    return Failure(prompt.id, stage, reason, detail, subject)
