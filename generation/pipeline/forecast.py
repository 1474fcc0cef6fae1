"""`--plan`: how many calls a run will make, said beforehand from what is stored, without a model.

Every step of the pipeline is run against the store alone. A call that is not there and whose prompt is known is certain to
be made; what may follow from its answer is bounded by the rounds and comparisons still open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from itertools import chain
from typing import Literal, NamedTuple, TypeVar

from constitution.principles import Constitution
from constitution.records import Failure, Prompt, Response, Stage
from critics.ranking import select as ranking
from generation.config import Plan
from generation.engines.base import Completion, Request
from generation.models.policies import Policy, draws
from generation.output.records import Forecast, Size
from generation.pipeline.controls import control_vetoes, control_voters, controls
from generation.pipeline.feedback import (
    Comparisons,
    Step,
    ask,
    comparison_principles,
    dropped_for_manipulation,
    given,
    improve,
    judged_by_model,
    sample,
)
from generation.pipeline.panel import Panel, Voter
from generation.pipeline.rubric import Batch, units
from generation.pipeline.voting import besides, cast, settled_by, vetoes_on, votes_on

T = TypeVar("T")


class NotStored(Exception):
    """The answer to a call is not known yet."""


class DryRunEngine:
    """An engine that answers from stored calls alone and keeps count. Equal calls are one call."""

    encodes: Literal[True] = True

    def __init__(self, stored: Callable[[bytes], Completion | None], forecast: Forecast) -> None:
        self._stored = stored
        self._forecast = forecast
        self._seen: set[bytes] = set()
        self.asked: Counter[Stage] = Counter()
        """Every request so far, repeated ones too."""

    async def generate(self, request: Request) -> Completion:
        """The stored answer. Raises NotStored, and RefusedError for a chat that cannot be encoded."""
        key = request.key()
        completion = self._stored(key)
        if completion is None and key not in self._seen:
            request = request.encoded()
        self.asked[request.stage] += 1
        if key not in self._seen:
            self._seen.add(key)
            (self._forecast.certain if completion is None else self._forecast.reused)[request.stage] += 1
            if completion is None:
                size = self._forecast.sizes.setdefault((request.stage, request.model), Size())
                size.calls += 1
                size.prompt += request.prompt_size
                size.guessed = size.guessed or not request.tokens
                size.written += request.most_written
        if completion is None:
            raise NotStored
        return completion

    async def close(self) -> None:
        """Nothing to release."""


async def forecast(
    prompts: Iterable[Prompt | Failure],
    constitution: Constitution,
    policies: Sequence[Policy],
    panel: Panel,
    plan: Plan,
    engine: DryRunEngine,
    result: Forecast,
) -> Forecast:
    """Fill `result` for all prompts. `policies` and `panel` must stand on `engine`, which counts into `result`."""
    for control in controls(plan):
        asked = Asked(control_vetoes(control, panel, constitution), control_voters(control, panel, constitution, plan))
        if asked.voters:
            certain = result.certain["compare"]
            following = await _votes(control.prompt, *control.responses, asked, panel, plan, engine, set())
            result.following["compare"] += following
            result.control_pairs += 1
            result.control_calls += result.certain["compare"] - certain + following
    for prompt in prompts:
        if isinstance(prompt, Prompt):
            result.following += await _following(prompt, constitution, policies, panel, plan, engine)
    return result


async def _following(
    prompt: Prompt,
    constitution: Constitution,
    policies: Sequence[Policy],
    panel: Panel,
    plan: Plan,
    engine: DryRunEngine,
) -> Counter[Stage]:
    """The most calls that can follow, for one prompt, from answers that are not stored."""
    critics = min(plan.critics, len(judged_by_model(prompt, constitution)))
    rounds = plan.rounds_of(prompt) if critics or plan.rule_critiques else 0
    drafts, unknown = await _drafts(policies, prompt, plan)
    following: Counter[Stage] = Counter({"critique": unknown * rounds * critics, "revise": unknown * rounds})
    known: list[Response] = []
    settled: list[Response] = []
    most = unknown * (1 + rounds)
    open_chains = unknown
    for draft in drafts:
        before = engine.asked.copy()
        steps, whole = await _until_unknown(improve(panel.main, prompt, draft, constitution, plan))
        responses = [draft, *(step for step in steps if isinstance(step, Response))]
        known += responses
        most += len(responses)
        if whole:
            settled += responses
        else:
            asked = engine.asked - before
            following["critique"] += rounds * critics - asked["critique"]
            following["revise"] += rounds - asked["revise"]
            most += rounds - (len(responses) - 1)
            open_chains += 1
    voters = panel.voters(comparison_principles(prompt, constitution, panel, plan))
    ballot = Asked(panel.vetoes(constitution.applicable(prompt.tags)), voters)
    chains_only = plan.pairs == "revision_original"
    fixed = chains_only or plan.schedule == "all"
    # the rounds of other schedules depend on who takes part, so with a candidate unknown nothing of them is certain
    candidates = settled if chains_only else known if fixed or not open_chains else []
    candidates.sort(
        key=lambda candidate: candidate.parent is not None
    )  # as the run has them: a schedule goes by places
    met = await _comparisons(prompt, candidates, ballot, constitution, panel, plan, engine)
    if open_chains == 0 and (fixed or met.whole):
        new_pairs, new_replies = 0, 0
    elif chains_only:
        new_pairs, new_replies = open_chains * bool(rounds), 2 * open_chains
    else:
        new_pairs = ranking.most_comparisons(most, plan.pairs, plan.schedule, plan.comparisons) - met.pairs
        new_replies = most - len(met.responses)
    asked_together = units([*ballot.vetoes, *ballot.rest], plan)
    calls = new_pairs * sum(unit.pair_calls(plan) for unit in asked_together)
    calls += new_replies * sum(unit.response_calls(plan) for unit in asked_together)
    following["compare"] += met.more + calls
    return +following


class Asked(NamedTuple):
    """Who is asked about a pair."""

    vetoes: list[Voter]
    """First, and of each response by itself."""
    voters: list[Voter]
    """Then, where no veto decides."""

    @property
    def rest(self) -> list[Voter]:
        """The voters that are not asked first already."""
        return besides(self.vetoes, self.voters)


class _Met(NamedTuple):
    """What is certain of the comparisons among the candidates that are known."""

    pairs: int
    """Pairs that will be judged."""
    responses: set[str]
    """Candidates in them."""
    more: int
    """Calls about these pairs that may follow from answers that are not stored."""
    whole: bool
    """Every answer is stored."""


async def _comparisons(
    prompt: Prompt,
    candidates: list[Response],
    ballot: Asked,
    constitution: Constitution,
    panel: Panel,
    plan: Plan,
    engine: DryRunEngine,
) -> _Met:
    manipulative = await dropped_for_manipulation(prompt, candidates, plan)
    comparisons = Comparisons(prompt, candidates, constitution, panel, plan, manipulative)
    more, whole = 0, True
    counted: set[str] = set()
    while whole and (pairs := comparisons.next_pairs()):
        for a, b in pairs:
            more += await _votes(prompt, a, b, ballot, panel, plan, engine, counted)
            found = await _attempt(ask(panel, ballot.voters, prompt, a, b, constitution, plan, ballot.vetoes))
            whole = whole and found is not None
            comparisons.add(a, b, *(found or ([], 0)))
    met = comparisons.records
    return _Met(len(met), {name for pair in met for name in pair}, more, whole)


async def _votes(
    prompt: Prompt,
    a: Response,
    b: Response,
    ballot: Asked,
    panel: Panel,
    plan: Plan,
    engine: DryRunEngine,
    counted: set[str],
) -> int:
    """Ask all that is certain to be asked about a pair; returns the most calls that can follow.

    Before the answers of those who may veto are known, only theirs are certain; in turn, only what the next voter is asked.
    counted: responses whose own calls are among those that can follow from another pair.
    """
    following = 0
    for voter in ballot.vetoes:
        following += await _rest_of(voter, prompt, a, b, plan, engine)
    first = await _attempt(vetoes_on(ballot.vetoes, prompt, a, b, plan))
    voters = ballot.rest
    if first is None:
        following += sum(unit.pair_calls(plan) for unit in units(voters, plan))
        for response in (a, b):
            if response.id not in counted:
                counted.add(response.id)
                following += sum(unit.response_calls(plan) for unit in units(voters, plan))
        return following
    if settled_by(first, ballot.vetoes) is not None:
        return following
    if panel.weights and panel.weights.stopping and plan.early_stop_error:
        before = engine.asked["compare"]
        if await _attempt(votes_on(panel, voters, prompt, a, b, plan)) is not None:
            return following
        asked = engine.asked["compare"] - before
        return max(0, sum(voter.pair_calls(plan) + 2 * voter.response_calls(plan) for voter in voters) - asked)
    first_step, *later = panel.steps(voters)
    for unit in units(first_step, plan):
        following += await _rest_of(unit, prompt, a, b, plan, engine)
    for unit in chain.from_iterable(units(step, plan) for step in later):
        following += unit.pair_calls(plan) + 2 * unit.response_calls(plan)
    return following


async def _rest_of(
    unit: Voter | Batch, prompt: Prompt, a: Response, b: Response, plan: Plan, engine: DryRunEngine
) -> int:
    """Ask what is certain to be asked of these voters; returns the most calls that can follow."""
    before = engine.asked["compare"]
    if await _attempt(cast(unit, prompt, a, b, plan)) is not None:
        return 0
    return unit.pair_calls(plan) + 2 * unit.response_calls(plan) - (engine.asked["compare"] - before)


async def _drafts(policies: Sequence[Policy], prompt: Prompt, plan: Plan) -> tuple[list[Response], int]:
    """The responses that are known, and how many are not."""
    if prompt.responses:
        return [response for response in given(prompt) if isinstance(response, Response)], 0
    drawn = draws(policies, prompt, plan.samples, plan.seed)
    drafts = [await _attempt(sample(one.policy.model, prompt, one.number, plan, one.policy.name)) for one in drawn]
    return [d for d in drafts if isinstance(d, Response)], sum(d is None for d in drafts)


async def _attempt(step: Awaitable[T]) -> T | None:
    try:
        return await step
    except NotStored:
        return None


async def _until_unknown(steps: AsyncIterator[Step]) -> tuple[list[Step], bool]:
    """The steps that can be retraced, and whether that is all of them."""
    retraced: list[Step] = []
    try:
        async for step in steps:
            retraced.append(step)
    except NotStored:
        return retraced, False
    return retraced, True
