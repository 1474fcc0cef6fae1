"""Judge two responses to a prompt under a constitution."""

from __future__ import annotations

import math
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Self

from constitution.errors import Unavailable, UserError
from constitution.principles import Constitution
from constitution.records import Failure, Prompt, Response, Vote
from critics import templating
from critics.ranking.pooling import ProbabilityKind
from critics.ranking.weights import Weights, refuse_other
from generation.engines.base import TransientError
from generation.models.factory import chat_models, model_registry
from generation.pipeline.panel import Panel, check_forms, check_voters, panel_of, unknown_principles
from generation.pipeline.session import CALLS, Session
from generation.pipeline.voting import votes_on
from solon.settings import Conversation, Turn, constitution_of, message_of, prompt_of, settings_of


@dataclass(frozen=True, slots=True)
class Judgment:
    """What a panel says of two responses, a and b.

    >>> judgment = solon.run_sync(solon.judge("concise", "Say hello.", "Hello!", "Hello " * 200, engine="replay"))
    >>> [vote.value > 0 for vote in judgment.votes if vote.principle == "at-most-80-words"]
    [True]
    """

    log_odds: float | None
    """Log-odds that a is better; None where no vote counts, and `failures` or `undecided` say why."""
    objectives: dict[str, float]
    """Each objective's own log-odds for a."""
    votes: tuple[Vote, ...]
    """One for each judge, judging method and principle; `vote.value` is free of position bias, `vote.bias` measures it."""
    failures: tuple[Failure, ...]
    """Votes that could not be had, with the reason."""
    undecided: str = ""
    """Why there is no preference although there are votes: `abstained` (every voter chose a position, and these are dropped)."""
    how: ProbabilityKind = "mean"
    """What `log_odds` is. `fitted`: calibrated on labelled pairs. `mean`: the mean vote, as one pair tells nothing of how much of
    what the voters say they say together; a run tells it, and pools them."""
    veto: str = ""
    """Id of the principle whose veto decided."""

    @property
    def p_a(self) -> float | None:
        """Probability that a is better, by the panel's votes; calibrated only with fitted weights.

        >>> solon.Judgment(log_odds=0.0, objectives={}, votes=(), failures=()).p_a
        0.5
        """
        if self.log_odds is None:
            return None
        return 1 / (1 + math.exp(-self.log_odds)) if self.log_odds > -700 else 0.0

    @property
    def better(self) -> Literal["a", "b"] | None:
        """The preferred response; None for a tie and where nothing is decided.

        >>> solon.Judgment(log_odds=-0.2, objectives={}, votes=(), failures=()).better
        'b'
        """
        if not self.log_odds or self.undecided:
            return None
        return "a" if self.log_odds > 0 else "b"


class Judge:
    """A panel that stays open for many pairs; `judge` opens one for a single pair.

    >>> async def main():
    ...     async with solon.Judge("hhh", engine="replay") as panel:
    ...         return [await panel.compare("Say hello.", "Hello!", other) for other in ("No.", "Hi.", "What?")]
    >>> [0 < judgment.p_a < 1 for judgment in solon.run_sync(main())]
    [True, True, True]

    A judge that is a function, and prefers what comes first no less than what is good:

    >>> async def ask(messages):
    ...     return 0.8
    >>> votes = solon.run_sync(solon.judge("hhh", "Hi.", "a", "b", judge=ask)).votes
    >>> [(vote.value, round(vote.bias, 2)) for vote in votes if vote.method == "compare"][0]
    (0.0, 1.39)
    """

    def __init__(
        self,
        constitution: Constitution | str | Path,
        *,
        config: str | Path | None = None,
        calls: str | Path | None = None,
        weights: Weights | None = None,
        **settings: object,
    ) -> None:
        """constitution: one that is loaded, a shipped one's name, or a file.
        config: a YAML file of settings. settings: any of a run's settings by name, as judge="gpt-4o", endpoints=[...],
        plan={"methods": ["compare", "score"]}; they override the file's.
        The judge may be your own async function, judge=ask: it gets the messages of one question and gives the judge's words,
        or, where two labels are to choose from, the probability of the first as a number. A comparison is asked in both
        orders; words that name a winner count as 0.9, whatever their writer's certainty was. It cannot do `contrast`, which
        needs log-probabilities of a response. A constitution with a veto asks it yes or no about each response too. An exception is
        that vote's failure.
        calls: a folder in which model calls are kept, so that none is made twice; without one they are forgotten.
        weights: what `fit_weights` found, for the same constitution, judges and settings; without them a constitution's own count.

        Raises UserError.
        """
        self.constitution = constitution_of(constitution)
        run = settings_of(config, settings)
        if problems := unknown_principles(run, self.constitution):
            raise UserError(problems)
        self._run = run.judge_alone()
        if weights:
            judging, names = run.plan.judging(), model_registry(self._run).digests()
            words = templating.digest(run.plan.templates)
            refuse_other(weights, Path("weights"), self.constitution.digest, names, words, judging)
        self._weights = weights
        self._calls = Path(calls) if calls else None
        self._exit = AsyncExitStack()
        self._panel: Panel | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            folder = self._calls or Path(stack.enter_context(TemporaryDirectory(prefix="solon-")))
            folder.mkdir(parents=True, exist_ok=True)
            session = await stack.enter_async_context(Session(folder / CALLS))
            run = session.dated(self._run)
            _, judges = chat_models(run, model_registry(run), session.wrap)
            await session.preflight(*judges.values(), structured=self._run.plan.batch_principles > 1)
            self._panel = panel_of(self._run, judges, self._weights)
            check_forms(self._panel, self.constitution, self._run.plan, Path("weights"))
            check_voters(self._panel, self.constitution)
            self._exit = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._panel = None
        await self._exit.aclose()

    async def compare(self, prompt: Conversation, a: str | Turn, b: str | Turn) -> Judgment:
        """Ask every judge, by each of its methods, under every principle that applies to the prompt, in both orders.

        a, b: the assistant's words, or a message. Raises Unavailable when a judge cannot be reached now.
        """
        if self._panel is None:
            raise RuntimeError("the judge is not open; use it as `async with Judge(...) as judge:`")
        asked = prompt_of(prompt)
        one, other = (_response(asked, name, given) for name, given in (("a", a), ("b", b)))
        applicable = self.constitution.applicable(asked.tags)
        voters, vetoes = self._panel.voters(applicable), self._panel.vetoes(applicable)
        try:
            records = await votes_on(self._panel, voters, asked, one, other, self._run.plan, vetoes)
        except TransientError as error:
            raise Unavailable(str(error)) from error
        votes = tuple(record for record in records if isinstance(record, Vote))
        failures = tuple(record for record in records if isinstance(record, Failure))
        score = self._panel.score(records, self.constitution, self._run.plan)
        if score is None:
            return Judgment(None, {}, votes, failures)
        how: ProbabilityKind = "fitted" if self._weights and not score.veto else "mean"
        return Judgment(score.logit, score.objectives, votes, failures, score.undecided, how, score.veto)


async def judge(
    constitution: Constitution | str | Path,
    prompt: Conversation,
    a: str | Turn,
    b: str | Turn,
    *,
    config: str | Path | None = None,
    calls: str | Path | None = None,
    weights: Weights | None = None,
    **settings: object,
) -> Judgment:
    """Which of two responses is better under a constitution; arguments as of `Judge` and `Judge.compare`.

    The replay engine makes its answers up, for rehearsals and tests; with a model, name it: judge="embedded".

    >>> hhh = solon.load_constitution("hhh")
    >>> judgment = solon.run_sync(solon.judge(hhh, "Say hello.", "Hello!", "No.", engine="replay"))
    >>> 0 < judgment.p_a < 1, judgment.failures
    (True, ())
    >>> {vote.principle for vote in judgment.votes} <= {principle.id for principle in hhh.principles}
    True
    """
    async with Judge(constitution, config=config, calls=calls, weights=weights, **settings) as panel:
        return await panel.compare(prompt, a, b)


def _response(prompt: Prompt, name: str, given: str | Turn) -> Response:
    message = message_of(given)
    return Response(f"{prompt.id}/{name}", prompt.id, message, "given", message.content)
