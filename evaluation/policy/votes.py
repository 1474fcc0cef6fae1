"""Votes on two policies' responses -> who wins, by everybody and by each part. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from constitution.principles import Constitution, Principle
from constitution.records import Failure, Vote
from constitution.words import word_count
from critics.ranking.weights import Weights
from evaluation.policy import winrate as winning
from evaluation.policy.responses import Pair
from evaluation.policy.result import Measures, TrainingProvenance, Win
from evaluation.policy.style import STYLE, difference
from generation.config import Plan
from generation.pipeline.panel import Panel

RULES = "rules"
"""Name, among judges, of the principles that no model judges."""


class JudgingContext(NamedTuple):
    """By what pairs are judged."""

    constitution: Constitution
    judges: tuple[str, ...]
    """All that may vote, RULES among them where the constitution has any."""
    weights: Weights | None
    plan: Plan
    provenance: TrainingProvenance


class Verdict(NamedTuple):
    """What the votes on one pair come to, in log-odds for A's response. A tie, and a pair that has no label, is 0."""

    pair: Pair
    logit: float
    objectives: Mapping[str, float]
    principles: Mapping[str, float]
    judges: Mapping[str, float]
    unseen: float | None
    """By voters that neither policy is known to be trained against; None where there are none."""
    votes: Mapping[str, float]
    """Voter -> vote."""

    @property
    def longer(self) -> int:
        """Words of A's response less those of B's; 0 where one is empty, since that is not lost by length."""
        if self.pair.both is None:
            return 0
        a, b = (word_count(response.text) for response in self.pair.both)
        return a - b

    @property
    def style(self) -> tuple[float, ...]:
        """How A's response differs from B's in each feature of STYLE; 0 where one is empty."""
        if self.pair.both is None:
            return (0.0,) * len(STYLE)
        a, b = self.pair.both
        return difference(a.text, b.text)


def verdicts(
    pairs: Sequence[Pair], votes_of: Callable[[Pair], Sequence[object]], context: JudgingContext
) -> list[Verdict]:
    """Those pairs that have a preference or are a tie. votes_of: a pair's votes, failures among them."""
    found = []
    for pair in pairs:
        records = [record for record in votes_of(pair) if isinstance(record, Vote | Failure)]
        if pair.settled is not None:
            found.append(_settled(pair, pair.settled, context))
        elif pair.both and (verdict := _verdict(pair, records, context)):
            found.append(verdict)
    return found


def win(found: Sequence[Verdict], seed: int) -> Win:
    """A's win rates. found: at least one."""
    clusters = [each.pair.cluster for each in found]
    logits = [each.logit for each in found]
    outcomes = winning.outcomes(logits)
    asked = [each for each in found if each.pair.settled is None]

    def parts(part: Callable[[Verdict], Mapping[str, float]]) -> Measures:
        voted = {name for each in asked for name in part(each)}
        kept = [{n: z for n, z in part(each).items() if not voted or n in voted} for each in found]
        return winning.win_rates(kept, seed, clusters)

    unseen = [(each.unseen, name) for each, name in zip(found, clusters, strict=True) if each.unseen is not None]
    if asked and all(each.unseen is None for each in asked):
        unseen = []  # nobody unseen ever voted: pairs that nobody needed to be asked about are no figure of theirs
    styled, worth = winning.style_controlled(outcomes, [each.style for each in found], seed, clusters)
    return Win(
        raw=winning.win_rate(outcomes, seed, clusters),
        controlled=winning.controlled(outcomes, [each.longer for each in found], seed, clusters),
        style_controlled=styled,
        style=dict(zip(STYLE, worth, strict=True)),
        seeds=_by_seed(found, seed),
        probability=winning.win_rate(0.5 + 0.5 * np.tanh(np.array(logits) / 2), seed, clusters),
        objectives=parts(lambda each: each.objectives),
        principles=parts(lambda each: each.principles),
        judges=parts(lambda each: each.judges),
        unseen=winning.win_rate(winning.outcomes([z for z, _ in unseen]), seed, [n for _, n in unseen])
        if unseen
        else None,
    )


def _by_seed(found: Sequence[Verdict], seed: int) -> Measures:
    rates = {}
    for number in sorted({each.pair.seed for each in found if each.pair.seed is not None}):
        of = [each for each in found if each.pair.seed == number]
        prompts = [each.pair.prompt.id for each in of]
        rates[str(number)] = winning.win_rate(winning.outcomes([each.logit for each in of]), seed, prompts)
    return rates


def agreement(parts: Sequence[Mapping[str, float]], seed: int, clusters: Sequence[Hashable]) -> Measures:
    """`one vs other` -> share of pairs, decided by both, on which both prefer the same response. parts: judge -> log-odds."""
    names = dict.fromkeys(name for found in parts for name in found)
    shares = {}
    for one, other in itertools.combinations(names, 2):
        same = [
            (float(found[one] * found[other] > 0), name)
            for found, name in zip(parts, clusters, strict=True)
            if found.get(one) and found.get(other)
        ]
        if same:
            shares[f"{one} vs {other}"] = winning.win_rate([s for s, _ in same], seed, [name for _, name in same])
    return shares


def _verdict(pair: Pair, records: Sequence[Vote | Failure], context: JudgingContext) -> Verdict | None:
    panel = Panel((), context.weights)
    score = panel.score(records, context.constitution, context.plan)
    if score is None:
        return None
    votes = [record for record in records if isinstance(record, Vote)]
    # a rule that sees no difference does not vote: by it, and by all rules where none does, the pair is a tie
    asked = [] if score.veto else panel.voters(context.constitution.applicable(pair.prompt.tags))
    tied = [voter.principle for voter in asked]
    # early stopping reads the first votes of all; a part of them is not their beginning
    plan = context.plan.model_copy(update={"early_stop_error": 0.0})

    def logit(some: Iterable[Vote]) -> float:
        part = panel.score([*some], context.constitution, plan)
        return 0.0 if part is None or part.undecided else part.logit

    def by(name_of: Callable[[Vote], str]) -> dict[str, float]:
        names = dict.fromkeys(map(name_of, votes))
        return {name: logit(vote for vote in votes if name_of(vote) == name) for name in names}

    provenance = context.provenance
    unseen = [
        v for v in votes if v.principle not in provenance.principles and (v.judge or RULES) not in provenance.judges
    ]
    heard = bool(unseen) or any(has_unseen(principle, context) for principle in tied)
    return Verdict(
        pair,
        0.0 if score.undecided else score.logit,
        dict.fromkeys((p.objective for p in tied), 0.0) | score.objectives,
        dict.fromkeys((p.id for p in tied), 0.0) | by(lambda vote: vote.principle),
        dict.fromkeys([RULES] if tied else [], 0.0) | by(lambda vote: vote.judge or RULES),
        logit(unseen) if heard and (provenance.principles or provenance.judges) else None,
        {vote.voter: vote.value for vote in votes},
    )


def _settled(pair: Pair, logit: float, context: JudgingContext) -> Verdict:
    """What nobody needs to be asked about: the same by everybody who could have been."""
    asked = context.constitution.applicable(pair.prompt.tags)
    objectives, principles = (
        dict.fromkeys(names, logit) for names in ((p.objective for p in asked), (p.id for p in asked))
    )
    known = context.provenance.principles or context.provenance.judges
    unseen = logit if known and any(has_unseen(principle, context) for principle in asked) else None
    return Verdict(pair, logit, objectives, principles, dict.fromkeys(context.judges, logit), unseen, {})


def has_unseen(principle: Principle, context: JudgingContext) -> bool:
    """Whether somebody votes under a principle whom no policy is known to be trained against, nor by it."""
    judges = [name for name in context.judges if (name != RULES) == principle.judged]
    return principle.id not in context.provenance.principles and any(
        name not in context.provenance.judges for name in judges
    )
