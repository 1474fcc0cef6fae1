"""A reward from comparisons: the responses to a prompt are judged against each other, as a run labels pairs."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Mapping, Sequence

from constitution.errors import Problem, UserError
from constitution.principles import Constitution
from constitution.records import Failure, Prompt, Response
from critics.ranking.select import strengths
from generation.engines.base import TransientError
from generation.models.factory import Wrap
from generation.pipeline.feedback import Comparisons, compare_all
from generation.pipeline.scheduler import UNAVAILABLE
from training.rollout.config import CompareReward
from training.rollout.models import Lazy, LivePanel
from training.rollout.rules import STAGE, Candidates, Part, no_principle


class PairwiseJudge:
    """A panel that compares responses under every principle of a constitution, rules included, in both orders.

    What it says of a pair are the log-odds of a run's label. Votes that are missing are left out of them, and a pair of which
    nothing is known is left out of what its responses are worth: neither counts as 0."""

    def __init__(
        self,
        settings: CompareReward,
        constitution: Constitution,
        seed: int,
        wrap: Wrap = Lazy,
        day: datetime.date | None = None,
    ) -> None:
        """Raises UserError for a constitution or a model that cannot judge so; weights load at the first call."""
        config = settings.run().model_copy(update={"date": day})
        self._plan = config.plan.model_copy(update={"seed": seed})
        self._by_strength = settings.worth == "bradley_terry"
        self.constitution = constitution
        self._live = LivePanel(config, constitution, wrap)
        if not self._live.panel.voters(constitution.principles):
            got, fix = f"nobody judges a principle of {constitution.name}", "name a judge for some of them"
            raise UserError(Problem("", "panel", got, fix=fix))
        self._asks = any(voter.judge for voter in self._live.panel.voters(constitution.principles))
        self.digests: Mapping[str, str] = {
            "compare": constitution.digest,
            **{f"compare.{name}": digest for name, digest in self._live.digests.items()},
        }

    async def compared(self, prompt: Prompt, candidates: Sequence[Response]) -> Comparisons:
        """What is said of the candidates' pairs. Those with equal messages are not compared. Raises TransientError."""
        if self._asks:
            await self._live.known()
        return await compare_all(self._live.panel, prompt, candidates, self.constitution, self._plan)

    async def grade_group(self, group: Candidates) -> list[Part | Failure]:
        """What each response is worth against the other responses, or against `others` where there are any."""
        if not self._live.panel.voters(self.constitution.applicable(group.prompt.tags)):
            return [no_principle(group.prompt, response, self.constitution) for response in group.responses]
        try:
            done = await self.compared(group.prompt, distinct([*group.others, *group.responses]))
        except TransientError as error:
            prompt = group.prompt.id
            return [Failure(prompt, STAGE, UNAVAILABLE, str(error), response.id) for response in group.responses]
        return worths(group, done, self._by_strength)

    async def close(self) -> None:
        """Close all engines."""
        await self._live.close()


def distinct(responses: Sequence[Response]) -> list[Response]:
    """The first response of each message."""
    first: dict[str, Response] = {}
    for response in responses:
        first.setdefault(_key(response), response)
    return [*first.values()]


def worths(group: Candidates, done: Comparisons, by_strength: bool) -> list[Part | Failure]:
    """What comparisons of distinct responses come to for each response of a group, in log-odds.

    The mean over the others of which something is known, a response with the same message being an equal one; with `by_strength`
    the Bradley-Terry strength. Against `others` it is always the mean, which says how they compare. A Failure where nothing is
    known."""
    first = {_key(response): response for response in distinct([*group.others, *group.responses])}
    strong = strengths([*first.values()], done.scores) if by_strength and not group.others else None
    missing = _missing(done)
    found: list[Part | Failure] = []
    for i, response in enumerate(group.responses):
        own = first[_key(response)]
        rest = group.others or [*group.responses[:i], *group.responses[i + 1 :]]
        against = [_log_odds(own, first[_key(other)], done) for other in rest]
        known = [value for value in against if value is not None]
        if known:
            value = statistics.fmean(known) if strong is None else strong.get(own.id, 0.0)
            found.append(Part(value, {"votes_missing": missing}))
        else:
            found.append(_nothing(group, response, own, done))
    return found


def _log_odds(own: Response, other: Response, done: Comparisons) -> float | None:
    """That one response is better than another; None where nothing is known of the two."""
    if own is other:
        return 0.0
    score = done.scores.get((own.id, other.id))
    if score is None and (other.id, own.id) in done.scores:
        score = done.scores[other.id, own.id].swapped()
    return None if score is None or score.undecided else score.logit


def _missing(done: Comparisons) -> float:
    """Share of the votes that were asked for and have no answer."""
    records = [record for asked in done.records.values() for record in asked]
    return sum(isinstance(record, Failure) for record in records) / len(records) if records else 0.0


def _nothing(group: Candidates, response: Response, own: Response, done: Comparisons) -> Failure:
    """The record of a response of which nothing is known: the first vote that failed says why."""
    for pair, records in done.records.items():
        for record in records if own.id in pair else ():
            if isinstance(record, Failure):
                return Failure(group.prompt.id, STAGE, record.reason, record.detail, response.id)
    return Failure(group.prompt.id, STAGE, "not_compared", "no other response to compare it with", response.id)


def _key(response: Response) -> str:
    return response.message.model_dump_json()
