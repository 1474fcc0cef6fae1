"""What happens to one prompt, top to bottom. Batching, storage, limits and progress are the engine's wrappers' business.

Constitutional AI's two phases (Bai et al. 2022, arXiv:2212.08073): critique and revision, then comparison under principles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from functools import partial
from itertools import chain

from constitution.principles import Constitution, Principle, assign
from constitution.records import (
    Critique,
    Dropped,
    Failure,
    Message,
    PreferencePair,
    Prompt,
    Response,
    Stage,
    Vote,
    characters,
)
from critics import critique, revise
from critics.ranking import select as ranking
from critics.ranking.accept import Decided, decide
from critics.ranking.aggregate import Score
from critics.ranking.kinds import Targets
from critics.ranking.targets import targets
from critics.templating import use as use_templates
from critics.text import thoughts
from critics.text.manipulation import indicators_of
from generation.config import Decoding, Plan
from generation.engines.base import CallError, Completion, Sampling, Subject
from generation.models.chat_model import ChatModel, derive_seed
from generation.models.policies import Policy, draws
from generation.models.tool_calls import parse_tool_calls
from generation.output.records import Feedback
from generation.pipeline.panel import Panel, Voter
from generation.pipeline.rules import broken_rules
from generation.pipeline.voting import votes_on
from generation.tasks import aside, together

THOUGHTS_ONLY = "thoughts_only"
"""Reason of a failure: the model thought and did not answer."""
Step = Critique | Response | Failure | Dropped


async def feedback(
    prompt: Prompt,
    constitution: Constitution,
    policies: Sequence[Policy],
    panel: Panel,
    plan: Plan,
    imitated: Targets = "best",
) -> Feedback:
    """Sample, improve, compare, label: everything one prompt goes through."""
    drafts = await originals(policies, prompt, plan)
    responses = [draft for draft in drafts if isinstance(draft, Response)]
    chains = await together(*(collect(improve(panel.main, prompt, r, constitution, plan)) for r in responses))
    steps: list[Step] = [*drafts, *chain.from_iterable(chains)]
    candidates = [step for step in steps if isinstance(step, Response)]
    return label(prompt, steps, await compare_all(panel, prompt, candidates, constitution, plan), plan, imitated)


async def originals(policies: Sequence[Policy], prompt: Prompt, plan: Plan) -> list[Response | Failure]:
    """The prompt's given responses, or fresh samples of the policies."""
    if prompt.responses:
        return await aside(partial(given, prompt), characters(prompt.responses))
    drawn = draws(policies, prompt, plan.samples, plan.seed)
    return await together(*(sample(one.policy.model, prompt, one.number, plan, one.policy.name) for one in drawn))


def given(prompt: Prompt) -> list[Response | Failure]:
    """The responses that came with the prompt, without thoughts."""
    found: list[Response | Failure] = []
    for i, message in enumerate(prompt.responses):
        name = f"{prompt.id}/g{i}"
        answer, thought = thoughts.split(message.content)
        if thought and not (answer or message.tool_calls):
            found.append(Failure(prompt.id, "sample", THOUGHTS_ONLY, subject=name))
            continue
        shown = message.model_copy(update={"content": answer}) if thought else message
        found.append(Response(name, prompt.id, shown, "given", message.content))
    return found


async def sample(policy: ChatModel, prompt: Prompt, index: int, plan: Plan, source: str = "") -> Response | Failure:
    """One response of the policy. source: its name beside other policies."""
    drawn = await draw(policy, prompt, index, plan, source)
    if isinstance(drawn, Failure):
        return drawn
    response, completion = drawn
    return response if completion.finish != "length" or plan.keep_truncated else _truncated(prompt, response.id, plan)


async def draw(
    policy: ChatModel, prompt: Prompt, index: int, plan: Plan, source: str = ""
) -> tuple[Response, Completion] | Failure:
    """One response of the policy, cut or not, and the completion that it is from. source: as for `sample`."""
    name = f"{prompt.id}/{source}-s{index}" if source else f"{prompt.id}/s{index}"
    decoding = _sampling(plan.sample, plan, prompt, "sample", index)
    messages = (
        with_system_hint(prompt.messages, plan.system_hint)
        if plan.system_hint and index < plan.hinted_samples
        else prompt.messages
    )
    subject = Subject(prompt.id, (name,))
    completion = await policy.ask(
        messages, stage="sample", sampling=decoding, index=index, tools=prompt.tools,
        template_kwargs=prompt.template_kwargs, subject=subject,
    )  # fmt: skip
    if completion.error:
        return _failure(prompt, "sample", completion.error, name)
    split = partial(thoughts.split, completion.text, policy.capabilities.thinks)
    answer, thought = await aside(split, len(completion.text))
    if not answer:
        if completion.finish == "length":
            return _truncated(prompt, name, plan)
        return Failure(prompt.id, "sample", THOUGHTS_ONLY if thought else "empty", subject=name)
    try:
        called = partial(parse_tool_calls, answer, prompt.tools)
        message = await aside(called, len(answer)) if prompt.tools else Message(role="assistant", content=answer)
    except ValueError as error:
        if completion.finish == "length":
            return _truncated(prompt, name, plan)
        return Failure(prompt.id, "sample", "malformed_tool_call", str(error), name)
    truncated = completion.finish == "length"
    response = Response(
        name, prompt.id, message, "sampled", completion.text, truncated=truncated, policy=source or policy.name
    )
    return response, completion


def with_system_hint(messages: Sequence[Message], hint: str) -> tuple[Message, ...]:
    """Prepend the hint to the system message, or add one."""
    if messages and messages[0].role == "system":
        own = messages[0]
        return (own.model_copy(update={"content": f"{hint}\n\n{own.content}"}), *messages[1:])
    return (Message(role="system", content=hint), *messages)


async def improve(
    judge: ChatModel, prompt: Prompt, response: Response, constitution: Constitution, plan: Plan
) -> AsyncIterator[Step]:
    """Rounds of critique and revision, each record as it is made. The last Response is the last accepted revision."""
    current = response
    for turn in range(plan.rounds_of(prompt)):
        critiques = await broken_rules(prompt, current, constitution) if plan.rule_critiques else []
        if not critiques:
            judged = judged_by_model(prompt, constitution)
            drawn = assign(judged, f"{plan.seed}/{response.id}/critique/{turn}", plan.critics)
            asked = (criticise(judge, prompt, current, principle, turn, plan) for principle in drawn)
            critiques = await together(*asked)
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
    use_templates(plan.templates)
    sampling = _sampling(plan.critique, plan, prompt, "critique", f"{response.id}/{principle.id}/{turn}")
    shown = plan.as_shown(prompt, "critic")
    render = partial(critique.render, shown, response, principle, plan.defences.nonce, plan.improve_in)
    completion = await judge.ask(
        await aside(render, characters((prompt, response))),
        stage="critique",
        sampling=sampling,
        subject=Subject(prompt.id, (response.id,), principle.id),
    )
    if completion.error:
        return _failure(prompt, "critique", completion.error, response.id)
    truncated = completion.finish == "length"
    read = partial(critique.parse, completion.text, truncated, response, principle, judge.capabilities.thinks)
    return await aside(read, len(completion.text))


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
    use_templates(plan.templates)
    render = partial(revise.render, prompt, response, found, principles, plan.defences.nonce, plan.improve_in)
    messages = await aside(render, characters((prompt, response)))
    completion = await judge.ask(messages, stage="revise", sampling=sampling, subject=Subject(prompt.id, (name,)))
    if completion.error:
        return _failure(prompt, "revise", completion.error, name)
    told = [*(record.text for record in found), *(principle.revise_request for principle in principles)]
    truncated, thinks = completion.finish == "length", judge.capabilities.thinks
    read = partial(revise.parse, completion.text, truncated, response, thinks, prompt, told)
    revision = await aside(read, len(completion.text) + characters((prompt, response)))
    if isinstance(revision, str):
        return Dropped(prompt.id, "revise", revision, completion.text[:200], name)
    message = Message(role="assistant", content=revision.text)
    asked = tuple(principle.id for principle in principles)
    return Response(name, prompt.id, message, "revised", revision.raw, response.id, asked, policy=response.policy)


async def compare_all(
    panel: Panel, prompt: Prompt, candidates: Sequence[Response], constitution: Constitution, plan: Plan
) -> Comparisons:
    """Round after round, the pairs that the schedule proposes; each asked of every voter."""
    voters = panel.voters(comparison_principles(prompt, constitution, panel, plan))
    vetoes = panel.vetoes(constitution.applicable(prompt.tags))
    manipulative = await dropped_for_manipulation(prompt, candidates, plan)
    done = Comparisons(prompt, candidates, constitution, panel, plan, manipulative)
    while pairs := done.next_pairs():
        asked = await together(*(ask(panel, voters, prompt, a, b, constitution, plan, vetoes) for a, b in pairs))
        for (a, b), (records, step) in zip(pairs, asked, strict=True):
            done.add(a, b, records, step)
    return done


async def dropped_for_manipulation(prompt: Prompt, candidates: Sequence[Response], plan: Plan) -> list[Response]:
    """The candidates that have manipulation indicators, where those are dropped."""
    if plan.defences.manipulation != "drop":
        return []
    size = characters((prompt, *candidates))
    return await aside(lambda: [one for one in candidates if indicators_of(prompt, one.message)], size)


async def ask(
    panel: Panel,
    voters: Sequence[Voter],
    prompt: Prompt,
    a: Response,
    b: Response,
    constitution: Constitution,
    plan: Plan,
    vetoes: Sequence[Voter] = (),
) -> tuple[list[Vote | Failure], int]:
    """What is said of one pair, and the step of the cascade at which asking ended: all of the first, and on while it is unsure."""
    records: list[Vote | Failure] = []
    last = 0
    for last, some in enumerate(panel.steps(voters)):
        records += await votes_on(panel, some, prompt, a, b, plan, () if last else vetoes)
        if panel.acceptance is None:
            break
        found = panel.score(records, constitution, plan)
        sure = found.logit if found and not found.undecided else 0.0
        if (found and found.veto) or panel.acceptance.fate(sure, _whole(records), last) != "escalate":
            break
    return records, last


def _whole(records: Sequence[Vote | Failure]) -> bool:
    """Whether no vote that was asked for is missing."""
    return not any(isinstance(record, Failure) for record in records)


class Comparisons:
    """What is known of one prompt's candidates so far, and what to ask next."""

    def __init__(
        self,
        prompt: Prompt,
        candidates: Sequence[Response],
        constitution: Constitution,
        panel: Panel,
        plan: Plan,
        manipulative: Sequence[Response],
    ) -> None:
        """manipulative: those of the candidates that are not compared."""
        self.records: dict[ranking.Pair, list[Vote | Failure]] = {}
        self.scores: dict[ranking.Pair, Score] = {}
        self.steps: dict[ranking.Pair, int] = {}
        """Step of the cascade at which asking ended."""
        self.rules = tuple(principle.id for principle in constitution.applicable(prompt.tags) if principle.check)
        self.manipulative = manipulative
        self._candidates = [candidate for candidate in candidates if candidate not in self.manipulative]
        self._constitution = constitution
        self._panel = panel
        self._plan = plan
        self._seed = derive_seed(plan.seed, prompt.id, "schedule")

    def next_pairs(self) -> list[tuple[Response, Response]]:
        """The pairs to ask about now; none when the schedule is done."""
        plan = self._plan
        failed = self.records.keys() - self.scores.keys()
        return ranking.propose(
            self._candidates, self.scores, plan.pairs, plan.schedule, plan.comparisons, self._seed, failed
        )

    def add(self, a: Response, b: Response, records: list[Vote | Failure], step: int = 0) -> None:
        """Take in what the voters said of a pair. step: of the cascade, at which asking ended."""
        self.records[a.id, b.id], self.steps[a.id, b.id] = records, step
        combined = self._panel.score(records, self._constitution, self._plan)
        if combined:
            self.scores[a.id, b.id] = combined

    @property
    def ended(self) -> tuple[int, ...]:
        """Comparisons by the step of the cascade at which asking ended."""
        counts = Counter(self.steps.values())
        return tuple(counts[step] for step in range(max(counts, default=-1) + 1))

    def decide(self, pairs: Sequence[PreferencePair]) -> Decided:
        """Which labels are accepted: all, where no error is stated."""
        acceptance = self._panel.acceptance
        if acceptance is None:
            return Decided([*pairs], [])
        found = []
        for pair in pairs:
            asked = (pair.chosen.id, pair.rejected.id)
            asked = asked if asked in self.records else asked[::-1]
            found.append((pair, self.steps[asked], _whole(self.records[asked])))
        return decide(acceptance, found)


def label(prompt: Prompt, steps: Sequence[Step], done: Comparisons, plan: Plan, imitated: Targets) -> Feedback:
    """Votes -> pairs, and the tally of all that happened on the way."""
    candidates = tuple(step for step in steps if isinstance(step, Response))
    records = [*chain.from_iterable(done.records.values())]
    failures = [record for record in [*steps, *records] if isinstance(record, Failure)]
    dropped = [step for step in steps if isinstance(step, Dropped)]
    dropped += [Dropped(prompt.id, "compare", "manipulation", subject=candidate.id) for candidate in done.manipulative]
    labelled, left_out = ranking.select(candidates, done.scores, plan.pairs, plan.min_log_odds)
    pairs, unaccepted = done.decide(labelled)
    left_out += [
        Dropped(prompt.id, "accept", one.reason, one.detail, f"{one.pair.chosen.id} vs {one.pair.rejected.id}")
        for one in unaccepted
    ]
    if not pairs and not left_out and not failures:
        left_out = [Dropped(prompt.id, "pairs", "nothing_to_compare", f"{len(candidates)} candidates, none differ")]
    compared = [candidate for candidate in candidates if candidate not in done.manipulative]
    return Feedback(
        prompt=prompt,
        candidates=candidates,
        critiques=tuple(step for step in steps if isinstance(step, Critique)),
        comparisons=len(done.records),
        vetoed=sum(bool(score.veto) for score in done.scores.values()),
        rules=done.rules,
        votes=tuple(record for record in records if isinstance(record, Vote)),
        pairs=tuple(pairs),
        unaccepted=tuple(unaccepted),
        ended=done.ended,
        targets=tuple(targets(compared, done.scores, imitated, plan.min_log_odds)),
        failures=tuple(failures),
        dropped=(*dropped, *left_out),
    )


def judged_by_model(prompt: Prompt, constitution: Constitution) -> list[Principle]:
    """The principles that apply to the prompt and need a model to judge them."""
    return [principle for principle in constitution.applicable(prompt.tags) if principle.judged]


def comparison_principles(
    prompt: Prompt, constitution: Constitution, panel: Panel, plan: Plan
) -> tuple[Principle, ...]:
    """The principles that every comparison of this prompt is asked under: those drawn, and every rule.

    With fitted weights none are drawn: the weights were fitted on all of them, and sequential judging saves what it can.
    """
    judged = judged_by_model(prompt, constitution)
    drawn = judged if panel.weights else assign(judged, f"{plan.seed}/{prompt.id}/compare", plan.principles)
    return (*drawn, *(principle for principle in constitution.applicable(prompt.tags) if not principle.judged))


async def collect(steps: AsyncIterator[Step]) -> list[Step]:
    """All of them, in order."""
    return [step async for step in steps]


def _sampling(decoding: Decoding, plan: Plan, prompt: Prompt, stage: Stage, index: object) -> Sampling:
    seed = derive_seed(plan.seed, prompt.id, stage, index) if decoding.temperature else None
    return Sampling(decoding.max_tokens, decoding.temperature, decoding.top_p, seed)


def _truncated(prompt: Prompt, subject: str, plan: Plan) -> Failure:
    return Failure(prompt.id, "sample", "truncated", f"cut at {plan.sample.max_tokens} tokens", subject)


def _failure(prompt: Prompt, stage: Stage, error: CallError, subject: str) -> Failure:
    return Failure(prompt.id, stage, error.reason, error.detail, subject)
