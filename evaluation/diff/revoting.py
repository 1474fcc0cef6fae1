"""What an edit of a constitution makes of votes that were cast already: which labels flip, appear and go, without a call.

Weights, objectives, vetoes, rules and thresholds only count votes anew. A principle whose question changed, or that is asked of a
prompt for the first time, has no votes yet: its pairs are counted without it, and are said to be unasked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from constitution.errors import UserError
from constitution.principles import Constitution, Principle
from constitution.records import VIOLATION, Failure, Message, PreferencePair, Vote
from critics.methods import METHODS
from critics.ranking import select as ranking
from critics.ranking.aggregate import Score, effective_vote, mean_weights, rule_vote
from evaluation.diff.ballots import Ballot, Ballots
from evaluation.diff.screening import Screen
from generation.config import Plan
from generation.pipeline.feedback import comparison_principles
from generation.pipeline.panel import Panel, Voter
from generation.pipeline.voting import settled_by

Kind = Literal["flipped", "appeared", "gone"]


class Counted(NamedTuple):
    """A run's votes as one constitution counts them."""

    pairs: dict[tuple[str, frozenset[str]], PreferencePair]
    """(prompt, both responses) -> the pair, where it has a label."""
    scores: dict[tuple[str, frozenset[str]], Score]
    """Of every compared pair, for the response whose id comes first in its votes."""
    reasons: dict[tuple[str, frozenset[str]], str]
    """Why a pair has no label."""
    unasked: Counter[str]
    """Principle -> pairs that it was not asked about."""

    def of(self, prompts: Collection[str]) -> Counted:
        """The same of these prompts alone."""
        pairs = {key: pair for key, pair in self.pairs.items() if key[0] in prompts}
        return Counted(pairs, self.scores, self.reasons, self.unasked)


class Moved(NamedTuple):
    """A pair whose label the edit changes."""

    kind: Kind
    prompt_id: str
    first: str
    """Id of the response that was chosen before, or is after where the pair appears."""
    second: str
    before: float | None
    """Log-odds for the first response; None where there was no label. Likewise after."""
    after: float | None
    principle: str
    """The one whose votes, as they count, moved most towards this; empty where none did."""
    reason: str
    """Why a pair that goes has no label."""


@dataclass(slots=True)
class Effect:
    """What an edit does to the labels of a run."""

    kept: int = 0
    moved: list[Moved] = field(default_factory=list)
    unasked: Counter[str] = field(default_factory=Counter)

    def by_principle(self) -> dict[str, Counter[Kind]]:
        """Principle -> how many pairs of each kind it moved, the most first."""
        found: defaultdict[str, Counter[Kind]] = defaultdict(Counter)
        for one in self.moved:
            found[one.principle][one.kind] += 1
        return dict(sorted(found.items(), key=lambda item: (-item[1].total(), item[0])))

    def count(self, kind: Kind) -> int:
        """Pairs of a kind."""
        return sum(one.kind == kind for one in self.moved)


class Recount:
    """A run's votes, counted as it was and as edits would have them."""

    def __init__(self, ballots: Ballots) -> None:
        self.ballots = ballots
        self._shapes: dict[object, list[list[_Voter]]] = {}
        everything = range(len(ballots.prompts))
        self.before = self._count(everything, ballots.constitution, ballots.config.plan)
        self._screen = Screen(ballots, {key for key, score in self.before.scores.items() if score.veto})

    def effect(self, constitution: Constitution, plan: Plan | None = None) -> Effect:
        """What an edited constitution, and settings, do to the labels. plan: the run's own where left out."""
        plan = plan or self.ballots.config.plan
        numbers = self._changed(constitution, plan)
        after = self._count(numbers, constitution, plan)
        names = {self.ballots.prompts[number].prompt.id for number in numbers}
        before = self.before.of(names)
        effect = effect_of(before, after, self.ballots, constitution)
        effect.kept += len(self.before.pairs) - len(before.pairs)
        effect.unasked = self._unasked(constitution) if len(numbers) < len(self.ballots.prompts) else effect.unasked
        return effect

    def _changed(self, constitution: Constitution, plan: Plan) -> Sequence[int]:
        """The prompts to count: those that the screen finds, where the edit is such that it can tell."""
        own = self.ballots.config.plan
        if (
            _shape(constitution) != _shape(self.ballots.constitution)
            or self.ballots.panel.weights
            or own.model_copy(update={"min_log_odds": plan.min_log_odds}) != plan
            or own.min_log_odds != plan.min_log_odds
            or any(not _same(old, new, VIOLATION) for old, new in self._both(constitution) if new.veto)
        ):
            return range(len(self.ballots.prompts))
        return self._screen.changed(constitution, self._holds(constitution), plan)

    def _both(self, constitution: Constitution) -> Iterator[tuple[Principle, Principle]]:
        yield from zip(self.ballots.constitution.principles, constitution.principles, strict=True)

    def _holds(self, constitution: Constitution) -> list[bool]:
        old = self.ballots.constitution
        return [
            vote.method == "rule" or _same(old.by_id(vote.principle), constitution.by_id(vote.principle), vote.method)
            for vote in self._screen.voters
        ]

    def _unasked(self, constitution: Constitution) -> Counter[str]:
        """Principle -> compared pairs that have votes under it which do not hold."""
        held = zip(self._screen.voters, self._holds(constitution), strict=True)
        lost = {vote.voter for vote, holds in held if not holds}
        found: Counter[str] = Counter()
        for ballot in self.ballots.prompts if lost else ():
            for votes in ballot.votes.values():
                found.update({vote.principle for vote in votes if vote.voter in lost})
        return found

    def _count(self, numbers: Sequence[int], constitution: Constitution, plan: Plan) -> Counted:
        known = {principle.id: principle for principle in self.ballots.constitution.principles}
        asked = self._asked(constitution, plan)
        found = Counted({}, {}, {}, Counter())
        for number in numbers:
            ballot = self.ballots.prompts[number]
            _count_prompt(found, ballot, asked[number], _Laws(known, constitution, plan, self.ballots))
        return found

    def _asked(self, constitution: Constitution, plan: Plan) -> list[list[_Voter]]:
        """Who is asked about each prompt's pairs. Neither weights nor words change that."""
        shape = (_shape(constitution), plan.principles)
        if shape not in self._shapes:
            if len(self._shapes) > 4:
                self._shapes.popitem()
            panel = self.ballots.panel
            self._shapes[shape] = [_voters(ballot, constitution, panel, plan) for ballot in self.ballots.prompts]
        return self._shapes[shape]


class _Voter(NamedTuple):
    """Who is asked about a pair; what the principle says is the constitution's matter."""

    name: str
    method: str
    principle: str
    vetoes: bool


class _Laws(NamedTuple):
    """By what a pair is counted."""

    known: Mapping[str, Principle]
    """Those of the run, by id."""
    constitution: Constitution
    plan: Plan
    ballots: Ballots


def _shape(constitution: Constitution) -> object:
    """What decides who is asked, and what rules say."""
    return tuple(
        (one.id, one.judged, one.veto, one.good_answer, str(one.applies_to), str(one.check))
        for one in constitution.principles
    )


def _voters(ballot: Ballot, constitution: Constitution, panel: Panel, plan: Plan) -> list[_Voter]:
    vetoes = panel.vetoes(constitution.applicable(ballot.prompt.tags))
    voters = panel.voters(comparison_principles(ballot.prompt, constitution, panel, plan))
    first = [_Voter(one.name, one.method, one.principle.id, True) for one in vetoes]
    known = {one.name for one in first}
    return first + [_Voter(one.name, one.method, one.principle.id, False) for one in voters if one.name not in known]


def _count_prompt(found: Counted, ballot: Ballot, asked: list[_Voter], laws: _Laws) -> None:
    scores: dict[ranking.Pair, Score] = {}
    for (a, b), votes in ballot.votes.items():
        records, unasked = _records(ballot, (a, b), votes, asked, laws)
        found.unasked.update(unasked)
        score = laws.ballots.panel.score(records, laws.constitution, laws.plan)
        if score:
            scores[a, b] = found.scores[ballot.prompt.id, frozenset((a, b))] = score
    pairs, dropped = ranking.select(ballot.candidates, scores, laws.plan.pairs, laws.plan.min_log_odds)
    for pair in pairs:
        found.pairs[pair.prompt_id, frozenset((pair.chosen.id, pair.rejected.id))] = pair
    for one in dropped:
        found.reasons[one.prompt_id, frozenset(one.subject.split(" vs "))] = one.reason


def effect_of(before: Counted, after: Counted, ballots: Ballots, constitution: Constitution) -> Effect:
    """What changed between two counts of the same votes. constitution: of the second one. Pairs that people decided stay."""
    effect = Effect(unasked=after.unasked - before.unasked)
    spoken = {(ballot.prompt.id, pair) for ballot in ballots.prompts for pair in ballot.spoken}
    shares = _Shares(ballots, constitution, before, after)
    for key in [*before.pairs, *(key for key in after.pairs if key not in before.pairs)]:
        old, new = before.pairs.get(key), after.pairs.get(key)
        if key in spoken or (old and new and old.chosen.id == new.chosen.id):
            effect.kept += 1
            continue
        shown = old or new
        assert shown is not None
        kind: Kind = "gone" if new is None else "appeared" if old is None else "flipped"
        first, second = shown.chosen.id, shown.rejected.id
        is_before, is_after = old.log_odds if old else None, new.log_odds if new else None
        if old and is_after is not None:
            is_after = -is_after
        principle = shares.moved_most(key, first, towards_first=kind == "appeared")
        reason = after.reasons.get(key, "another pair is chosen") if new is None else ""
        effect.moved.append(Moved(kind, key[0], first, second, is_before, is_after, principle, reason))
    return effect


def _records(
    ballot: Ballot, pair: ranking.Pair, votes: Sequence[Vote], asked: list[_Voter], laws: _Laws
) -> tuple[list[Vote | Failure], set[str]]:
    """(what is said of a pair under the constitution, principles that were not asked about it)."""
    recorded = {vote.voter: vote for vote in votes}
    first: list[Vote | Failure] = []
    rest: list[Vote | Failure] = []
    silent: set[str] = set()
    unknown = False
    for voter in asked:
        old, new = laws.known.get(voter.principle), laws.constitution.by_id(voter.principle)
        vote = recorded.get(voter.name)
        record: Vote | Failure | None = _held(vote, old, new) if vote else None
        if record is None and voter.method == "rule":
            record = _by_rule(ballot, pair, new, old)
        elif record is None:
            subject = f"{pair[0]} vs {pair[1]} by {voter.name}"
            if subject in ballot.failed and _same(old, new, voter.method):
                record = Failure(ballot.prompt.id, "compare", "failed", subject=subject)
            else:
                silent.add(voter.principle)
                unknown = unknown or voter.vetoes
        if record is not None:
            (first if voter.vetoes else rest).append(record)
    if first and not unknown:
        vetoes = [Voter(None, one.method, laws.constitution.by_id(one.principle)) for one in asked if one.vetoes]
        settled = settled_by(first, vetoes)
        if settled is not None:
            return settled, set()
    return [*first, *rest], silent


def _held(vote: Vote, old: Principle | None, new: Principle) -> Vote | None:
    """The vote as it holds under the new principle; None where the question is another."""
    if vote.method == "rule":
        return vote if old and old.check == new.check else None
    if not _same(old, new, vote.method):
        return None
    turned = vote.method == "yesno" and old is not None and old.good_answer != new.good_answer
    return replace(vote, logit_ab=-vote.logit_ab, logit_ba=-vote.logit_ba) if turned else vote


def _same(old: Principle | None, new: Principle, method: str) -> bool:
    if old is None or old.judged != new.judged:
        return False
    if METHODS[method].pairwise:
        return old.compare_request == new.compare_request
    return all(getattr(old, name) == getattr(new, name) for name in METHODS[method].fields)


def _by_rule(ballot: Ballot, pair: ranking.Pair, principle: Principle, old: Principle | None) -> Vote | Failure | None:
    if old and old.check == principle.check:
        return None  # it saw no difference
    by_id = {candidate.id: candidate for candidate in ballot.candidates}
    prompt = ballot.prompt
    if not prompt.messages:  # nobody asks a rule about a prompt's words where they are not known
        prompt = prompt.model_copy(update={"messages": (Message(role="user"),)})
    try:
        return rule_vote(prompt, by_id[pair[0]], by_id[pair[1]], principle)
    except UserError as error:
        return Failure(ballot.prompt.id, "compare", "rule_error", str(error))


class _Shares:
    """What each principle adds to a pair's log-odds, before and after."""

    def __init__(self, ballots: Ballots, constitution: Constitution, before: Counted, after: Counted) -> None:
        self._ballots = ballots
        self._sides = ((ballots.constitution, before), (constitution, after))

    def moved_most(self, key: tuple[str, frozenset[str]], first: str, towards_first: bool) -> str:
        change: defaultdict[str, float] = defaultdict(float)
        for sign, (constitution, counted) in zip((-1, 1), self._sides, strict=True):
            score = counted.scores.get(key)
            if score:
                for name, value in self._of(score, constitution, first).items():
                    change[name] += sign * value
        towards = {name: value if towards_first else -value for name, value in change.items()}
        best = max(towards, key=lambda name: towards[name], default="")
        return best if best and towards[best] > 0 else ""

    def _of(self, score: Score, constitution: Constitution, first: str) -> dict[str, float]:
        if not score.votes:
            return {}
        side = 1 if score.votes[0].a == first else -1
        if score.veto:
            return {score.veto: side * score.logit}
        plan = self._ballots.config.plan
        votes = [vote for vote in score.votes if vote.method != "violation"]
        counted = [
            (vote, value) for vote in votes if (value := effective_vote(vote, plan.position_inconsistent)) is not None
        ]
        found: defaultdict[str, float] = defaultdict(float)
        weights = self._ballots.panel.weights
        shares = mean_weights([vote for vote, _ in counted], constitution) if counted else []
        for (vote, value), share in zip(counted, shares, strict=True):
            found[vote.principle] += side * (weights.share(vote.voter, value) if weights else share * value)
        return found
